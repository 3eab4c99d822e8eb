"""The view of a running study, on a terminal and on a pipe."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy.exc import OperationalError

from hpo.errors import DatabaseError
from hpo.live import LINE_SECONDS, REFRESH_SECONDS, SUM_SECONDS, Look, View
from hpo.panel import AROUND, FEWEST, PLAIN_TICKS, counts, sparkline
from hpo.spending import Saving, Spending

PARAMS = {"training.learning_rate": 0.000123456, "training.batch_size": 16}
RUNNING = {"number": 5, "activity": "running", "worker": "host.77.2", "epoch": 1.5, "value": 0.4321987, "seconds": 61.7}
RUNNING |= {"epochs": "4", "losses": [0.9, 0.5, 0.4], "metrics": {"examples_per_second": 123.4}}
SPENDING = Spending(3600.0, 0.0, devices={"cpu": 1800.0, "gpu 7": 1800.0}, pruning=Saving(90.0, 1), to_finish=300.0)
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


@pytest.mark.parametrize("width", [None, 80])
@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), OSError(28, "No space left on device")])
def test_what_nobody_hears_ends_no_launch(progress: Progress, width: int | None, error: Exception) -> None:
    def fail(_: str) -> int:
        raise error

    with shown(progress, width) as (view, output):
        view()
        output.write = fail  # type: ignore[method-assign]
        progress.state["complete"] += 1
        for _ in range(3):
            progress.now += 2 * LINE_SECONDS
            view()
            view.say("stopping")
        assert view.deaf


def test_a_bug_is_no_lost_database(progress: Progress) -> None:
    progress.error = KeyError("bug")
    with shown(progress) as (view, _), pytest.raises(KeyError):
        view()


def frame(progress: Progress, state: dict[str, Any], width: int, height: int = 40) -> list[str]:
    """The lines of the panel on such a terminal."""
    output = StringIO()
    console = Console(file=output, force_terminal=True, width=width, height=height, color_system=None)
    console.print(View(progress, console, progress.clock).panel(state))
    return plain(output).splitlines()


@pytest.mark.parametrize("width", [160, 100, 80, 60, 40])
@pytest.mark.parametrize("workers", [1, 24])
def test_no_line_is_wider_than_the_terminal_and_each_worker_has_one(
    progress: Progress, width: int, workers: int
) -> None:
    trials = [RUNNING | {"params": PARAMS, "number": number} for number in range(workers)]
    lines = frame(progress, STATE | {"trials_running": trials, "spending": SPENDING}, width)
    assert max(map(len, lines)) <= width
    assert [line.split()[0] for line in lines if "1.5/4" in line] == [str(n) for n in range(workers)]
    assert any("4/12" in line for line in lines)


def test_what_a_narrow_terminal_has_no_room_for_is_left_out(progress: Progress) -> None:
    heads = {width: frame(progress, STATE, width)[3].split() for width in (160, 80, 60)}
    assert heads[160] == ["trial", "worker", "epoch", "loss", "value", "rows/s", "memory", "time", "parameters"]
    assert heads[80] == ["trial", "worker", "epoch", "loss", "value", "rows/s", "memory", "parameters"]
    assert heads[60] == ["trial", "worker", "epoch", "loss", "value", "parameters"]


def test_a_low_terminal_shows_as_many_workers_as_it_has_lines(progress: Progress) -> None:
    trials = [RUNNING | {"params": PARAMS, "number": number} for number in range(30)]
    state = STATE | {"trials_running": trials, "spending": SPENDING}
    lines = frame(progress, state, 100, 20)
    assert len(lines) <= 20
    assert f"and {30 - (20 - AROUND - 1)} more" in lines
    assert f"and {30 - FEWEST + 1} more" in frame(progress, state, 100, 5)
    assert not any("more" in line for line in frame(progress, state, 100, 60))


def test_a_wide_panel_says_all_of_a_trial(progress: Progress) -> None:
    running = RUNNING | {"params": PARAMS, "metrics": {"examples_per_second": 123.4, "peak_memory_bytes": 1.5 * 2**30}}
    rows = [
        line.split() for line in frame(progress, STATE | {"trials_running": [running, STATE["trials_running"][1]]}, 160)
    ]
    params = ["learning_rate=0.00012346", "batch_size=16"]
    assert ["5", "2", "1.5/4", "█▂▁", "0.4322", "123", "1.5G", "01:02", *params] in rows
    assert ["6", "paused", "0", "00:00"] in rows


def test_what_was_spent_and_saved_has_a_line(progress: Progress) -> None:
    line = "spent 0.50 CPU-hours, 0.50 GPU-hours; saved about 01:30 by pruning"
    assert line in frame(progress, STATE | {"spending": SPENDING}, 100)
    assert not any("spent" in one for one in frame(progress, STATE | {"spending": Spending(0.0, 0.0)}, 100))


def test_the_best_says_when_it_was_found(progress: Progress) -> None:
    state = STATE | {"best": STATE["best"] | {"seconds_ago": 61.0}}
    assert frame(progress, state, 100)[-1] == "best val_loss 0.32177 (trial 3, 01:01 ago)"


@pytest.mark.parametrize(
    ("values", "line"),
    [([], ""), ([1.0], "▁"), ([3.0, 1.0, 2.0], "█▁▅"), ([2.0, None, float("nan"), 1.0], "█  ▁"), ([None], " ")],
)
def test_a_sparkline_goes_from_the_lowest_to_the_highest(values: list[float | None], line: str) -> None:
    assert sparkline(values, 8) == line


def test_a_sparkline_shows_the_last_values_in_the_letters_there_are() -> None:
    assert sparkline([9.0, 2.0, 1.0], 2, PLAIN_TICKS) == "@_"


def test_a_terminal_that_became_narrower_loses_the_whole_last_frame(progress: Progress) -> None:
    """Each line of more than 60 columns has become two: so many more go up and away."""
    with shown(progress, 100) as (view, output):
        view()
        wide = [len(line) for line in frame(progress, STATE, 100)]
        before = len(output.getvalue())
        view.console.width = 60
        progress.now += REFRESH_SECONDS
        view()
    gone = output.getvalue()[before:].partition("━")[0].count("\x1b[1A")
    assert gone == sum(max(-(-length // 60), 1) for length in wide) - 1


def test_the_time_to_go_of_who_just_came_is_that_of_the_trials_that_are_over(progress: Progress) -> None:
    progress.state = STATE | {"spending": SPENDING, "trials_running": [RUNNING | {"params": {}}] * 2}
    with shown(progress) as (view, output):
        view()
    assert lines(output)[0].startswith("00:00 elapsed, about 02:30 to go")


class Books:
    """What a Look asks, counted."""

    def __init__(self) -> None:
        self.state, self.summed, self.beyond = STATE | {"created": 1}, 0, -1

    def watched(self, study: str) -> dict[str, Any]:
        return self.state

    def spent(self, study: str, beyond: int, also: Iterable[int]) -> list[dict[str, Any]]:
        self.summed, self.beyond = self.summed + 1, beyond
        return [{"number": 7, "begun": False, "open": bool(also)}]


def test_sums_over_all_trials_are_made_when_one_ends_else_seldom(progress: Progress) -> None:
    books = Books()
    look = Look(books, "toy", progress.clock)  # type: ignore[arg-type]
    for _ in range(3):
        look()
    assert books.summed == 1
    books.state["complete"] += 1
    assert look()["spending"] == Spending(0.0, 0.0, to_finish=None)
    assert books.summed == 2
    progress.now += SUM_SECONDS
    look()
    assert (books.summed, books.beyond) == (3, 7)


def test_another_study_of_the_name_is_added_up_from_its_first_trial(progress: Progress) -> None:
    books = Books()
    look = Look(books, "toy", progress.clock)  # type: ignore[arg-type]
    look()
    books.state["created"] = 2
    look()
    assert (books.summed, books.beyond) == (2, -1)


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
