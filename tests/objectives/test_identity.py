"""A study keeps to the models that it was made with, whatever becomes of their files or of the hub's main."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fakehub import COMMIT, Hub
from safetensors.torch import load_file, save_file
from sqlalchemy import text

from hpo import fitting, inputs, worker
from hpo.attempts import Worker
from hpo.config import Config
from hpo.errors import HpoError, SpecError, StudyError
from hpo.spec import StudySpec
from hpo.store import Store
from objectives import settings, sources, trial
from objectives.evaluation import Evaluation, Snapshot
from objectives.host import Host
from objectives.identity import identity, is_certain
from objectives.settings import Model

Checkpoint = Callable[[str], Path]
Run = Callable[..., subprocess.CompletedProcess[str]]
LATER = "f" * 40


@pytest.fixture
def folder(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    """A model of one's own to change."""
    return Path(shutil.copytree(checkpoint("bert"), tmp_path / "tiny"))


def alter(folder: Path) -> None:
    """Train it a little more, as it were: other weights under the same name, of the same size."""
    tensors = load_file(folder / "model.safetensors")
    torch.manual_seed(1)
    changed = {name: tensor + torch.randn_like(tensor) / 10 for name, tensor in tensors.items()}
    save_file(changed, folder / "model.safetensors", {"format": "pt"})


def of(folder: Path) -> str:
    return identity(sources.find(Model(name=str(folder))))


def tree(model: str, rows: Path) -> dict[str, Any]:
    return {
        "study": "kept",
        "folder": str(rows.parent),
        "objective": {
            "task": "text-classification",
            "model": {"name": model},
            "data": {"path": "rows.csv", "split": {"valid": 12, "test": 12}, "max_length": 32},
            "training": {"epochs": 2, "learning_rate": 5e-3},
        },
        "search": {"training.batch_size": [8, 16]},
        "sampler": "grid",
        "pruner": "none",
    }


def test_a_folder_is_its_files(folder: Path, tmp_path: Path) -> None:
    before = of(folder)
    assert before.startswith("files:")
    (folder / "README.md").write_text("said of it")
    (folder / "more.bin").write_text("not read")
    copied = Path(shutil.copytree(folder, tmp_path / "copy"))
    os.utime(copied / "config.json", (1, 1))
    assert of(folder) == of(copied) == before
    alter(folder)
    assert of(folder) != before
    assert is_certain(before)


@pytest.mark.parametrize(("found", "certain"), [(f"hub:{COMMIT}", True), ("hub:main", False), ("hub:v1.0", False)])
def test_a_branch_may_be_any_model(found: str, certain: bool) -> None:
    assert is_certain(found) is certain


def test_a_snapshot_of_another_model_is_passed_over(folder: Path, rows: Path, caplog: pytest.LogCaptureFixture) -> None:
    objective = tree(str(folder), rows)["objective"]
    objective["data"]["path"] = str(rows)
    wanted = settings.with_seed(settings.parse(objective), 0)
    kept: list[Snapshot] = []

    def losses(resume: Snapshot | None) -> list[float]:
        found: list[Evaluation] = []
        assert "model_identity" in trial.run(wanted, found.append, resume=resume, host=Host("cpu", 1)).runtime
        assert found[0].snapshot
        kept.append(found[0].snapshot())
        return [evaluation.metrics["val_loss"] for evaluation in found]

    losses(None)
    alter(folder)
    undisturbed = losses(None)
    assert losses(kept[0]) == undisturbed
    assert "model_identity is files:" in caplog.text
    assert "starting over" in caplog.text


@pytest.fixture
def made(store: Store, config: Config, folder: Path, rows: Path) -> StudySpec:
    """A study of that model."""
    spec = StudySpec.from_dict(tree("./tiny", rows))
    fingerprint = trial.prepare(inputs.pinned(spec, {}, config, {}))
    store.create(spec, fingerprint, inputs.identities(spec, config))
    return spec


SAID = "model.name: the files of ./tiny are not those that kept was made with; put the same files here, or start"


