"""A lesson of a few rows, and trainings of a tiny model in it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from objectives import devices, layers, models, sources, trainer
from objectives.batches import Batch, Example, lengths, pad
from objectives.evaluation import Evaluation
from objectives.plan import plan
from objectives.settings import Model, Training
from objectives.stopwatch import Stopwatch

TRAIN = [Example([2, *([4 + row % 14] * (1 + row % 5)), 3], row % 3) for row in range(22)]
VALID = [Example([2, *([4 + row % 14] * (1 + (row * 7) % 5)), 3], row % 3) for row in range(13)]


def collate(examples: Sequence[Example]) -> Batch:
    tokens = [example.tokens for example in examples]
    inputs = {"input_ids": pad(tokens, 0), "attention_mask": pad([[1] * len(row) for row in tokens], 0)}
    return Batch(inputs, torch.tensor([example.label for example in examples]))


def scores(logits: Tensor, examples: Sequence[Example]) -> tuple[dict[str, float], dict[str, Any]]:
    labels = torch.tensor([row.label for row in examples])
    return {"accuracy": (logits.argmax(1) == labels).float().mean().item()}, {"labels": labels.tolist()}


PLAIN = partial(cross_entropy, reduction="none")
LESSON = trainer.Lesson(TRAIN, VALID, collate, PLAIN, PLAIN, scores)


class Run:
    """A training of a tiny model, ready to start."""

    def __init__(self, folder: Path, lesson: trainer.Lesson = LESSON, **settings: Any) -> None:
        chosen = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-2, "seed": 3, "precision": "fp32", **settings}
        self.model = self._model(folder, frozen=chosen.pop("frozen", 0), dropout=chosen.pop("dropout", 0.0))
        self.training, self.lesson = Training(**chosen), lesson
        # fp16 is refused on a CPU, where it is slow; made by hand it works, scaler included.
        fp16 = self.training.precision == "fp16"
        chosen_machine = None if fp16 else devices.machine("cpu", self.training.precision)
        self.machine = chosen_machine or devices.Machine(torch.device("cpu"), "fp16")
        self.plan = plan(self.training, lengths(lesson.train))
        self.state = trainer.start(self.model, self.training, self.plan, self.machine)
        self.watch = Stopwatch()
        self.evaluations = trainer.fit(self.state, lesson, self.training, self.plan, self.machine, self.watch)

    @staticmethod
    def _model(folder: Path, frozen: int, dropout: float) -> Any:
        settings = Model(name=str(folder), dropout=dropout)
        model = models.load(settings, sources.find(settings), "sequence-classification", ("a", "b", "c"), 0)
        layers.freeze(model, frozen)
        return model

    def weights(self) -> dict[str, Tensor]:
        return {name: parameter.detach().clone() for name, parameter in self.model.named_parameters()}


def comparable(evaluation: Evaluation) -> dict[str, Any]:
    clocks = {"seconds", "examples_per_second", "peak_memory_bytes"}
    metrics = {name: value for name, value in evaluation.metrics.items() if name not in clocks}
    return {"step": evaluation.step, "epoch": evaluation.epoch, **metrics, **evaluation.details}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def trained(folder: Path, lesson: trainer.Lesson = LESSON, **settings: Any) -> dict[str, Tensor]:
    run = Run(folder, lesson, **settings)
    list(run.evaluations)
    return run.weights()
