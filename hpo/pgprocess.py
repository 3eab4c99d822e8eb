"""The server process of one data folder: made, started, told from strangers, stopped."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from hpo.errors import DatabaseError
from hpo.pgfiles import Account, Site, find_data, new_data, run_as, write_private

HOST = "127.0.0.1"
NAME = "hpo"  # of the role and of the database
START_SECONDS = 120.0  # crash recovery included
STOP_SECONDS = 60.0
PAUSES = (0, 0.1, 0.2, 0.5, 1)  # seconds before each attempt: a killed server's last processes need some to end
LOG_BYTES = 10_000_000

SETTINGS = f"""
listen_addresses = '{HOST}'
unix_socket_directories = ''
shared_buffers = 64MB
password_encryption = scram-sha-256
"""
ACCESS = """
host all all 127.0.0.1/32 scram-sha-256
host all all ::1/128 scram-sha-256
"""


@dataclass(frozen=True)
class Postmaster:
    """A server's main process; `ready` once it lets clients in."""

    pid: int
    port: int
    ready: bool


def create(site: Site, root: Path) -> None:
    """Make the data folder: complete, with its database and password, or not at all."""
    with new_data(site) as data:
        initdb: list[str | Path] = [
            site.bin / "initdb",
            "-D",
            data,
            "-U",
            NAME,
            "-A",
            "reject",
            "--encoding=UTF8",
            "--locale=C",
        ]
        _run(initdb, site.account)
        with (data / "postgresql.conf").open("a") as settings:
            settings.write(SETTINGS)
        (data / "pg_hba.conf").write_text(ACCESS)
        _single_user(site, data, f"CREATE DATABASE {NAME}")
        _set_password(site, data, root)


def _set_password(site: Site, data: Path, root: Path) -> None:
    password = secrets.token_hex(16)
    _single_user(site, data, f"ALTER ROLE {NAME} PASSWORD '{password}'")
    # Any port: it may change, and the file's readers need not know.
    write_private(root / "passfile", f"{HOST}:*:*:{NAME}:{password}\n")


def _single_user(site: Site, data: Path, statement: str) -> None:
    _run([site.bin / "postgres", "--single", "-D", data, "-c", "exit_on_error=on", "postgres"], site.account, statement)


def _run(command: Sequence[str | Path], account: Account | None, text: str = "") -> None:
    """Run a program of PostgreSQL to its end; raises DatabaseError with what it said last."""
    done = subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        cwd="/",
        env={"LC_ALL": "C"},
        check=False,
        **run_as(account),
    )
    if done.returncode != 0:
        raise DatabaseError(f"{command[0]} failed: {_complaint(done.stdout + done.stderr)}")


def _complaint(output: str) -> str:
    """The last line of an output that tells of an error, else the last line."""
    lines = [line for line in output.splitlines() if line.strip()] or ["it said nothing"]
    return next((line for line in reversed(lines) if re.search("FATAL|PANIC|error:", line)), lines[-1]).strip()


