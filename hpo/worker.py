"""A worker: claim, run, finish, until told to stop (`python -m hpo.worker`)."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import FrameType

from hpo import config as configuration
from hpo.claims import Claim, Nothing, Worker
from hpo.config import Config
from hpo.database import OperationalError, explain
from hpo.errors import DatabaseError, HpoError
from hpo.running import RunningTrial, Study, Superseded
from hpo.spec import StudySpec, settings_for
from hpo.store import Store, open_store
from objectives import trial as objective
from objectives.errors import ObjectiveError
from objectives.evaluation import Evaluation

log = logging.getLogger("hpo.worker")
IDLE_SECONDS = 1.0
CRASHED = 70  # as sysexits says of software; 1 is kept for errors that a person can act on
STOPPED = 143  # as a shell says of SIGTERM: the study is not done, this worker was told to stop


class Pruned(Exception):  # noqa: N818 - a way to stop, not an error
    """The pruner's verdict, or why the trial cannot go on."""


class Released(Exception):  # noqa: N818 - a way to stop, not an error
    """The worker was told to stop: the trial is given back."""


@dataclass
class Stop:
    """Whether to stop; set by signals, by a parent that is gone, and by nothing else."""

    event: threading.Event = field(default_factory=threading.Event)

    def listen(self) -> None:
        """SIGTERM and the first Ctrl-C ask for a stop; the second ends at once."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if self.event.is_set():
            raise KeyboardInterrupt
        self.event.set()


def run(config: Config, study: str, me: Worker, stop: threading.Event, parent: int | None = None) -> None:
    """Work on a study until it is complete or `stop` is set.

    Raises HpoError or ObjectiveError where this worker cannot work at all: bad data, no model, no such study.
    """
    with open_store(config) as store:
        spec = store.plan(study).spec
        objective.prepare(settings_for(spec, {}, config.data_root))
        trials = Study(store, study)
        with Pulse(store, config.beat, stop, parent) as pulse:
            while not stop.is_set():
                spec, claim = store.claim(study, me)
                if claim is Nothing.DONE:
                    break
                if isinstance(claim, Claim):
                    work(trials, claim, spec, pulse, config.data_root)
                else:
                    stop.wait(IDLE_SECONDS)


def work(trials: Study, claim: Claim, spec: StudySpec, pulse: Pulse, data_root: Path | None) -> None:
    """One attempt at one trial, and how it ended in the books."""
    with pulse.on(claim), tagged(claim.number):
        try:
            trial = trials.begin(claim, spec)
            log.info("attempt %d: %s", claim.attempt, dict(trial.params))
            _run(trial, pulse, data_root)
        except Superseded:
            log.warning("taken over by another worker; dropped")
        except (Released, KeyboardInterrupt) as stopped:
            trials.store.release(claim)
            log.info("released")
            if isinstance(stopped, KeyboardInterrupt):
                raise


def _run(trial: RunningTrial, pulse: Pulse, data_root: Path | None) -> None:
    try:
        if trial.claim.pruned:
            raise Pruned
        result = objective.run(settings_for(trial.spec, trial.params, data_root), _reporter(trial, pulse))
        trial.finish("complete", result)
        log.info("complete")
    except Pruned as pruned:
        trial.finish("pruned", error=str(pruned) or None)
        log.info("pruned %s", pruned)
    except (Superseded, Released, KeyboardInterrupt, OperationalError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever a trial raises is its own failure, kept with it
        log.exception("failed")
        trial.finish("fail", error=_said(error), place=_place(error))


def _reporter(trial: RunningTrial, pulse: Pulse):  # type: ignore[no-untyped-def]
    """What the objective calls at each evaluation; raises to prune, release or drop the trial."""

    def report(evaluation: Evaluation) -> None:
        prune = trial.report(evaluation)
        value = evaluation.metrics.get(trial.spec.metric, float("nan"))
        log.info("step %d epoch %.2f %s %.6g", evaluation.step, evaluation.epoch, trial.spec.metric, value)
        if value != value or abs(value) == float("inf"):
            raise Pruned(f"{trial.spec.metric} was {value} at step {evaluation.step}")
        if prune:
            raise Pruned
        if pulse.superseded:
            raise Superseded
        if pulse.stop.is_set():
            raise Released

    return report


class Pulse:
    """The one thread of a worker beside its work: it marks life and watches for the parent's death."""

    def __init__(self, store: Store, seconds: float, stop: threading.Event, parent: int | None) -> None:
        self.store, self.seconds, self.stop, self.parent = store, seconds, stop, parent
        self.claim: Claim | None = None
        self.superseded = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @contextmanager
    def on(self, claim: Claim) -> Iterator[None]:
        """Beat for this claim within the block."""
        self.claim, self.superseded = claim, False
        try:
            yield
        finally:
            self.claim = None

    def _run(self) -> None:
        waited = 0.0
        tick = min(1.0, self.seconds)
        while not self._over.wait(tick):
            if self.parent is not None and os.getppid() != self.parent:
                self.stop.set()
            waited += tick
            if waited >= self.seconds:
                waited = 0.0
                self._beat()

    def _beat(self) -> None:
        claim = self.claim
        try:
            if claim is not None and not self.store.beat(claim) and self.claim is claim:
                self.superseded = True
        except OperationalError as error:
            log.warning("no beat: %s", explain(error))


_current: list[str] = ["-"]


@contextmanager
def tagged(number: int) -> Iterator[None]:
    """Name the trial in every log line of the block, so that `hpo logs --trial` finds them."""
    _current[0] = str(number)
    try:
        yield
    finally:
        _current[0] = "-"


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
        return f"{when} trial={_current[0]} {record.levelname.lower()} {super().format(record)}"


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, ObjectiveError) else f"{type(error).__name__}: {text}"[:2000]


def _place(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"


def main() -> int:
    """Run one worker; the exit code says how it ended: 0 done, 1 an error to act on, 70 a bug, 143 stopped, 130 cut short."""
    parser = argparse.ArgumentParser(prog="python -m hpo.worker")
    parser.add_argument("--study", required=True)
    parser.add_argument("--name")
    parser.add_argument("--parent", type=int, help="stop when this process is no longer the parent")
    options = parser.parse_args()
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    stop = Stop()
    stop.listen()
    config = configuration.load()
    host = socket.gethostname()
    me = Worker(options.name or f"{host}-{os.getpid()}", host, os.getpid(), config.grace)
    try:
        run(config, options.study, me, stop.event, options.parent)
    except (HpoError, ObjectiveError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except OperationalError as error:
        print(f"Error: {DatabaseError(explain(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception:
        log.exception("a bug of hpo's own")
        return CRASHED
    return STOPPED if stop.event.is_set() else 0


if __name__ == "__main__":
    sys.exit(main())
