"""Make docs/pictures: what a terminal and a browser show of a real study, and its plots (`make pictures`).

It launches the shipped study bert-news in a home of its own, which takes some minutes, and stops the server at the end.
The browser is the Chromium of tests/browser.py; where there is none, its picture stays as it is.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.text import Text

STUDY = "bert-news"
FOLDER = Path(__file__).parent / "pictures"
COLUMNS, LINES = 100, 40
PAGE = {"width": 1280, "height": 2400}
FRAME = re.compile(r"\r\x1b\[2K(?:\x1b\[1A\x1b\[2K)+")  # how rich's live view wipes one frame before the next
FONT = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)  # from elsewhere: the viewer's own will do
PLOTS = ("history", "curves", "slice")


def main() -> None:
    """Run the commands and keep what they showed."""
    home = Path(tempfile.mkdtemp(prefix="hpo-pictures-"))
    home.chmod(0o711)  # an embedded server that root starts has an account of its own
    FOLDER.mkdir(exist_ok=True)
    try:
        launched = shown(home, f"hpo launch -s {STUDY} -w 2")
        frames = [frame for frame in FRAME.split(launched) if "running" in frame and "epoch" in frame]
        save("launch", f"hpo launch -s {STUDY} -w 2", frames[len(frames) // 2])
        save("check", f"hpo check {STUDY}", shown(home, f"hpo check {STUDY}", "> /dev/null"))
        save("trials", f"hpo trials -s {STUDY}", shown(home, f"hpo trials -s {STUDY}"))
        for kind in PLOTS:
            shown(home, f"hpo plot -s {STUDY} {kind} --out {shlex.quote(str(FOLDER / f'plot-{kind}.png'))}")
        browse(home)
    finally:
        shown(home, "hpo db stop -y")
        while home.exists():  # the server's watchdog leaves some seconds later, and writes until then
            shutil.rmtree(home, ignore_errors=True)
            time.sleep(0.2)


def shown(home: Path, command: str, rest: str = "") -> str:
    """What a terminal of 100 columns gets of a command; raises CalledProcessError where it fails."""
    program = f"{shlex.quote(sys.executable)} -m {command} {rest}"
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    environ = os.environ | {"HPO_HOME": str(home), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    process = subprocess.Popen(
        ["bash", "-c", program], stdin=theirs, stdout=theirs, stderr=theirs, env=environ, cwd=FOLDER.parents[1]
    )
    os.close(theirs)
    found = bytearray()
    with suppress(OSError):  # how a terminal ends whose last program left
        while part := os.read(ours, 65536):
            found += part
    os.close(ours)
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, command, found.decode("utf-8", "replace"))
    return found.decode("utf-8").replace("\r\n", "\n")


def browse(home: Path) -> None:
    """The page of the study in the dashboard, as far down as the plots that are ours."""
    sys.path.insert(0, str(FOLDER.parents[1] / "tests"))
    import browser
    from playwright.sync_api import sync_playwright

    if browser.found() is None:
        return
    with served(home) as link, sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--use-gl=angle", "--use-angle=swiftshader"]
        driver = playwright.chromium.launch(executable_path=browser.found(), args=arguments, env=browser.environment())
        page = driver.new_context(viewport=PAGE).new_page()
        page.goto(link)
        page.get_by_text(STUDY).first.click()
        page.get_by_text("Confusion matrix of trial").wait_for()
        page.mouse.move(0, 0)  # or the plot beneath shows its tools
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(2000)  # the plots come in by and by
        refuse("dashboard", page.inner_text("body"))
        below = page.get_by_text("Study User Attributes").bounding_box()
        shot = {"x": 0, "y": 0, "width": PAGE["width"], "height": below["y"] - 40}
        page.screenshot(path=FOLDER / "dashboard.png", clip=shot)
        driver.close()


@contextmanager
def served(home: Path) -> Iterator[str]:
    """The link that opens a dashboard, which runs meanwhile."""
    command = [sys.executable, "-m", "hpo", "dashboard", "--port", "18080"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ | {"HPO_HOME": str(home)}, text=True)
    try:
        yield process.stderr.readline().split()[0]
    finally:
        process.terminate()
        process.communicate()


def refuse(name: str, text: str) -> None:
    """Raise SystemExit where the text tells of this machine."""
    for secret in (socket.gethostname(), str(FOLDER.parents[1]), str(Path.home()), tempfile.gettempdir()):
        if re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", text):
            raise SystemExit(f"{name}: {secret} is in the picture")


def save(name: str, title: str, text: str) -> None:
    """The text with its colours as SVG; refuses to tell of this machine."""
    refuse(name, text)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(text.strip("\n")), soft_wrap=False)
    svg = console.export_svg(title=title, unique_id=name)
    (FOLDER / f"{name}.svg").write_text(FONT.sub("", svg), "utf-8")


if __name__ == "__main__":
    main()
