"""What frozen blocks compute, computed once: kept for all epochs, trials and workers."""

from __future__ import annotations

import json
import logging
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import BinaryIO

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from objectives import worth
from objectives.batches import Batch, Example, Recalled, chunks
from objectives.cache import Cache
from objectives.cutting import cut, watched
from objectives.devices import Machine
from objectives.digests import hashed, setting, tokens, weights
from objectives.evaluation import Heed, unheeded
from objectives.parts import ran_out
from objectives.pooling import POOLINGS
from objectives.products import for_a_while
from objectives.worth import Collate, Course, Frozen, Part, Rows

log = logging.getLogger(__name__)
FORMAT = 1
"""Raised when the same rows would be kept as other numbers."""
BATCH = 64
"""Rows computed at once, whole batches a section: a constant, since the sizes of batches show in the last bits."""
_NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}


@dataclass(frozen=True)
class States:
    """The rows of each split with their states, and `work`, a trial's fact: how much computing they stand for.

    A token in a block is the unit: by a split's name what a pass over it takes, in `built` what was computed here, in
    `seconds`.
    """

    rows: dict[str, list[Example]]
    work: dict[str, float]


def recalled(
    frozen: Frozen,
    splits: Mapping[str, Sequence[Example]],
    course: Course,
    machine: Machine,
    cache: Cache,
    certain: bool = False,
    heed: Heed = unheeded,
) -> States | None:
    """The rows with their states, each split's computed at most once by all who share the cache.

    None where that does not pay, which `certain` passes over, or where it cannot be: the reason is in the log. Raises
    what `heed` raises, called before each batch, while another computes them, and while digests are taken.
    """
    heeded = _Heeded(heed)
    try:
        offered = worth.offer(frozen, splits, machine, cache)
        if offered is None:
            log.info("frozen blocks run with every batch: a %s cannot go on from here", frozen.model.config.model_type)
            return None
        found = _Library(offered, splits, cache, heeded).recalled(None if certain else course)
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
    """A batch of rows with states; `plain` makes one of their tokens, or of images."""
    pieces = [example.states for example in examples if isinstance(example, Recalled)]
    pooled = all(len(piece) == 1 for piece in pieces)  # or an image
    states = torch.cat(pieces) if pieces[0].ndim > 2 else torch.stack(pieces) if pooled else pad_sequence(pieces, True)
    batch = plain([_short(example) for example in examples] if pooled else examples)
    return Batch({**batch.inputs, "states": states}, batch.labels)


def _short(example: Example) -> Example:
    """As little of a row as a model can read, for what is beside its states."""
    if isinstance(example.about, Tensor):
        return replace(example, about=example.about[:, :1, :1])
    return replace(example, tokens=example.tokens[:1], types=example.types and example.types[:1])


