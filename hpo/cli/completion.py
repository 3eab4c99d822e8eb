"""What a shell may complete `--study` to: studies of a database, shipped ones, files."""

from __future__ import annotations

import importlib
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from hpo.errors import HpoError

SECONDS = 1.0  # as long as somebody at a prompt may wait


def studies(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The studies that begin so. Starts no server, says nothing of one that does not answer."""
    importlib.import_module("hpo.report")  # not on the clock
    found: list[str] = []
    asking = threading.Thread(target=_ask, args=(context.find_root().params, found), daemon=True)
    asking.start()
    asking.join(SECONDS)
    names = dict.fromkeys([*found, *_shipped(), *_files(incomplete)])
    files = CompletionItem(incomplete, type="file")  # first: bash then offers files where no name fits
    return [files, *(CompletionItem(name) for name in names if name.startswith(incomplete))]


def _ask(flags: dict[str, Any], found: list[str]) -> None:
    """Put the names of the studies in the database into `found`."""
    from hpo import config, database, report

    with suppress(HpoError, *database.LOST):  # at a prompt silence is the right answer
        known = database.running(config.load(home=flags.get("home"), database_url=flags.get("database_url")))
        if known is not None:
            engine = known.engine()
            found += [row["study"] for row in report.Report(known, engine).studies()]
            engine.dispose()


def _shipped() -> list[str]:
    from hpo.spec import shipped

    return list(shipped())


def _files(incomplete: str) -> list[str]:
    folder, _, begin = incomplete.rpartition("/")
    beside = Path(folder or ("/" if incomplete.startswith("/") else "."))
    with suppress(OSError):
        found = sorted(path.name for path in beside.iterdir() if path.suffix in (".yaml", ".yml"))
        return [f"{incomplete[: len(incomplete) - len(begin)]}{name}" for name in found if name.startswith(begin)]
    return []
