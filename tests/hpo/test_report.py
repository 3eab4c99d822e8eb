"""What is read of a study from Python: best, trials, curves, and errors for what is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

import hpo
from hpo.attempts import Claim, Worker
from hpo.config import Config
from hpo.database import parse_url
from hpo.errors import DatabaseError, StudyError
from hpo.report import Reader, Report, read
from hpo.running import RunningTrial, Study
from hpo.spec import StudySpec
from hpo.store import Store
from objectives.evaluation import Evaluation

# The order of a study file is neither the alphabet's nor the settings'.
TREE = {
    "study": "read",
    "objective": {"simulated": {}},
    "search": {
        "simulated.optimizer": ["adamw", "sgd"],
        "simulated.dropout": {"low": 0.0, "high": 0.5},
        "simulated.batch_size": [8, 16],
        "simulated.learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
    },
    "sampler": "random",
    "pruner": "none",
    "trials": 9,
}
Begin = Callable[..., RunningTrial]


@pytest.fixture
def begin(store: Store) -> Begin:
    """Claim the next trial of a study and report these values of the metric."""

    def begin(metric: str, *values: float) -> RunningTrial:
        name = f"read-{metric}"
        spec = store.create(StudySpec.from_dict(TREE | {"study": name, "metric": metric})).spec
        claim = store.claim(name, Worker("here.7.1", "here", 7, 60.0))[1]
        assert isinstance(claim, Claim)
        trial = Study(store, name).begin(claim, spec)
        for step, value in enumerate(values, 1):
            trial.report(Evaluation(step, step / 2, {metric: value, "train_loss": float(step)}))
        return trial

    return begin


@pytest.mark.parametrize(
    ("metric", "trials", "best"),
    [
        ("val_loss", [(0.5, 0.25, 0.75), (0.5, 0.375)], (0, 0.25, 2)),
        ("val_loss", [(0.5, 0.5), (0.5,)], (0, 0.5, 1)),
        ("accuracy", [(0.5, 0.25), (0.125, 0.25, 0.75)], (1, 0.75, 3)),
        ("accuracy", [(0.5, 0.75), (0.75, 0.5)], (0, 0.75, 2)),
    ],
)
def test_the_best_is_the_best_complete_one_at_its_best_step(
    begin: Begin, url: str, metric: str, trials: list[tuple[float, ...]], best: tuple[int, float, int]
) -> None:
    """Better values of trials that were pruned, failed or still run do not count; the first of equals wins."""
    params = []
    for values in trials:
        trial = begin(metric, *values)
        trial.finish("complete")
        params.append(dict(trial.params))
    better = 0.0625 if metric == "val_loss" else 0.9375
    begin(metric, better).finish("pruned")
    begin(metric, better).finish("fail", error="no")
    begin(metric, better)
    number, value, step = best
    with hpo.open_study(f"read-{metric}", url) as study:
        assert study.best == {
            "study": f"read-{metric}",
            **{"number": number, "value": value, "step": step, "epoch": step / 2, "params": params[number]},
            "metrics": {metric: value, "train_loss": float(step)},
            **{"metric": metric, "direction": "minimize" if metric == "val_loss" else "maximize"},
        }
        assert list(study.best["params"]) == list(TREE["search"])  # type: ignore[call-overload]


def test_there_is_no_best_before_a_trial_is_complete(begin: Begin, url: str) -> None:
    begin("val_loss", 0.5)
    with hpo.open_study("read-val_loss", url) as study:
        assert study.best is None


def test_trials_come_by_number_with_parameters_in_the_files_order(begin: Begin, url: str) -> None:
    for _ in range(3):
        begin("val_loss", 0.5).finish("complete")
    with hpo.open_study("read-val_loss", url) as study:
        assert [trial["number"] for trial in study.trials] == [0, 1, 2]
        assert {tuple(trial["params"]) for trial in study.trials} == {tuple(TREE["search"])}  # type: ignore[arg-type]


def test_a_trial_has_its_settings_attempts_and_curve(begin: Begin, store: Store) -> None:
    begin("val_loss", 0.5)
    store.end_attempts_of("here.7.1", "died", "signal 9")
    trial = begin("val_loss", 0.5, 0.25)
    trial.finish("complete")
    found = Report(store.database, store.engine).trial("read-val_loss", 0)
    assert (found["value"], found["attempts"], found["worker"]) == (0.25, 2, "here.7.1")
    assert found["settings"]["simulated"]["dropout"] == trial.params["simulated.dropout"]
    assert [(row["attempt"], row["outcome"], row["error"]) for row in found["history"]] == [
        (1, "died", "signal 9"),
        (2, "complete", None),
    ]
    assert [(row["step"], row["attempt"], row["value"]) for row in found["curve"]] == [(1, 1, 0.5), (2, 2, 0.25)]


def test_a_curve_is_in_the_order_of_its_steps(begin: Begin, store: Store, url: str) -> None:
    """However the rows lie in the table."""
    trial = begin("val_loss")
    insert = (
        "INSERT INTO hpo.metrics (trial_id, step, attempt, epoch, metrics, prune) VALUES (:id, :n, 1, :n, '{}', false)"
    )
    with store.engine.begin() as connection:
        for step in (3, 1, 4, 2):
            connection.execute(text(insert), {"id": trial.claim.trial_id, "n": step})
    with hpo.open_study("read-val_loss", url) as study:
        assert [row["step"] for row in study.curve(0)] == [1, 2, 3, 4]


def test_what_runs_shows_its_last_evaluation(begin: Begin, store: Store) -> None:
    begin("val_loss", 0.25, 0.5)
    report = Report(store.database, store.engine)
    found = report.progress("read-val_loss")
    (running,) = found["trials_running"]
    assert {name: running[name] for name in ("number", "activity", "step", "epoch", "value", "best_value")} == {
        **{"number": 0, "activity": "running", "step": 2, "epoch": 1.0, "value": 0.5, "best_value": 0.25}
    }
    assert 0 <= running["seconds"] < 60
    assert (found["state"], found["running"], found["best"]) == ("running", 1, None)


def test_studies_come_in_the_order_of_their_making(store: Store) -> None:
    report = Report(store.database, store.engine)
    assert report.studies() == []
    for name in ("zebra", "ant"):
        store.create(StudySpec.from_dict(TREE | {"study": name}))
    assert [row["study"] for row in report.studies()] == ["zebra", "ant"]


def test_an_open_study_follows_what_happens(begin: Begin, url: str) -> None:
    begin("val_loss", 0.5).finish("complete")
    study = hpo.open_study("read-val_loss", url)
    assert isinstance(study, Reader)
    assert (study.study, study.status["complete"], study.status["trials"]) == ("read-val_loss", 1, 9)
    begin("val_loss", 0.25).finish("complete")
    assert study.status["complete"] == 2
    assert study.best is not None
    assert study.best["number"] == 1
    study.close()


UNKNOWN = "nowhere: no such study in the database; hpo studies lists them, hpo launch makes one"


def test_an_unknown_study(toy: Config) -> None:
    with pytest.raises(StudyError) as refused:
        hpo.open_study("nowhere", toy.database_url)
    assert str(refused.value) == UNKNOWN


@pytest.mark.parametrize("question", ["study", "trials", "best", "progress"])
def test_every_question_refuses_an_unknown_study(toy: Config, question: str) -> None:
    with read(toy) as report, pytest.raises(StudyError) as refused:
        getattr(report, question)("nowhere")
    assert str(refused.value) == UNKNOWN


def test_an_unknown_trial(toy: Config) -> None:
    with read(toy) as report:
        with pytest.raises(StudyError) as refused:
            report.trial("toy", 99)
        assert str(refused.value) == "toy: there is no trial 99; hpo trials -s toy lists them"
        with pytest.raises(StudyError) as refused:
            report.trial("nowhere", 0)
        assert str(refused.value) == UNKNOWN


def test_an_empty_database_has_no_studies(empty_url: str, config: Config) -> None:
    with read(Config(config.home, empty_url)) as report:
        assert report.studies() == []
        with pytest.raises(StudyError) as refused:
            report.trials("toy")
    assert str(refused.value) == UNKNOWN.replace("nowhere", "toy")


def test_a_database_that_is_not_there(toy: Config) -> None:
    url = parse_url(str(toy.database_url)).set(database="nowhere").render_as_string(hide_password=False)
    with pytest.raises(DatabaseError, match='FATAL:  database "nowhere" does not exist'):
        hpo.open_study("toy", url)


def test_the_environment_says_where_unless_told(toy: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPO_DATABASE_URL", str(toy.database_url))
    with hpo.open_study("toy") as study:
        assert study.status["state"] == "complete"


def test_a_reader_closes_its_connection(toy: Config) -> None:
    def connections(report: Report) -> Any:
        found = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        with report.engine.connect() as connection:
            return connection.scalar(text(found))

    with read(toy) as report:
        before = connections(report)
        with hpo.open_study("toy", toy.database_url):
            assert connections(report) == before + 1
        with pytest.raises(StudyError):
            hpo.open_study("nowhere", toy.database_url)
        for _ in range(200):  # a server's process needs a moment to end
            if connections(report) == before:
                return
    raise AssertionError("a connection stayed open")


def test_the_best_trial_is_found_without_looking_at_all_others(store: Store, begin: Begin) -> None:
    for number in range(8):
        begin("val_loss", 0.5 + number).finish("complete")
    with store.engine.begin() as connection:
        plan = connection.scalar(text("EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM hpo.best_params"))
    scans = [node for node in _nodes(plan[0]["Plan"]) if node.get("Relation Name") == "metrics"]
    assert scans, plan
    assert max(node["Actual Loops"] for node in scans) == 1


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in _nodes(child))]
