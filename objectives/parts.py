"""How many rows are computed at once: halved where memory runs out, and remembered."""

from __future__ import annotations

import ctypes
import gc
import logging
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch

from objectives.errors import InfeasibleError, OutOfMemoryError
from objectives.settings import Transfer

Answer = TypeVar("Answer")
log = logging.getLogger(__name__)

# What torch says in a plain RuntimeError; on GPUs it mostly has an error of its own.
_SAID = ("can't allocate memory", "Cannot allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDA error: out of memory")


@dataclass
class Room:
    """The rows that are computed at once: `train` at most in a step, `evaluate` at most in an evaluation.

    A batch of more rows is computed in parts, and its gradients are accumulated.
    """

    train: int
    evaluate: int

    def facts(self) -> dict[str, int]:
        """The two as a trial's facts name them."""
        return {"micro_batch": self.train, "eval_micro_batch": self.evaluate}


_worked: dict[Hashable, Room] = {}


def room(settings: Transfer, device: str, earlier: Mapping[str, Any]) -> Room:
    """The room to begin with: that of `earlier` facts, but no more than has worked for such trials in this process."""
    training = settings.training
    known = _worked.get(_kind(settings, device), Room(training.batch_size, training.eval_batch_size))
    return Room(
        train=min(known.train, earlier.get("micro_batch", known.train)),
        evaluate=min(known.evaluate, earlier.get("eval_micro_batch", known.evaluate)),
    )


def remember(settings: Transfer, device: str, worked: Room) -> None:
    """The next trials of this process that need as much memory begin with this room."""
    _worked[_kind(settings, device)] = replace(worked)


def _kind(settings: Transfer, device: str) -> Hashable:
    """What the memory of a trial depends on: the model and what of it learns, the rows, the numbers, the device."""
    model = settings.model.model_copy(update={"dropout": None})
    training = settings.training
    numbers = (training.batch_size, training.eval_batch_size, training.precision, training.optimizer)
    rows = (settings.data.max_length, settings.data.image_size, settings.task)
    return (model, *rows, *numbers, training.gradient_checkpointing, device)


def fitting(work: Callable[[int], Answer], rows: int) -> Answer:
    """What `work` answers with so many rows at once, or with half as many, and so on until they fit.

    Raises InfeasibleError where one row alone does not.
    """
    while True:
        try:
            return work(rows)
        except Exception as error:
            if not ran_out(error):
                raise
            said = str(error).strip().partition("\n")[0] or type(error).__name__
        # Past its clause the error is gone, and with it all that its traceback kept.
        free()
        if rows == 1:
            raise InfeasibleError(
                f"memory: not even one row fits ({said}); "
                "lower data.max_length, choose a smaller model.name or raise model.frozen_layers"
            )
        log.warning("memory ran out with %d rows at once (%s); trying %d", rows, said, rows // 2)
        rows //= 2


@contextmanager
def enough(device: torch.device) -> Iterator[None]:
    """Raise OutOfMemoryError where memory does not suffice for what is done in this block."""
    try:
        yield
    except Exception as error:
        if not ran_out(error):
            raise
        raise OutOfMemoryError(f"out of memory on {device}") from error


def ran_out(error: BaseException) -> bool:
    """Whether this is how Python or torch say that memory is used up."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _SAID)


def free() -> None:
    """Give back what is held and not used: tensors in cycles, the GPU's cache, and pages of the heap (glibc alone)."""
    gc.collect()
    torch.cuda.empty_cache()  # nothing without a GPU in use
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
