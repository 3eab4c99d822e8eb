"""A trial whose worker is killed goes on from its checkpoint, to the same bits."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import cases
import families
import psycopg2
import pytest
from support import environment, wait_until

from hpo import spec as studies
from hpo.config import Config
from objectives.host import Host
from objectives.tasks import TASKS

pytestmark = pytest.mark.acceptance
Hpo = Callable[..., subprocess.CompletedProcess[str]]

REAL = """
study: {name}
objective:
  task: text-classification
  data: {{path: rows.csv, text: text, label: label, split: {{train: 80, valid: 24, test: 0}}, max_length: 16}}
  model: {{frozen_layers: 4, pooling: mean}}
  training: {{epochs: 6, batch_size: 8, warmup_ratio: 0.1, precision: fp32}}
search:
  training.learning_rate: {{low: 1e-4, high: 1e-3, log: true}}
sampler: random
pruner: {pruner}
trials: 2
"""
OTHERS = sorted({*TASKS} - {"text-classification"})
VARIED = {"image-classification": {"augmentation": "flip_crop"}}
TOY = """
study: {name}
objective: {{simulated: {{evaluations: 8, seconds: 8}}}}
search:
  simulated.dropout: {{low: 0.0, high: 0.5}}
sampler: random
pruner: {pruner}
trials: 2
"""


@pytest.fixture
def config(config: Config) -> Config:
    """Checkpoints at every evaluation."""
    return replace(config, checkpoint=0)


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., str]:
    words = ("cold", "warm", "slow", "quick", "old", "new", "soft", "loud")
    rows = [
        f"the {a} {b} {c},{'yes' if a < b else 'no'}" for a in words for b in words for c in ("day", "night") if a != b
    ]
    (tmp_path / "rows.csv").write_text("text,label\n" + "\n".join(rows) + "\n")

    def write(text: str, name: str, pruner: str = "none") -> str:
        (tmp_path / f"{name}.yaml").write_text(text.format(name=name, pruner=pruner))
        return str(tmp_path / f"{name}.yaml")

    return write


@pytest.fixture
def launched(config: Config) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []

    def launch(file: str, **environ: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "hpo", "launch", "-s", file, "-w", "1"]
        quiet = subprocess.DEVNULL
        processes.append(subprocess.Popen(command, env=environment(config) | environ, stdout=quiet, stderr=quiet))
        return processes[-1]

    yield launch
    for process in processes:
        process.kill()
        process.wait()


def shown(hpo: Hpo, name: str, number: int) -> dict[str, Any]:
    said = hpo("show", "-s", name, str(number), "--json", check=False)
    found: dict[str, Any] = json.loads(said.stdout) if said.returncode == 0 else {"curve": [], "history": []}
    return found


def worker(config: Config) -> int:
    """The pid of the one worker that holds a trial."""
    with closing(psycopg2.connect(str(config.database_url).replace("+psycopg2", ""))) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT pid FROM hpo.attempts WHERE current AND ended IS NULL")
        return int(cursor.fetchall()[0][0])


def losses(trial: dict[str, Any]) -> list[tuple[int, float]]:
    return [(row["step"], row["metrics"]["val_loss"]) for row in trial["curve"]]


def tiny_study(kind: str, folder: Path) -> Path:
    """The file of a study of one trial of this kind, with a tiny model: 24 evaluations, so that some are to come."""
    folder.mkdir()
    tree = cases.tree(kind, families.save(cases.CASES[kind].families[0], folder / "model"), folder, epochs=4)
    tree["training"] |= {"evaluations_per_epoch": 6, **VARIED.get(kind, {})}
    search = {"training.learning_rate": {"low": 1e-3, "high": 5e-3}}
    methods = {"sampler": "random", "pruner": "none", "trials": 1}
    (folder / "study.yaml").write_text(json.dumps({"study": kind, "objective": tree, "search": search, **methods}))
    return folder / "study.yaml"


def kill_begun(config: Config, killed: set[int]) -> set[int]:
    """Kill each worker whose trial has its first checkpoint and was not disturbed yet; the trials, `killed` with it."""
    with closing(psycopg2.connect(str(config.database_url).replace("+psycopg2", ""))) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT trial_id, pid FROM hpo.attempts WHERE current AND ended IS NULL AND attempt = 1")
        for trial, pid in cursor.fetchall():
            if trial not in killed and list(Path(config.checkpoints).glob(f"*/{trial}/*.safetensors")):
                os.kill(pid, signal.SIGKILL)
                killed.add(trial)
    return killed


def learned(curve: Iterable[Mapping[str, float]]) -> list[dict[str, float]]:
    """The metrics but for times and memory."""
    clocks = {"seconds", "examples_per_second", "peak_memory_bytes"}
    return [{name: value for name, value in metrics.items() if name not in clocks} for metrics in curve]


@pytest.mark.parametrize(
    ("text", "pruner"), [(TOY, "none"), (REAL, "none"), (REAL, "asha")], ids=["toy", "real", "asha"]
)
def test_a_killed_trial_ends_as_an_undisturbed_one(
    hpo: Hpo, study: Callable[..., str], launched: Any, config: Config, text: str, pruner: str
) -> None:
    hpo("launch", "-s", study(text, "calm", pruner), "-w", "1")
    launch = launched(study(text, "killed", pruner))
    wait_until(lambda: list(Path(config.checkpoints).glob("*/*/*-00000[1-5]-*.safetensors")), 90)
    os.kill(worker(config), signal.SIGKILL)
    assert launch.wait(120) == 0
    for number in (0, 1):
        calm, killed = shown(hpo, "calm", number), shown(hpo, "killed", number)
        assert losses(killed) == losses(calm)
        assert (killed["value"], killed["params"], killed["state"]) == (calm["value"], calm["params"], calm["state"])
    histories = [[attempt["outcome"] for attempt in shown(hpo, "killed", number)["history"]] for number in (0, 1)]
    assert ["died", "complete"] in histories
    assert "continues from the checkpoint of step" in hpo("logs", "-s", "killed").stdout
    assert not list((config.home / "artifacts").rglob("*.safetensors"))


@pytest.mark.timeout(900)  # six trainings and the starts of nine processes
@pytest.mark.parametrize("some", [OTHERS[:3], OTHERS[3:6], OTHERS[6:]], ids=" ".join)
def test_a_killed_trial_of_any_kind_ends_as_an_undisturbed_one(
    hpo: Hpo, launched: Any, config: Config, tmp_path: Path, some: Sequence[str]
) -> None:
    """Three at a time, since most of it is waiting; the undisturbed ones run in this process, without the service."""
    files = {kind: tiny_study(kind, tmp_path / kind) for kind in some}
    launches = [launched(str(file)) for file in files.values()]
    killed: set[int] = set()
    wait_until(lambda: len(kill_begun(config, killed)) == len(some), 200)
    assert [launch.wait(200) for launch in launches] == [0] * len(some)
    for kind, file in files.items():
        found, spec = shown(hpo, kind, 0), studies.load(file)
        assert [attempt["outcome"] for attempt in found["history"]] == ["died", "complete"]
        threads = found["facts"]["threads"]
        calm, _ = cases.run(studies.settings_for(spec, found["params"]), Host("cpu", threads))
        assert learned(row["metrics"] for row in found["curve"]) == learned(each.metrics for each in calm)
        assert (len(calm), found["value"]) == (24, min(each.metrics["val_loss"] for each in calm))
        assert "continues from the checkpoint of step" in hpo("logs", "-s", kind).stdout


def test_a_trial_does_without_what_it_began_without(hpo: Hpo, launched: Any, config: Config, tmp_path: Path) -> None:
    kind = "text-regression"
    file = tiny_study(kind, tmp_path / kind)
    launch = launched(str(file), HPO_LEAN_OFF="fused_optimizer,used_embeddings")
    wait_until(lambda: kill_begun(config, set()), 90)
    launch.kill()
    hpo("launch", "-s", str(file), "-w", "1", HPO_LEAN_OFF="all")
    found, spec = shown(hpo, kind, 0), studies.load(file)
    assert found["facts"]["lean_off"] == ["used_embeddings", "fused_optimizer"]
    assert found["facts"]["lean"] == ["without_padding", "first_token", "without_keys", "quick_dropout"]
    host = Host("cpu", found["facts"]["threads"], lean_off=("used_embeddings", "fused_optimizer"))
    calm, _ = cases.run(studies.settings_for(spec, found["params"]), host)
    assert learned(row["metrics"] for row in found["curve"]) == learned(each.metrics for each in calm)
    assert "continues from the checkpoint of step" in hpo("logs", "-s", kind).stdout


@pytest.mark.parametrize(("size", "cached"), [(None, True), ("1000", False)], ids=["room", "none"])
def test_a_cached_trial_whose_cache_is_gone(
    hpo: Hpo, study: Callable[..., str], launched: Any, config: Config, size: str | None, cached: bool
) -> None:
    """It is computed again, and the trial goes on to the same bits; where there is no room for it, it starts over."""
    file = study(REAL.replace("trials: 2", "trials: 1"), "cached")
    hpo("launch", "-s", study(REAL.replace("trials: 2", "trials: 1"), "calm"), "-w", "1")
    shutil.rmtree(config.caches)
    launch = launched(file)
    wait_until(lambda: list(Path(config.checkpoints).glob("*/*/*-00000[1-5]-*.safetensors")), 90)
    pid = worker(config)
    launch.kill()
    os.kill(pid, signal.SIGKILL)
    assert list(config.caches.glob("*.safetensors"))
    shutil.rmtree(config.caches)
    hpo("launch", "-s", file, "-w", "1", **({"HPO_CACHE_SIZE": size} if size else {}))
    calm, killed = shown(hpo, "calm", 0), shown(hpo, "cached", 0)
    assert (killed["state"], killed["facts"]["cached"], calm["facts"]["cached"]) == ("COMPLETE", cached, True)
    assert [step for step, _ in losses(killed)] == list(range(1, 7))
    said = hpo("logs", "-s", "cached").stdout
    assert "continues from the checkpoint of step" in said
    assert ("starting over" in said) is not cached
    close = pytest.approx([loss for _, loss in losses(calm)], abs=0.0 if cached else 1e-3)
    assert [loss for _, loss in losses(killed)] == close


def test_a_trial_goes_on_on_another_machine(hpo: Hpo, study: Callable[..., str], config: Config, launched: Any) -> None:
    """The first machine vanishes, launcher and worker at once; the second shares database and checkpoints alone."""
    shared = str(config.home.parent / "shared")
    places = {"HPO_ARTIFACTS": shared, "HPO_GRACE": "10"}
    launch = launched(study(TOY, "moved"), **places)
    wait_until(lambda: list(Path(shared).glob("checkpoints/*/*/*-00000[2-5]-*.safetensors")), 90)
    launch.kill()
    os.kill(worker(config), signal.SIGKILL)
    said = hpo("worker", "-s", "moved", HPO_HOME=str(config.home.parent / "elsewhere"), **places)
    assert "continues from the checkpoint of step" in said.stderr + said.stdout
    trial = shown(hpo, "moved", 0)
    assert ([attempt["outcome"] for attempt in trial["history"]], trial["state"]) == (["died", "complete"], "COMPLETE")
    attempts = [row["attempt"] for row in trial["curve"]]
    assert (attempts, attempts[-1]) == (sorted(attempts), 2)
    assert [row["step"] for row in trial["curve"]] == list(range(1, 9))
    assert trial["curve"][1]["attempt"] == 1


def test_a_stopped_trial_goes_on_where_it_was(hpo: Hpo, study: Callable[..., str], launched: Any) -> None:
    file = study(TOY, "stopped")
    launch = launched(file)
    wait_until(lambda: len(shown(hpo, "stopped", 0)["curve"]) >= 2)
    launch.send_signal(signal.SIGTERM)
    assert launch.wait(60) == 130
    before = shown(hpo, "stopped", 0)["curve"][-1]["step"]
    hpo("launch", "-s", file)
    curve = shown(hpo, "stopped", 0)["curve"]
    assert [row["attempt"] for row in curve] == [1] * before + [2] * (8 - before)
    assert f"continues from the checkpoint of step {before}" in hpo("logs", "-s", "stopped").stdout


def test_a_paused_training_ends_as_an_undisturbed_one(hpo: Hpo, study: Callable[..., str], launched: Any) -> None:
    """On the same worker, which waits for the study's resume."""
    long = REAL.replace("epochs: 6", "epochs: 40").replace("trials: 2", "trials: 1")
    hpo("launch", "-s", study(long, "calm"), "-w", "1")
    launch = launched(study(long, "paused"))
    wait_until(lambda: len(shown(hpo, "paused", 0)["curve"]) >= 1, 90)
    hpo("pause", "-s", "paused")
    wait_until(lambda: "waiting for hpo resume" in hpo("logs", "-s", "paused").stdout, 90)
    assert shown(hpo, "paused", 0)["activity"] == "paused"
    hpo("resume", "-s", "paused")
    assert launch.wait(120) == 0
    calm, paused = shown(hpo, "calm", 0), shown(hpo, "paused", 0)
    assert losses(paused) == losses(calm)
    assert (paused["value"], paused["params"], paused["state"]) == (calm["value"], calm["params"], "COMPLETE")
    assert [attempt["outcome"] for attempt in paused["history"]] == ["released", "complete"]
    assert "continues from the checkpoint of step" in hpo("logs", "-s", "paused").stdout


def test_a_folder_that_cannot_be_written_costs_no_trial(hpo: Hpo, study: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    hpo("launch", "-s", study(TOY, "full"), HPO_ARTIFACTS=str(tmp_path / "file"))
    assert shown(hpo, "full", 1)["state"] == "COMPLETE"
    assert "no checkpoint of step 1" in hpo("logs", "-s", "full").stdout


def test_what_a_killed_worker_left_is_swept(hpo: Hpo, study: Callable[..., str], launched: Any, config: Config) -> None:
    file = study(TOY, "swept")
    launch = launched(file)
    wait_until(lambda: list(Path(config.checkpoints).glob("*/*/*.safetensors")), 60)
    launch.send_signal(signal.SIGTERM)
    launch.wait(60)
    (kept,) = Path(config.checkpoints).glob("*/*")
    kept.rename(kept.with_name("999"))
    hpo("launch", "-s", file)
    assert not list(Path(config.checkpoints).glob("*/*"))
