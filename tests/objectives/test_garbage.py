"""The search for garbage in cycles: off while modules are imported, and not over what they made."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from objectives import garbage, settings, transfer, trial
from objectives.errors import ObjectiveError
from objectives.host import Host


class Node:
    """Part of a cycle: it refers to itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes as if a module was imported."""

    def one_more() -> None:
        name = f"a module {len(sys.modules)}"
        monkeypatch.setitem(sys.modules, name, ModuleType(name))

    return one_more


def test_nothing_is_searched_while_modules_come_and_never_what_they_made(imported: Callable[[], None]) -> None:
    with garbage.importing():
        assert not gc.isenabled()
        lost, kept = weakref.ref(Node()), [Node()]
        imported()
    assert gc.isenabled()
    assert lost() is None
    assert not _is_searched(kept)


def test_it_stays_off_where_it_was_off(imported: Callable[[], None]) -> None:
    gc.disable()
    try:
        with garbage.importing():
            imported()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_without_new_modules_all_is_searched_as_before(imported: Callable[[], None]) -> None:
    made = [Node()]
    imported()
    with garbage.importing():
        pass
    assert _is_searched(made)


def test_a_trial_that_was_prepared_for_settles_nothing(
    imported: Callable[[], None], monkeypatch: pytest.MonkeyPatch, checkpoint: Callable[[str], Path], rows: Path
) -> None:
    chosen = settings.parse(
        {
            "task": "text-classification",
            "model": {"name": str(checkpoint("bert"))},
            "data": {"path": str(rows), "split": {"valid": 12, "test": 12}, "max_length": 32},
            "training": {"epochs": 1, "precision": "fp32"},
        }
    )
    outline = transfer.models.outline

    def importing_outline(*args: Any) -> Any:
        imported()
        return outline(*args)

    monkeypatch.setattr(transfer.models, "outline", importing_outline)
    before = [Node()]
    trial.prepare(chosen, Host("cpu", 1))
    assert not _is_searched(before)
    made: list[Node] = []
    imported()
    held = [Node()]  # as a worker's trial is, by the time it runs
    trial.run(chosen, lambda _: made.append(Node()), host=Host("cpu", 1))
    assert _is_searched(held)
    assert _is_searched(made)


def test_a_trial_imports_torch_without_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks: list[bool] = []

    @contextmanager
    def importing() -> Iterator[None]:
        blocks.append(True)
        yield

    monkeypatch.setattr(trial, "importing", importing)
    chosen = settings.parse({"task": "text-classification", "model": "/nowhere", "data": {"path": "nowhere.csv"}})
    for begin in (trial.prepare, partial(trial.run, report=print), trial.rehearse):
        with pytest.raises(ObjectiveError):
            begin(chosen)
    assert blocks == [True, True, True]


def _is_searched(made: list[Node]) -> bool:
    searched = {id(thing) for thing in gc.get_objects()}
    return id(made[0]) in searched
