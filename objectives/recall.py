"""What frozen blocks compute, computed once: kept for all epochs, trials and workers."""

from __future__ import annotations

import json
import logging
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from objectives.batches import Batch, Example, Recalled, by_length, chunks
from objectives.cache import Cache
from objectives.cutting import can_be_given, cut, pooled_alike, watched
from objectives.devices import Machine
from objectives.digests import hashed, setting, tokens, weights
from objectives.evaluation import Heed, unheeded
from objectives.parts import ran_out
from objectives.pooling import POOLINGS

log = logging.getLogger(__name__)
FORMAT = 1
"""Raised when the same rows would be kept as other numbers."""
BATCH = 64
"""Rows computed at once: a constant, since the sizes of batches show in the last bits."""
CPU_FLOPS, GPU_FLOPS, WRITE, READ = 2e10, 5e13, 5e8, 4e9
"""What is done in a second, roughly: by a CPU's thread, by a GPU; bytes to a disk, and from files in memory."""
_NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
Collate = Callable[[Sequence[Example]], Batch]


@dataclass(frozen=True)
class Part:
    """What is kept: the states after `depth` blocks, of all tokens, or pooled to one a row."""

    depth: int
    pooling: str | None


@dataclass(frozen=True)
class Course:
    """How often a training passes over its rows and its validation rows."""

    epochs: int
    evaluations: int


@dataclass(frozen=True)
class Frozen:
    """A model on the CPU, its first `depth` blocks frozen, its head's `pooling`, and how rows become a batch.

    `which` tells its weights from others, as `identity` does; None where no files do.
    """

    model: Any
    depth: int
    pooling: str
    collate: Collate
    which: str | None = None

    @property
    def size(self) -> int:
        """The numbers of a token's state."""
        return int(self.model.config.hidden_size)

    def part(self, depth: int) -> Part:
        """What is to be kept for so many frozen blocks."""
        return Part(depth, pooled_alike(self.model, self.pooling, depth))


def recalled(
    frozen: Frozen,
    splits: Mapping[str, Sequence[Example]],
    course: Course,
    machine: Machine,
    cache: Cache,
    certain: bool = False,
    heed: Heed = unheeded,
) -> dict[str, list[Example]] | None:
    """The rows with their states, each split's computed at most once by all who share the cache.

    None where that does not pay, which `certain` passes over, or where it cannot be: the reason is in the log. Raises
    what `heed` raises, called before each batch, while another computes them, and while they are named by digests.
    """
    heeded = _Heeded(heed)
    depths = [depth for depth in {frozen.depth, *cache.depths} if can_be_given(frozen.model, depth)]
    if frozen.depth not in depths:
        log.info("frozen blocks run with every batch: a %s cannot go on from here", frozen.model.config.model_type)
        return None
    try:
        depths.sort(key=lambda depth: (depth != frozen.depth, depth))
        found = _Library(frozen, splits, depths, machine, cache, heeded).recalled(None if certain else course)
    except (OSError, MemoryError, RuntimeError) as error:
        if error is heeded.raised or not (isinstance(error, OSError) or ran_out(error)):
            raise
        found, reason = None, str(error) or type(error).__name__
        log.warning("frozen blocks run with every batch, the cache is of no use: %s", reason)
    return found


def forget(frozen: Frozen) -> None:
    """Take the frozen blocks out of the model, which goes on from states."""
    cut(frozen.model, frozen.depth)


def collate(examples: Sequence[Example], plain: Collate) -> Batch:
    """A batch of rows with states; `plain` makes one of their tokens."""
    states = pad_sequence([example.states for example in examples if isinstance(example, Recalled)], batch_first=True)
    batch = plain(examples)
    mask = batch.inputs["attention_mask"][:, : states.shape[1]]
    inputs = {name: value for name, value in batch.inputs.items() if name not in ("input_ids", "attention_mask")}
    return Batch({**inputs, "inputs_embeds": states, "attention_mask": mask}, batch.labels)


class _Heeded:
    """A heed that knows what it raised, so that no end of the trial is taken for a cache that is of no use."""

    def __init__(self, heed: Heed) -> None:
        self.heed = heed
        self.raised: BaseException | None = None

    def __call__(self) -> None:
        try:
            self.heed()
        except BaseException as error:
            self.raised = error
            raise


