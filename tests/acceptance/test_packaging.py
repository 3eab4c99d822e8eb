"""The wheel: what is in it, and that it works without the folder it was built from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import leave

from hpo import __version__

pytestmark = pytest.mark.acceptance
ROOT = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]

STUDY = """
study: packaged
objective: {simulated: {seconds: 0, evaluations: 2}}
search:
  simulated.learning_rate: {low: 1e-5, high: 1e-1, log: true}
sampler: random
trials: 3
"""


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the source archive and the wheel that is built from it, without a network."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT), cwd=folder)
    return folder


@pytest.fixture(scope="module")
def python(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment: the wheel, and the running environment's packages but no editable install,
    since a `.pth` file in a folder that a `.pth` file names is not read."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", str(folder), cwd=dist)
    wheel = next(dist.glob("*.whl"))
    pip = [sys.executable, "-m", "pip", "--python", str(folder), "install", "--no-index", "--no-deps", str(wheel)]
    run(*pip, cwd=dist)
    own = next(folder.glob("lib/python3.*/site-packages"))
    others = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (own / "others.pth").write_text("\n".join(others), "utf-8")
    return folder / "bin" / "python"


@pytest.fixture
def home() -> Iterator[Path]:
    """A home that the account of a server started by root can reach, unlike what is below `tmp_path`."""
    folder = Path(tempfile.mkdtemp(prefix="hpo-wheel-"))
    folder.chmod(0o711)
    yield folder
    leave(folder)


@pytest.fixture
def hpo(python: Path, home: Path, tmp_path: Path) -> Run:
    """The installed `hpo`, in an empty folder."""
    return lambda *arguments: run(
        str(python.with_name("hpo")), *arguments, cwd=tmp_path, HPO_HOME=str(home), OMP_NUM_THREADS="1"
    )


def run(*command: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a program that finds nothing through PYTHONPATH."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=cwd, env=inherited | environ, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def files(folder: Path, *patterns: str) -> set[str]:
    found = (path for pattern in patterns for path in folder.glob(pattern))
    return {str(path.relative_to(folder)) for path in found if path.is_file()}


def test_the_wheel_holds_the_code_the_shipped_studies_and_the_licence(dist: Path) -> None:
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    code = files(ROOT, "hpo/**/*.py", "hpo/**/*.mako", "objectives/**/*.py")
    studies = files(ROOT / "studies", "*.yaml", "data/**/*")
    metadata = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
    assert studies >= {"bert-news.yaml", "data/news.csv"}
    assert names == {
        *code,
        *(f"hpo/studies/{name}" for name in studies),
        *(f"hpo_transfer-{__version__}.dist-info/{name}" for name in metadata),
    }


def test_the_source_archive_holds_what_the_tests_need(dist: Path) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"Makefile", "constraints.txt", "LICENSE", "README.md", "tests/conftest.py", "studies/spam.yaml"} <= names


def test_the_installed_package_is_the_one_that_runs(python: Path, tmp_path: Path) -> None:
    places = "import hpo, objectives; print(hpo.__file__, objectives.__file__, sep='\\n')"
    found = run(str(python), "-c", places, cwd=tmp_path).stdout.splitlines()
    assert all(Path(place).is_relative_to(python.parents[1]) for place in found), found


def test_it_checks_launches_and_answers_from_an_empty_folder(hpo: Run, tmp_path: Path) -> None:
    assert hpo("--version").stdout.split() == ["hpo,", "version", __version__]
    assert "study: bert-news" in hpo("check", "bert-news").stdout
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "packaged.yaml").write_text(STUDY, "utf-8")
    hpo("launch", "--study", "packaged.yaml", "--workers", "2")
    best = json.loads(hpo("best", "--study", "packaged", "--json").stdout)
    assert best["study"] == "packaged"
    assert best["params"].keys() == {"simulated.learning_rate"}
    assert [path.name for path in tmp_path.iterdir()] == ["packaged.yaml"]
