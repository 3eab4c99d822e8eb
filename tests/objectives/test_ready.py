"""Models behind URLs, and models with code of their own: made ready, or refused before anything is trained."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from support import environment

from hpo.config import Config
from objectives import remote, settings, trial
from objectives.errors import ModelError, without_login
from objectives.host import Host
from objectives.ready import in_use, ready
from objectives.settings import Model

Checkpoint = Callable[[str], Path]
Run = Callable[..., subprocess.CompletedProcess[str]]

CODE = """
open({marker!r}, "a").write("ran ")
from transformers import BertConfig, BertForSequenceClassification

class OwnConfig(BertConfig):
    model_type = "own"

class OwnModel(BertForSequenceClassification):
    config_class = OwnConfig
"""


@pytest.fixture
def folder(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    """A model's folder that a test may change."""
    return Path(shutil.copytree(checkpoint("bert"), tmp_path / "model"))


@pytest.fixture
def marker(folder: Path, tmp_path: Path) -> Path:
    """The file that is there once the code which comes with the model was run."""
    path = tmp_path / "ran"
    config = json.loads((folder / "config.json").read_text())
    classes = {"AutoConfig": "own.OwnConfig", "AutoModelForSequenceClassification": "own.OwnModel"}
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "own", "auto_map": classes}))
    (folder / "own.py").write_text(CODE.format(marker=str(path)))
    return path


@pytest.fixture
def study(rows: Path, folder: Path, tmp_path: Path) -> Path:
    """A study of one trial with the model in the folder."""
    path = tmp_path / "own.yaml"
    path.write_text(
        f"study: own\nobjective: {{task: text-classification, model: {folder}, data: {{path: {rows}, max_length: 32}}, "
        "training: {epochs: 1}}\nsearch: {training.batch_size: [8, 16]}\ntrials: 1\n"
    )
    return path


def test_a_model_behind_a_url_is_copied_once(folder: Path, tmp_path: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"pickled")
    model, cache = Model(name=f"file://{folder}"), tmp_path / "cache"
    found = ready(model, cache=cache)
    assert Path(found.where).parent == cache
    names = {path.name for path in Path(found.where).iterdir()}
    assert names == {path.name for path in folder.iterdir()} - {"pytorch_model.bin"}
    assert found.full_name == f"file://{folder} (copy {Path(found.where).name[-16:]})"
    (Path(found.where) / "mark").touch()
    assert ready(model, cache=cache) == found
    assert (Path(found.where) / "mark").exists()
    assert not list(cache.glob(".part-*"))