def check_version(site: Site) -> None:
    """Raises DatabaseError if the data were made by another major version, which cannot read them."""
    made = (site.data / "PG_VERSION").read_text().strip()
    said = subprocess.run([site.bin / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    if not re.search(rf"\) {made}\b", said):
        raise DatabaseError(
            f"{site.data} was made by PostgreSQL {made}, but {site.bin} holds {said.strip()}: set HPO_PG_BIN to the "
            f"programs of PostgreSQL {made} (to go on, or to dump it), or move that folder away to begin anew"
        )


def launch(site: Site, root: Path) -> Postmaster:
    """Start the server, or adopt one whose starter was killed; raises DatabaseError with its last complaint."""
    log, pid = _rotated(root / "log"), None
    seen = log.stat().st_size
    _remove_stale_pidfile(site.data)
    if not (root / "passfile").exists():
        stop_server(root)  # only a server that is down can be given a password without knowing the last
        _set_password(site, site.data, root)
    for pause in PAUSES:
        if found := _until_serving(site.data, pid):
            return found
        time.sleep(pause)
        pid = detach([site.bin / "postgres", "-D", site.data, "-p", str(_port(root))], log, site.account)
    if found := _until_serving(site.data, pid):
        return found
    said = log.read_bytes()[seen:].decode(errors="replace")
    raise DatabaseError(f"PostgreSQL did not start: {_complaint(said)} (more in {log})")


def _until_serving(data: Path, pid: int | None) -> Postmaster | None:
    """Wait while the server, or the process that is to become it, lives; None once neither does."""
    until = time.monotonic() + START_SECONDS
    while find_postmaster(data) or (pid and _command(pid)):
        if found := find_serving(data):
            return found
        if time.monotonic() > until:
            raise DatabaseError(f"{data}: the server is not ready after {START_SECONDS:.0f} s; see its log")
        time.sleep(0.02)
    return None


def stop_server(root: Path) -> bool:
    """Stop the server and wait for its end; False if there is none; raises DatabaseError if it does not end."""
    data = find_data(root)
    found = find_postmaster(data) if data else None
    if not data or not found:
        return False
    for kind in (signal.SIGINT, signal.SIGQUIT):  # tell everybody to leave; then stop at once and recover next time
        with suppress(ProcessLookupError):
            os.kill(found.pid, kind)
        if _until_gone(found.pid, data):
            return True
    raise DatabaseError(f"{root}: process {found.pid} did not stop within {2 * STOP_SECONDS:.0f} s; see {root / 'log'}")


def _until_gone(pid: int, data: Path) -> bool:
    until = time.monotonic() + STOP_SECONDS
    while _is_postmaster(pid, data):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def find_postmaster(data: Path) -> Postmaster | None:
    """What postmaster.pid says of the server, if the process that it names is really this server."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    if len(lines) < 4 or not _is_postmaster(int(lines[0]), data):
        return None
    return Postmaster(int(lines[0]), int(lines[3]), ready=len(lines) > 7 and lines[7].strip() == "ready")


def find_serving(data: Path) -> Postmaster | None:
    """The server of a data folder if it accepts connections."""
    found = find_postmaster(data)
    if found and found.ready:
        with suppress(OSError), socket.create_connection((HOST, found.port), timeout=5):
            return found
    return None


def _is_postmaster(pid: int, data: Path) -> bool:
    """Whether a process is the server of this folder: the kernel may have given its number to a stranger."""
    try:
        named = Path(f"/proc/{pid}/comm").read_text() == "postgres\n"
        return named and os.path.samefile(f"/proc/{pid}/cwd", data)
    except OSError:  # no /proc, or not ours to look into
        command = _command(pid)
        return "postgres" in command and str(data) in command


def _command(pid: int) -> str:
    """The command line of a process; empty for one that is gone, or has ended and waits to be collected."""
    if Path("/proc/self").exists():
        with suppress(OSError):
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return ""
    return subprocess.run(
        ["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout


def _remove_stale_pidfile(data: Path) -> None:
    """PostgreSQL believes a pid file whose number now belongs to a stranger, and would not start."""
    with suppress(FileNotFoundError):
        number = (data / "postmaster.pid").read_text().partition("\n")[0]
        if number.isdigit() and _command(int(number)) and not _is_postmaster(int(number), data):
            (data / "postmaster.pid").unlink()


def _port(root: Path) -> int:
    """The port of last time, so that URLs stay true, unless somebody else has it now."""
    with suppress(FileNotFoundError, OSError):
        known = json.loads((root / "server.json").read_text())["port"]
        return _bound(int(known))
    return _bound(0)


def _bound(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))
        return int(probe.getsockname()[1])


def detach(command: Sequence[str | Path], log: Path, account: Account | None) -> int:
    """Start a process that outlives us, in a session of its own, its output in the log; returns its pid."""
    with FileIO(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a") as output:
        # The shell in between ends at once, so that the process is nobody's child and leaves no zombie with us.
        done = subprocess.run(
            ["sh", "-c", '"$@" >&2 & echo $!', "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            cwd="/",
            env={"LC_ALL": "C"},
            start_new_session=True,
            check=True,
            **run_as(account),
        )
    return int(done.stdout)


def _rotated(log: Path) -> Path:
    log.touch(0o600)
    if log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".old"))
        log.touch(0o600)
    return log
