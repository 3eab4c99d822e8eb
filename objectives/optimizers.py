"""Optimizers and learning rate schedules by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, get_total_norm
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_scheduler
from transformers.optimization import Adafactor

from objectives.settings import Training

Groups = list[dict[str, Any]]


def _adamw(groups: Groups, training: Training) -> Optimizer:
    return AdamW(groups, lr=training.learning_rate, fused=True)


def _adam(groups: Groups, training: Training) -> Optimizer:
    return Adam(groups, lr=training.learning_rate, decoupled_weight_decay=True, fused=True)


def _sgd(groups: Groups, training: Training) -> Optimizer:
    # torch's SGD adds the decay to the gradient, and so to the momentum: its own is left at 0 and done before the step.
    decays = [{"params": group["params"], "decay": group["weight_decay"]} for group in groups]
    optimizer = SGD(decays, lr=training.learning_rate, momentum=training.momentum, foreach=True)
    optimizer.register_step_pre_hook(_decay)
    return optimizer


def _adafactor(groups: Groups, training: Training) -> Optimizer:
    # The learning rate is the settings', as in transformers' Trainer, not one that Adafactor makes up from the step.
    return Adafactor(groups, lr=training.learning_rate, scale_parameter=False, relative_step=False)  # type: ignore[no-untyped-call]


OPTIMIZERS: dict[str, Callable[[Groups, Training], Optimizer]] = {
    "adamw": _adamw,
    "adam": _adam,
    "sgd": _sgd,
    "adafactor": _adafactor,
}

ELEMENTWISE = ("adamw", "adam", "sgd")
"""Those that step each number by its own gradients; Adafactor's depend on the whole matrix (arXiv 1804.04235)."""

_CLOSE = 1e-6
"""What torch adds to a norm before it divides by it."""

_SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}


def optimizer(model: nn.Module, training: Training) -> Optimizer:
    """The settings' optimizer over what learns; weight decay is decoupled, and none on biases and norms."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in learning if parameter.ndim > 1]
    vectors = [parameter for parameter in learning if parameter.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": training.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return OPTIMIZERS[training.optimizer]([group for group in groups if group["params"]], training)


def scheduler(optimizer: Optimizer, training: Training, steps: int) -> LambdaLR:
    """The settings' schedule over this many optimizer steps; linear and cosine end at 0 with the last of them."""
    warmup = training.warmup_steps or ceil(training.warmup_ratio * steps)
    schedule: LambdaLR = get_scheduler(_SCHEDULES[training.lr_scheduler], optimizer, warmup, steps)
    return schedule


@contextmanager
def clipped(optimizer: Optimizer, learning: Sequence[Tensor], norm: float | None, scaled: bool) -> Iterator[None]:
    """Within the block an optimizer steps by gradients whose common norm is at most this one.

    A fused optimizer divides each gradient on its way, which spares reading and writing all of them once more; not
    where fp16's loss was scaled, whose scaler says by how much they are divided.
    """
    if not norm:
        yield
    elif scaled or not optimizer.defaults.get("fused"):
        clip_grad_norm_(learning, norm)
        yield
    else:
        found = get_total_norm([each.grad for each in learning if each.grad is not None])
        fused: Any = optimizer
        fused.grad_scale, fused.found_inf = ((found + _CLOSE) / norm).clamp(min=1.0), None
        try:
            yield
        finally:
            fused.grad_scale = None


def _decay(optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
    with torch.no_grad():
        for group in optimizer.param_groups:
            torch._foreach_mul_(group["params"], 1 - group["lr"] * group["decay"])
