"""What tells computed things apart: digests of weights, architecture and rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy
import torch
import xxhash
from torch import Tensor

from objectives.batches import Example, lengths
from objectives.devices import Machine
from objectives.evaluation import Heed, unheeded
from objectives.layers import encoder, prefix
from objectives.models import DROPOUTS

# Names of a configuration that say nothing of what frozen blocks compute: they do not drop.
_NOT_COMPUTED_WITH = {*DROPOUTS, "id2label", "label2id", "problem_type", "architectures", "dtype", "_name_or_path"}


SOME = 10_000
"""Rows whose tokens are digested between two looks at what may end the trial."""


_known: dict[str, list[str]] = {}


def weights(model: Any, deepest: int, which: str | None = None, heed: Heed = unheeded) -> list[str]:
    """A digest of all that is computed with up to each depth, from 0; `heed` is called before each tensor.

    Those of a model whose files are `which`, and which has learned nothing yet, are computed once a process.
    """
    found = _known.get(which, []) if which else []
    if len(found) <= deepest:
        found = list(_weights(model, deepest, heed))
        if which:
            _known[which] = found
    return found[: deepest + 1]


def _weights(model: Any, deepest: int, heed: Heed) -> Iterator[str]:
    parts, digest = prefix(model), xxhash.xxh3_128()
    for group in (parts.stem, *((block,) for block in parts.blocks[:deepest])):
        for name, tensor in chain.from_iterable(part.state_dict().items() for part in group):
            heed()
            digest.update(name.encode())
            digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy())
        yield digest.hexdigest()


def setting(model: Any, machine: Machine) -> str:
    """The architecture, of a pair that of the one that reads, the device and the versions, as text."""
    read = encoder(model).config
    config = {name: value for name, value in read.to_dict().items() if name not in _NOT_COMPUTED_WITH}
    facts = {name: value for name, value in machine.facts().items() if name not in ("device", "lean_off")}
    return json.dumps([machine.device.type, read._attn_implementation, config, facts], sort_keys=True, default=str)


def tokens(examples: Sequence[Example], heed: Heed = unheeded) -> str:
    """A digest of the rows' tokens and their types, or of their images, in order; `heed` is called now and then."""
    counts = numpy.array(lengths(examples))
    return hashed(chain([counts.tobytes()], (part for some in _some(examples) for part in _joined(some, heed))))


def _joined(examples: Sequence[Example], heed: Heed) -> Iterator[bytes | memoryview]:
    heed()
    for part in ((example.tokens for example in examples), (example.types or () for example in examples)):
        yield numpy.fromiter(chain.from_iterable(part), numpy.int64).tobytes()
    for image in (example.about for example in examples if isinstance(example.about, Tensor)):
        heed()
        yield f"{[*image.shape]}".encode()
        yield image.numpy().data.cast("B")


def _some(examples: Sequence[Example]) -> Iterator[Sequence[Example]]:
    return (examples[first : first + SOME] for first in range(0, len(examples), SOME))


def hashed(parts: Iterable[str | bytes | memoryview]) -> str:
    """A digest of these parts, one after the other."""
    digest = xxhash.xxh3_128()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
    return digest.hexdigest()