def _read_as(example: Example, plain: Collate) -> str:
    """What numbers an image's darkest and lightest pixels become; nothing of tokens, which say it themselves."""
    if not isinstance(example.about, Tensor):
        return ""
    ends = torch.tensor([0, 255], dtype=torch.uint8).expand(len(example.about), 1, 2)
    return f" {plain([replace(example, about=ends)]).inputs['pixel_values'].tolist()}"


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

    def __init__(self, offered: worth.Offer, splits: Mapping[str, Sequence[Example]], cache: Cache, heed: Heed) -> None:
        self.offer, self.cache, self.heed = offered, cache, heed
        self.built, self.seconds = 0, 0.0
        self.frozen, self.machine = offered.frozen, offered.machine
        self.rows, self.parts, self.own = offered.rows, offered.parts, offered.own
        self.digests = {name: tokens(rows, heed) for name, rows in splits.items()}
        self.sections = [(name, number) for name, rows in self.rows.items() for number in range(len(rows.sections))]
        computed_by = weights(self.frozen.model, max(part.depth for part in self.parts), self.frozen.which, heed)
        by = " oneDNN" if self.frozen.onednn else ""
        read = _read_as(next(iter(splits.values()))[0], self.frozen.collate)
        where = f"{FORMAT} {BATCH}{by} {setting(self.frozen.model, self.machine)}{read}"
        self.keys = {
            (name, number, part): hashed(
                [where, computed_by[part.depth], self.digests[name], json.dumps([number, asdict(part)])]
            )
            for name, number in self.sections
            for part in self.parts
        }

    def recalled(self, course: Course | None) -> States | None:
        """The rows with their states, built where it pays for this course, or in any case without one."""
        if not all(map(self._file, self.sections)):
            reason = course and self.offer.refused(course)
            if reason:
                log.info("frozen blocks run with every batch: %s", reason)
                return None
            if not self._fill():
                log.warning("frozen blocks run with every batch: another worker has their states for too long")
                return None
        found = {name: rows.recalled(self._read(name), self.own) for name, rows in self.rows.items()}
        passes = {name: rows.tokens * self.own.depth for name, rows in self.rows.items()}
        return States(found, {**passes, "built": self.built, "seconds": self.seconds})

    def _file(self, section: tuple[str, int]) -> Path | None:
        """The one of a section that the trial itself reads."""
        return self.cache.find(self.keys[*section, self.own], self.heed)

    def _read(self, name: str) -> list[Tensor]:
        states = []
        for section in self.sections:
            if section[0] != name:
                continue
            path = self._file(section)
            if path is None:
                raise FileNotFoundError("what was just computed is gone; it is too small for its readers")
            with safe_open(path, "pt") as file:  # mapped, not read: workers share one copy in memory
                states.append(file.get_tensor("states"))
        return _nearby(states, self.machine.device)

    def _fill(self) -> bool:
        """Build what is missing, first what nobody else is at; False where another takes too long."""
        taken = [section for section in self.sections if not self._built(*section, patience=0.0)]
        return all(self._built(*section, patience=self.cache.patience) for section in taken)

    def _built(self, name: str, number: int, patience: float) -> bool:
        """Whether a section's files are there, built now where they are missing; False if another is at it."""
        keys = {part: self.keys[name, number, part] for part in self.parts}
        group = hashed([self.digests[name], str(number)])
        with replace(self.cache, patience=patience).building(group, self.heed) as alone:
            if alone:
                missing = {part: key for part, key in keys.items() if self.cache.find(key, self.heed) is None}
                self._build(self.rows[name], self.rows[name].sections[number], missing)
        return alone

    def _build(self, rows: Rows, section: Sequence[int], missing: Mapping[Part, str]) -> None:
        """Write these files of a section, in one pass over its rows."""
        if not missing:
            return
        streams, began = dict[Part, BinaryIO](), perf_counter()
        with ExitStack() as stack, reading(self.frozen, self.machine, missing) as read:
            for some in chunks(section, BATCH):
                self.heed()
                for part, states in read([rows.examples[row] for row in some]).items():
                    if part not in streams:
                        shape = rows.shape(part, section)
                        header = _header(shape, _NAMES[states.dtype])
                        size = len(header) + math.prod(shape) * states.element_size()
                        streams[part] = stack.enter_context(self.cache.write(missing[part], size))
                        streams[part].write(header)
                    streams[part].write(states.contiguous().view(torch.uint8).cpu().numpy().tobytes())
        self.built += sum(rows.lengths[row] for row in section) * max(part.depth for part in missing)
        self.seconds += perf_counter() - began


Reader = Callable[[Sequence[Example]], dict[Part, Tensor]]


@contextmanager
def reading(frozen: Frozen, machine: Machine, parts: Iterable[Part]) -> Iterator[Reader]:
    """What computes these parts of a batch, each [tokens or rows, *shape]."""
    model = frozen.model.to(machine.device).eval()
    products = for_a_while(model) if frozen.onednn else nullcontext()
    with products, watched(model, {part.depth for part in parts}) as look:

        @torch.inference_mode()
        def read(examples: Sequence[Example]) -> dict[Part, Tensor]:
            batch = frozen.collate(examples).to(machine.device)
            with machine.autocast():
                found = look(batch.inputs)
            mask = batch.inputs.get("attention_mask")
            return {part: _kept(found[part.depth], mask, part) for part in parts}

        yield read


def _kept(states: Tensor, mask: Tensor | None, part: Part) -> Tensor:
    if mask is None:  # images
        return states if part.pooling is None else _IMAGES_POOLED[part.pooling](states)
    if part.pooling is None:
        return states[mask.bool()]
    return POOLINGS[part.pooling](states, mask.unsqueeze(-1).to(states.dtype))


_IMAGES_POOLED: dict[str, Callable[[Tensor], Tensor]] = {
    "cls": lambda states: states[:, :1],
    "area": lambda states: states.mean((-2, -1), keepdim=True),
}


def _nearby(states: list[Tensor], device: torch.device) -> list[Tensor]:
    """On a GPU with much memory to spare, else where batches are quickly sent from."""
    if device.type == "cpu":
        return states
    free, _ = torch.cuda.mem_get_info(device)
    fits = sum(some.nbytes for some in states) < free // 4
    return [some.to(device) if fits else some.pin_memory() for some in states]


def _header(shape: Sequence[int], dtype: str) -> bytes:
    """How a safetensors file of one tensor begins, so that it can be written as it is computed."""
    width = 4 if dtype == "F32" else 2
    said = {"states": {"dtype": dtype, "shape": list(shape), "data_offsets": [0, math.prod(shape) * width]}}
    text = json.dumps(said).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text
