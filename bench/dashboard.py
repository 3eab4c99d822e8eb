"""The dashboard with a large study: how long its page waits, and how much is sent, beside bare optuna-dashboard.

Both serve the same database, each as a process of its own and over HTTP, as a browser asks: with gzip, for the whole
study first, then for what is new. Ours reads the newest studies as soon as it starts, so that its first answer is given
from the start of the process, too.
Run: python -m bench.dashboard [--trials 5000] [--times 9]
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import optuna
from sqlalchemy import text

from bench import history
from bench.machine import described, revision
from bench.server import Private, environment, private
from hpo.running import Study
from hpo.store import Store, open_store

BLOCK = 100  # trials that are made; the others are copies of them, moved a little
_MOVED = """
UPDATE trial_params SET param_value = param_value * (1 + random() / 1000) WHERE distribution_json LIKE '%%Float%%';
UPDATE trial_values SET value = value * (1 + random() / 1000);
UPDATE trial_intermediate_values SET intermediate_value = intermediate_value * (1 + random() / 1000);
"""
_TICK = 1000 / os.sysconf("SC_CLK_TCK")  # ms
STUDY = "/api/studies/1"
BARE = "from optuna_dashboard._cli import main; main()"


@dataclass(frozen=True)
class Asked:
    """What a question took: seconds, ms of the serving process's CPU, bytes on the way."""

    wall: float
    cpu: float
    size: int


@dataclass
class Served:
    """A dashboard that runs as a process of its own."""

    process: subprocess.Popen[bytes]
    port: int
    began: float = field(default_factory=time.monotonic)
    cookie: str = ""

    def ask(self, path: str, gzip: bool = True) -> Asked:
        """Ask as a browser does; raises RuntimeError for an answer that is none."""
        began, spent = time.monotonic(), self._spent()
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)) as connection:
            headers = {"Cookie": self.cookie} | ({"Accept-Encoding": "gzip"} if gzip else {})
            connection.request("GET", path, headers=headers)
            reply = connection.getresponse()
            body = reply.read()
            if reply.status != 200:
                raise RuntimeError(f"{path}: {reply.status} {body[:200]!r}")
            self.cookie = (reply.headers["Set-Cookie"] or self.cookie).partition(";")[0]
        return Asked(time.monotonic() - began, self._spent() - spent, len(body))

    def _spent(self) -> float:
        """The process's CPU so far, in ms."""
        told = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return _TICK * (int(told[11]) + int(told[12]))


@contextmanager
def serving(command: Sequence[str], server: Private, link: bool) -> Iterator[Served]:
    """A dashboard that answers; with a `link`, the one that it prints is opened first."""
    port = _free()
    pipe = subprocess.PIPE if link else subprocess.DEVNULL
    full = [sys.executable, *command, "--port", str(port)]
    process = subprocess.Popen(full, env=environment(server.config), stdout=subprocess.DEVNULL, stderr=pipe)
    found = Served(process, port)
    try:
        if process.stderr:
            said = process.stderr.readline().decode()
            token = re.search(r"/\?token=\S+", said)
            if token is None:
                raise RuntimeError(said)
            found.ask(token[0])
        while not _listens(port):
            time.sleep(0.02)
        yield found
    finally:
        process.terminate()
        process.wait()
        if process.stderr:
            process.stderr.close()


def measure(found: Served, trials: int, times: int, report: Callable[[], None]) -> dict[str, list[Asked]]:
    """Every kind of question, in the order in which a page asks them; `report` changes the study."""
    first = found.ask(f"{STUDY}?after=0")
    from_start = Asked(time.monotonic() - found.began, found._spent(), first.size)
    importances = found.ask(f"{STUDY}/param_importances")
    asked = {
        "from the process's start to the first whole answer": [from_start],
        "first whole answer": [first],
        "first importances": [importances],
        "the whole again": [found.ask(f"{STUDY}?after=0") for _ in range(times)],
        "what is new, and nothing is": [found.ask(f"{STUDY}?after={trials}") for _ in range(times)],
        "importances again": [found.ask(f"{STUDY}/param_importances") for _ in range(times)],
    }
    for path, name in ((trials, "what is new, after a report"), (0, "the whole, after a report")):
        for _ in range(times):
            report()
            asked.setdefault(name, []).append(found.ask(f"{STUDY}?after={path}"))
    asked["the whole without gzip"] = [found.ask(f"{STUDY}?after=0", gzip=False)]
    return asked


def fill(store: Store, trials: int) -> None:
    """A study with so many finished trials, and one that runs."""
    spec = history.spec()
    store.create(spec)
    study = Study(store, spec.study).optuna
    history.fill(study, spec, BLOCK, attributes=False)
    with store.engine.begin() as connection:
        connection.exec_driver_sql(history.COPIES, {"block": BLOCK, "times": trials // BLOCK - 1})
        connection.exec_driver_sql(_MOVED)
        connection.exec_driver_sql(history.OURS)
    study.ask(dict(study.trials[0].distributions))


def _free() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0


def _reporter(store: Store) -> Callable[[], None]:
    """Reports the running trial's next step."""
    steps = iter(range(1, 1_000_000))
    insert = text(
        "INSERT INTO trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type) "
        "SELECT trial_id, (SELECT count(*) FROM trial_intermediate_values i WHERE i.trial_id = t.trial_id) + 1, "
        "CAST(:value AS float), 'FINITE' FROM trials t WHERE state = 'RUNNING'"
    )

    def report() -> None:
        with store.engine.begin() as connection:
            connection.execute(insert, {"value": 1.0 / next(steps)})

    return report


def _row(name: str, ours: Sequence[Asked], bare: Sequence[Asked]) -> str:
    def told(found: Sequence[Asked]) -> tuple[float, str]:
        wall, cpu = median(each.wall for each in found), median(each.cpu for each in found)
        spread = f" ({min(each.wall for each in found):.2f}-{max(each.wall for each in found):.2f})"
        return wall, f"{wall:.2f}{spread if len(found) > 1 else ''} | {cpu:.0f} | {found[-1].size / 1000:,.0f}"

    (mine, left), (other, right) = told(ours), told(bare)
    return f"| {name} | {left} | {right} | {mine / other:.2f} |"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--times", type=int, default=9)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found: dict[bool, dict[str, Any]] = {}
    with private() as server, open_store(server.config) as store:
        print(f"{described(server.server.data)}, revision {revision()}")
        fill(store, options.trials)
        server.execute("VACUUM ANALYZE", "hpo")
        url = store.database.locate().render_as_string(hide_password=False)
        for bare, command in ((False, ["-m", "hpo", "dashboard"]), (True, ["-c", BARE, url])):
            with serving(command, server, link=not bare) as running:
                found[bare] = measure(running, options.trials, options.times, _reporter(store))
        print(f"load at the end {os.getloadavg()[0]:.1f}\n")
    print("| | ours: s | CPU ms | kB | bare: s | CPU ms | kB | ours / bare |\n|---|---|---|---|---|---|---|---|")
    for name, ours in found[False].items():
        print(_row(name, ours, found[True][name]))


if __name__ == "__main__":
    main()
