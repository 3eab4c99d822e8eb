"""Commands that say what is to become of a study and its trials, from anywhere; workers obey."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from hpo import config as configuration
from hpo.cli import options
from hpo.config import Config

if TYPE_CHECKING:
    from hpo.store import Store


def _on_trials(function: Callable[..., None]) -> click.Command:
    """A command on a study, or on those of its trials that are named."""
    return click.command()(options.study(options.trials(click.pass_obj(function))))


@_on_trials
def pause(config: Config, study: str, numbers: tuple[int, ...]) -> None:
    """Let workers give back a study's trials, or one of them, and wait until it is resumed.

    Trials that run end at their next evaluation, with a checkpoint; queued ones stay. With --trial the others go on.

    Example: hpo pause -s bert-news --trial 3
    """
    from hpo import control

    with _asking(config, study) as (store, name, who):
        control.pause(store, name, who, numbers)
    click.echo(f"paused; go on with: hpo resume -s {name}{_named(numbers)}", err=True)


@_on_trials
def resume(config: Config, study: str, numbers: tuple[int, ...]) -> None:
    """Undo a pause or a stop.

    The workers of a paused study go on by themselves; a stopped one needs new ones. Trials that were paused one by one
    stay so until they are named.

    Example: hpo resume -s bert-news
    """
    from hpo import control

    with _asking(config, study) as (store, name, who):
        control.resume(store, name, who, numbers)
    click.echo(f"resumed {name}; where no worker waits, start one: hpo launch -s {name}", err=True)


@click.command()
@options.study
@click.pass_obj
def stop(config: Config, study: str) -> None:
    """Let workers give back a study's trials, and end.

    As a pause, on all machines, but those who work on this study alone do not wait: hpo launch goes on with it.

    Example: hpo stop -s bert-news
    """
    from hpo import control

    with _asking(config, study) as (store, name, who):
        control.stop(store, name, who)
    click.echo(f"stopped; go on with: hpo launch -s {name}", err=True)


@_on_trials
@options.yes
def cancel(config: Config, study: str, numbers: tuple[int, ...], yes: bool) -> None:
    """End trials as failed at once, or all that a study has left.

    Without --trial all that run or wait, and the study is stopped. What runs is dropped without a last evaluation; a
    cancelled trial counts in the budget, and hpo requeue runs it again.

    Example: hpo cancel -s bert-news --trial 3 --trial 4
    """
    from hpo import control

    with _asking(config, study) as (store, name, who):
        store.plan(name)
        if not (numbers or yes):
            options.confirm(f"Cancel all trials of {name} that run or wait, and stop it?")
        cancelled = control.cancel(store, name, who, numbers)
    stopped = "" if numbers else f"; {name} is stopped"
    click.echo(f"cancelled {len(cancelled)} trial{'s' * (len(cancelled) != 1)}{stopped}", err=True)


@_on_trials
@click.option("--failed", is_flag=True, help="All failed ones, without those cancelled or queued again before.")
@click.option("--complete", is_flag=True, help="A complete one, too, where --trial names it.")
def requeue(config: Config, study: str, numbers: tuple[int, ...], failed: bool, complete: bool) -> None:
    """Queue finished trials again with the same parameters, on top of the budget.

    Each becomes a new trial; the old one keeps its number and its result.

    Example: hpo requeue -s bert-news --failed
    """
    from hpo import control

    if failed == bool(numbers):
        raise click.UsageError("give --trial N, or --failed for all that failed")
    with _asking(config, study) as (store, name, who):
        queued = control.requeue(store, name, who, numbers, complete=complete)
    for old, new in queued.items():
        click.echo(f"trial {old} is queued as trial {new}", err=True)
    click.echo(f"run with: hpo launch -s {name}", err=True)


@contextmanager
def _asking(config: Config, study: str) -> Iterator[tuple[Store, str, str]]:
    """The store, the study's name, and who asks."""
    from hpo.store import open_store

    with open_store(config) as store:
        yield store, options.name_of(study), configuration.who()


def _named(numbers: tuple[int, ...]) -> str:
    return "".join(f" --trial {number}" for number in numbers)
