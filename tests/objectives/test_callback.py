"""A training by the Trainer of transformers, reported by our callback, and continued from its own checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments, set_seed

from objectives.callback import HpoCallback
from objectives.evaluation import Evaluation
from objectives.own import Reporter


def train(report: Reporter, checkpoint: Path) -> None:
    """As a script does it that knows nothing of hpo but the callback."""
    set_seed(1)  # the new head
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, num_labels=2)
    rows = [
        {**tokenizer(text, padding="max_length", max_length=8, truncation=True), "labels": label}
        for text, label in [("the cat", 0), ("a dog", 1), ("the bird", 0), ("a fish", 1)] * 4
    ]
    arguments = TrainingArguments(
        output_dir=str(report.folder),
        num_train_epochs=3,
        per_device_train_batch_size=4,
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_steps=1,
        learning_rate=1e-3,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        seed=1,
    )
    callback = HpoCallback(report)
    trainer = Trainer(
        model,
        arguments,
        train_dataset=rows,
        eval_dataset=rows,
        callbacks=[callback],
        compute_metrics=lambda said: {"accuracy": float((said.predictions.argmax(-1) == said.label_ids).mean())},
    )
    trainer.train(resume_from_checkpoint=callback.checkpoint)


class Stopped(Exception):  # noqa: N818 - as a verdict of the pruner is
    """What a report may raise."""


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_evaluations_are_reported_and_a_killed_training_goes_on(checkpoint: Any, tmp_path: Path) -> None:
    seen: list[Evaluation] = []
    heeded: list[int] = []
    train(Reporter(seen.append, lambda: heeded.append(1), tmp_path / "whole"), checkpoint("bert"))
    assert [(each.step, each.epoch) for each in seen] == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert {"val_loss", "accuracy", "train_loss", "examples_per_second"} <= set(seen[0].metrics)
    assert not any(name.startswith("eval") for name in seen[0].metrics)
    assert len(heeded) == 3 * 4 + 3

    first: list[Evaluation] = []

    def cut(evaluation: Evaluation) -> None:
        first.append(evaluation)
        if evaluation.step == 2:
            raise Stopped

    with pytest.raises(Stopped):
        train(Reporter(cut, lambda: None, tmp_path / "cut"), checkpoint("bert"))
    for step, written in ((100, None), (20, '{"epo')):  # a worker was killed while it wrote them
        half = tmp_path / "cut" / f"checkpoint-{step}"
        half.mkdir()
        (half / "model.safetensors").write_text("half")
        if written:
            (half / "trainer_state.json").write_text(written)
    again: list[Evaluation] = []
    train(Reporter(again.append, lambda: None, tmp_path / "cut"), checkpoint("bert"))
    assert [each.step for each in again] == [2, 3]
    assert [each.metrics["val_loss"] for each in again] == [each.metrics["val_loss"] for each in seen[1:]]
