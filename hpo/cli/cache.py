"""The command `hpo cache`."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from hpo import tables
from hpo.cli import options
from hpo.config import Config
from objectives.cache import Cache


@click.group()
def cache() -> None:
    """What trials need not compute again: the states of frozen blocks, on this machine.

    Example: hpo cache status
    """


@cache.command()
@options.as_json
@click.pass_obj
def status(config: Config, as_json: bool) -> None:
    """Where the cache is, what it holds, and how much it may hold.

    Example: hpo cache status
    """
    held = Cache(config.caches, config.cache_size)
    entries = held.entries()
    used = datetime.fromtimestamp(entries[-1].used, UTC) if entries else None
    found = {
        "folder": str(config.caches),
        "files": len(entries),
        "bytes": sum(entry.size for entry in entries),
        "limit_bytes": held.room(),
        "last_used": used,
    }
    tables.print_json(found) if as_json else tables.show(found.items(), ("cache", ""))


@cache.command()
@click.pass_obj
def clear(config: Config) -> None:
    """Remove all that the cache holds; trials that use it go on.

    Example: hpo cache clear
    """
    removed = Cache(config.caches, config.cache_size).clear()
    click.echo(f"removed {len(removed)} files, {sum(entry.size for entry in removed) / 1e6:.1f} MB", err=True)
