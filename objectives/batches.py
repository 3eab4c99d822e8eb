"""Rows as a model reads them, and batches of them, padded no longer than they need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor

UNLABELLED = -100
"""In the place of a token's label where it has none, as torch's cross entropy passes it over."""


@dataclass(frozen=True, slots=True)
class Example:
    """One row, encoded: its tokens, what is to be predicted, and of how many losses its own is the sum.

    `label` is the index of a class, or what else the task predicts. `types` tell a pair's second text from its first,
    where the model wants to know. `about` is what a score needs beside the label.
    """

    tokens: Sequence[int]
    label: Any
    items: int = 1
    types: Sequence[int] | None = None
    about: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled(Example):
    """A row with the states of its tokens after the frozen blocks [tokens, size], or one pooled state [1, size]."""

    states: Tensor


@dataclass(frozen=True)
class Batch:
    """`inputs` by the names that the model's forward takes, each [rows, ...]; `labels` [rows, ...]."""

    inputs: Mapping[str, Tensor]
    labels: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        inputs = {name: tensor.to(device, non_blocking=True) for name, tensor in self.inputs.items()}
        return Batch(inputs, self.labels.to(device, non_blocking=True))


def texts(examples: Sequence[Example], padding: int) -> dict[str, Tensor]:
    """What a text model's forward takes of the rows: tokens, their mask and, where they have some, their types."""
    inputs = {
        "input_ids": pad([example.tokens for example in examples], padding),
        "attention_mask": pad([[1] * len(example.tokens) for example in examples], 0),
    }
    if examples[0].types is not None:
        inputs["token_type_ids"] = pad([example.types or () for example in examples], 0)
    return inputs


def joined(answers: Sequence[Any], order: Sequence[int]) -> Any:
    """What was answered, batch by batch, for rows that were asked about in this order: each row's in its place."""
    places = torch.tensor(order).argsort()
    if isinstance(answers[0], Tensor):
        return torch.cat([*answers])[places]
    every = list(chain.from_iterable(answers))
    return [every[place] for place in places.tolist()]


def pad(sequences: Sequence[Sequence[int]], value: int) -> Tensor:
    """Integers [rows, longest], filled up on the right."""
    longest = max(map(len, sequences))
    return torch.tensor([[*sequence, *[value] * (longest - len(sequence))] for sequence in sequences])


def chunks(rows: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Runs of `size` rows; the last may be shorter."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


def lengths(examples: Sequence[Example]) -> list[int]:
    """How many tokens each row has."""
    return [len(example.tokens) for example in examples]


def by_length(examples: Sequence[Example]) -> list[int]:
    """The rows in order of length, so that neighbours need little padding; the longest first, to fail early."""
    return sorted(range(len(examples)), key=lambda row: -len(examples[row].tokens))
