"""Whether a study asks more of its model than there is, told before a trial is claimed; no torch."""

from __future__ import annotations

from collections.abc import Sequence

from hpo.complaints import Complaint, ComplaintError
from hpo.space import Categorical, Range, Space, Value
from objectives import limits, sources
from objectives.settings import Model, Transfer, get


def check(settings: Transfer, models: Sequence[Model], search: Space) -> None:
    """Find each of the models that trials may have, and compare tokens and frozen blocks with what it has.

    Raises ModelError where there is no such model, ComplaintError where it has less.
    """
    for model in models:
        found = limits.read(sources.find(model))
        for address, most, what in (
            ("data.max_length", found.tokens, "tokens that {} reads"),
            ("model.frozen_layers", found.blocks, "blocks that {} has"),
        ):
            key, asked = _most(address, settings, search)
            if most is not None and asked > most:
                seen = f"{asked} is more than the {most} {what.format(model.name)}"
                raise ComplaintError(Complaint(key, f"{seen}; lower it to {most}"))


def _most(address: str, settings: Transfer, search: Space) -> tuple[str, int]:
    """The highest value of a setting that trials may have, and the key path that gives it."""
    if address not in search:
        return f"objective.{address}", int(str(get(settings, address)))
    range_ = search[address]
    return f"search.{address}", max(int(str(end)) for end in _ends(range_))


def _ends(range_: Range) -> tuple[Value, ...]:
    return range_.choices if isinstance(range_, Categorical) else (range_.high,)