def test_a_worker_refuses_another_model(config: Config, folder: Path, made: StudySpec) -> None:
    alter(folder)
    with pytest.raises(HpoError, match=rf"^on here: {SAID} a new study with --as kept-2$"):
        worker.run(config, "kept", Worker("one", "here", 1, config.grace), threading.Event())


def test_a_worker_refuses_a_model_that_changed_while_it_worked(
    config: Config, store: Store, folder: Path, made: StudySpec
) -> None:
    """And gives the trial back that it had claimed."""
    with worker._at_work(config, Worker("one", "here", 1, config.grace), threading.Event(), None) as hands:
        serve = hands.enter("kept")
        alter(folder)
        with pytest.raises(HpoError, match=SAID):
            serve()
    with store.engine.connect() as connection:
        assert connection.scalars(text("SELECT outcome FROM hpo.attempts")).all() == ["released"]


def test_other_rows_are_refused(config: Config, store: Store, rows: Path, made: StudySpec) -> None:
    rows.write_text(rows.read_text().replace("good", "fine", 1))
    said = "on here: the rows are not those that kept was made with; copy the same files here, or start a new study"
    with pytest.raises(HpoError, match=said):
        worker.run(config, "kept", Worker("one", "here", 1, config.grace), threading.Event())
    with store.engine.connect() as connection:
        assert connection.scalars(text("SELECT trial_id FROM hpo.attempts")).all() == []  # before a trial is claimed
    with pytest.raises(StudyError, match="  the rows: the files have changed since it was made\nstart a new one"):
        store.create(made, trial.prepare(inputs.pinned(made, {}, config, {})))


def test_rows_that_changed_while_a_worker_worked_are_refused(
    config: Config, store: Store, rows: Path, made: StudySpec
) -> None:
    """The trials before were on the others; the one that was claimed is given back."""
    with worker._at_work(config, Worker("one", "here", 1, config.grace), threading.Event(), None) as hands:
        serve = hands.enter("kept")
        rows.write_text(rows.read_text() + rows.read_text().splitlines()[-1] + "\n")
        with pytest.raises(HpoError, match="on here: the rows are not those that kept was made with; copy the same"):
            serve()
    with store.engine.connect() as connection:
        assert connection.scalars(text("SELECT outcome FROM hpo.attempts")).all() == ["released"]
        assert connection.scalars(text("SELECT state FROM hpo.trials")).all() == ["RUNNING"]


def test_another_model_is_another_study(config: Config, store: Store, folder: Path, made: StudySpec) -> None:
    fingerprint = store.plan("kept").fingerprint
    assert store.create(made, fingerprint, inputs.identities(made, config)).models
    alter(folder)
    with pytest.raises(StudyError, match=r"  model.name: the files of ./tiny have changed since it was made\nstart a"):
        store.create(made, fingerprint, inputs.identities(made, config))
    assert store.create(replace(made, trials=1), fingerprint).spec.trials == 1  # nothing known, nothing compared


@pytest.mark.acceptance
def test_a_study_stays_at_the_commit_that_it_was_made_with(
    hpo: Run, fake_hub: Hub, checkpoint: Checkpoint, folder: Path, rows: Path, tmp_path: Path
) -> None:
    """Also on a machine that has never seen that commit, after main has moved to other weights."""
    fake_hub.models["acme/tiny"] = checkpoint("bert")
    file = tmp_path / "kept.yaml"
    file.write_text(json.dumps({name: value for name, value in tree("acme/tiny", rows).items() if name != "folder"}))
    launch = ("launch", "-s", str(file), "--set")
    hpo(*launch, "trials=1", **fake_hub.environ(tmp_path / "hf"))
    alter(folder)
    fake_hub.main, fake_hub.older = LATER, {COMMIT: dict(fake_hub.models)}
    fake_hub.models["acme/tiny"] = folder
    hpo(*launch, "trials=2", **fake_hub.environ(tmp_path / "elsewhere"))
    hpo(*launch, "study=moved", **fake_hub.environ(tmp_path / "elsewhere"))
    kept, moved = (json.loads(hpo("trials", "-s", name, "--json").stdout) for name in ("kept", "moved"))
    assert [one["facts"]["model_identity"] for one in kept] == [f"hub:{COMMIT}"] * 2
    assert {one["facts"]["model_identity"] for one in moved} == {f"hub:{LATER}"}
    assert kept[0]["value"] != moved[0]["value"]


