"""The arithmetic that a trial cannot do without, and how fast this core multiplies matrices."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch.nn.functional import linear

from objectives.products import product, there_are


@dataclass(frozen=True)
class Work:
    """What is passed through an encoder: `tokens` in `rows` rows, so many passes with backward and without."""

    tokens: int
    rows: int
    trained: int
    evaluated: int


def flop(hidden: int, blocks: int, frozen: int, train: Work, valid: Work) -> float:
    """Floating-point operations of a classifier that reads the first token, frozen blocks computed by others.

    A token costs a block of BERT's shape 24 hidden^2 in matrix products, and 4 hidden for each token that it attends
    to; backward takes it twice, once for the weights' gradients and once for the inputs', which the first block that
    learns need not have. The last block projects keys and values for all tokens, and the rest for the first alone.
    """
    total = 0.0
    for work in (train, valid):
        length = work.tokens / work.rows
        whole = work.tokens * (24 * hidden**2 + 4 * hidden * length)
        last = work.tokens * 4 * hidden**2 + work.rows * (20 * hidden**2 + 4 * hidden * length)
        learning = blocks - frozen
        forward = (whole * (learning - 1) + last) if learning else 0.0
        inputs = forward - (work.tokens * 6 * hidden**2 if frozen and learning else 0.0)
        total += work.trained * (2 * forward + inputs) + work.evaluated * forward
    return total


def gemm_rate(seconds: float = 1.0, rows: int = 720, hidden: int = 384) -> float:
    """FLOP a CPU second of matrix products in fp32 with a batch's shapes, on one thread: the best of ten tries of
    torch's own and, where there are any, of oneDNN's."""
    inputs, weights = torch.randn(rows, hidden), torch.randn(4 * hidden, hidden)
    each, best = 2.0 * rows * hidden * 4 * hidden, 0.0
    for multiplied in [linear, product][: 1 + there_are()] * 10:
        done, began = 0, time.process_time()
        while time.process_time() - began < seconds / 10:
            multiplied(inputs, weights)
            done += 1
        best = max(best, done * each / (time.process_time() - began))
    return best
