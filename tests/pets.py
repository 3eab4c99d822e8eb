"""A study that is trained in seconds: few rows, a tiny model, test rows set aside."""

from __future__ import annotations

from pathlib import Path

from families import CONFIGS, WORDS

from bench import tiny

STUDY = """
study: pets
objective:
  task: text-classification
  model: ./bert
  data: {path: rows.csv, split: {valid: 12, test: 12}, max_length: 16}
  training: {epochs: 2, batch_size: 8, learning_rate: 1e-3, precision: fp32}
search:
  training.learning_rate: {low: 1e-4, high: 1e-1, log: true}
  training.warmup_ratio: [0.0, 0.1]
sampler: random
pruner: none
trials: 3
"""


def save(folder: Path) -> Path:
    """Write the rows, the model and the study file; the path of the last."""
    tiny.save(folder / "bert", CONFIGS["bert"](), tiny.tokenizer(WORDS))
    heads = {"good": "pos", "bad": "neg"}
    rows = [f"{word} {' '.join(WORDS[6 : 6 + n % 7])},{label}" for n in range(30) for word, label in heads.items()]
    (folder / "rows.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    (folder / "pets.yaml").write_text(STUDY)
    return folder / "pets.yaml"
