"""When a checkpoint is worth what it costs: by a clock of the test's own, which each checkpoint moves on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec  # type: ignore[import-untyped]
import pytest
from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]

from hpo import keeping
from hpo.keeping import SHARE, Keeper, Pace
from hpo.trained import Models
from objectives.evaluation import Evaluation, Snapshot

MINILM = 273_000_000  # bytes of a state in which all layers learn


class Trial:
    """A trial whose evaluations come at the seconds that are given, on a disk of so many bytes a second."""

    def __init__(self, folder: Path, size: int, disk: float, every: float = 10.0, pace: Pace | None = None) -> None:
        self.now, self.size, self.disk = 0.0, size, disk
        self.make = lambda: Keeper(str(folder / str(id(self))), every, 1, pace)
        self.saved: list[float] = []
        self.spent = 0.0

    def run(self, seconds: float, step: float = 1.0, last: bool = False) -> Trial:
        keeper, number = self.make(), 0
        while self.now < seconds:
            self.now, number = self.now + step, number + 1
            keeper.offer(Evaluation(number, 1.0, {}, snapshot=self.snapshot, snapshot_bytes=self.size), last=last)
        return self

    def snapshot(self) -> Snapshot:
        self.saved.append(self.now)
        self.now += self.size / self.disk
        self.spent += self.size / self.disk
        return Snapshot({}, {})

    @property
    def share(self) -> float:
        return self.spent / (self.now - self.spent)


Begin = Callable[..., Trial]


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Begin:
    def begin(size: int, disk: float = 5e7, every: float = 10.0, pace: Pace | None = None) -> Trial:
        made = Trial(tmp_path, size, disk, every, pace)
        monkeypatch.setattr(keeping, "time", SimpleNamespace(monotonic=lambda: made.now))
        return made

    return begin


def test_the_first_one_is_skipped_where_the_trial_is_too_short_for_it(trial: Begin) -> None:
    assert trial(MINILM).run(101).saved == []
    long = trial(MINILM).run(400)
    assert (len(long.saved), long.share < SHARE) == (2, True)
    assert long.saved[0] == pytest.approx(MINILM / 5e7 / SHARE, abs=2)


def test_the_first_one_of_a_small_state_comes_at_once(trial: Begin) -> None:
    assert trial(100_000, every=0.001).run(1.0, step=0.1).saved[0] < 0.6


@pytest.mark.parametrize("disk", [1e7, 2.5e7, 5e7, 1e9])
@pytest.mark.parametrize("size", [1000, 44_000_000, MINILM])
def test_all_of_them_together_cost_little(trial: Begin, size: int, disk: float) -> None:
    """Also where they cost more than was supposed before the first one."""
    found = trial(size, disk).run(7200)
    assert found.saved
    assert found.share < SHARE


def test_what_one_trial_learned_of_the_disk_the_next_one_knows(trial: Begin) -> None:
    pace = Pace()
    slow = trial(MINILM, 1e7, pace=pace).run(200)
    assert slow.share > SHARE  # it was not to be known
    assert trial(MINILM, 1e7, pace=pace).run(800).saved == []
    quick = Pace()
    trial(MINILM, 1e9, pace=quick).run(200)
    assert trial(MINILM, 1e9, pace=quick).run(60).saved


def test_small_ones_say_nothing_of_how_fast_large_ones_are(trial: Begin) -> None:
    pace = Pace()
    pace.note(1000, 0.5)
    assert pace.seconds(1000) == pytest.approx(0.5, abs=0.001)
    assert pace.seconds(50_000_000) == pytest.approx(1.5)


def test_no_time_between_two_means_every_one(trial: Begin) -> None:
    assert len(trial(MINILM, every=0).run(60).saved) == 10


def test_who_gives_a_trial_back_saves_it_whatever_it_costs(trial: Begin) -> None:
    assert trial(MINILM).run(1, last=True).saved == [1.0]


def test_a_folder_that_cannot_be_read_is_logged_without_what_logs_in(caplog: pytest.LogCaptureFixture) -> None:
    assert keeping.kept("ftp://me:secret@127.0.0.1:1/checkpoints") == []
    assert "ftp://127.0.0.1:1/checkpoints cannot be read" in caplog.text
    assert "secret" not in caplog.text


class RefusedError(Exception):
    """What a store raises in its own way, such as botocore's NoCredentialsError: no OSError."""


class Refusing(MemoryFileSystem):  # type: ignore[misc]
    """A store that lets nobody in."""

    protocol = "refusing"

    def exists(self, path: str, **_: Any) -> bool:
        raise RefusedError("no credentials")

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        raise RefusedError("no credentials")


def test_a_store_that_refuses_in_its_own_way_costs_no_trial(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    fsspec.register_implementation("refusing", Refusing, clobber=True)
    keeper = Keeper("refusing://bucket/trials/7", 0)
    assert keeper.resume() == (None, [])
    keeper.offer(Evaluation(3, 1.0, {}, snapshot=lambda: Snapshot({}, {})), last=True)
    keeper.clear()
    assert keeping.kept("refusing://bucket/trials") == []
    said = "RefusedError: no credentials"
    assert caplog.messages == [
        f"no checkpoint can be read, starting over: {said}",
        f"no checkpoint of step 3: {said}",
        f"checkpoints stay in refusing://bucket/trials/7: {said}",
        f"refusing://bucket/trials cannot be read: {said}",
    ]
    models = Models("refusing://bucket/models")
    for call in (lambda: models.save(7, 1, lambda _: None), lambda: models.fetch(7, tmp_path), models.clear):
        with pytest.raises(OSError, match=said):
            call()


def test_a_store_whose_package_is_missing_costs_no_trial(caplog: pytest.LogCaptureFixture) -> None:
    fsspec.register_implementation("lacking", "no_such_package.Store", errtxt="Install no_such_package", clobber=True)
    Keeper("lacking://bucket/7", 0).offer(Evaluation(3, 1.0, {}, snapshot=lambda: Snapshot({}, {})), last=True)
    assert caplog.messages == ["no checkpoint of step 3: ImportError: Install no_such_package"]
    with pytest.raises(OSError, match="Install no_such_package"):
        Models("lacking://bucket").save(7, 1, lambda _: None)
