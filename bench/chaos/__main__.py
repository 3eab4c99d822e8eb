"""Faults against real fine-tunings until the time is over, then the verdict: python -m bench.chaos [--minutes 20]

Studies of 16 trials, grids and random ones in turns, each with two launchers of two workers, on the embedded server.
Every study that went through faults must equal the undisturbed one of its kind: the budget, each point once, all values
and curves to the last bit, nothing left behind. The exit code is 1 where one does not.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from statistics import median

from bench.chaos import storm, verdict
from bench.chaos.place import KINDS, TRIALS, Place, place
from bench.machine import described
from hpo import postgres


def main() -> int:
    """Run; prints a report in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m bench.chaos")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--faults", type=int, default=0, help="at the least, in as many studies as that takes")
    parser.add_argument("--seed", type=int, default=0, help="of the faults and their moments")
    parser.add_argument("--epochs", type=int, default=12, help="of each trial: how long it takes")
    options = parser.parse_args()
    log, began, complaints, studies = storm.Log(), time.monotonic(), list[str](), 0
    with place(options.epochs) as here:
        undisturbed = {kind: _calm(here, kind) for kind in KINDS}
        chance = random.Random(options.seed)  # noqa: S311 - the same storm for the same seed
        started = time.monotonic()
        while time.monotonic() < started + 60 * options.minutes or log.faults < options.faults:
            kind = list(KINDS)[studies % len(KINDS)]
            studies += 1
            complaints += _stormy(here, kind, f"{kind}-{studies}", undisturbed[kind], chance, log)
        with postgres.lease(here.config.home) as server:
            machine = described(server.data)
            complaints += verdict.connections(here)
        complaints += verdict.left_behind(here)
    print(_report(log, studies, time.monotonic() - began, machine, complaints))
    return 1 if complaints else 0


def _calm(here: Place, kind: str) -> verdict.Outcome:
    storm.calm(here, str(here.study(kind, f"calm-{kind}")))
    with postgres.lease(here.config.home):
        return verdict.outcome(here, f"calm-{kind}")


def _stormy(
    here: Place, kind: str, name: str, calm: verdict.Outcome, chance: random.Random, log: storm.Log
) -> list[str]:
    storm.Storm(here, kind, name).run(chance, log)
    with postgres.lease(here.config.home):
        wrong = verdict.wrong(calm, verdict.outcome(here, name), kind)
    print(f"{name}: {log.faults} faults so far, {len(wrong)} wrong", file=sys.stderr, flush=True)
    return [f"{name}: {line}" for line in wrong]


def _report(log: storm.Log, studies: int, seconds: float, machine: str, complaints: list[str]) -> str:
    lines = [machine, "", f"{studies} studies of {TRIALS} trials, {log.faults} faults, {seconds / 60:.0f} minutes.", ""]
    lines += ["| fault | times | seconds to the next evaluation on record, median (longest) |", "|---|---|---|"]
    lines += [
        f"| {name} | {len(took)} | {median(took):.1f} ({max(took):.1f}) |" for name, took in log.recoveries.items()
    ]
    ended = ", ".join(f"{count} {ending}" for ending, count in sorted(log.endings.items()))
    lines += ["", f"Attempts: {ended}.", ""]
    return "\n".join(lines + (complaints or ["Everything exact, nothing left behind."]))


if __name__ == "__main__":
    sys.exit(main())
