"""What a trial costs beside loading, training and evaluating: ours and plain Optuna's, in turns.

A trial has 5 parameters and 10 evaluations, each with its metrics kept. The pruner is asked at every evaluation and
its verdict set aside, so that all trials are of one length. Run: python -m bench.orchestration [--trials 30]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import closing
from statistics import median
from typing import Protocol

import optuna

from bench import history
from bench.machine import described
from bench.meter import Cost, Meter
from bench.server import Private, private
from hpo import schema, search, space
from hpo.attempts import Claim, Worker
from hpo.database import Database, parse_url
from hpo.running import Study
from hpo.spec import StudySpec, settings_for
from hpo.store import Store

SIZES = (0, 100, 1000)
PHASES = ("claim / ask", "begin / suggest", "10 evaluations", "beat", "finish / tell")
_ME = Worker("bench", "bench", 1)


class Arm(Protocol):
    """One of those compared, on a database of its own; connections stay open between trials."""

    def fill(self, upto: int) -> None:
        """Finished trials until there are `upto`."""

    def trial(self) -> Iterator[str]:
        """Run a trial; yields the name of each phase at its end."""


class Ours:
    """As `hpo.worker` does it, with one beat a trial: what a trial of 10 seconds makes."""

    def __init__(self, store: Store, spec: StudySpec) -> None:
        self.store, self.spec = store, spec
        store.create(spec)
        self.study = Study(store, spec.study)

    def fill(self, upto: int) -> None:
        history.fill(self.study.optuna, self.spec, upto, attributes=False)
        with self.store.engine.begin() as connection:
            connection.exec_driver_sql(history.OURS)

    def trial(self) -> Iterator[str]:
        spec, claim = self.store.claim(self.spec.study, _ME)
        assert isinstance(claim, Claim), claim  # noqa: S101 - the budget is never spent here
        yield PHASES[0]
        trial = self.study.begin(claim, spec)
        settings_for(spec, trial.params)
        yield PHASES[1]
        for evaluation in history.evaluations(trial.params):
            trial.report(evaluation)
        yield PHASES[2]
        self.store.beat(claim)
        yield PHASES[3]
        trial.finish("complete")
        yield PHASES[4]


class Plain:
    """As a user of Optuna writes it with ask and tell, on RDBStorage as it comes; metrics are kept if `keeps`."""

    def __init__(self, url: str, spec: StudySpec, keeps: bool) -> None:
        self.spec, self.keeps = spec, keeps
        self.study = optuna.create_study(
            storage=optuna.storages.RDBStorage(url),
            study_name=spec.study,
            direction=spec.direction,
            sampler=search.sampler(spec, 0),
            pruner=search.pruner(spec),
        )

    def fill(self, upto: int) -> None:
        history.fill(self.study, self.spec, upto, attributes=self.keeps)

    def trial(self) -> Iterator[str]:
        trial = self.study.ask()
        yield PHASES[0]
        params = space.suggest(self.spec.search, trial)
        yield PHASES[1]
        best = float("inf")
        for evaluation in history.evaluations(params):
            best = min(best, evaluation.metrics["val_loss"])
            trial.report(evaluation.metrics["val_loss"], evaluation.step)
            if self.keeps:
                trial.set_user_attr(history.KEPT.format(step=evaluation.step), dict(evaluation.metrics))
            trial.should_prune()
        yield PHASES[2]
        self.study.tell(trial, best)
        yield PHASES[4]


def measure(meter: Meter, arms: Sequence[Arm], trials: int) -> list[list[dict[str, Cost]]]:
    """The phases of `trials` trials of each arm, run in turns, after one of each that does not count."""
    for arm in arms:
        meter.phases(arm.trial())
    rounds = [[meter.phases(arm.trial()) for arm in arms] for _ in range(trials)]
    return [list(trials_of_arm) for trials_of_arm in zip(*rounds, strict=True)]


def table(ours: list[dict[str, Cost]], plain: list[dict[str, Cost]]) -> str:
    """Median (and range) of a trial, then the medians of its phases."""
    lines = [
        "| a trial | ours | plain Optuna | ours / plain |",
        "|---|---|---|---|",
        *_totals([_sum(trial) for trial in ours], [_sum(trial) for trial in plain]),
        "",
        "| phase | ours: CPU ms, statements, transactions | plain: CPU ms, statements, transactions |",
        "|---|---|---|",
        *(f"| {phase} | {_phase(ours, phase)} | {_phase(plain, phase)} |" for phase in PHASES),
    ]
    return "\n".join(lines)


def _totals(ours: list[Cost], plain: list[Cost]) -> Iterator[str]:
    names = ("client CPU, ms", "server CPU, ms", "wall, ms", "statements", "transactions", "connection checkouts")
    for name, field in zip(names, Cost._fields, strict=True):
        scale = 1000 if name.endswith("ms") else 1
        a, b = ([scale * getattr(cost, field) for cost in costs] for costs in (ours, plain))
        yield f"| {name} | {_range(a)} | {_range(b)} | {median(a) / median(b):.2f} |"


def _range(values: list[float]) -> str:
    return f"{median(values):.0f} ({min(values):.0f}-{max(values):.0f})"


def _sum(phases: dict[str, Cost]) -> Cost:
    total = Cost()
    for cost in phases.values():
        total = total.plus(cost)
    return total


def _phase(trials: list[dict[str, Cost]], phase: str) -> str:
    found = [trial[phase] for trial in trials if phase in trial]
    if not found:
        return "none"
    cpu = 1000 * median(cost.cpu for cost in found)
    return f"{cpu:.1f}, {median(c.statements for c in found):.0f}, {median(c.transactions for c in found):.0f}"


def _run(server: Private, sizes: Sequence[int], trials: int, keeps: bool) -> None:
    meter, spec = Meter(), history.spec()
    url, plain_url = parse_url(server.database("ours")), server.database("plain")
    database = Database(locate=lambda: url)
    schema.ensure(database)
    with closing(Store(database)) as store:
        ours, plain = Ours(store, spec), Plain(plain_url, spec, keeps)
        for size in sizes:
            for arm, name in ((ours, "ours"), (plain, "plain")):
                arm.fill(size)
                server.execute("VACUUM ANALYZE", name)
            print(f"\n{size} finished trials beforehand, {trials} trials each, in turns; median (lowest-highest)\n")
            print(table(*measure(meter, (ours, plain), trials)), flush=True)


def main() -> None:
    """Print a table for each study size."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--trials", type=int, default=30, help="of each, a size")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="finished trials beforehand, rising")
    parser.add_argument("--plain-without-metrics", action="store_true", help="plain Optuna keeps none, ours all")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with private() as server:
        print(described(server.server.data))
        _run(server, options.sizes, options.trials, keeps=not options.plain_without_metrics)


if __name__ == "__main__":
    main()
