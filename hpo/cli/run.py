"""Commands that change studies, and the worker."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import click

from hpo.cli import options
from hpo.config import Config
from objectives.errors import without_login


@click.command()
@options.study_or_all
@click.option("--drain", is_flag=True, help="Without --study: end when nothing is left, do not wait for new studies.")
@options.allow_code
@click.pass_obj
def worker(config: Config, study: str | None, drain: bool, allow_code: bool) -> None:
    """Work on a study in this process, from anywhere: it needs the database and the data alone.

    Where none is named, it serves all studies of the database, those of higher `priority` first, then the older ones,
    and waits for new ones. A study whose rows or model are not on this machine is skipped. A database that is away is
    waited for, HPO_PATIENCE seconds at most.

    Example: HPO_DATABASE_URL=postgresql://... hpo worker --study bert-news
    """
    if study and drain:
        raise click.UsageError("--drain goes without --study: a worker of one study ends with it")
    chosen = ["--study", options.name_of(study)] if study else ["--drain"] * drain
    command = [sys.executable, "-m", "hpo.worker", *chosen]
    environ = {**os.environ, **options.allowing(config, allow_code).environ()}
    os.execve(sys.executable, command, environ)  # noqa: S606 - our own module


@click.command()
@options.study
@click.option(
    "--set", "values", metavar="ADDRESS=VALUE", multiple=True, required=True, help="A parameter's value; repeatable."
)
@click.pass_obj
def enqueue(config: Config, study: str, values: tuple[str, ...]) -> None:
    """Queue a point of your own, on top of the budget.

    Parameters that are not named are drawn by the sampler; beside `points:` they are the objective's own.

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

    Checkpoints of trials that were not over go with it. A promotion STUDY@promote is a study of its own: it stays, with
    its models in HPO_ARTIFACTS, until it is deleted by that name. Folders that `hpo promote` wrote stay.

    Example: hpo delete --study bert-news
    """
    from hpo.cli.promote import discard
    from hpo.keeping import Keeper
    from hpo.promote import earlier
    from hpo.store import open_store

    name = options.name_of(study)
    with open_store(config) as store:
        plan, companion = store.plan(name), earlier(store, name)
        models = " with their models" if plan.spec.promotes else ""
        if not yes:
            options.confirm(f"Delete {name} and its {plan.made} trials{models}?")
        store.delete(name)
        Keeper(f"{config.checkpoints}/{plan.folder}", 0).clear()  # of trials that were given back
        if plan.spec.promotes:
            discard(config, plan)
    click.echo(f"deleted {name}", err=True)
    if companion:
        where = without_login(f"{config.trained}/{companion.folder}")
        click.echo(f"its retrainings stay, with models in {where}: hpo delete -s {companion.spec.study}", err=True)


@click.command()
@options.study
@click.argument("new")
@click.pass_obj
def rename(config: Config, study: str, new: str) -> None:
    """Give a study another name; its trials keep their numbers.

    Refused while trials are running. A promotion and the logs of this machine move along.

    Example: hpo rename -s bert-news bert-news-old
    """
    from hpo import changing
    from hpo.promotion import SUFFIX
    from hpo.store import open_store

    name = options.name_of(study)
    with open_store(config) as store:
        changing.rename(store, name, new)
    for suffix in ("", SUFFIX):
        with suppress(OSError):  # there are none, or some are in the way: then they stay
            (config.logs / f"{name}{suffix}").rename(config.logs / f"{new}{suffix}")
    click.echo(f"{name} is {new} now", err=True)


@click.command()
@options.study
@click.argument("new")
@click.option("--trials-too", is_flag=True, help="With all trials as they stand, not from the beginning.")
@click.pass_obj
def copy(config: Config, study: str, new: str, trials_too: bool) -> None:
    """Make a new study that searches the same, with the same budget.

    With --trials-too it goes on from all trials as they stand, with their numbers; what is running goes on in both.

    Example: hpo copy -s bert-news bert-news-2
    """
    from hpo import changing
    from hpo.store import open_store

    name = options.name_of(study)
    with open_store(config) as store:
        changing.copy(store, name, new, trials_too)
    click.echo(f"copied; run it with: hpo launch -s {new}", err=True)
