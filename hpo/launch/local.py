"""Workers as processes of this machine: started, watched, replaced, stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from hpo.attempts import Ending, process_name
from hpo.config import Config
from hpo.database import LOST
from hpo.errors import HpoError
from hpo.launch import cores
from hpo.launch.devices import Device
from hpo.loglines import READY
from hpo.store import Store

_ONCE = "stopping: trials end at their next evaluation and go on with the next launch; Ctrl-C again ends at once"
_TWICE = "ending at once"
POLL_SECONDS = 0.2
EARLY_SECONDS = 30.0  # a worker that dies younger than this, or before it is ready, without a trial did not start
MOST_FALSE_STARTS = 3
_THREADS = "OMP_NUM_THREADS"  # who sets it shares out the cores by hand
# Each step of a training frees and asks for the same large blocks: by default glibc maps them anew, page by page.
KEEP_MEMORY = "glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=1073741824"


@dataclass(frozen=True)
class Launch:
    """What to run: `workers` processes on `study`, one device each in turn; `watch` is called a few times a
    second, `say` with what a person should know."""

    config: Config
    store: Store
    study: str
    workers: int
    devices: list[Device]
    watch: Callable[[], None] = lambda: None
    say: Callable[[str], None] = print


@dataclass
class Child:
    """One worker process and where it writes."""

    name: str
    slot: int
    process: subprocess.Popen[bytes]
    log: Path
    started: float = field(default_factory=time.monotonic)
    told: bool = False

    def stop(self) -> None:
        """Let it give its trial back at its next evaluation; told twice it would at once."""
        if not self.told:
            self.told = True
            self.process.terminate()


def local(launch: Launch) -> None:
    """Run until the study is complete; Ctrl-C and SIGTERM release the trials at their next evaluation, twice at once.

    Raises HpoError where a worker cannot work at all, with its own line, and KeyboardInterrupt after a stop.
    """
    crew = Crew(launch)
    with _signals() as asked:
        try:
            for slot in range(launch.workers):
                crew.start(slot)
            while crew.children:
                if asked.count:
                    crew.stop(asked.count)
                crew.reap(stopping=asked.count > 0)
                launch.watch()
                asked.event.wait(POLL_SECONDS)
                asked.event.clear()
        finally:
            crew.kill()
        if asked.count:
            if crew.failed:
                launch.say(f"Error: {crew.failed}")
            raise KeyboardInterrupt
        if crew.failed:
            raise HpoError(crew.failed)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        advice = "workers write their logs there: name another folder in HPO_HOME"
        raise HpoError(f"{folder}: {error.strerror}; {advice}") from error


class Crew:
    """The children of one launch."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.children: list[Child] = []
        self.name = process_name()
        self.started = 0
        self.false_starts = 0
        self.failed: str | None = None  # why no worker can work
        self._told = 0

    def start(self, slot: int) -> None:
        """A new worker in this slot, in a session of its own: a terminal's Ctrl-C reaches the launcher alone."""
        self.started += 1
        name = f"{self.name}.{self.started}"
        log = self.launch.config.logs / self.launch.study / f"{name}.log"
        _make_folder(log.parent)
        command = [sys.executable, "-m", "hpo.worker", "--study", self.launch.study, "--name", name]
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*command, "--parent", str(os.getpid())],
                env=environ(self.launch.config, self.launch.devices, slot, self.launch.workers),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if not self.launch.devices and _THREADS not in os.environ:
            cores.pin(process.pid, cores.share(slot, self.launch.workers))
        self.children.append(Child(name, slot, process, log))

    def reap(self, stopping: bool) -> None:
        """See who ended: done, unable to work, or dead; the dead are replaced, unless all are to end."""
        for child in [child for child in self.children if child.process.poll() is not None]:
            self.children.remove(child)
            code, ending = child.process.returncode, stopping or self.failed is not None
            if code == 1:
                self._fail(child)
            elif code != 0:
                self._buried(child, "released" if ending else "died")
                if not ending:
                    self.launch.say(f"worker {child.slot + 1} ended with {_code(code)}; it is replaced")
                    self._replace(child)

    def _fail(self, child: Child) -> None:
        """One cannot work: the others give their trials back at their next evaluations, as after Ctrl-C."""
        if self.failed is not None:
            return
        self.failed = last_error(child.log)
        for other in self.children:
            other.stop()
        if self.children:
            seen = f"worker {child.slot + 1} cannot go on: {self.failed}"
            self.launch.say(f"{seen}; the others stop at their next evaluation")

    def stop(self, asked: int) -> None:
        """Pass on what was asked: once to stop at the next evaluation, twice to end at once."""
        if asked > self._told:
            self._told = asked
            for child in self.children:
                child.stop() if asked == 1 else child.process.kill()
            self.launch.say(_ONCE if asked == 1 else _TWICE)

    def kill(self) -> None:
        """End what is left, at once, and close its books."""
        for child in self.children:
            child.process.kill()
        for child in self.children:
            child.process.wait()
            self._buried(child, "released")
        self.children.clear()

    def _buried(self, child: Child, ending: Ending) -> list[int]:
        how = f"worker {child.name} ended with {_code(child.process.returncode)}"
        try:
            return self.launch.store.end_attempts_of(child.name, ending, None if ending == "released" else how)
        except LOST:
            return []  # the grace period says the same a little later

    def _replace(self, child: Child) -> None:
        young = time.monotonic() - child.started < EARLY_SECONDS
        early = not has_run(child.log) and (young or not was_ready(child.log))
        self.false_starts = self.false_starts + 1 if early else 0
        if self.false_starts >= MOST_FALSE_STARTS:
            code = _code(child.process.returncode)
            raise HpoError(f"{MOST_FALSE_STARTS} workers in a row did not start ({code}); see {child.log}")
        self.start(child.slot)


def environ(config: Config, devices: list[Device], slot: int, workers: int) -> dict[str, str]:
    """The environment of the worker in this slot of so many: its share of the cores, its device, its memory."""
    found = {**os.environ, **config.environ(), "TOKENIZERS_PARALLELISM": "false"}
    found.setdefault(_THREADS, str(cores.threads(workers)))
    found.setdefault("GLIBC_TUNABLES", KEEP_MEMORY)
    if devices:
        found["CUDA_VISIBLE_DEVICES"] = devices[slot % len(devices)].name
    return found


def last_error(log: Path) -> str:
    """The line in which a worker said why it cannot work."""
    lines = log.read_text("utf-8", errors="replace").splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("Error: ")]
    return "\n".join(lines[starts[-1] :]).removeprefix("Error: ") if starts else f"a worker failed; see {log}"


def was_ready(log: Path) -> bool:
    """Whether the worker had all that its study needs, which may have taken minutes and much memory."""
    return READY.encode() in log.read_bytes()


def has_run(log: Path) -> bool:
    """Whether the worker has had a trial."""
    return b" attempt " in log.read_bytes()


def _code(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


@dataclass
class _Asked:
    """How often a stop was asked for; the event wakes whoever waits."""

    count: int = 0
    event: threading.Event = field(default_factory=threading.Event)

    def again(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self.event.set()


@contextlib.contextmanager
def _signals() -> Iterator[_Asked]:
    """Count what asks for an end, SIGUSR1 and 2 being a scheduler's, instead of obeying it within the block.

    Under nohup the end of the terminal asks for none.
    """
    asked = _Asked()
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, asked.again) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
