"""What people ask of a study: rows out, prints nothing; reads the SQL views alone, without Optuna or torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Self

from psycopg2.errors import UndefinedColumn, UndefinedTable
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from hpo.config import Config
from hpo.database import Database, connect
from hpo.errors import DatabaseError, StudyError, no_study
from hpo.lifetime import ALIVE, UNTIL

Row = dict[str, Any]
"""One row of a view, by column."""

_TRIAL = (
    "number, state, activity, value, best_value, best_step, last_step, params, metrics, attempts, worker, host, error, "
    "trainable_parameters, seconds, facts, started, finished, asked, asked_by, asked_at, requeued_from"
)

_STUDY = (
    "study, metric, direction, trials, made, complete, pruned, failed, running, waiting, remaining, state, error, "
    "created, spec, asked, asked_by, asked_at, ended_by, ended_at"
)
_OLD = "the database's schema hpo is older than this package; run: hpo db upgrade"

_WORKERS = f"""
SELECT a.worker, a.host, a.pid, a.facts ->> 'device' AS device, a.facts ->> 'visible_devices' AS visible_devices,
       s.study_name AS study, t.number AS trial, a.attempt,
       (SELECT coalesce(max(step), 0) FROM hpo.metrics m WHERE m.trial_id = a.trial_id) AS step,
       extract(epoch FROM clock_timestamp() - a.started)::double precision AS seconds,
       extract(epoch FROM clock_timestamp() - a.beat)::double precision AS last_beat
