"""Each mechanism of exactness disabled in a copy of the tree, and the tests that must then fail: do they?

Run: python -m bench.mutations [NAME ...] [--list]. The exit code is 1 where a mechanism was disabled and its tests
passed, or where the text that is replaced is no longer there once.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.mechanisms import MUTATIONS, Mutation

ROOT = Path(__file__).parents[1]
COPIED = ("hpo", "objectives", "tests", "studies", "bench", "docs", "pyproject.toml", "README.md")
TESTS_FAILED = 1  # pytest's code; others say that it could not run them


def main() -> int:
    """Try them; prints a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m bench.mutations")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a part of a mechanism's name; by default all")
    parser.add_argument("--list", action="store_true", help="name them and run nothing")
    options = parser.parse_args()
    chosen = [one for one in MUTATIONS if not options.names or any(name in one.name for name in options.names)]
    if options.list:
        print("\n".join(one.name for one in chosen))
        return 0
    print("| mechanism disabled | its tests | seconds |\n|---|---|---|")
    with _copy() as tree:
        return 1 if [one for one in chosen if not _noticed(one, tree)] else 0


@contextmanager
def _copy() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hpo-mutations-") as folder:
        Path(folder).chmod(0o711)  # the account of the tests' server must reach what it runs
        for name in COPIED:
            place = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            place(ROOT / name, Path(folder) / name)
        yield Path(folder)


def _noticed(mutation: Mutation, tree: Path) -> bool:
    file, began = tree / mutation.file, time.monotonic()
    plain = file.read_text("utf-8")
    if plain.count(mutation.old) != 1:
        print(f"| {mutation.name} | **{mutation.file} has its text {plain.count(mutation.old)} times** | |", flush=True)
        return False
    try:
        file.write_text(plain.replace(mutation.old, mutation.new), "utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutation.tests]
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    finally:
        file.write_text(plain, "utf-8")
    failed = done.returncode == TESTS_FAILED
    said = "fail" if failed else f"**do not fail: pytest ended with {done.returncode}**"
    print(f"| {mutation.name} | {said} | {time.monotonic() - began:.0f} |", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
