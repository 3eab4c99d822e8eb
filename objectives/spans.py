"""The answer to a question: the best part of a text, from the logits of its windows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from objectives.settings import Task


class Asked(NamedTuple):
    """What a window is about: its question by number, the whole text, the right answers, where its tokens stand."""

    row: int
    context: str
    answers: Sequence[str]
    first: int
    places: np.ndarray[Any, Any]


def told(answers: Sequence[Tensor], asked: Sequence[Asked], how: Task, may_be_none: bool) -> dict[int, str]:
    """The answer to each question, by its number, from the logits [tokens, 2] of all of its windows.

    It is empty where that `may_be_none`, and the first token of every window says so louder than its best answer.
    """
    found: dict[int, Best] = {}
    nothing: dict[int, float] = defaultdict(lambda: float("inf"))
    contexts = {each.row: each.context for each in asked}
    for logits, each in zip(answers, asked, strict=True):
        one = best(logits, each, how.n_best, how.max_answer_length)
        found[each.row] = max(found.get(each.row, one), one, key=lambda some: some.score)
        nothing[each.row] = min(nothing[each.row], float(logits[0].double().sum()))
    return {
        row: contexts[row][slice(*one.characters)]
        if one.characters and not (may_be_none and nothing[row] > one.score)
        else ""
        for row, one in found.items()
    }


class Best(NamedTuple):
    """The best answer: its score, the sum of two logits, and its characters; None where the window has no context."""

    score: float
    characters: tuple[int, int] | None


def best(logits: Tensor, window: Asked, n_best: int, longest: int) -> Best:
    """The best part of a window's context by logits [tokens, 2] of starts and ends, of `longest` tokens at most.

    The `n_best` starts are paired with the `n_best` ends.
    """
    count = len(window.places)
    if not count:
        return Best(-float("inf"), None)
    inside = logits[window.first : window.first + count].double()
    (starts, first), (ends, last) = (inside[:, side].topk(min(n_best, count)) for side in (0, 1))
    length = last[None, :] - first[:, None]
    scores = (starts[:, None] + ends[None, :]).masked_fill((length < 0) | (length >= longest), -torch.inf)
    place = int(scores.argmax())
    score = float(scores.flatten()[place])
    if score == -float("inf"):
        return Best(score, None)
    one, other = int(first[place // len(ends)]), int(last[place % len(ends)])
    return Best(score, (int(window.places[one, 0]), int(window.places[other, 1])))
