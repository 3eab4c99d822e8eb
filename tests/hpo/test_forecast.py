"""Which trials are tried for their cost, and the sums over them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import wait_until

from hpo import aside, dryrun, forecast
from hpo import spec as studies
from hpo.config import Config
from hpo.corners import MOST_POINTS, corners, listed
from hpo.dryrun import DryRun, Tried
from hpo.errors import HpoError
from hpo.launch.devices import Device
from hpo.methods import pruner
from hpo.space import Categorical, Float, Int, Params
from hpo.spec import StudySpec
from objectives.evaluation import Rehearsal

Run = Callable[..., Any]
GIB = 2**30


def bert_news(*overrides: str) -> StudySpec:
    return studies.load(studies.find("bert-news"), overrides)


def ran(*seconds: float, **more: Any) -> DryRun:
    found = [Rehearsal(10, 2, {"rows": 99.0, "load": 1.0, "train": some - 1}, **more) for some in seconds]
    return DryRun([Tried({}, each) for each in found], 5.0)


def test_the_corners_are_the_defaults_and_what_changes_the_cost() -> None:
    assert corners(bert_news().search) == [
        {},
        {"model.frozen_layers": 6, "training.batch_size": 8},
        {"model.frozen_layers": 6, "training.batch_size": 32},
        {"model.frozen_layers": 0, "training.batch_size": 8},
        {"model.frozen_layers": 0, "training.batch_size": 32},
    ]
    assert corners({"training.learning_rate": Float(1e-5, 1e-3)}) == [{}]


def test_work_grows_together_and_models_are_tried_each_up_to_a_number() -> None:
    space = {
        "training.epochs": Int(1, 8, step=3),
        "data.max_length": Categorical((64, 32)),
        "model.name": Categorical(tuple("abcdef")),
    }
    found = corners(space)
    assert len(found) == 1 + 2 * 4
    assert found[1] == {"model.name": "a", "training.epochs": 1, "data.max_length": 32}
    assert found[2] == {"model.name": "a", "training.epochs": 7, "data.max_length": 64}
    assert found[-1]["model.name"] == "d"


def test_of_listed_points_those_are_tried_that_differ_in_cost() -> None:
    rates = [{"training.epochs": epochs, "training.learning_rate": rate} for epochs in (2, 9) for rate in (0.1, 0.2)]
    assert list(listed([*rates, {"training.epochs": 9, "training.learning_rate": 0.3}])) == [
        (rates[0], 2),
        (rates[2], 3),
    ]
    many = [point["training.epochs"] for point, _ in listed([{"training.epochs": 1 + place} for place in range(50)])]
    assert (len(many), many[0], many[-1]) == (MOST_POINTS, 1, 50)


def test_a_list_takes_what_its_points_take() -> None:
    """Few rows, and not all of them: with all the shots of a search the estimate would be of no trial that there is."""
    spec = studies.load(studies.find("news-shots"))
    assert corners({"data.shots": Categorical((4, None))}) == [{}, {"data.shots": 4}, {"data.shots": None}]
    run = ran(100, 10, 40)
    run = replace(run, tried=[run.tried[0], replace(run.tried[1], trials=2), run.tried[2]])
    found = forecast.forecast(spec, run, 1, 0)
    assert (found.default, found.low, found.high, found.expected) == (100, 10, 40, 20)
    assert found.study_seconds == 5 + 3 * 20


def test_a_study_takes_its_trials_shared_out_among_the_workers() -> None:
    spec = bert_news("pruner=none", "trials=10")
    found = forecast.forecast(spec, ran(30, 10, 20, 30, 40), 2, 0)
    assert (found.default, found.low, found.high, found.expected) == (30, 10, 40, 25)
    assert (found.study_seconds, found.kept, found.pruned_seconds) == (5 + 10 * 25 / 2, None, None)
    assert forecast.forecast(spec, ran(30), 20, 0).study_seconds == 5 + 30
    queued = replace(spec, enqueue=({"training.batch_size": 8},) * 2)
    assert forecast.forecast(queued, ran(30), 1, 0).study_seconds == 5 + 12 * 30


def test_twice_the_epochs_are_twice_the_time() -> None:
    once, twice = (forecast.forecast(bert_news("pruner=none"), ran(some), 1, 0) for some in (30.0, 60.0))
    assert twice.study_seconds - 5 == 2 * (once.study_seconds - 5)


def test_all_blocks_are_the_least_work_that_there_is() -> None:
    name = "model.frozen_layers"
    assert corners({name: Categorical(("all", 2, 0))}) == [{}, {name: "all"}, {name: 0}]
    assert corners({name: Categorical(("all",))}) == [{}, {name: "all"}]


@pytest.mark.parametrize(
    ("unfrozen", "warned"),
    [
        ((2, 6), ["training.unfreeze_every: 4 of 6 blocks never learn: raise training.epochs, or lower it"]),
        ((6, 6), []),
    ],
)
def test_what_gradual_unfreezing_does_is_told(unfrozen: tuple[int, int], warned: list[str]) -> None:
    run = ran(20, 10, unfrozen=unfrozen)
    found = forecast.forecast(bert_news("training.unfreeze_every=1"), run, 1, 0)
    line = f"gradual unfreezing: {unfrozen[0]} of 6 blocks learn in the last epoch; epochs before it take less"
    assert line in forecast.told(found, "asha")
    assert [one for one in forecast.advice(found) if "unfreeze" in one] == warned
    assert forecast.plain(found, run)["unfrozen"] == {"learn": unfrozen[0], "of": 6}
    none = forecast.forecast(bert_news(), ran(20, 10), 1, 0)
    assert not any("unfreezing" in line for line in forecast.told(none, "asha"))
    assert forecast.plain(none, ran(20, 10))["unfrozen"] is None


def test_the_cache_of_frozen_layers_is_built_once_for_a_study_however_many_its_trials() -> None:
    def tried(params: Params, build: float | None) -> Tried:
        return Tried(params, replace(ran(20).tried[0].found, build_seconds=build))

    def run(*trials: Tried) -> DryRun:
        return DryRun(trials, 5.0)

    frozen, free = tried({"model.frozen_layers": 6}, 7.0), tried({"model.frozen_layers": 0}, None)
    spec = bert_news("trials=10", "pruner=asha")
    found = forecast.forecast(spec, run(tried({}, None), frozen, free), 2, 0)
    kept = forecast.kept_share(spec.pruner, spec.epochs, spec.evaluations_per_epoch)
    assert kept is not None
    assert (found.build_seconds, found.study_seconds) == (7.0, 5 + 7 + 10 * 20 / 2)
    assert found.pruned_seconds == pytest.approx(5 + 7 + kept * 10 * 20 / 2)
    assert "frozen layers: computed once for all trials, in 00:07 of that" in forecast.told(found, "asha")
    none = forecast.forecast(spec, run(free), 2, 0)
    assert (none.build_seconds, none.study_seconds) == (None, 5 + 10 * 20 / 2)
    assert not any("frozen" in line for line in forecast.told(none, "asha"))
    two = [tried({"model.name": name, "training.batch_size": size}, 7.0) for name in "ab" for size in (8, 32)]
    assert forecast.build_seconds(run(tried({}, None), *two)) == 14.0
    assert forecast.build_seconds(run(tried({}, 3.0))) == 3.0


@pytest.mark.parametrize(
    ("written", "epochs", "evaluations", "kept"),
    [
        ("asha", 1, 1, 1.0),
        ("asha", 2, 2, (2 + 2 / 2) / 4),
        ("asha", 8, 1, (1 + 1 / 2 + 2 / 4 + 4 / 8) / 8),
        ({"kind": "asha", "reduction_factor": 4, "min_resource": 2}, 10, 1, (2 + 6 / 4 + 2 / 16) / 10),
        ({"kind": "asha", "min_early_stopping_rate": 1}, 4, 1, (2 + 2 / 2) / 4),
        ("hyperband", 9, 1, ((1 + 2 / 3 + 6 / 9) / 9 + (3 + 6 / 3) / 9 + 1) / 3),
        ("median", 8, 1, None),
        ("none", 8, 1, None),
    ],
)
def test_what_halving_leaves_of_the_steps(written: Any, epochs: int, evaluations: int, kept: float | None) -> None:
    assert forecast.kept_share(pruner(written), epochs, evaluations) == pytest.approx(kept)


def test_hyperband_has_as_many_brackets_as_optuna_gives_it() -> None:
    from optuna.pruners import HyperbandPruner

    for least, most, factor in ((1, 9, 3), (1, 8, 3), (2, 8, 2), (1, 1, 2), (1, 100, 3)):
        known = HyperbandPruner(min_resource=least, max_resource=most, reduction_factor=factor)
        known._try_initialization(None)  # type: ignore[arg-type]
        assert forecast._brackets(least, most, factor) == known._n_brackets


def test_memory_that_is_not_there_is_warned_of() -> None:
    fits = {"peak_memory_bytes": 4 * GIB, "free_memory_bytes": 9 * GIB, "device": "cuda:0"}
    assert forecast.advice(forecast.forecast(bert_news(), ran(30, **fits), 2, 1)) == []
    assert forecast.advice(forecast.forecast(bert_news(), ran(30, **fits), 4, 2)) == []
    (line,) = forecast.advice(forecast.forecast(bert_news(), ran(30, **fits), 3, 1))
    assert line == "3 workers on cuda:0 take 12.0 GiB of memory and 9.0 GiB are free: at most 2 fit"
    (line,) = forecast.advice(forecast.forecast(bert_news(), ran(30, **(fits | {"free_memory_bytes": GIB})), 1, 1))
    assert line.endswith("1.0 GiB are free: a smaller batch_size or max_length, or more frozen layers, takes less")


def test_a_busy_machine_is_told_of() -> None:
    (line,) = forecast.advice(forecast.forecast(bert_news(), ran(30, cpu_share=0.3), 1, 0))
    assert line.startswith("the dry run had 30% of the time of the cores it used")
    assert forecast.advice(forecast.forecast(bert_news(), ran(30, cpu_share=0.9), 1, 0)) == []


def test_a_dry_run_of_a_simulated_study_answers_from_its_settings(run: Run, toy_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "toy.yaml"
    file.write_text(toy_file.read_text().replace("evaluations: 2", "evaluations: 2, seconds: 8.0"))
    found = run("check", str(file), "--dry-run", "-w", "3")
    assert found.code == 0, found.err
    assert "a trial: 8 s on average, 8 to 8 s\n" in found.err
    assert "the study: 3 trials on 3 workers take 00:" in found.err
    assert "memory" not in found.err
    assert found.out == run("check", str(file)).out


def test_check_as_json_is_one_object(run: Run, toy_file: Path, tmp_path: Path) -> None:
    found = run("check", str(toy_file), "--dry-run", "--json")
    answer = json.loads(found.out)
    assert (found.err, answer["survey"], answer["study"]["trials"]) == ("", None, 3)
    assert answer["estimate"]["trials"] == 3
    assert answer["estimate"]["tried"][0]["params"] == {}
    assert json.loads(run("check", str(toy_file), "--json").out)["estimate"] is None
    shipped = json.loads(run("check", "spam", "--json").out)
    assert shipped["survey"]["measures"]["rows"] == {"train": 236, "valid": 108, "test": 86}
    assert shipped["survey"]["odd"]["looked"] == 344
    assert shipped["study"]["objective"]["data"]["text"] == "text"


def test_workers_without_a_dry_run_are_refused(run: Run, toy_file: Path) -> None:
    found = run("check", str(toy_file), "-w", "2")
    assert found.code == 2
    assert "--workers goes with --dry-run" in found.err


def test_an_objective_error_names_the_parameters(config: Config, tmp_path: Path) -> None:
    spec = bert_news("model.name=./nowhere", "search.model.frozen_layers=[0]")
    with pytest.raises(HpoError, match=r"^dry run, the objective's own values: model.name: there is no folder"):
        dryrun.dry_run(spec, config, 1, [])


@pytest.mark.parametrize(
    ("code", "answers", "said"),
    [
        (1, [{"steps": 1}, {"error": "out of memory on cpu"}], "dry run, a=1: out of memory on cpu"),
        (-signal.SIGKILL, [{"steps": 1}], "dry run, a=1: killed, as the system does where memory does not suffice"),
        (1, [], "hpo.rehearsal ended with 1"),
    ],
)
def test_how_a_dry_run_failed_is_told(code: int, answers: list[dict[str, Any]], said: str) -> None:
    assert str(aside.failed("rehearse", code, answers, "Traceback", [{}, {"a": 1}])).startswith(said)


def test_a_dry_run_computes_as_a_worker_of_so_many(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    from hpo.launch.local import environ

    monkeypatch.delenv("OMP_NUM_THREADS")
    cores = len(os.sched_getaffinity(0))
    assert environ(config, [], 0, cores)["OMP_NUM_THREADS"] == "1"
    assert environ(config, [Device("3"), Device("5")], 1, 2)["CUDA_VISIBLE_DEVICES"] == "5"


def test_a_worker_keeps_memory_for_its_next_step(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    from hpo.launch.local import environ

    tunables = environ(config, [], 0, 1)["GLIBC_TUNABLES"].split(":")
    assert {"glibc.malloc.mmap_threshold=1073741824", "glibc.malloc.trim_threshold=1073741824"} == {*tunables}
    monkeypatch.setenv("GLIBC_TUNABLES", "mine")
    assert environ(config, [], 0, 1)["GLIBC_TUNABLES"] == "mine"


def test_ctrl_c_ends_a_dry_run_without_a_word(config: Config, tmp_path: Path, toy_file: Path) -> None:
    """The program that stands for Python tells its pid and waits."""
    told, slow = tmp_path / "pid", tmp_path / "python"
    slow.write_text(f"#!/bin/sh\necho $$ > {told}\nexec sleep 600\n")
    slow.chmod(0o755)
    arguments = ["check", str(toy_file), "--dry-run"]
    program = f"import sys, hpo.cli; sys.executable = {str(slow)!r}; hpo.cli.main({arguments})"
    environ = {**os.environ, **config.environ()}
    process = subprocess.Popen(
        [sys.executable, "-c", program], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: told.is_file() and told.read_text().strip())
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said.strip()) == (130, "")
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.read_text()), 0)
