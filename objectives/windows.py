"""Long texts in windows, each beside its question."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from objectives.batches import chunks
from objectives.errors import DataError, ModelError
from objectives.tokenized import Reader

ROWS = 500
"""Tokenized between two looks at what may end the trial."""


class Window(NamedTuple):
    """A part of a context beside its question, whose number is that of the row.

    `places` are the first character and the one after the last of each of the context's tokens [tokens, 2] here, the
    first of which is the `first` of the window.
    """

    row: int
    tokens: array[int]
    types: Sequence[int] | None
    first: int
    places: np.ndarray[Any, Any]

    def span(self, start: int, end: int) -> tuple[int, int] | None:
        """The tokens, first and last, that hold these characters; None where some stand elsewhere."""
        if not len(self.places) or start < self.places[0, 0] or end > self.places[-1, 1]:
            return None
        first = int(np.searchsorted(self.places[:, 1], start, "right"))
        last = int(np.searchsorted(self.places[:, 0], end, "left")) - 1
        return (self.first + first, self.first + max(first, last))


def windows(
    questions: Sequence[str], contexts: Sequence[str], reader: Reader, max_length: int, stride: int
) -> Iterator[Window]:
    """The windows of each row in order, each of `max_length` tokens at most, neighbours sharing `stride` tokens.

    They share half of what the question leaves at most, and a question is cut at half a window. Raises DataError where
    nothing is left, ModelError where the tokenizer cannot tell where tokens stand.
    """
    tokenizer = reader.tokenizer
    if not tokenizer.is_fast:
        raise ModelError("model.name: has no fast tokenizer, which tells where tokens stand; take another model")
    room = max_length - tokenizer.num_special_tokens_to_add(pair=True)
    if room < 2:
        raise DataError("data.max_length", f"{max_length} tokens hold no question beside a text; right is 64 or more")
    for some in chunks(range(len(questions)), ROWS):
        reader.heed()
        asked, lengths = _cut([questions[row] for row in some], tokenizer, room // 2)
        shared = defaultdict(list)
        for place, length in enumerate(lengths):
            shared[min(stride, (room - length) // 2)].append(place)
        found = [
            window._replace(row=some[window.row])
            for overlap, places in shared.items()
            for window in _read(places, asked, [contexts[row] for row in some], tokenizer, (max_length, overlap))
        ]
        yield from sorted(found, key=lambda window: window.row)


def _cut(questions: Sequence[str], tokenizer: Any, most: int) -> tuple[list[str], list[int]]:
    """The questions, and how many tokens each has, the long ones cut."""
    found = tokenizer([*questions], add_special_tokens=False, return_offsets_mapping=True, return_attention_mask=False)
    places = found["offset_mapping"]
    texts = [
        text if len(some) <= most else text[: some[most - 1][1]] for text, some in zip(questions, places, strict=True)
    ]
    return texts, [min(len(some), most) for some in places]


def _read(
    places: Sequence[int], questions: Sequence[str], contexts: Sequence[str], tokenizer: Any, size: tuple[int, int]
) -> Iterator[Window]:
    typed = "token_type_ids" in tokenizer.model_input_names
    found = tokenizer(
        [questions[place] for place in places],
        [contexts[place] for place in places],
        truncation="only_second",
        max_length=size[0],
        stride=size[1],
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_token_type_ids=typed,
    )
    for number, row in enumerate(found["overflow_to_sample_mapping"]):
        of_context = [token for token, part in enumerate(found.sequence_ids(number)) if part == 1]
        first = of_context[0] if of_context else 0
        spots = np.array([found["offset_mapping"][number][token] for token in of_context], dtype=np.int32)
        types = found["token_type_ids"][number] if typed else None
        yield Window(places[row], array("i", found["input_ids"][number]), types, first, spots.reshape(-1, 2))
