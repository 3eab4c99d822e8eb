"""A trial whose frozen blocks are computed once, beside one where each batch runs them: models of images, and writers.

CPU seconds of whole trials in a process that has read the rows, one thread, fp32. Weights are random, since the work is
the same: a ViT-Ti and a ResNet-18 on the shipped shapes, a decoder and a T5 of some million parameters on the shipped
headlines. Run: python -m bench.frozen [--epochs 4] [--times 2]
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
import transformers

from bench import texts, tiny
from objectives import settings, trial
from objectives.cache import Cache
from objectives.host import Host

SHAPES = Path(__file__).parents[1] / "studies" / "data" / "shapes.zip"
ROWS, VALID = 192, 48


def vit(folder: Path) -> dict[str, Any]:
    """ViT-Ti (arXiv 2012.12877) at 96 pixels a side: 37 tokens."""
    config = transformers.ViTConfig(
        hidden_size=192, num_hidden_layers=12, num_attention_heads=3, intermediate_size=768, image_size=96
    )
    tiny.save_with_images(folder, config, "ViTImageProcessor", size={"height": 96, "width": 96})
    return _of_shapes(folder)


def resnet(folder: Path) -> dict[str, Any]:
    """ResNet-18 (arXiv 1512.03385) at 96 pixels a side; a stage is a block."""
    config = transformers.ResNetConfig(hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type="basic")
    tiny.save_with_images(folder, config, "ConvNextImageProcessor", size={"shortest_edge": 96}, crop_pct=1.0)
    return _of_shapes(folder)


def _of_shapes(folder: Path) -> dict[str, Any]:
    data = {"path": str(SHAPES), "split": {"train": ROWS, "valid": VALID, "test": 0}}
    return {"task": {"kind": "image-classification"}, "model": {"name": str(folder)}, "data": data}


def gpt2(folder: Path) -> dict[str, Any]:
    """A GPT-2 of 8 blocks, 256 wide, that learns to write headlines; its head is no copy of its embeddings."""
    tokenizer = _rows(folder)
    sizes = {"n_embd": 256, "n_layer": 8, "n_head": 4, "n_positions": 128, "tie_word_embeddings": False}
    ends = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    tiny.save(folder, transformers.GPT2Config(vocab_size=len(tokenizer), **sizes, **ends), tokenizer)
    data = {"path": str(folder / "rows.csv"), "text": "text", "max_length": 64}
    return {"task": {"kind": "text-generation"}, "model": {"name": str(folder)}, "data": data}


def t5(folder: Path) -> dict[str, Any]:
    """A T5 with 8 blocks that read and 2 that write, 256 wide, that gives the first of three headlines."""
    tokenizer = _rows(folder)
    sizes = {"d_model": 256, "d_kv": 64, "d_ff": 1024, "num_layers": 8, "num_decoder_layers": 2, "num_heads": 4}
    ends = {"pad_token_id": 0, "eos_token_id": 3, "decoder_start_token_id": 0}
    tiny.save(folder, transformers.T5Config(vocab_size=len(tokenizer), **sizes, **ends), tokenizer)
    data = {"path": str(folder / "rows.csv"), "text": "text", "label": "first", "max_length": 64}
    return {
        "task": {"kind": "summarization", "max_target_length": 12, "generation": {"num_beams": 1}},
        "model": {"name": str(folder)},
        "data": data,
    }


def _rows(folder: Path) -> Any:
    """Write rows.csv with the columns text and first; a tokenizer that knows all their words."""
    folder.mkdir()
    with texts.joined(folder / "threes.csv", ROWS + VALID).open(encoding="utf-8", newline="") as stream:
        found = [row["text"] for row in csv.DictReader(stream)]
    with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("text", "first"), *((text, text.partition(". ")[0]) for text in found)])
    return tiny.tokenizer(sorted({word for text in found for word in text.split()}))


MODELS: dict[str, tuple[Callable[[Path], dict[str, Any]], tuple[int, ...]]] = {
    "ViT-Ti": (vit, (6, 12)),
    "ResNet-18": (resnet, (2, 4)),
    "GPT-2, 8 blocks": (gpt2, (4, 8)),
    "T5, 8 and 2 blocks": (t5, (4, 8)),
}


def seconds(tree: dict[str, Any], frozen: int, epochs: int, cache: Cache | None) -> tuple[float, float]:
    """CPU seconds of a trial with so many frozen blocks, and its last validation loss."""
    data = {"split": {"train": ROWS, "valid": VALID, "test": 0}, **tree["data"]}
    training = {"epochs": epochs, "precision": "fp32", "seed": 1, "batch_size": 16, "learning_rate": 1e-3}
    model = {**tree["model"], "frozen_layers": frozen}
    chosen = settings.parse({**tree, "model": model, "data": data, "training": training})
    losses: list[float] = []
    began = time.process_time()
    result = trial.run(chosen, lambda one: losses.append(one.metrics["val_loss"]), host=Host("cpu", 1, cache=cache))
    if result.facts["cached"] is not (cache is not None):
        raise SystemExit(f"{model['name']}: frozen blocks were to be computed once")
    return time.process_time() - began, losses[-1]


def measured(tree: dict[str, Any], frozen: int, epochs: int, times: int, scratch: Path) -> tuple[list[float], float]:
    """Each batch running them, a first trial and a later one, in turns; and how far losses are apart."""
    found: list[list[float]] = [[], [], []]
    losses: list[float] = []
    for turn in range(times + 1):  # the first of which reads the rows
        cache = Cache(scratch / f"{frozen}-{turn}", trials=100)
        for place, kept in enumerate((None, cache, cache)):
            took, loss = seconds(tree, frozen, epochs, kept)
            losses.append(loss)
            if turn:
                found[place].append(took)
    return [median(some) for some in found], max(losses) - min(losses)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--times", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| model | frozen blocks | each batch runs them | first trial | later trials | times | losses apart |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="hpo-bench-") as folder:
        for name, (make, depths) in MODELS.items():
            tree = make(Path(folder) / make.__name__)
            for frozen in depths:
                scratch = Path(folder) / f"{make.__name__}-cache"
                (plain, first, later), apart = measured(tree, frozen, options.epochs, options.times, scratch)
                said = f"{plain:.2f} | {first:.2f} | {later:.2f} | {plain / later:.1f} | {apart:.0e}"
                print(f"| {name} | {frozen} | {said} |", flush=True)


if __name__ == "__main__":
    main()
