"""Where things are: the only reader of the environment; everything else gets arguments."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from hpo.errors import HpoError
from objectives.switches import PIECES, Piece, pieces


def who() -> str:
    """Who asks: the user and the machine of this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as containers have them
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


VARIABLES = {
    "database_url": "HPO_DATABASE_URL",
    "home": "HPO_HOME",
    "data_root": "HPO_DATA_ROOT",
    "pg_bin": "HPO_PG_BIN",
    "pg_user": "HPO_PG_USER",
    "devices": "CUDA_VISIBLE_DEVICES",
    "mps": "CUDA_MPS_PIPE_DIRECTORY",
    "beat": "HPO_BEAT",
    "grace": "HPO_GRACE",
    "patience": "HPO_PATIENCE",
    "artifacts": "HPO_ARTIFACTS",
    "checkpoint": "HPO_CHECKPOINT",
    "allow_code": "HPO_ALLOW_CODE",
    "cache": "HPO_CACHE",
    "cache_size": "HPO_CACHE_SIZE",
    "lean_off": "HPO_LEAN_OFF",
    "dashboard_password": "HPO_DASHBOARD_PASSWORD",
}
_YES_OR_NO = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True)
class Config:
    """The places of one process.

    `database_url` is None for the embedded server; `devices` is None where all CUDA devices may be used; `mps` is the
    folder in which NVIDIA's Multi-Process Service listens, None for its own default. A worker
    marks life every `beat` seconds and is taken for dead after `grace` seconds without; it waits `patience` seconds for
    a database that went away, and checkpoints a trial `checkpoint` seconds after the last time at the earliest (0 is at
    every evaluation) into `artifacts`, a folder or a URL that fsspec opens; None is a folder of `home`. Python code
    that comes with a model is run only with `allow_code`. What trials need not compute again is in `cache`, a folder of
    `home` by default, `cache_size` bytes at the most: 0 keeps nothing, None decides by the free disk. Trials do
    without the pieces of a lean step in `lean_off`. The dashboard asks for `dashboard_password`.
    """

    home: Path
    database_url: str | None = None
    data_root: Path | None = None
    pg_bin: Path | None = None
    pg_user: str | None = None
    devices: str | None = None
    mps: Path | None = None
    beat: float = 10.0
    grace: float = 60.0
    patience: float = 300.0
    artifacts: str | None = None
    checkpoint: float = 10.0
    allow_code: bool = False
    cache: Path | None = None
    cache_size: int | None = None
    lean_off: tuple[Piece, ...] = ()
    dashboard_password: str | None = field(default=None, repr=False)

    @property
    def logs(self) -> Path:
        """The folder of the workers' log files."""
        return self.home / "logs"

    @property
    def checkpoints(self) -> str:
        """The folder, or URL, of all checkpoints."""
        return f"{self.artifacts or self.home / 'artifacts'}/checkpoints"

    @property
    def trained(self) -> str:
        """The folder, or URL, of the models that retraining leaves."""
        return f"{self.artifacts or self.home / 'artifacts'}/models"

    @property
    def models(self) -> Path:
        """The folder of the models that were fetched from URLs."""
        return self.home / "models"

    @property
    def caches(self) -> Path:
        """The folder of what trials need not compute again."""
        return self.cache or self.home / "cache"

    def environ(self) -> dict[str, str]:
        """The variables that make a child process see the same places."""
        values = {name: getattr(self, where) for where, name in VARIABLES.items() if where != "dashboard_password"}
        values[VARIABLES["allow_code"]] = "1" if self.allow_code else None
        values[VARIABLES["lean_off"]] = ",".join(self.lean_off) or None
        return {name: str(value) for name, value in values.items() if value is not None}


def load(environ: Mapping[str, str] = os.environ, **flags: str | None) -> Config:
    """The configuration that flags give, else the environment, else the defaults; empty means unset.

    `CUDA_VISIBLE_DEVICES` is the exception: empty means no device at all, as CUDA reads it.
    """

    def value(field: str) -> str | None:
        found = flags.get(field)
        found = found if found is not None else environ.get(VARIABLES[field])
        return found if found or field == "devices" else None

    def path(field: str) -> Path | None:
        found = value(field)
        return Path(found).expanduser().absolute() if found else None

    def seconds(field: str, default: float, or_none: bool = False) -> float:
        found = value(field)
        try:
            number = float(found) if found else default
        except ValueError:
            number = -1.0
        if not 0 < number < float("inf") and not (or_none and number == 0):
            raise HpoError(
                f"{VARIABLES[field]}: {found!r} is not a number of seconds {'from' if or_none else 'above'} 0"
            )
        return number

    beat = seconds("beat", Config.beat)
    grace = seconds("grace", max(Config.grace, 3 * beat))
    if grace < 2 * beat:
        raise HpoError(f"{VARIABLES['grace']}: {grace:g} s is less than two beats of {beat:g} s ({VARIABLES['beat']})")
    return Config(
        home=path("home") or platformdirs.user_data_path("hpo"),
        database_url=value("database_url"),
        data_root=path("data_root"),
        pg_bin=path("pg_bin"),
        pg_user=value("pg_user"),
        devices=value("devices"),
        mps=path("mps"),
        beat=beat,
        grace=grace,
        patience=seconds("patience", Config.patience),
        artifacts=value("artifacts"),
        checkpoint=seconds("checkpoint", Config.checkpoint, or_none=True),
        allow_code=_allowed(value("allow_code") or "0"),
        cache=path("cache"),
        cache_size=_bytes(value("cache_size")),
        lean_off=_pieces(value("lean_off") or ""),
        dashboard_password=value("dashboard_password"),
    )


def _allowed(written: str) -> bool:
    if written.lower() not in _YES_OR_NO:
        raise HpoError(f"{VARIABLES['allow_code']}: {written!r} is neither 1 nor 0")
    return _YES_OR_NO[written.lower()]


def _bytes(found: str | None) -> int | None:
    """`20 GB` as a number of bytes."""
    if found is None:
        return None
    parts = re.fullmatch(r"(\d+(?:\.\d+)?) *([kKMGT]?)B?", found.strip())
    if parts is None:
        raise HpoError(f"{VARIABLES['cache_size']}: {found!r} is no size; right is one such as 20GB, or 0 for no cache")
    return int(float(parts[1]) * 1000 ** " KMGT".index(parts[2].upper() or " "))


def _pieces(written: str) -> tuple[Piece, ...]:
    """`sdpa, quick_dropout` as the names of pieces."""
    try:
        return pieces(name.strip() for name in written.split(",") if name.strip())
    except ValueError as error:
        raise HpoError(
            f"{VARIABLES['lean_off']}: {str(error)!r} is no piece of a lean step; right are all, {', '.join(PIECES)}"
        ) from None
