"""The command `hpo cache`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from hpo import tables
from hpo.cli import options
from hpo.config import Config
from objectives import remote
from objectives.cache import Cache, Entry


@click.group()
def cache() -> None:
    """What trials need not compute again: states of frozen blocks, and tokens, on this machine.

    Example: hpo cache status
    """


@cache.command()
@options.as_json
@click.pass_obj
def status(config: Config, as_json: bool) -> None:
    """Where the cache is, what it holds, and how much it may hold; and the copies of models of URLs.

    Example: hpo cache status
    """
    held, models = Cache(config.caches, config.cache_size), remote.copies(config.models)
    entries = held.entries()
    found = {
        "folder": str(config.caches),
        "files": len(entries),
        "bytes": _bytes(entries),
        "limit_bytes": held.room(),
        "last_used": _last_used(entries),
        "models_folder": str(config.models),
        "models": len(models),
        "models_bytes": _bytes(models),
        "models_last_used": _last_used(models),
    }
    tables.print_json(found) if as_json else tables.show(found.items(), ("cache", ""))


@cache.command()
@click.option("--models", is_flag=True, help="Remove the copies of models of URLs, too, but those that trials use.")
@click.pass_obj
def clear(config: Config, models: bool) -> None:
    """Remove all that the cache holds; trials that use it go on.

    Example: hpo cache clear --models
    """
    removed = Cache(config.caches, config.cache_size).clear()
    click.echo(f"removed {len(removed)} files, {_bytes(removed) / 1e6:.1f} MB", err=True)
    if models:
        removed, used = remote.clear(config.models)
        kept = f"; {len(used)} are in use" if used else ""
        click.echo(f"removed {len(removed)} copies of models, {_bytes(removed) / 1e6:.1f} MB{kept}", err=True)


def _bytes(entries: Sequence[Entry]) -> int:
    return sum(entry.size for entry in entries)


def _last_used(entries: Sequence[Entry]) -> datetime | None:
    return datetime.fromtimestamp(entries[-1].used, UTC) if entries else None
