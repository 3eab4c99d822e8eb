"""The command `hpo watch`."""

from __future__ import annotations

import threading
from typing import Any

import click

from hpo import report
from hpo.cli import options
from hpo.config import Config

POLL_SECONDS = 0.2
OVER = ("complete", "stopped", "failed")


@click.command()
@options.study
@click.pass_obj
def watch(config: Config, study: str) -> None:
    """Show a study as it runs, from anywhere, without touching it.

    It ends by itself when the study is complete, stopped or failed; while the study is paused, or nobody works on it,
    it stays. Ctrl-C ends it, with code 130, and nothing else. On a pipe it prints a line when something changed.

    Example: hpo watch -s bert-news
    """
    from hpo import live

    name = options.name_of(study)
    with report.read(config) as rows:
        found = rows.study(name)
        click.echo(f"{name}: {found['trials']} trials, {found['direction']} {found['metric']}", err=True)
        with live.View(live.Look(rows, name), since="watched") as view:
            while not view.deaf and (view.state is None or view.state["state"] not in OVER):
                view()
                threading.Event().wait(POLL_SECONDS)
        if view.state is not None and not view.deaf:
            _farewell(view.state)


def _farewell(state: dict[str, Any]) -> None:
    """How it ended, with the best parameters."""
    from hpo.cli.read import print_best

    counts = f"{state['complete']} complete, {state['pruned']} pruned, {state['failed']} failed"
    click.echo(f"{state['study']} is {state['state']}: {counts}", err=True)
    for why in filter(None, (state["error"], state["ended_by"] and f"ended by {state['ended_by']}")):
        click.echo(why, err=True)
    if state["best"]:
        print_best(state["best"])
