"""A worker: claim, run, finish, until told to stop (`python -m hpo.worker`)."""

from __future__ import annotations

import argparse
import logging
import math
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import FrameType

from optuna.storages import BaseStorage

from hpo import config as configuration
from hpo import inputs
from hpo.attempts import Claim, Worker, process_name
from hpo.claims import Nothing
from hpo.config import Config
from hpo.database import explain, is_passing
from hpo.delivery import Delivery, Dispatch
from hpo.errors import DatabaseError, HpoError
from hpo.keeping import Keeper, Pace, kept, sweep
from hpo.launch.devices import used
from hpo.loglines import READY, Lines, tagged
from hpo.patience import AWAY, Patience
from hpo.pool import Pool, Serve
from hpo.promise import Promise
from hpo.pulse import Pulse
from hpo.running import Cancelled, RunningTrial, Study, Superseded, keep_to, open_storage
from hpo.spec import StudySpec
from hpo.store import Plan, Store, open_store
from hpo.trained import Models
from objectives import trial as objective
from objectives.errors import ChangedError, CodeError, InfeasibleError, ObjectiveError, without_login
from objectives.evaluation import Evaluation, Result
from objectives.settings import Own

log = logging.getLogger("hpo.worker")
IDLE_SECONDS = 1.0
CRASHED = 70  # as sysexits says of software; 1 is kept for errors that a person can act on
STOPPED = 143  # as a shell says of SIGTERM: the study is not done, this worker was told to stop


class Pruned(Exception):  # noqa: N818 - a way to stop, not an error
    """The pruner's verdict, or why the trial cannot go on."""


class UnsavedError(HpoError):
    """A trained model that was to be kept could not be written; its trial is given back."""


class Released(Exception):  # noqa: N818 - a way to stop, not an error
    """The worker was told to stop: the trial is given back."""


GIVEN_BACK = (Released, UnsavedError, ChangedError)
"""What ends an attempt and says nothing of its trial."""


