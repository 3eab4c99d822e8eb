"""Words in a cell: with blanks between them, or as a JSON list."""

from __future__ import annotations

import json
from collections.abc import Sequence


def words_of(cell: str) -> list[str]:
    """The words of a cell: those of a JSON list of texts, else what stands between its blanks."""
    listed = _listed(cell) if cell.lstrip().startswith("[") else None
    return cell.split() if listed is None else listed


def cell_of(words: Sequence[str]) -> str:
    """A cell that holds these words: with blanks between them, as a JSON list where that would be read otherwise."""
    plain = " ".join(words)
    return plain if words_of(plain) == [*words] else json.dumps([*words], ensure_ascii=False)


def _listed(cell: str) -> list[str] | None:
    """The texts of a JSON list; None where the cell holds none: a sentence may begin with a bracket."""
    try:
        found = json.loads(cell)
    except ValueError:
        return None
    return found if all(isinstance(word, str) for word in found) else None
