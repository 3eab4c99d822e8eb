"""Commands that check and change studies, and the worker."""

from __future__ import annotations

import os
import sys

import click

from hpo.cli import options
from hpo.config import Config


@click.command()
@options.study
@click.pass_obj
def worker(config: Config, study: str) -> None:
    """Work on a study in this process, from anywhere: it needs the database and the data alone.

    Example: HPO_DATABASE_URL=postgresql://... hpo worker --study bert-news
    """
    command = [sys.executable, "-m", "hpo.worker", "--study", options.name_of(study)]
    os.execve(sys.executable, command, {**os.environ, **config.environ()})  # noqa: S606 - our own module


@click.command()
@click.argument("file")
@options.overrides
@click.option("--data/--no-data", default=True, show_default=True, help="Read the data, too.")
@click.pass_obj
def check(config: Config, file: str, overrides: tuple[str, ...], data: bool) -> None:
    """Check a study file completely and print the resolved study.

    FILE is a study file or a shipped study's name; --set overrides any key of it.

    Example: hpo check bert-news --set training.epochs=1
    """
    from hpo import spec as studies

    spec = studies.load(studies.find(file), overrides)
    if data:
        studies.check_inputs(spec, config.data_root, source=file)
    click.echo(studies.render(spec), nl=False)


@click.command()
@options.study
@click.option(
    "--set", "values", metavar="ADDRESS=VALUE", multiple=True, required=True, help="A parameter's value; repeatable."
)
@click.pass_obj
def enqueue(config: Config, study: str, values: tuple[str, ...]) -> None:
    """Queue a point of your own, on top of the budget.

    Parameters that are not named are drawn by the sampler.

    Example: hpo enqueue -s bert-news --set training.learning_rate=3e-4 --set model.frozen_layers=2
    """
    from hpo import spec as studies
    from hpo.store import open_store

    with open_store(config) as store:
        name = options.name_of(study)
        point = studies.point(store.plan(name).spec, values)
        store.enqueue(name, [point])
    click.echo(f"queued; run it with: hpo launch -s {name}", err=True)


@click.command()
@options.study
@options.yes
@click.pass_obj
def delete(config: Config, study: str, yes: bool) -> None:
    """Remove a study with all its trials from the database.

    Example: hpo delete --study bert-news
    """
    from hpo.store import open_store

    name = options.name_of(study)
    with open_store(config) as store:
        made = store.plan(name).made
        if not yes:
            click.confirm(f"Delete {name} and its {made} trials?", abort=True, err=True)
        store.delete(name)
    click.echo(f"deleted {name}", err=True)
