"""The embedded PostgreSQL server: started once, shared by every process of a home, stopped by the last one out."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from urllib.parse import quote

from hpo.errors import DatabaseError
from hpo.pgfiles import find_data, is_free, is_shared, locked, make_folder, settle, write_private
from hpo.pgprocess import (
    HOST,
    NAME,
    check_version,
    create,
    detach,
    find_postmaster,
    find_serving,
    launch,
    stop_server,
)

LINGER = 3.0  # seconds without a lease before the server stops: consecutive commands share one server

# The watchdog must outlive whoever started it, and start fast: the standard library and this package, no site.
WATCH = "import sys; sys.path.insert(0, sys.argv[1]); from hpo.postgres import watch; watch(sys.argv[2])"


@dataclass(frozen=True)
class Server:
    """Where a running server is; the password is in `passfile`, in libpq's format, for its owner only."""

    port: int
    passfile: Path
    data: Path
    bin: Path
    log: Path

    def url(self, database: str = NAME) -> str:
        """The URL of a database for SQLAlchemy."""
        return self.psql_url(database).replace("postgresql:", "postgresql+psycopg2:", 1)

    def psql_url(self, database: str = NAME) -> str:
        """The URL of a database for psql and everything else made with libpq."""
        return f"postgresql://{NAME}@{HOST}:{self.port}/{quote(database, safe='')}?passfile={quote(str(self.passfile))}"


@dataclass(frozen=True)
class Status:
    """What is known of a home's server: `kept` if it runs on without users, `in_use` if some process holds a lease."""

    running: bool
    kept: bool
    in_use: bool
    port: int | None
    pid: int | None
    version: str | None
    data: Path | None


@contextmanager
def lease(home: Path, pg_bin: Path | None = None, pg_user: str | None = None) -> Iterator[Server]:
    """Use the server of a home, which runs while anybody does; starts it if needed.

    Raises DatabaseError if there are no programs or no account for it, or if it does not start.
    """
    root = _root(home)
    with ExitStack() as held:
        with _explained(root):
            make_folder(root, 0o711 if os.geteuid() == 0 else 0o700)
            held.enter_context(locked(root / "leases", fcntl.LOCK_SH))
            _ensure_watchdog(root)
            server = _attach(root) or _start(root, pg_bin, pg_user)
        yield server


def attach(home: Path, pg_bin: Path | None = None, pg_user: str | None = None) -> Server:
    """Where the server of a home is now, started again if it died; for holders of a lease. Raises what `lease` does."""
    root = _root(home)
    with _explained(root):
        return _attach(root) or _start(root, pg_bin, pg_user)


def find(home: Path) -> Server | None:
    """The server of a home if it runs; starts nothing and waits for nothing. Raises DatabaseError."""
    root = _root(home)
    with _explained(root):
        return _attach(root)


def keep(home: Path, pg_bin: Path | None = None, pg_user: str | None = None) -> Server:
    """Start the server of a home, or attach to it, and leave it running until `stop`; raises what `lease` raises."""
    with lease(home, pg_bin, pg_user) as server:
        (_root(home) / "keep").touch()
        return server


def stop(home: Path, force: bool = False) -> bool:
    """Stop the server of a home; False if none was running.

    Raises DatabaseError if other processes use it, unless `force`, or if it does not stop.
    """
    root = _root(home)
    with _explained(root), ExitStack() as held:
        if not root.exists():
            return False
        if not force:
            _take_all_leases(root, held)
        held.enter_context(locked(root / "lock"))
        (root / "keep").unlink(missing_ok=True)
        return stop_server(root)


def status(home: Path) -> Status:
    """What is known of the server of a home, without starting or changing anything; raises DatabaseError."""
    root = _root(home)
    with _explained(root):
        data = find_data(root)
        found = find_postmaster(data) if data else None
        return Status(
            running=found is not None,
            kept=(root / "keep").exists(),
            in_use=root.exists() and not is_free(root / "leases") and is_free(root / "leases", fcntl.LOCK_SH),
            port=found.port if found else None,
            pid=found.pid if found else None,
            version=(data / "PG_VERSION").read_text().strip() if data else None,
            data=data,
        )


