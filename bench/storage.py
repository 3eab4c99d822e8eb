"""The database under load: do our own statements grow with a study, and what do many workers at once wait for?

First, what each of our own verbs costs in a study of 100 and in one of 10,000 finished trials, in turns. Then real
worker processes on a simulated objective, random sampling, all on one server: trials a minute, waits, connections,
beats.
Run: python -m bench.storage [--sizes 100 10000] [--workers 64 --trials 640 --seconds 5]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from statistics import median, quantiles
from typing import Any

import optuna
from sqlalchemy import Engine, text

from bench import history
from bench.machine import described
from bench.meter import Cost, Meter
from bench.server import Private, environment, private
from hpo import schema
from hpo.attempts import Claim, Worker
from hpo.database import Database, parse_url
from hpo.live import Spent
from hpo.report import Report, read
from hpo.running import Study
from hpo.spec import StudySpec
from hpo.spending import spending
from hpo.store import Store, open_store

BLOCK = 100
_ME = Worker("bench", "bench", 1)


def verbs(store: Store, report: Report, spec: StudySpec, spent: Spent) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What is ours alone, by name; a worker's come in the order of a trial, and `spent` has been asked before."""
    study, held = Study(store, spec.study), []

    def claim() -> None:
        found = store.claim(spec.study, _ME)[1]
        assert isinstance(found, Claim), found  # noqa: S101 - the budget is never spent here
        held.append(found)

    def give_back() -> None:
        store.end_attempts_of(_ME.name, "released")

    yield "claim", claim
    yield "beat", lambda: store.beat(held[-1])
    yield "what is wanted and unfinished", lambda: store.unfinished(study.study_id)
    yield "give back", give_back
    yield from (
        ("`hpo status`: the study", lambda: report.study(spec.study)),
        ("`hpo best`", lambda: report.best(spec.study)),
        ("the live view, each second", lambda: report.watched(spec.study)),
        ("the live view, its sums", lambda: spent(0)),
        ("`hpo workers`", report.workers),
        ("`hpo show`: a trial's curve", lambda: report.curve(spec.study, 0)),
        ("`hpo cost`, and the live view's first sums", lambda: spending(report.spent(spec.study))),
    )


def crowd(server: Private, workers: int, trials: int, seconds: float) -> dict[str, float]:
    """So many workers of one study: what they waited for, in seconds unless it says otherwise."""
    spec = StudySpec.from_dict(
        {
            "study": "crowd",
            "objective": {"simulated": {"evaluations": 5, "seconds": seconds}},
            "search": {"simulated.learning_rate": {"low": 1e-5, "high": 1e-1, "log": True}},
            "sampler": "random",
            "pruner": "none",
            "trials": trials,
            "enqueue_defaults": False,
        }
    )
    with open_store(server.config) as store:
        store.create(spec)
        command = [sys.executable, "-m", "hpo.worker", "--study", spec.study]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        environ = environment(server.config)
        running = [subprocess.Popen(command, env=environ, **quiet) for _ in range(workers)]  # type: ignore[call-overload]
        try:
            connections, late = _watched(store.engine, running)
        finally:
            for process in running:
                process.kill()
                process.wait()
    with read(server.config) as report:
        attempts = report.attempts(spec.study)
        states = [trial["state"] for trial in report.trials(spec.study)]
        reports = [trial["seconds"].get("report", 0.0) for trial in report.trials(spec.study)]
    assert states == ["COMPLETE"] * trials, states  # noqa: S101
    waits = sorted(_between(attempts))
    spans = [(each["until"] - each["started"]).total_seconds() for each in attempts]
    wall = (max(each["until"] for each in attempts) - min(each["started"] for each in attempts)).total_seconds()
    return {
        "trials": len(states),
        "trials a minute": 60 * len(states) / wall,
        "an attempt beyond its objective, median": median(spans) - seconds,
        "from one trial's end to the next one's claim, median": median(waits),
        "the same, 95th percentile": quantiles(waits, n=20)[-1],
        "training held up by reports, a trial, median": median(reports),
        "connections at once, most": connections,
        "oldest beat of a live attempt, most": late,
    }