class _Library:
    """The states of some rows at some depths, the trial's own first."""

    def __init__(
        self,
        frozen: Frozen,
        splits: Mapping[str, Sequence[Example]],
        depths: Sequence[int],
        machine: Machine,
        cache: Cache,
        heed: Heed,
    ) -> None:
        self.frozen, self.machine, self.cache, self.heed = frozen, machine, cache, heed
        self.rows = {name: _Rows(examples) for name, examples in splits.items()}
        self.parts = self._fitting([frozen.part(depth) for depth in depths])
        self.own = self.parts[0]
        self.digests = {name: tokens(rows, heed) for name, rows in splits.items()}
        computed_by = weights(frozen.model, max(part.depth for part in self.parts), frozen.which, heed)
        where = f"{FORMAT} {BATCH} {setting(frozen.model, machine)}"
        self.keys = {
            (name, part): hashed([where, computed_by[part.depth], digest, json.dumps(asdict(part))])
            for name, digest in self.digests.items()
            for part in self.parts
        }

    def recalled(self, course: Course | None) -> dict[str, list[Example]] | None:
        """The rows with their states, built where it pays for this course, or in any case without one."""
        if not all(self._there()):
            reason = course and self._not_worth(course)
            if reason:
                log.info("frozen blocks run with every batch: %s", reason)
                return None
            with self.cache.building(hashed(self.digests.values()), self.heed) as alone:
                if not alone:
                    log.warning("frozen blocks run with every batch: another worker has their states for too long")
                    return None
                for name in self.rows:
                    self._build(name)
        pooled = self.own.pooling is not None
        return {name: rows.recalled(self._read(name), pooled) for name, rows in self.rows.items()}

    def _there(self) -> list[Path | None]:
        return [self.cache.find(self.keys[name, self.own]) for name in self.rows]

    def _read(self, name: str) -> Tensor:
        path = self.cache.find(self.keys[name, self.own])
        if path is None:
            raise FileNotFoundError("what was just computed is gone; it is too small for its readers")
        with safe_open(path, "pt") as file:  # mapped, not read: workers share one copy in memory
            return _nearby(file.get_tensor("states"), self.machine.device)

    def _fitting(self, parts: Sequence[Part]) -> list[Part]:
        """The trial's own part, and of coming trials' what there is room for; raises OSError where there is none."""
        room, chosen = self.cache.room(), []
        for part in parts:
            room -= sum(rows.bytes(part, self.frozen.size) for rows in self.rows.values())
            if room < 0:
                break
            chosen.append(part)
        if not chosen:
            raise OSError(f"{-room / 1e6:.0f} MB more are needed than it may take")
        return chosen

    def _not_worth(self, course: Course) -> str | None:
        """Why computing once and reading costs more than computing each time; None where it costs less."""
        rows = self.rows
        on_cpu = self.machine.device.type == "cpu"
        speed = CPU_FLOPS * torch.get_num_threads() if on_cpu else GPU_FLOPS
        block = 24 * self.frozen.size**2 / speed  # a token's matrix products, in seconds
        passed = rows["train"].tokens * course.epochs + rows["valid"].tokens * course.evaluations
        plain = passed * block * self.own.depth * self.cache.trials
        size = sum(some.bytes(part, self.frozen.size) for some in rows.values() for part in self.parts)
        once = sum(some.tokens for some in rows.values()) * block * max(part.depth for part in self.parts)
        kept = once + size / WRITE + passed * 4 * self.frozen.size * self.cache.trials / READ
        said = f"about {kept:.2g} s with a cache of {size / 1e6:.0f} MB, {plain:.2g} s without"
        if kept < plain:
            log.info("the states of frozen blocks are computed once: %s", said)
            return None
        return said

    def _build(self, name: str) -> None:
        """Write the files that are missing for a split, in one pass over its rows."""
        keys = {part: self.keys[name, part] for part in self.parts}
        missing = {part: key for part, key in keys.items() if self.cache.find(key) is None}
        if not missing:
            return
        rows, streams = self.rows[name], dict[Part, BinaryIO]()
        with ExitStack() as stack, _states(self.frozen, self.machine, missing) as read:
            for some in chunks(rows.order, BATCH):
                self.heed()
                for part, states in read([rows.examples[row] for row in some]).items():
                    if part not in streams:
                        header = _header(rows.shape(part, states.shape[1]), _NAMES[states.dtype])
                        size = len(header) + rows.bytes(part, states.shape[1], states.element_size())
                        streams[part] = stack.enter_context(self.cache.write(missing[part], size))
                        streams[part].write(header)
                    streams[part].write(states.contiguous().view(torch.uint8).cpu().numpy().tobytes())


class _Rows:
    """The rows of a split in the order in which their states are kept: the longest first."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples, self.order = examples, by_length(examples)
        self.lengths = [len(example.tokens) for example in examples]
        self.tokens = sum(self.lengths)

    def shape(self, part: Part, size: int) -> list[int]:
        return [len(self.examples) if part.pooling else self.tokens, size]

    def bytes(self, part: Part, size: int, width: int = 4) -> int:
        return math.prod(self.shape(part, size)) * width

    def recalled(self, states: Tensor, pooled: bool) -> list[Example]:
        pieces = torch.split(states, [1 if pooled else self.lengths[row] for row in self.order])
        placed = dict(zip(self.order, pieces, strict=True))
        return [Recalled(row.tokens, row.label, placed[index]) for index, row in enumerate(self.examples)]


Reader = Callable[[Sequence[Example]], dict[Part, Tensor]]


@contextmanager
def _states(frozen: Frozen, machine: Machine, parts: Iterable[Part]) -> Iterator[Reader]:
    """What computes these parts of a batch, each [tokens or rows, size]."""
    model = frozen.model.to(machine.device).eval()
    with watched(model, {part.depth for part in parts}) as found:

        @torch.inference_mode()
        def read(examples: Sequence[Example]) -> dict[Part, Tensor]:
            found.clear()
            batch = frozen.collate(examples).to(machine.device)
            with machine.autocast():
                model(**batch.inputs)
            mask = batch.inputs["attention_mask"]
            return {part: _kept(found[part.depth], mask, part) for part in parts}

        yield read


def _kept(states: Tensor, mask: Tensor, part: Part) -> Tensor:
    if part.pooling is None:
        return states[mask.bool()]
    return POOLINGS[part.pooling](states, mask.unsqueeze(-1).to(states.dtype))


def _nearby(states: Tensor, device: torch.device) -> Tensor:
    """On a GPU with much memory to spare, else where batches are quickly sent from."""
    if device.type == "cpu":
        return states
    free, _ = torch.cuda.mem_get_info(device)
    return states.to(device) if states.nbytes < free // 4 else states.pin_memory()


def _header(shape: Sequence[int], dtype: str) -> bytes:
    """How a safetensors file of one tensor begins, so that it can be written as it is computed."""
    width = 4 if dtype == "F32" else 2
    said = {"states": {"dtype": dtype, "shape": list(shape), "data_offsets": [0, math.prod(shape) * width]}}
    text = json.dumps(said).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text
