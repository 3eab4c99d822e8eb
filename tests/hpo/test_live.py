"""The view of a running study, on a terminal and on a pipe."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy.exc import OperationalError

from hpo.errors import DatabaseError
from hpo.live import LINE_SECONDS, REFRESH_SECONDS, View, counts

PARAMS = {"training.learning_rate": 0.000123456, "training.batch_size": 16}
RUNNING = {"number": 5, "activity": "running", "worker": "host.77.2", "epoch": 1.5, "value": 0.4321987, "seconds": 61.7}
PAUSED = {"number": 6, "activity": "paused", "worker": "host.77.1", "epoch": None, "value": None, "seconds": None}
STATE: dict[str, Any] = {
    "metric": "val_loss",
    **{"complete": 2, "pruned": 1, "failed": 1, "running": 2, "waiting": 1, "remaining": 5},
    "trials_running": [RUNNING | {"params": PARAMS}, PAUSED | {"params": {}}],
    "best": {"value": 0.3217654, "number": 3},
}
LINE = "2 done, 1 pruned, 1 running, 1 failed, 6 queued; best val_loss 0.32177 (trial 3)"
LOST = "the database does not answer; waiting for it"


class Progress:
    """A study and a clock that a test moves."""

    def __init__(self) -> None:
        self.state, self.now, self.asked = dict(STATE), 1000.0, 0
        self.error: Exception | None = None

    def __call__(self) -> dict[str, Any]:
        self.asked += 1
        if self.error:
            raise self.error
        return self.state

    def clock(self) -> float:
        return self.now


@pytest.fixture
def progress() -> Progress:
    return Progress()


@contextmanager
def shown(progress: Progress, width: int | None = None) -> Iterator[tuple[View, StringIO]]:
    """A view on a terminal of this width, else on a pipe."""
    output = StringIO()
    console = Console(
        file=output, force_terminal=width is not None, width=width or 10_000, height=40, color_system=None
    )
    with View(progress, console, progress.clock) as view:
        yield view, output


def lines(output: StringIO) -> list[str]:
    return output.getvalue().splitlines()


def plain(output: StringIO) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", output.getvalue())


def test_a_pipe_gets_plain_lines(progress: Progress) -> None:
    with shown(progress) as (view, output):
        view()
    assert lines(output) == [f"00:00 elapsed  {LINE}"]


def test_no_more_lines_than_news(progress: Progress) -> None:
    with shown(progress) as (view, output):
        for _ in range(5):
            view()
            progress.now += LINE_SECONDS
        progress.state = STATE | {"complete": 3, "remaining": 4}
        view()
    assert [line.partition("  ")[2][:6] for line in lines(output)] == ["2 done", "3 done"]


def test_news_wait_for_their_time_and_are_not_lost(progress: Progress) -> None:
    with shown(progress) as (view, output):
        view()
        progress.state = STATE | {"complete": 3, "remaining": 4}
        progress.now += LINE_SECONDS - 0.1
        view()
        assert len(lines(output)) == 1
        progress.now += REFRESH_SECONDS
        view()
        assert len(lines(output)) == 2


def test_the_database_is_asked_at_most_once_a_second(progress: Progress) -> None:
    with shown(progress) as (view, _):
        for _ in range(20):
            view()
            progress.now += REFRESH_SECONDS / 4
    assert progress.asked == 5


@pytest.mark.parametrize("width", [None, 100])
@pytest.mark.parametrize(
    "error",
    [OperationalError("SELECT 1", {}, Exception("gone")), DatabaseError("gone")],
)
def test_a_lost_database_is_said_once_and_waited_for(progress: Progress, width: int | None, error: Exception) -> None:
    progress.error = error
    with shown(progress, width) as (view, output):
        for _ in range(3):
            view()
            progress.now += LINE_SECONDS
        progress.error = None
        view()
    said = plain(output)
    assert said.count(LOST) == 1
    assert "2 done, 1 pruned" in said.split(LOST)[1]
    assert "gone" not in said


def test_a_bug_is_no_lost_database(progress: Progress) -> None:
    progress.error = KeyError("bug")
    with shown(progress) as (view, _), pytest.raises(KeyError):
        view()


@pytest.mark.parametrize("width", [160, 60])
def test_the_panel_shows_everything_at_any_width(progress: Progress, width: int) -> None:
    with shown(progress, width) as (view, output):
        view.console.print(view.panel(STATE))
    said = plain(output)
    flat = re.sub(r"\s", "", said)
    assert max(map(len, said.splitlines())) <= width
    assert "4/12" in said
    assert re.sub(r"\s", "", LINE.partition(";")[0]) in flat
    for value in ("5", "2", "1.5", "0.4322", "62", "learning_rate=0.00012346", "batch_size=16", "6", "paused"):
        assert value in flat
    assert "bestval_loss0.32177(trial3)" in flat
    assert "training." not in said


def test_a_wide_panel_has_a_line_a_trial(progress: Progress) -> None:
    with shown(progress, 160) as (view, output):
        view()
    rows = [line.split() for line in plain(output).splitlines()]
    assert ["5", "2", "1.5", "0.4322", "62", "learning_rate=0.00012346", "batch_size=16"] in rows
    assert ["6", "paused", "0"] in rows


def test_a_panel_before_the_first_trial(progress: Progress) -> None:
    empty = dict.fromkeys(("complete", "pruned", "failed", "running", "waiting", "remaining"), 0)
    progress.state = {"metric": "val_loss", **empty, "trials_running": [], "best": None}
    with shown(progress, 100) as (view, output):
        view()
    assert "no trial is complete yet" in plain(output)
    assert "0/1" in plain(output)


def test_the_bar_grows_with_the_trials(progress: Progress) -> None:
    def filled(done: int) -> int:
        with shown(progress, 100) as (view, output):
            view.console.print(view.panel(STATE | {"complete": done, "remaining": 8 - done}))
        return plain(output).splitlines()[0].count("━")

    assert filled(0) < filled(4) < filled(8)


def test_the_time_to_go_follows_from_what_was_done_here(progress: Progress) -> None:
    """Four trials were over before this view; two in 60 s leave six for 180 s more."""
    with shown(progress) as (view, output):
        view()
        progress.now += 60
        progress.state = STATE | {"complete": 4, "running": 1, "remaining": 4}
        view()
        progress.now += 3600
        progress.state = STATE | {"complete": 10, "running": 0, "waiting": 0, "remaining": 0}
        view()
    assert [line.partition("  ")[0] for line in lines(output)] == [
        "00:00 elapsed",
        "01:00 elapsed, about 03:00 to go",
        "1:01:00 elapsed",
    ]


def test_the_time_to_go_does_not_count_starting_up(progress: Progress) -> None:
    """Workers took 20 s to start; then four trials in 10 s leave four for 10 s more."""
    idle = {"complete": 0, "pruned": 0, "failed": 0, "waiting": 0, "trials_running": [], "best": None}
    progress.state = STATE | idle | {"running": 0, "remaining": 8}
    with shown(progress) as (view, output):
        view()
        progress.now += 20
        progress.state = progress.state | {"running": 1, "remaining": 7, "trials_running": STATE["trials_running"][:1]}
        view()
        progress.now += 10
        progress.state = progress.state | {"complete": 4, "remaining": 3}
        view()
    assert lines(output)[-1].startswith("00:30 elapsed, about 00:10 to go  ")


@pytest.mark.parametrize("width", [None, 100])
def test_what_is_said_stays(progress: Progress, width: int | None) -> None:
    with shown(progress, width) as (view, output):
        view()
        view.say("worker [1] ended with signal SIGKILL; it is replaced")
        view()
    assert "worker [1] ended with signal SIGKILL; it is replaced" in plain(output)


def test_a_trial_without_a_worker_is_not_running() -> None:
    assert "1 running" in counts(STATE)
    assert "0 running" in counts(STATE | {"trials_running": [PAUSED]})
