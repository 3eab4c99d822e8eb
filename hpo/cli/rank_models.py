"""The command `hpo rank-models`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from hpo.cli import options
from hpo.config import Config

if TYPE_CHECKING:
    from hpo.ranking import Ranked

_SHOWN = ("accuracy", "f1_macro", "f1_micro", "average_precision", "pearson", "spearman")
"""Of the linear model's metrics, those that the table has, where the task has them; two at the most."""


@click.command("rank-models")
@options.study
@options.overrides
@options.renamed
@click.option("--rows", type=click.IntRange(10), default=2000, show_default=True, help="To read, of each split.")
@click.option("--queue", type=click.IntRange(0), help="How many to try first; by default the better half.")
@options.allow_code
@options.as_json
@click.pass_obj
def rank_models(  # noqa: PLR0913, PLR0917 - an argument an option
    config: Config,
    study: str,
    overrides: tuple[str, ...],
    renamed: str | None,
    rows: int,
    queue: int | None,
    allow_code: bool,
    as_json: bool,
) -> None:
    """Rank the models that a study searches before any is trained, and queue the promising ones first.

    Each reads some rows as it was pretrained; LogME says how well a linear model of its features explains the labels,
    and that linear model is tested on validation rows. The study is made where it is not there yet, and waits for
    `hpo launch`.

    Example: hpo rank-models --study bert-news --set 'search.model.name=[minilm, distilbert]'
    """
    from hpo import ranking, tables
    from hpo.cli.launch import again, asked_for, created
    from hpo.launch import devices as cuda
    from hpo.store import open_store

    config = options.allowing(config, allow_code)
    changes = [*overrides, *([f"study={renamed}"] if renamed else [])]
    devices, _ = cuda.roomy(cuda.allowed(config.devices, None))
    with open_store(config) as store:
        spec = asked_for(store, study, changes)
        wanted = ranking.wish(spec, queue, rows)
        ranked = ranking.rank(spec, config, wanted, devices)
        names = [one.name for one in ranked[: wanted.first]]
        if names:
            spec = created(config, store, study, ranking.queueing(spec, names), changes)
    if as_json:
        tables.print_json(ranking.plain(spec, ranked, names))
        return
    _say(ranked)
    if names:
        click.echo(f"\ntried first in {spec.study}: {', '.join(names)}", err=True)
        click.echo(f"go on: {shlex.join(again(study, overrides, renamed))}", err=True)


def _say(ranked: Sequence[Ranked]) -> None:
    from hpo import tables

    shown = [name for name in _SHOWN if name in ranked[0].rating.metrics][:2]
    columns = ("model.name", "LogME", *(f"linear {name}" for name in shown), "seconds")
    rows = [
        (one.name, one.rating.log_me, *(one.rating.metrics[name] for name in shown), one.rating.seconds)
        for one in ranked
    ]
    tables.console().print(tables.table(rows, columns))