def _watched(engine: Engine, running: Sequence[subprocess.Popen[bytes]]) -> tuple[int, float]:
    """Wait for the workers' end: the most connections and the oldest beat that were seen."""
    connections, oldest = 0, 0.0
    while any(process.poll() is None for process in running):
        with engine.connect() as connection:
            count, beat = connection.execute(text(_SEEN)).one()
        connections, oldest = max(connections, count), max(oldest, beat)
        time.sleep(0.5)
    return connections, oldest


_SEEN = """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),
       (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - beat)), 0)::float FROM hpo.attempts
        WHERE current AND ended IS NULL)
"""


def _between(attempts: Sequence[dict[str, Any]]) -> Iterator[float]:
    last: dict[str, Any] = {}
    for each in sorted(attempts, key=lambda each: each["started"]):
        if each["worker"] in last:
            yield (each["started"] - last[each["worker"]]).total_seconds()
        last[each["worker"]] = each["until"]


def _grow(server: Private, sizes: Sequence[int], times: int) -> None:
    """A study of each size in a database of its own, the verbs of each in turns; the first round does not count."""
    meter, spec = Meter(), history.spec()
    found: dict[tuple[str, int], list[Cost]] = {}
    with ExitStack() as stack:
        sites = {size: stack.enter_context(_grown(server, spec, size)) for size in sizes}
        asked = {size: (store, report, spec, Spent(report, spec.study)) for size, (store, report) in sites.items()}
        for turn in range(times + 1):
            for size in sizes:
                for name, run in verbs(*asked[size]):
                    before = meter.now()
                    run()
                    if turn:
                        found.setdefault((name, size), []).append(meter.now().minus(before))
    print("\n| ours alone: client + server CPU ms, statements | " + " | ".join(f"{size:,}" for size in sizes) + " | |")
    print("|---|" + "---|" * (len(sizes) + 1))
    for name in dict.fromkeys(name for name, _ in found):
        spent = [median(1000 * (cost.cpu + cost.server) for cost in found[name, size]) for size in sizes]
        counts = [median(cost.statements for cost in found[name, size]) for size in sizes]
        cells = " | ".join(f"{ms:.1f}, {count:.0f}" for ms, count in zip(spent, counts, strict=True))
        print(f"| {name} | {cells} | {spent[-1] / spent[0]:.2f} |")


@contextmanager
def _grown(server: Private, spec: StudySpec, size: int) -> Iterator[tuple[Store, Report]]:
    name = f"growth{size}"
    url = parse_url(server.database(name))
    database = Database(locate=lambda: url)
    schema.ensure(database)
    with closing(Store(database)) as store:
        store.create(spec)
        _fill(store, spec, size)
        server.execute("VACUUM ANALYZE", name)
        yield store, Report(database, store.engine)


def _fill(store: Store, spec: StudySpec, upto: int) -> None:
    """Finished trials until there are `upto`, beyond the first block copies of it."""
    history.fill(Study(store, spec.study).optuna, spec, min(upto, BLOCK), attributes=False)
    with store.engine.begin() as connection:
        have = connection.scalar(text("SELECT count(*) FROM trials WHERE state = 'COMPLETE'")) or 0
        if upto > have:
            connection.exec_driver_sql(history.COPIES, {"block": BLOCK, "times": (upto - have) // BLOCK})
        connection.exec_driver_sql(history.OURS)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 10_000])
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--trials", type=int, default=640)
    parser.add_argument("--seconds", type=float, default=20.0, help="a simulated trial takes")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with private() as server:
        print(described(server.server.data))
        _grow(server, options.sizes, options.times)
        found = crowd(server, options.workers, options.trials, options.seconds)
    print(f"\n| {options.workers} workers, {options.trials} trials of {options.seconds:g} s | |\n|---|---|")
    for name, value in found.items():
        print(f"| {name} | {value:.4g} |")


if __name__ == "__main__":
    main()