def watch(home: str) -> None:
    """Wait for the last lease to end, then stop the server unless it is kept: what the watchdog process does."""
    root = _root(Path(home))
    with suppress(BlockingIOError, FileNotFoundError), ExitStack() as all_leases, ExitStack() as alone:
        alone.enter_context(locked(_watchdog_lock(root), fcntl.LOCK_EX | fcntl.LOCK_NB))
        leases = all_leases.enter_context(locked(root / "leases"))
        while not _left_alone(leases):
            fcntl.flock(leases, fcntl.LOCK_EX)
        with locked(root / "lock"):
            # A home that was removed and made anew meanwhile is not ours to stop.
            if os.path.samestat(os.fstat(leases.fileno()), (root / "leases").stat()) and not (root / "keep").exists():
                stop_server(root)
        # Lets go of its own lock first: the next lease must not take this watchdog for one that still waits.
        alone.close()


def _left_alone(leases: FileIO) -> bool:
    """Let go of the leases for a while; whether nobody took one then, and all are ours again."""
    fcntl.flock(leases, fcntl.LOCK_UN)
    time.sleep(LINGER)
    with suppress(BlockingIOError):
        fcntl.flock(leases, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return time.time() - os.fstat(leases.fileno()).st_mtime >= LINGER
    return False


def _take_all_leases(root: Path, held: ExitStack) -> None:
    leases = root / "leases"
    with locked(leases, fcntl.LOCK_SH):
        pass  # waits for a watchdog that is just stopping the server: it has them all
    try:
        held.enter_context(locked(leases, fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError:
        raise DatabaseError(f"{root}: other processes use this server; end them first, or force it") from None


def _ensure_watchdog(root: Path) -> None:
    os.utime(root / "leases")
    if is_free(_watchdog_lock(root), fcntl.LOCK_SH):
        package = str(Path(__file__).resolve().parents[1])
        detach([sys.executable, "-I", "-S", "-c", WATCH, package, str(root.parent)], root / "log", None)


def _watchdog_lock(root: Path) -> Path:
    return root / f"watchdog-{socket.gethostname()}"


def _attach(root: Path) -> Server | None:
    """The server that runs already, if it accepts connections and all is known of it."""
    data, passfile, known = find_data(root), root / "passfile", root / "server.json"
    found = find_serving(data) if data else None
    if not data or not found or not passfile.exists() or not known.exists():
        return None
    return Server(found.port, passfile, data, Path(json.loads(known.read_text())["bin"]), root / "log")


def _start(root: Path, pg_bin: Path | None, pg_user: str | None) -> Server:
    with locked(root / "lock"):
        if server := _attach(root):
            return server
        _refuse_second_host(root)
        site = settle(root, pg_bin, pg_user)
        if not site.data.exists():
            create(site, root)
        elif not find_postmaster(site.data):
            check_version(site)
        found = launch(site, root)
        known = {"bin": str(site.bin), "data": str(site.data), "port": found.port, "pid": found.pid, "host": _here()}
        write_private(root / "server.json", json.dumps(known))
        return Server(found.port, root / "passfile", site.data, site.bin, root / "log")


def _here() -> list[str]:
    """What tells this machine from others: its name, and this run of it, which its containers share."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return [socket.gethostname(), *([boot.read_text().strip()] if boot.exists() else [])]


def _refuse_second_host(root: Path) -> None:
    """Two machines that share a home (NFS) must not start two servers on the same data."""
    data, known = find_data(root), root / "server.json"
    host = json.loads(known.read_text()).get("host", []) if known.exists() else []
    others = host and not {*host} & {*_here()}
    if others and data and (data / "postmaster.pid").exists() and is_shared(data):  # else the other is gone
        raise DatabaseError(
            f"{root}: the host {host[0]} has started this server and not stopped it; stop it there: hpo db stop; or, "
            f"where that machine is gone, remove {data / 'postmaster.pid'}; a server for several hosts is one with "
            "HPO_DATABASE_URL"
        )
    for lock in root.glob("watchdog-*"):
        if lock != _watchdog_lock(root) and not is_free(lock, fcntl.LOCK_SH):
            host = lock.name.removeprefix("watchdog-")
            raise DatabaseError(
                f"{root}: this server belongs to the host {host}, which uses it now; use another HPO_HOME here, "
                "or a server for several hosts with HPO_DATABASE_URL"
            )


@contextmanager
def _explained(root: Path) -> Iterator[None]:
    """An error of the file system is the person's to solve: a full disk, a folder of somebody else."""
    try:
        yield
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else root
        raise DatabaseError(f"{where}: {error.strerror}; mend that, or name another folder in HPO_HOME") from error


def _root(home: Path) -> Path:
    return home.resolve() / "postgres"
