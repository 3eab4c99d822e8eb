"""Optimizers and learning rate schedules by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import ceil, cos, pi
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, get_total_norm
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from objectives.layers import only_side
from objectives.settings import Training

Groups = list[dict[str, Any]]


def _adamw(groups: Groups, training: Training, fused: bool) -> Optimizer:
    return AdamW(groups, lr=training.learning_rate, fused=fused or None)


def _adam(groups: Groups, training: Training, fused: bool) -> Optimizer:
    return Adam(groups, lr=training.learning_rate, fused=fused or None)


def _sgd(groups: Groups, training: Training, fused: bool) -> Optimizer:
    # torch's SGD adds the decay to the gradient, and so to the momentum: its own is left at 0 and done before the step.
    decays = [{**group, "weight_decay": 0.0, "decay": group["weight_decay"]} for group in groups]
    optimizer = SGD(decays, lr=training.learning_rate, momentum=training.momentum, foreach=fused or None)
    optimizer.register_step_pre_hook(_decay)
    return optimizer


def _adafactor(groups: Groups, training: Training, _fused: bool) -> Optimizer:
    from transformers.optimization import Adafactor  # which brings peft, a second of CPU time

    # The learning rate is the settings', as in transformers' Trainer, not one that Adafactor makes up from the step.
    return Adafactor(groups, lr=training.learning_rate, scale_parameter=False, relative_step=False)  # type: ignore[no-untyped-call]


OPTIMIZERS: dict[str, Callable[[Groups, Training, bool], Optimizer]] = {
    "adamw": _adamw,
    "adam": _adam,
    "sgd": _sgd,
    "adafactor": _adafactor,
}

ELEMENTWISE = ("adamw", "adam", "sgd")
"""Those that step each number by its own gradients; Adafactor's depend on the whole matrix (arXiv 1804.04235)."""

_CLOSE = 1e-6
"""What torch adds to a norm before it divides by it."""

_SCHEDULES: dict[str, Callable[[float], float]] = {
    "linear": lambda passed: 1 - passed,
    "cosine": lambda passed: (1 + cos(pi * passed)) / 2,
    "constant": lambda _passed: 1.0,
}
"""By the share of the steps after warmup that have passed, the share of the learning rate."""


def optimizer(model: nn.Module, training: Training, fused: bool = True) -> Optimizer:
    """The settings' optimizer over what learns; weight decay and L1 are decoupled, and none on biases and norms.

    The decay of `adam` is L2 of the loss, as it was before AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101): it
    goes through the means of gradients. The first group has the settings' learning rate, the head's; `layer_decay`
    lowers that of the others. Where `fused`, all parameters are stepped by one kernel, or by few for `sgd`; Adafactor
    has none.
    """
    found = OPTIMIZERS[training.optimizer](_groups(model, training), training, fused)
    if training.l1:
        found.register_step_post_hook(partial(_shrink, training.l1))
    return found


def _groups(model: nn.Module, training: Training) -> Groups:
    """What learns, by its learning rate and by whether weights decay."""
    scales = {} if training.layer_decay == 1 else _scales(model, training.layer_decay)
    found: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            found.setdefault((scales.get(id(parameter), 1.0), parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": found[scale, matrix],
            "weight_decay": training.weight_decay if matrix else 0.0,
            **({} if scale == 1 else {"lr": training.learning_rate * scale}),
        }
        for scale, matrix in sorted(found, reverse=True)
    ]


def _scales(model: Any, decay: float) -> dict[int, float]:
    """By how much less than the head a parameter of the body learns: decay ** (blocks + 2 - depth), where the stem has
    depth 0 and the first block 1, as ELECTRA has it (Clark et al. 2020, arXiv 2003.10555; Howard and Ruder 2018, arXiv
    1801.06146). A block that is used at several depths has the last of them."""
    parts = only_side(model, "training.layer_decay")
    groups = [list(parts.stem), *([block] for block in parts.blocks)]
    last = len(parts.blocks) + 2
    return {
        id(parameter): decay ** (last - depth)
        for depth, group in enumerate(groups)
        for part in group
        for parameter in part.parameters()
    }


def scheduler(optimizer: Optimizer, training: Training, steps: int) -> LambdaLR:
    """The settings' schedule over this many optimizer steps; linear and cosine end at 0 with the last of them."""
    warmup, after = training.warmup_steps or ceil(training.warmup_ratio * steps), _SCHEDULES[training.lr_scheduler]

    def share(step: int) -> float:
        return step / warmup if step < warmup else after(min((step - warmup) / max(steps - warmup, 1), 1.0))

    return LambdaLR(optimizer, share)


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


@torch.no_grad()
def _shrink(l1: float, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
    """Draw each number towards 0 by lr * l1, and leave it there: the proximal step of L1 (Beck and Teboulle 2009, doi
    10.1137/080716542)."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.ndim > 1 and parameter.grad is not None:
                parameter.copy_(nn.functional.softshrink(parameter, group["lr"] * l1))


def _decay(optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
    with torch.no_grad():
        for group in optimizer.param_groups:
            stepped = [parameter for parameter in group["params"] if parameter.grad is not None]
            if stepped:
                torch._foreach_mul_(stepped, 1 - group["lr"] * group["decay"])
