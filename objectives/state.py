"""All that a training continues from, as tensors and plain values."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from math import isnan
from typing import Any

import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from objectives.evaluation import Snapshot

log = logging.getLogger(__name__)


@dataclass
class Progress:
    """How far a training is: optimizer steps, evaluations, and the best validation loss with its evaluation."""

    steps: int = 0
    evaluations: int = 0
    best: float | None = None
    best_evaluation: int = 0

    def note(self, val_loss: float) -> None:
        """Count an evaluation; NaN is never the best."""
        self.evaluations += 1
        if not isnan(val_loss) and (self.best is None or val_loss < self.best):
            self.best, self.best_evaluation = val_loss, self.evaluations

    def waited(self) -> int:
        """The evaluations since the best one."""
        return self.evaluations - self.best_evaluation


@dataclass(frozen=True)
class State:
    """A model in training and what trains it.

    No random generator is among it: dropout is seeded anew at each step (see trainer), so that a training continues
    as it would have wherever it is loaded.
    """

    model: Any
    optimizer: Optimizer
    scheduler: LambdaLR
    scaler: GradScaler
    progress: Progress

    def save(self) -> Snapshot:
        """A copy of the state in the memory of the CPU; of the model only what learns, the rest is as it was loaded."""
        optimizer = self.optimizer.state_dict()
        tensors = {f"model.{name}": tensor for name, tensor in learning(self.model)}
        plain: dict[str, dict[str, Any]] = {}
        for index, slots in optimizer["state"].items():
            plain[str(index)] = {name: slot for name, slot in slots.items() if not isinstance(slot, Tensor)}
            tensors |= {f"optimizer.{index}.{n}": slot for n, slot in slots.items() if isinstance(slot, Tensor)}
        values = {
            "optimizer": {"state": plain, "param_groups": optimizer["param_groups"]},
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "progress": asdict(self.progress),
        }
        return Snapshot({name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}, values)

    def bytes(self) -> int:
        """How many bytes the tensors of such a copy have, which is not made for it."""
        slots = (slot for slots in self.optimizer.state.values() for slot in slots.values())
        kept = chain((tensor for _, tensor in learning(self.model)), slots)
        return sum(tensor.nbytes for tensor in kept if isinstance(tensor, Tensor))

    def load(self, snapshot: Snapshot) -> None:
        """Continue from a snapshot of a training with the same settings; KeyError where it is of another model."""
        with torch.no_grad():
            for name, tensor in learning(self.model):
                tensor.copy_(snapshot.tensors[f"model.{name}"])
        values = snapshot.values
        slots = {int(index): {**plain} for index, plain in values["optimizer"]["state"].items()}
        for name, tensor in snapshot.tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "optimizer":
                index, _, slot = rest.partition(".")
                slots[int(index)][slot] = tensor
        self.optimizer.load_state_dict({"state": slots, "param_groups": values["optimizer"]["param_groups"]})
        self.scheduler.load_state_dict(values["scheduler"])
        self.scaler.load_state_dict(values["scaler"])
        for name, value in values["progress"].items():
            setattr(self.progress, name, value)


def fits(snapshot: Snapshot, here: Mapping[str, Any]) -> bool:
    """Whether a training with these facts continues it to the same bits; the number of the GPU makes no difference."""
    others = [name for name in here if name != "device" and snapshot.facts.get(name) != here[name]]
    for name in others:
        log.warning("%s is %s here and was %s: starting over", name, here[name], snapshot.facts.get(name))
    return not others


def learning(model: Any) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a model that training changes: parameters that learn, and kept buffers such as running means."""
    kept = model.state_dict()  # holds more than these of rounded matrices, which do not learn
    yield from ((name, tensor) for name, tensor in model.named_parameters() if tensor.requires_grad)
    yield from ((name, kept[name]) for name, _ in model.named_buffers(remove_duplicate=False) if name in kept)