FROM hpo.attempts a JOIN trials t USING (trial_id) JOIN studies s ON s.study_id = a.study_id
WHERE a.current AND a.ended IS NULL AND {ALIVE.format(attempt="a")}
ORDER BY a.host, a.worker
"""

_ENDED = """
SELECT extract(epoch FROM clock_timestamp() - finished)::double precision AS seconds_ago
FROM hpo.trials WHERE study = :study AND number = :number
"""

_WATCHED = """
SELECT t.number, t.worker, t.attempts, t.activity, t.params, c.losses, l.epoch, l.value, l.metrics,
       extract(epoch FROM clock_timestamp() - t.started)::double precision AS seconds,
       coalesce(t.params ->> 'training.epochs', s.spec #>> '{objective,training,epochs}',
                s.spec #>> '{objective,simulated,evaluations}',
                s.spec #>> '{objective,python,evaluations}') AS epochs
FROM hpo.trials t JOIN hpo.studies s USING (study)
LEFT JOIN LATERAL (SELECT array_agg(coalesce(val_loss, value) ORDER BY step) AS losses FROM hpo.learning_curves x
                   WHERE x.study = t.study AND x.number = t.number) c ON true
LEFT JOIN LATERAL (SELECT epoch, value, metrics FROM hpo.learning_curves x
                   WHERE x.study = t.study AND x.number = t.number ORDER BY step DESC LIMIT 1) l ON true
WHERE t.study = :study AND t.state = 'RUNNING' ORDER BY t.number
"""

_SPENT = f"""
WITH chosen AS (
    SELECT trial_id, number, state FROM trials JOIN studies USING (study_id)
    WHERE study_name = :study AND (number > :beyond OR number = ANY(CAST(:also AS integer[])))
), mine AS (
    SELECT a.*, extract(epoch FROM {UNTIL.format(attempt="a")} - started)::double precision AS seconds,
           (SELECT b.ended FROM hpo.attempts b WHERE b.worker = a.worker AND b.started < a.started
            ORDER BY b.started DESC LIMIT 1) AS before,
           row_number() OVER (PARTITION BY trial_id ORDER BY attempt DESC) = 1 AS newest
    FROM hpo.attempts a JOIN chosen USING (trial_id)
), tries AS (
    SELECT trial_id, sum(seconds) AS work, coalesce(sum(seconds) FILTER (WHERE NOT newest), 0) AS earlier,
           coalesce(sum(greatest(extract(epoch FROM started - before), 0)), 0)::double precision AS waiting,
           bool_or(newest AND outcome = 'pruned' AND error IS NULL) AS by_pruner, bool_or(current) AS held
    FROM mine GROUP BY trial_id
), places AS (
    SELECT trial_id, json_object_agg(device, seconds) AS devices
    FROM (SELECT trial_id, coalesce(facts ->> 'device', 'unknown') AS device, sum(seconds) AS seconds
          FROM mine GROUP BY 1, 2) m GROUP BY trial_id
), learned AS (
    SELECT trial_id, max(epoch) AS epochs, count(*) AS evaluations,
           sum((metrics ->> 'seconds')::double precision) AS learned
    FROM hpo.metrics JOIN chosen USING (trial_id) GROUP BY trial_id
)
SELECT t.number, t.state::text AS state, a.trial_id IS NOT NULL AS begun,
       t.state IN ('WAITING', 'RUNNING') OR coalesce(a.held, false) AS open,
       coalesce(a.work, 0) AS work, coalesce(a.earlier, 0) AS earlier, coalesce(a.waiting, 0) AS waiting,
       coalesce(a.by_pruner, false) AS by_pruner, coalesce(p.devices, '{{}}') AS devices,
       m.epochs, m.evaluations, m.learned, coalesce(r.seconds, '{{}}') AS phases,
       r.facts -> 'frozen' AS frozen, coalesce((r.facts ->> 'cached')::boolean, false) AS cached,
       coalesce(r.facts ->> 'device_name', r.facts ->> 'device') AS device,
       coalesce(r.settings #>> '{{training,epochs}}', r.settings #>> '{{simulated,evaluations}}',
                r.settings #>> '{{python,evaluations}}')::integer AS of_epochs
FROM chosen t LEFT JOIN tries a USING (trial_id) LEFT JOIN places p USING (trial_id)
LEFT JOIN learned m USING (trial_id) LEFT JOIN hpo.results r USING (trial_id)
ORDER BY t.number
"""


@contextmanager
def read(config: Config) -> Iterator[Report]:
    """The report of this configuration's database; raises DatabaseError where it cannot be reached."""
    with connect(config) as database:
        engine = database.engine()
        try:
            yield Report(database, engine)
        finally:
            engine.dispose()


@dataclass(frozen=True)
class Report:
    """Questions about all studies of a database, each one statement."""

    database: Database
    engine: Engine

    def studies(self) -> list[Row]:
        """All studies with their counts, newest last."""
        return self._rows(f"SELECT {_STUDY} FROM hpo.studies ORDER BY created, study") if self._ready() else []

    def study(self, study: str) -> Row:
        """One study with its counts; raises StudyError where there is none."""
        found = (
            self._rows(f"SELECT {_STUDY} FROM hpo.studies WHERE study = :study", study=study) if self._ready() else []
        )
        if not found:
            raise no_study(study, (row["study"] for row in self.studies()))
        return found[0]

    def trials(self, study: str) -> list[Row]:
        """All trials of a study by number, parameters in the study file's order."""
        order = _addresses(self.study(study)["spec"])
        found = self._rows(f"SELECT {_TRIAL} FROM hpo.trials WHERE study = :study ORDER BY number", study=study)
        return [trial | {"params": _ordered(trial["params"], order)} for trial in found]

    def trial(self, study: str, number: int) -> Row:
        """One trial with its settings, attempts and curve; raises StudyError where there is none."""
        self.study(study)
        found = self._rows(
            f"SELECT {_TRIAL}, settings, trial_id FROM hpo.trials WHERE study = :study AND number = :number",
            study=study,
            number=number,
        )
        if not found:
            raise StudyError(f"{study}: there is no trial {number}; hpo trials -s {study} lists them")
        return found[0] | {"curve": self.curve(study, number), "history": self._history(study, number)}

    def curve(self, study: str, number: int) -> list[Row]:
        """The evaluations of a trial in order."""
        return self._rows(
            "SELECT step, epoch, attempt, value, metrics, details, prune, recorded FROM hpo.learning_curves "
            "WHERE study = :study AND number = :number ORDER BY step",
            study=study,
            number=number,
        )

    def curves(self, study: str) -> list[Row]:
        """Number, step, epoch and value of all evaluations of a study, by trial and step."""
        return self._rows(
            "SELECT number, step, epoch, value FROM hpo.learning_curves WHERE study = :study ORDER BY number, step",
            study=study,
        )

    def attempts(self, study: str) -> list[Row]:
        """All attempts at trials of a study by start; `until` is now, on the server's clock, for one that goes on, and
        its last beat for one that is heard of no more."""
        return self._rows(
            "SELECT t.number, t.state, a.attempt, a.worker, a.host, a.started, a.outcome, "
            f"{UNTIL.format(attempt='a')} AS until FROM hpo.attempts a "
            "JOIN hpo.trials t USING (trial_id) WHERE t.study = :study ORDER BY a.started, t.number",
            study=study,
        )

    def spent(self, study: str, beyond: int = -1, also: Iterable[int] = ()) -> list[Row]:
        """What each trial of a study took, in seconds, as `hpo.spending` adds it up: of those with a number `beyond`
        that one, and of some `also`.

        `work` is that of all attempts and `earlier` of all but the last, `waiting` its workers' before it, `learned`
        that of its evaluations and the training before them; `phases` are those of the way to its result. One that is
        not `open` will take no more: its row stays as it is.
        """
        return self._rows(_SPENT, study=study, beyond=beyond, also=list(also))

    def best(self, study: str) -> Row | None:
        """The best complete trial with its parameters and the metrics of its best step; None while there is none."""
        return self._best(self.study(study))

    def predictions(self, study: str, split: str) -> list[Row]:
        """What models said of each row of a split ("valid" or "test"), a dict for each trial that has it kept: number,
        step, `classes`, and in the split's order `truth` and `predicted` (places in `classes`, from 0), `probability`
        of the predicted class and `loss` in nats."""
        return self._rows(
            "SELECT t.number, p.step, p.classes, p.truth, p.predicted, p.probability, p.loss FROM hpo.predictions p "
            "JOIN hpo.trials t USING (trial_id) WHERE t.study = :study AND p.split = :split ORDER BY t.number",
            study=study,
            split=split,
        )

    def fingerprint(self, study: str) -> str | None:
        """What tells the rows that a study was made with from others; None where it has none."""
        found = self._rows(
            "SELECT fingerprint FROM hpo.plans JOIN studies USING (study_id) WHERE study_name = :study", study=study
        )
        return found[0]["fingerprint"] if found else None

    def running(self, study: str) -> list[Row]:
        """The trials that some worker holds now, with their last evaluation."""
        return self._rows(
            "SELECT t.number, t.worker, t.attempts, t.activity, t.params, t.best_value, c.step, c.epoch, c.value, "
            "extract(epoch FROM clock_timestamp() - t.started)::double precision AS seconds "
            "FROM hpo.trials t LEFT JOIN LATERAL (SELECT step, epoch, value FROM hpo.learning_curves l "
            "WHERE l.study = t.study AND l.number = t.number ORDER BY step DESC LIMIT 1) c ON true "
            "WHERE t.study = :study AND t.state = 'RUNNING' ORDER BY t.number",
            study=study,
        )

    def watched(self, study: str) -> Row:
        """As `progress`, with what a live view shows of each trial that runs, and how long ago the best one ended.

        Of a trial: `epochs` that it has in all, its validation `losses` so far, all `metrics` of its last evaluation.
        """
        found = self.study(study)
        best = self._best(found)
        if best:
            best |= self._rows(_ENDED, study=study, number=best["number"])[0]
        return found | {"trials_running": self._rows(_WATCHED, study=study), "best": best}

    def workers(self) -> list[Row]:
        """The workers that hold a trial and live, in all studies; those that wait for one are not in the books."""
        return self._rows(_WORKERS) if self._ready() else []

    def progress(self, study: str) -> Row:
        """All that a live view shows: the study's counts, what runs, the best so far."""
        found = self.study(study)
        return found | {"trials_running": self.running(study), "best": self._best(found)}

    def _best(self, study: Row) -> Row | None:
        found = self._rows("SELECT * FROM hpo.best_params WHERE study = :study", study=study["study"])
        return found[0] | {"params": _ordered(found[0]["params"], _addresses(study["spec"]))} if found else None

    def _history(self, study: str, number: int) -> list[Row]:
        return self._rows(
            "SELECT a.attempt, a.worker, a.host, a.pid, a.started, a.ended, a.outcome, a.error FROM hpo.attempts a "
            "JOIN hpo.trials t USING (trial_id) WHERE t.study = :study AND t.number = :number ORDER BY a.attempt",
            study=study,
            number=number,
        )

    def _ready(self) -> bool:
        return self._rows("SELECT to_regclass('hpo.studies') IS NOT NULL AS ready")[0]["ready"] is True

    def _rows(self, statement: str, **values: Any) -> list[Row]:
        try:
            with self.engine.connect() as connection:
                return [dict(row) for row in connection.execute(text(statement), values).mappings()]
        except ProgrammingError as error:
            if isinstance(error.orig, UndefinedColumn | UndefinedTable):
                raise DatabaseError(_OLD) from None
            raise


class Reader:
    """A study to read from Python; close it, or use it as a context manager."""

    def __init__(self, report: Report, study: str, close: Callable[[], None]) -> None:
        self._report, self.study, self.close = report, study, close

    @classmethod
    def open(cls, config: Config, study: str) -> Self:
        """Connect; raises DatabaseError, or StudyError where there is no such study."""
        with ExitStack() as stack:
            report = stack.enter_context(read(config))
            report.study(study)
            return cls(report, study, stack.pop_all().close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def status(self) -> Row:
        """Counts, state and budget."""
        return self._report.study(self.study)

    @property
    def best(self) -> Row | None:
        """The best complete trial: number, value, params, metrics; None while there is none."""
        return self._report.best(self.study)

    @property
    def trials(self) -> list[Row]:
        """All trials by number."""
        return self._report.trials(self.study)

    def curve(self, number: int) -> list[Row]:
        """A trial's evaluations in order."""
        return self._report.curve(self.study, number)


def _addresses(spec: Row) -> list[str]:
    """What trials differ in, in the study file's order."""
    return list(spec["search"] or next(iter(spec.get("points", ())), {}))


def _ordered(params: Row, order: list[str]) -> Row:
    return {name: params[name] for name in [*order, *params] if name in params}
