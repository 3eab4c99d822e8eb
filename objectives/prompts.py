"""Texts set into a prompt before a model reads them; no torch."""

from __future__ import annotations

import re
from collections.abc import Callable

from objectives.settings import Data
from objectives.tables import Table


def filled(prompt: str, text: str, pair: str | None = None) -> str:
    """The prompt with the text, and the second one, in the places of `{text}` and `{pair}`."""
    return re.sub(r"\{(text|pair)\}", lambda found: text if found[1] == "text" else pair or "", prompt)


def prompted(prompt: str | None, data: Data) -> tuple[Callable[[Table], Table], Data]:
    """What puts a table's texts into the prompt, and which columns are to be read then: no pair where it has a place
    in the prompt."""
    if prompt is None:
        return lambda table: table, data
    both = data.pair if "{pair}" in prompt else None

    def put(table: Table) -> Table:
        pairs = [None] * len(table) if both is None else table.column(both)
        texts = [filled(prompt, text, pair) for text, pair in zip(table.column(data.text), pairs, strict=True)]
        return table.with_columns({**table.columns, data.text: texts})

    return put, data.model_copy(update={"pair": None}) if both else data