def test_a_model_that_changed_behind_its_url_is_copied_anew(folder: Path, tmp_path: Path) -> None:
    model, cache = Model(name=f"file://{folder}"), tmp_path / "cache"
    before = ready(model, cache=cache)
    config = folder / "config.json"
    content, status = config.read_text(), config.stat()
    config.write_text(content.replace('"hidden_dropout_prob": 0.1', '"hidden_dropout_prob": 0.2'))
    os.utime(config, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    after = ready(model, cache=cache)
    assert after.where != before.where
    assert "0.2" in (Path(after.where) / "config.json").read_text()


def test_one_process_copies_and_the_others_wait(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.local import LocalFileSystem

    copied, copy = [], LocalFileSystem.get_file
    monkeypatch.setattr(LocalFileSystem, "get_file", lambda *words, **_: (copied.append(words[1]), copy(*words))[1])
    found: list[Any] = []
    model = Model(name=f"file://{folder}")
    threads = [threading.Thread(target=lambda: found.append(ready(model, cache=tmp_path / "cache"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({source.where for source in found}) == 1
    assert len(found) == 4
    assert len(copied) == len(set(copied))


def test_half_a_copy_is_never_read(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.local import LocalFileSystem

    def fails(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    model, cache = Model(name=f"file://{folder}"), tmp_path / "cache"
    with monkeypatch.context() as patch:
        patch.setattr(LocalFileSystem, "get_file", fails)
        with pytest.raises(ModelError, match=r"cannot copy file://.* to .*: No space left on device$"):
            ready(model, cache=cache)
    assert not [path for path in cache.iterdir() if path.is_dir()]
    assert ready(model, cache=cache)


def test_a_url_that_cannot_be_asked_is_served_by_its_copy(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unreachable(_: str) -> None:
        raise ConnectionError("no route to s3://me:secret@host")

    model, cache = Model(name=f"file://{folder}"), tmp_path / "cache"
    before = ready(model, cache=cache)
    monkeypatch.setattr(remote, "_listed", unreachable)
    assert ready(model, cache=cache) == before
    assert "cannot be asked (no route to s3://host); its last copy is used" in caplog.text
    with pytest.raises(ModelError, match=r"^model\.name: cannot fetch memory://other: no route to s3://host$"):
        ready(Model(name="memory://other"), cache=cache)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("file:///no/such", "cannot fetch file:///no/such: "),
        ("memory://empty", "cannot fetch memory://empty: "),
        ("nothing://me:secret@host/x", "cannot fetch nothing://host/x: Protocol not known: nothing"),
    ],
)
def test_a_url_without_a_model_is_one_line(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as refused:
        ready(Model(name=name), cache=tmp_path)
    assert str(refused.value).startswith(f"model.name: {said}")
    assert "\n" not in str(refused.value)


def test_who_waits_for_a_copy_hears_what_ends_the_trial(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And does not wait for ever; nor is a copy finished that nobody wants any more."""
    cache, wanted = tmp_path / "cache", Model(name=f"file://{folder}")
    copy = Path(ready(wanted, cache=cache).where)
    shutil.rmtree(copy)
    heard: list[int] = []

    def heed() -> None:
        heard.append(1)
        if len(heard) > 3:
            raise KeyError("ended")

    with FileLock(f"{copy}.lock"):
        with pytest.raises(KeyError, match="ended"):
            ready(wanted, cache=cache, heed=heed)
        monkeypatch.setattr(remote, "PATIENCE", 0.0)
        with pytest.raises(ModelError, match=r"another process has been copying it for 0 minutes; see what holds"):
            ready(wanted, cache=cache)
    heard.clear()
    with pytest.raises(KeyError, match="ended"):
        ready(wanted, cache=cache, heed=heed)  # before its third file
    assert [path.name for path in cache.iterdir()] == [f"{copy.name}.lock"]
    assert ready(wanted, cache=cache).where == str(copy)


def test_copies_are_removed_but_none_that_is_in_use(folder: Path, tmp_path: Path) -> None:
    cache, wanted = tmp_path / "cache", Model(name=f"file://{folder}")
    old = Path(ready(wanted, cache=cache).where)
    (folder / "config.json").write_text((folder / "config.json").read_text() + " ")
    with in_use(wanted, cache=cache) as source:
        new = Path(source.where)
        assert [entry.path for entry in remote.copies(cache)] == [old, new]
        size = sum(path.stat().st_size for path in new.iterdir())
        assert remote.copies(cache)[1].size == size > 10_000
        removed, used = remote.clear(cache)
        assert ([entry.path for entry in removed], [entry.path for entry in used]) == ([old], [new])
        assert (new / "config.json").is_file()
    assert [entry.path for entry in remote.clear(cache)[0]] == [new]
    assert (remote.copies(cache), [path for path in cache.iterdir() if path.is_dir()]) == ([], [])
    with in_use(wanted, cache=cache) as source:
        assert Path(source.where) == new, "it is fetched again"


def test_a_copy_that_goes_before_it_is_held_is_fetched_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, wanted, fetched = tmp_path / "cache", Model(name=f"file://{folder}"), remote.fetched
    went: list[str] = []

    def fleeting(*arguments: Any) -> Any:
        found = fetched(*arguments)
        if not went:
            went.append(found.where)
            remote.clear(cache)
        return found

    monkeypatch.setattr(remote, "fetched", fleeting)
    with in_use(wanted, cache=cache) as source:
        assert (source.where, Path(source.where).is_dir()) == (went[0], True)


def test_a_trial_holds_its_copy(folder: Path, rows: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    tree = {
        "task": "text-classification",
        "model": f"file://{folder}",
        "data": {"path": str(rows), "max_length": 32},
        "training": {"epochs": 1, "seed": 0},
    }
    found: list[tuple[int, int]] = []
    trial.run(
        settings.parse(tree),
        lambda _: found.append((len(remote.clear(cache)[0]), len(remote.clear(cache)[1]))),
        host=Host("cpu", 1, models=cache),
    )
    assert found == [(0, 1)]


def test_a_folder_without_a_model_is_one_line(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model.bin")
    with pytest.raises(ModelError, match=r"its weights are model\.bin, which are not read; there is no file named mod"):
        ready(Model(name=str(folder)))
    assert ready(Model(name=str(folder), pretrained=False))
    (folder / "config.json").write_text('{"model_type": "unheard-of"}')
    with pytest.raises(ModelError, match=r"transformers 5\S+ does not know its architecture 'unheard-of'"):
        ready(Model(name=str(folder), pretrained=False))
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json is broken JSON"):
        ready(Model(name=str(folder)))
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"has no config\.json; right is a model of transformers"):
        ready(Model(name=str(folder)))
    with pytest.raises(ModelError, match=r"holds model\.bin|holds .*; right is a folder with config\.json"):
        ready(Model(name=f"file://{folder}"), cache=tmp_path / "cache")


def test_a_trial_with_a_model_behind_a_url(folder: Path, rows: Path, tmp_path: Path) -> None:
    tree = {
        "task": "text-classification",
        "model": f"file://{folder}",
        "data": {"path": str(rows), "max_length": 32},
        "training": {"epochs": 1, "seed": 0},
    }
    wanted = settings.parse(tree)
    assert trial.prepare(wanted, Host(models=tmp_path / "cache"))
    result = trial.run(wanted, lambda _: None, host=Host("cpu", 1, models=tmp_path / "cache"))
    assert result.facts["model"].startswith(f"file://{folder} (copy ")


def test_code_of_a_model_is_not_run_by_a_check(run_own: Run, study: Path, marker: Path) -> None:
    refused = run_own("check", str(study))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "comes with Python code of its own, which is not run unless you allow it" in refused.stderr
    assert "--allow-code" in refused.stderr
    assert run_own("check", str(study), "--allow-code").returncode == 0
    assert run_own("check", str(study), HPO_ALLOW_CODE="1").returncode == 0
    assert "--allow-code" in run_own("launch", "-s", str(study)).stderr
    assert not marker.exists()


@pytest.mark.acceptance
def test_code_of_a_model_is_run_where_it_is_allowed(run_own: Run, study: Path, marker: Path) -> None:
    done = run_own("launch", "-s", str(study), "--allow-code")
    assert done.returncode == 0, done.stderr
    assert "own: 1 complete" in done.stderr
    assert marker.exists()

    marker.unlink()
    assert run_own("launch", "-s", str(study), "--trials", "2", "--allow-code", "--as", "more").returncode == 0
    marker.unlink()
    run_own("enqueue", "-s", "own", "--set", "training.batch_size=8")
    refused = run_own("worker", "-s", "own")
    assert refused.returncode == 1
    assert "--allow-code" in refused.stderr
    assert not marker.exists()
    assert run_own("worker", "-s", "own", "--allow-code").returncode == 0
    assert marker.exists()


@pytest.fixture
def run_own(hpo: Run, config: Config, tmp_path: Path) -> Run:
    """`hpo`, whose transformers keeps the code that it runs in a folder of this test."""

    def run(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        own = {"HF_HOME": str(tmp_path / "hf"), "CUDA_VISIBLE_DEVICES": "", "HPO_GRACE": "60"}
        return hpo(*words, check=False, **own, **environ)

    return run


def test_code_is_allowed_by_an_argument_alone(folder: Path, rows: Path, marker: Path, config: Config) -> None:
    script = f"""
from objectives import settings, trial
from objectives.errors import ModelError
from objectives.host import Host
tree = {{"task": "text-classification", "model": {str(folder)!r}, "data": {{"path": {str(rows)!r}, "max_length": 32}},
        "training": {{"epochs": 1, "seed": 0}}}}
wanted = settings.parse(tree)
for go in (trial.prepare, lambda wanted: trial.run(wanted, lambda _: None, host=Host("cpu"))):
    try: go(wanted)
    except ModelError as error: print("allow-code" in str(error))
from pathlib import Path
print(Path({str(marker)!r}).exists())
trial.prepare(wanted, Host(allow_code=True))
print(trial.run(wanted, lambda _: None, host=Host("cpu", allow_code=True)).trainable_parameters > 0)
"""
    environ = environment(config) | {"HF_HOME": str(marker.parent / "hf"), "HPO_ALLOW_CODE": "1"}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, cwd=root, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["True", "True", "False", "True"], done.stderr


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("s3://me:pass@word@host/model", "s3://host/model"),
        ("https://host/model?sig=secret&token=x is gone", "https://host/model is gone"),
        ("https://host/a@b", "https://host/a@b"),
    ],
)
def test_what_people_read_holds_no_login(written: str, shown: str) -> None:
    assert without_login(written) == shown


@pytest.mark.parametrize(("family", "images"), [("bert", True), ("vit", False)])
def test_a_model_reads_what_the_task_has(checkpoint: Checkpoint, family: str, images: bool) -> None:
    model = Model(name=str(checkpoint(family)))
    assert ready(model, images=not images).where == model.name
    its, wanted = ("texts", "images") if images else ("images", "texts")
    with pytest.raises(ModelError, match=rf"model\.name: .* reads {its}, and the task {wanted}; right is such as "):
        ready(model, images=images)
