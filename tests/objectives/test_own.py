"""A function of one's own as the objective: found, called with its settings, its metrics reported."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from objectives import settings, trial
from objectives.errors import CodeError
from objectives.evaluation import Evaluation
from objectives.host import Host

CODE = """
def curve(settings, report):
    for step in range(1, 4):
        (report.folder / "last").write_text(str(step))
        report({"val_loss": settings["rate"] / step, "accuracy": step})

def at_once(settings, report):
    return {"val_loss": settings["seed"]}

number = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "owned.py").write_text(CODE)
    before = list(sys.path)
    yield tmp_path
    sys.path[:] = before
    sys.modules.pop("owned", None)


def chosen(folder: Path, function: str = "owned:curve", **more: object) -> settings.Own:
    found = settings.parse({"python": {"function": function, "folder": str(folder), "rate": 0.5, **more}})
    assert isinstance(found, settings.Own)
    return found


def test_each_report_is_an_evaluation(folder: Path) -> None:
    seen: list[Evaluation] = []
    heeded = []
    own = folder / "own"
    host = Host(allow_code=True, folder=own)
    result = trial.run(chosen(folder), seen.append, heed=lambda: heeded.append(1), host=host)
    assert [(each.step, each.epoch, each.metrics) for each in seen] == [
        (step, float(step), {"val_loss": 0.5 / step, "accuracy": float(step)}) for step in (1, 2, 3)
    ]
    assert (result.steps, len(heeded), (own / "last").read_text()) == (3, 3, "3")
    assert result.seconds["train"] >= 0


def test_what_it_returns_is_reported_and_its_seed_is_the_studys(folder: Path) -> None:
    seen: list[Evaluation] = []
    wanted = settings.with_seed(chosen(folder, "owned:at_once"), 7)
    trial.run(wanted, seen.append, host=Host(allow_code=True))
    assert [each.metrics for each in seen] == [{"val_loss": 7.0}]


@pytest.mark.parametrize(
    ("function", "allowed", "line"),
    [
        ("owned:curve", False, "is code that comes with the study; look at it, then allow it with --allow-code"),
        ("nowhere:curve", True, "no module nowhere in "),
        ("owned:other", True, "owned has no function other"),
        ("owned:number", True, "owned has no function number"),
    ],
)
def test_code_that_cannot_be_run(folder: Path, function: str, allowed: bool, line: str) -> None:
    for act in (trial.prepare, lambda chosen, host: trial.run(chosen, lambda _: None, host=host)):
        with pytest.raises(CodeError, match=f"python.function: {function}.*{line}"):
            act(chosen(folder, function), Host(allow_code=allowed))
    assert allowed or "owned" not in sys.modules


@pytest.mark.parametrize(
    "wrong", [{"function": "os.system"}, {"function": "a:b:c"}, {"rates": [1, 2]}, {"evaluations": 0}]
)
def test_settings_that_are_none(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        settings.parse({"python": {"function": "owned:curve"} | wrong})


def test_its_settings_have_addresses() -> None:
    found = settings.parse({"python": {"function": "owned:curve", "rate": 0.5, "depth": 3}})
    assert {"python.rate", "python.depth", "python.evaluations"} <= set(settings.addresses(found))
    assert settings.get(settings.replace(found, {"python.rate": 0.25}), "python.rate") == 0.25