@dataclass
class Stop:
    """Whether to stop; set by signals, by a parent that is gone, and by nothing else.

    SIGUSR1 and SIGUSR2 are how a cluster's scheduler warns of the end of a job.
    """

    event: threading.Event = field(default_factory=threading.Event)

    def listen(self) -> None:
        """SIGTERM, SIGUSR1, SIGUSR2 and the first Ctrl-C ask for a stop; the second ends at once."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, self._asked)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if self.event.is_set():
            raise KeyboardInterrupt
        self.event.set()


def run(config: Config, study: str, me: Worker, stop: threading.Event, parent: int | None = None) -> None:
    """Work on a study until it is complete, stopped by people, or `stop` is set; while it is paused, wait.

    Raises HpoError or ObjectiveError where this worker cannot work at all: bad data, no model, no such study.
    """
    with _at_work(config, me, stop, parent) as hands:
        serve, told = hands.patiently(lambda: hands.enter(study)), None
        log.info(READY)
        while not stop.is_set():
            found = serve()
            if found in _SAID and found is not told:
                log.info(_SAID[found])
            told = found
            if found in (Nothing.DONE, Nothing.STOPPED):
                break
            if found is not None:
                stop.wait(IDLE_SECONDS)


_SAID = {
    Nothing.PAUSED: "the study, or all that is left of it, is paused; waiting for hpo resume",
    Nothing.STOPPED: "the study was stopped: this worker ends; hpo launch or hpo resume goes on with it",
}


def run_all(
    config: Config, me: Worker, stop: threading.Event, parent: int | None = None, *, drain: bool = False
) -> None:
    """Work on all studies of the database, by priority, until `stop` is set; with `drain` until nothing is left.

    A study that this machine cannot serve, or that stops, is told of and let alone.
    """
    with _at_work(config, me, stop, parent) as hands:
        mine = replace(hands, of_all=True)
        pool = Pool(
            lambda: hands.patiently(hands.store.open_studies), lambda study: hands.patiently(partial(mine.enter, study))
        )
        while not stop.is_set():
            found = pool()
            if drain and found is Nothing.DONE:
                break
            if found is not None:
                stop.wait(IDLE_SECONDS)


@contextmanager
def _at_work(config: Config, me: Worker, stop: threading.Event, parent: int | None) -> Iterator[Hands]:
    patiently = Patience(config.patience, stop)
    with ExitStack() as held, suppress(Released):
        store = patiently(lambda: held.enter_context(open_store(config)), is_passing)
        patiently = replace(patiently, let_go=store.engine.dispose)
        pulse = held.enter_context(Pulse(store, config.beat, stop, parent))
        yield Hands(config, store, me, pulse, patiently, open_storage(store))


@dataclass(frozen=True)
class Hands:
    """What a worker works with, whatever the study; one `of_all` studies says which it is at."""

    config: Config
    store: Store
    me: Worker
    pulse: Pulse
    patiently: Patience
    storage: BaseStorage
    of_all: bool = False
    pace: Pace = field(default_factory=Pace)
    promise: Promise = field(default_factory=Promise)

    def enter(self, study: str | int) -> Serve:
        """Make ready for a study; raises HpoError where this machine has not what its trials need."""
        plan = self.store.plan(study)
        self._prepare(plan)
        folder = f"{self.config.checkpoints}/{plan.folder}"
        sweep(folder, kept(folder), self.store.unfinished(plan.study_id))
        trials = Study(self.store, plan.study_id, self.storage)
        return lambda: self._serve(trials, plan, folder)

    def _serve(self, trials: Study, plan: Plan, folder: str) -> Nothing | None:
        """Claim a trial and run it; why there was none. Raises HpoError where rows or models have changed meanwhile."""
        spec, claim = self.patiently(lambda: self.store.claim(trials.study_id, self.me))
        if isinstance(claim, Nothing):
            return claim
        try:
            self._check_models(plan)
        except (HpoError, Released):
            self.store.release(claim)
            raise
        if self.of_all:
            log.info("study %s trial %d", spec.study, claim.number)
        keeper = Keeper(f"{folder}/{claim.trial_id}", self.config.checkpoint, claim.attempt, self.pace)
        try:
            Work(trials, claim, spec, self.pulse, self.patiently, keeper).run(self.config)
        except ChangedError as error:
            raise self._others(plan) from error
        if not self.pulse.stop.is_set():
            self.patiently(lambda: self.promise(trials, spec))
        return None

    def _prepare(self, plan: Plan) -> None:
        """See that this machine has what the trials need, the very rows and models that the study was made with."""
        try:
            wanted = inputs.pinned(plan.spec, {}, self.config, plan.models)
            fingerprint = objective.prepare(wanted, inputs.host_for(self.config, plan.spec), self._heed)
        except ObjectiveError as error:
            raise HpoError(f"on {self.me.host}: {error}") from error
        if fingerprint != plan.fingerprint:
            raise self._others(plan)
        self._check_models(plan)

    def _others(self, plan: Plan) -> HpoError:
        return HpoError(
            f"on {self.me.host}: the rows are not those that {plan.spec.study} was made with; copy the same files "
            f"here, or start a new study with --as {plan.spec.study}-2"
        )

    def _check_models(self, plan: Plan) -> None:
        try:
            inputs.check_identities(plan.spec, self.config, plan.models, self._heed)
        except (HpoError, ObjectiveError) as error:
            raise HpoError(f"on {self.me.host}: {error}") from error

    def _heed(self) -> None:
        """While it makes ready for a study: a stop."""
        if self.pulse.stop.is_set():
            raise Released


class Work:
    """One attempt at one trial, and how it ends in the books."""

    def __init__(
        self, trials: Study, claim: Claim, spec: StudySpec, pulse: Pulse, patiently: Patience, keeper: Keeper
    ) -> None:
        self.trials, self.claim, self.spec = trials, claim, spec
        self.pulse, self.patiently, self.keeper = pulse, patiently, keeper
        self._last: Evaluation | None = None

    def run(self, config: Config) -> None:
        """Run the trial to its end, or give it back."""
        with self.pulse.on(self.claim), tagged(self.claim.number):
            try:
                trial = self.patiently(lambda: self.trials.begin(self.claim, self.spec))
                log.info("attempt %d: %s", self.claim.attempt, dict(trial.params))
                self._run(trial, config)
                self.keeper.clear()
            except Superseded as why:
                log.warning("%s; dropped", why)
                if isinstance(why, Cancelled) or self.patiently(self._over):
                    self.keeper.clear()
                self.patiently(self.trials.reload)
            except (*GIVEN_BACK, KeyboardInterrupt) as stopped:
                self.trials.store.release(self.claim)
                log.info("released")
                if not isinstance(stopped, Released):
                    raise
                if not self.pulse.stop.is_set():
                    self.patiently(self.trials.reload)

    def _over(self) -> bool:
        """Whether nobody goes on with the trial: who took it over has ended it, perhaps before our last checkpoint."""
        return str(self.claim.trial_id) not in self.trials.store.unfinished(self.trials.study_id)

    def _run(self, trial: RunningTrial, config: Config) -> None:
        try:
            if self.claim.pruned:
                raise Pruned
            trial.result = self._train(trial, config)
        except (Pruned, InfeasibleError) as pruned:
            why, infeasible = str(pruned), isinstance(pruned, InfeasibleError)
            log.info("pruned%s", f": {why}" if why else "")
            self.patiently(lambda: trial.finish("pruned", error=why or None, infeasible=infeasible))
        except (Superseded, *GIVEN_BACK, KeyboardInterrupt, *AWAY):
            raise
        except Exception as error:
            log.exception("failed")
            said, place = _said(error), _place(error)
            self.patiently(lambda: trial.finish("fail", error=said, place=place))
        else:
            self.patiently(lambda: trial.finish("complete"))
            log.info("complete")

    def _train(self, trial: RunningTrial, config: Config) -> Result:
        """Train the trial to its end, and see that every evaluation is delivered and judged."""
        snapshot, late = self.keeper.resume() if self.claim.attempt > 1 else (None, [])
        host = inputs.host_for(config, self.spec)
        with Delivery(lambda dispatch: self._deliver(trial, dispatch), self.patiently) as self.delivery:
            for dispatch in late:
                self.delivery.put(dispatch)
            self.delivery.flush()
            try:
                result = objective.run(
                    inputs.pinned(self.spec, trial.params, config, self.trials.models),
                    partial(self._report, trial, Models(f"{config.trained}/{self.trials.folder}")),
                    heed=self._heed,
                    resume=snapshot,
                    earlier=self.claim.runtime,
                    host=replace(host, folder=self.keeper.own, fingerprint=self.trials.fingerprint),
                )
            except (Pruned, Superseded, *GIVEN_BACK, *AWAY):
                raise
            except Exception:
                self.delivery.flush()  # what was evaluated before comes first
                raise
            self._settle()
            return result

    def _heed(self) -> None:
        """Between optimizer steps: a verdict that came late; an end of the attempt that the last beat told of."""
        self.delivery.heed()
        keep_to(self.pulse.standing(self.claim))

    def _deliver(self, trial: RunningTrial, dispatch: Dispatch) -> None:
        """Record an evaluation; raises Pruned where the trial ends with it. In the thread of the delivery."""
        evaluation = dispatch.evaluation
        prune = trial.report(evaluation, dispatch.attempt)
        if not math.isfinite(value := self._value(evaluation)):
            raise Pruned(f"{self.spec.metric} was {value} at step {evaluation.step}")
        if prune:
            raise Pruned

    def _value(self, evaluation: Evaluation) -> float:
        return evaluation.metrics.get(self.spec.metric, math.nan)

    def _report(self, trial: RunningTrial, models: Models, evaluation: Evaluation) -> None:
        """Take an evaluation; raises to prune, release or drop the trial, or where the database is given up."""
        if evaluation.model and self.spec.promotes and self.spec.promotes.keeps(trial.params):
            self._save(models, evaluation.model)  # before a checkpoint says that nothing is left to do
        if isinstance(self.spec.objective, Own) and self.spec.metric not in evaluation.metrics:
            seen = ", ".join(evaluation.metrics) or "nothing"
            raise CodeError(f"{self.spec.objective.python.function} reports {seen}, and not {self.spec.metric}")
        self._last = evaluation
        self.delivery.put(Dispatch(evaluation, self.claim.attempt))
        value = self._value(evaluation)
        stopping = self.pulse.stop.is_set() or trial.held or self.pulse.standing(self.claim).held
        log.info("step %d epoch %.2f %s %.6g", evaluation.step, evaluation.epoch, self.spec.metric, value)
        own = evaluation.snapshot is None  # what keeps its own state may save it once this returns
        if stopping or own or not math.isfinite(value) or self.delivery.given_up():
            self._settle()
        self.keeper.offer(evaluation, self.delivery.undelivered(), last=stopping)
        trial.checkpointing = self.keeper.spent
        if stopping:
            raise Released

    def _save(self, models: Models, write: Callable[[Path], None]) -> None:
        try:
            models.save(self.claim.trial_id, self.claim.attempt, write)
        except OSError as error:
            why = without_login(str(error))
            seen = f"on {socket.gethostname()}: the model of trial {self.claim.number} is not saved: {why}"
            advice = "make room, or set HPO_ARTIFACTS, and run the same command again"
            raise UnsavedError(f"{seen}; {advice}") from error

    def _settle(self) -> None:
        """Wait for the verdict on all evaluations; raises it. Without a database they go into a checkpoint."""
        try:
            self.delivery.flush()
        except DatabaseError:
            if self._last is not None:
                self.keeper.offer(self._last, self.delivery.undelivered(), last=True)
            raise


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, ObjectiveError) else f"{type(error).__name__}: {text}"[:2000]


def _place(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"


def main() -> int:
    """Run one worker; the exit code: 0 done, 1 an error to act on, 70 a bug, 143 stopped, 130 cut short."""
    parser = argparse.ArgumentParser(prog="python -m hpo.worker")
    parser.add_argument("--study", help="by default all studies of the database, by priority")
    parser.add_argument("--drain", action="store_true", help="without --study: end when nothing is left")
    parser.add_argument("--name")
    parser.add_argument("--parent", type=int, help="stop when this process is no longer the parent")
    options = parser.parse_args()
    handler = logging.StreamHandler()
    handler.setFormatter(Lines("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    stop = Stop()
    stop.listen()
    config = configuration.load()
    host = socket.gethostname()
    facts = {"device": used(config.devices), "visible_devices": config.devices}
    me = Worker(options.name or process_name(), host, os.getpid(), config.grace, facts)
    try:
        if options.study:
            run(config, options.study, me, stop.event, options.parent)
        else:
            run_all(config, me, stop.event, options.parent, drain=options.drain)
    except (HpoError, ObjectiveError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except AWAY as error:
        print(f"Error: the database: {explain(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception:
        log.exception("a bug of hpo's own")
        return CRASHED
    return STOPPED if stop.event.is_set() else 0


if __name__ == "__main__":
    sys.exit(main())
