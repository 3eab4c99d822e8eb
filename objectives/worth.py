"""Whether it pays to compute once what frozen blocks compute, by rough figures of its cost."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from objectives.batches import Batch, Example, Recalled, by_length, chunks, lengths
from objectives.cache import Cache
from objectives.cutting import can_be_given, pooled_alike
from objectives.devices import Machine
from objectives.layers import encoder, family, prefix
from objectives.plan import Plan
from objectives.probe import Seen, seen

log = logging.getLogger(__name__)
CPU_FLOPS, GPU_FLOPS, WRITE, READ = 2e10, 5e13, 5e8, 4e9
"""What is done in a second, roughly: by a CPU's thread, by a GPU; bytes to a disk, and from files in memory."""
SECTION, SECTIONS = 256, 16
"""Rows of a section, or a multiple of it where a split would have more sections than this."""
Collate = Callable[[Sequence[Example]], Batch]


@dataclass(frozen=True)
class Part:
    """What is kept: the states after `depth` blocks, of all tokens, or pooled to one a row, each of this shape; of an
    image all of them are one."""

    depth: int
    pooling: str | None
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Course:
    """How often a training passes over its rows and its validation rows."""

    epochs: int
    evaluations: int

    @staticmethod
    def of(schedule: Plan) -> Course:
        """That of a training by this plan."""
        return Course(schedule.epochs, schedule.evaluations)


@dataclass(frozen=True)
class Frozen:
    """A model on the CPU, its first `depth` blocks frozen, its head's `pooling`, None where it reads every token, and
    how rows become a batch.

    `which` tells its weights from others, as `identity` does; None where no files do. Where it is not `whole` the
    blocks after these are not those of other trials. With `onednn` its layers in fp32 are computed by oneDNN. `seen` is
    what an image takes, by depth; of tokens nothing has to be looked at.
    """

    model: Any
    depth: int
    pooling: str | None
    collate: Collate
    which: str | None = None
    whole: bool = True
    onednn: bool = False
    seen: Mapping[int, Seen] = field(default_factory=dict)

    def part(self, depth: int) -> Part:
        """What is to be kept for so many frozen blocks."""
        pooling = pooled_alike(self.model, self.pooling, depth)
        if not self.seen:
            return Part(depth, pooling, (encoder(self.model).config.hidden_size,))
        shape = self.seen[depth].shape
        pooled = {"cls": (1, shape[-1]), "area": (shape[0], 1, 1)}
        return Part(depth, pooling, pooled[pooling] if pooling else shape)

    def flops(self, depth: int) -> float:
        """The operations of a token, or of an image, in so many blocks: of a token those of its matrix products."""
        return self.seen[depth].flops if self.seen else 24.0 * encoder(self.model).config.hidden_size ** 2 * depth

    def looked_at(self, example: Example) -> Frozen:
        """The same with what it takes to compute such a row."""
        images = family(self.model).images
        return replace(self, seen=seen(self.model, self.collate([example]).inputs)) if images else self


class Rows:
    """The rows of a split in the order in which their states are kept: the longest first. An image is as a token.

    They are kept by `sections`, so that workers who want the same states compute them together.
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples, self.order = examples, by_length(examples)
        images = isinstance(examples[0].about, Tensor)
        self.lengths = [1] * len(examples) if images else lengths(examples)
        self.tokens = sum(self.lengths)
        self.sections = [*chunks(self.order, SECTION * math.ceil(len(examples) / (SECTION * SECTIONS)))]

    def shape(self, part: Part, some: Sequence[int]) -> list[int]:
        """Of the states of some rows: [tokens or rows, *shape]."""
        return [sum(self._each(part, some)), *part.shape]

    def bytes(self, part: Part) -> int:
        """Of all their states in fp32."""
        return 4 * math.prod(self.shape(part, self.order))

    def recalled(self, states: Iterable[Tensor], part: Part) -> list[Example]:
        """The rows with their states, which come by section."""
        placed = dict[int, Tensor]()
        for some, found in zip(self.sections, states, strict=True):
            placed.update(zip(some, torch.split(found, self._each(part, some)), strict=True))
        return [
            Recalled(row.tokens, row.label, row.items, row.types, row.about, states=placed[index])
            for index, row in enumerate(self.examples)
        ]

    def _each(self, part: Part, some: Sequence[int]) -> list[int]:
        """How many states each of some rows has."""
        return [1 if part.pooling else self.lengths[row] for row in some]


@dataclass(frozen=True)
class Offer:
    """What could be kept of these rows, by name: `parts`, the trial's own first; `trials` are to share it."""

    frozen: Frozen
    rows: Mapping[str, Rows]
    parts: Sequence[Part]
    machine: Machine
    trials: int

    @property
    def own(self) -> Part:
        """What the trial itself needs."""
        return self.parts[0]

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(rows.bytes(part) for rows in self.rows.values() for part in self.parts)

    def refused(self, course: Course) -> str | None:
        """Why computing once and reading costs more than computing each time; None where it costs less."""
        rows = self.rows
        on_cpu = self.machine.device.type == "cpu"
        speed = CPU_FLOPS * torch.get_num_threads() if on_cpu else GPU_FLOPS
        passes = {"train": course.epochs, "valid": course.evaluations, "test": 1}
        passed = sum(some.tokens * passes[name] for name, some in rows.items())
        plain = passed * self.frozen.flops(self.own.depth) / speed * self.trials
        deepest = self.frozen.flops(max(part.depth for part in self.parts))
        once = sum(some.tokens for some in rows.values()) * deepest / speed
        kept = once + self.bytes / WRITE + passed * 4 * math.prod(self.own.shape) * self.trials / READ
        said = f"about {_two(kept)} s with a cache of {self.bytes / 1e6:.0f} MB, {_two(plain)} s without"
        if kept < plain:
            log.info("the states of frozen blocks are computed once: %s", said)
            return None
        return said


def offer(frozen: Frozen, splits: Mapping[str, Sequence[Example]], machine: Machine, cache: Cache) -> Offer | None:
    """What there is room for; None where the model cannot go on from its states. Raises OSError for want of room."""
    asked = {len(prefix(frozen.model).blocks) if depth == "all" else depth for depth in cache.depths}
    shared = (depth for depth in asked if frozen.whole or depth < frozen.depth)
    depths = [depth for depth in {frozen.depth, *shared} if can_be_given(frozen.model, depth)]
    if frozen.depth not in depths:
        return None
    depths.sort(key=lambda depth: (depth != frozen.depth, depth))
    rows = {name: Rows(examples) for name, examples in splits.items()}
    frozen = frozen.looked_at(next(examples[0] for examples in splits.values()))
    parts = _fitting([frozen.part(depth) for depth in depths], rows, cache.room())
    return Offer(frozen, rows, parts, machine, cache.trials)


def _fitting(parts: Sequence[Part], rows: Mapping[str, Rows], room: int) -> list[Part]:
    """The trial's own part, and of coming trials' what there is room for; raises OSError where there is none."""
    chosen = []
    for part in parts:
        room -= sum(some.bytes(part) for some in rows.values())
        if room < 0:
            break
        chosen.append(part)
    if not chosen:
        raise OSError(f"{-room / 1e6:.0f} MB more are needed than it may take")
    return chosen


def _two(seconds: float) -> str:
    """In two digits, never as a power of ten."""
    return f"{float(f'{seconds:.2g}'):g}"