@pytest.fixture
def paired(folder: Path, rows: Path, checkpoint: Checkpoint) -> StudySpec:
    """A study of that model with another as its decoder, which is searched."""
    shutil.copytree(checkpoint("roberta"), folder.parent / "other")
    made = tree("./tiny", rows)
    made["objective"]["task"] = {"kind": "translation", "max_target_length": 8}
    made["objective"]["model"]["decoder"] = "./other"
    made["search"] = {"model.decoder": ["./other", "./tiny"]}
    return StudySpec.from_dict(made)


def test_a_study_keeps_to_its_decoders(config: Config, folder: Path, paired: StudySpec) -> None:
    known = inputs.identities(paired, config)
    assert known == {"./tiny": of(folder), "./other": of(folder.parent / "other")}
    inputs.check_identities(paired, config, known)
    assert inputs.check_models(paired, config) == sources.find(
        Model(name=str(folder), decoder=str(folder.parent / "other"))
    )
    alter(folder.parent / "other")
    with pytest.raises(HpoError, match=r"^model\.decoder: the files of \./other are not those that kept was made with"):
        inputs.check_identities(paired, config, known)


def test_a_study_of_a_decoder_that_is_not_there_or_reads_other_tokens(
    config: Config, folder: Path, paired: StudySpec
) -> None:
    (folder.parent / "other" / "model.safetensors").unlink()
    with pytest.raises(
        SpecError, match=r"^study kept: objective\.model\.decoder: cannot load .*/other: it has no weig"
    ):
        inputs.check_models(paired, config)
    shutil.rmtree(folder.parent / "other")
    with pytest.raises(SpecError, match=r"objective\.model\.decoder: there is no folder '.*/other'"):
        fitting.check_inputs(paired)


@pytest.mark.parametrize(
    ("searched", "pins"),
    [
        ({}, ("a" * 40, "b" * 40)),
        ({"model.decoder": "acme/one"}, ("a" * 40, None)),
        ({"model.name": "x"}, (None, "b" * 40)),
    ],
)
def test_both_models_of_the_hub_are_pinned(
    config: Config, rows: Path, searched: dict[str, str], pins: tuple[str | None, str | None]
) -> None:
    made = tree("acme/one", rows)
    made["objective"]["model"]["decoder"] = "acme/two"
    made["search"] = {"model.decoder": ["acme/one", "acme/two"], "model.name": ["acme/one", "x"]}
    known = {"acme/one": f"hub:{'a' * 40}", "acme/two": f"hub:{'b' * 40}"}
    found = inputs.pinned(StudySpec.from_dict(made), searched, config, known)
    assert isinstance(found, settings.Transfer)
    assert (found.model.revision, found.model.decoder_revision) == pins


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            {"frozen_decoder_layers": 4},
            r"frozen_decoder_layers: 4 is more than the 3 blocks that the decoder of .*tiny has",
        ),
        ({"frozen_layers": 4}, r"frozen_layers: 4 is more than the 3 blocks that .*tiny has; lower it to 3"),
    ],
)
def test_a_study_that_freezes_more_than_a_side_has(paired: StudySpec, setting: dict[str, int], said: str) -> None:
    tree = paired.to_dict()
    tree["objective"]["model"] |= setting
    with pytest.raises(SpecError, match=said):
        fitting.check_inputs(StudySpec.from_dict(tree))


def test_a_study_that_writes_more_than_its_decoder_can(paired: StudySpec) -> None:
    tree = paired.to_dict()
    tree["objective"]["task"]["max_target_length"] = 40
    with pytest.raises(SpecError, match=r"task\.max_target_length: 40 is more than the 39 tokens that .* writes"):
        fitting.check_inputs(StudySpec.from_dict(tree))
