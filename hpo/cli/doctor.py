"""The command `hpo doctor`."""

from __future__ import annotations

from dataclasses import asdict

import click

from hpo import tables
from hpo.cli import options
from hpo.config import Config


@click.command()
@click.option("--online", is_flag=True, help="Ask the hub of models, too.")
@click.option("--run", is_flag=True, help="Run a small simulated study on a temporary database, too.")
@options.as_json
@click.pass_context
def doctor(context: click.Context, online: bool, run: bool, as_json: bool) -> None:
    """Look at what hpo needs of this machine, and say what mends what is wrong.

    Packages, driver and torch, the packaged model, disk, shared memory, and the database with its schema and clock.
    The exit code is 1 where something is wrong; a warning is none.

    Example: hpo doctor --run
    """
    from hpo.doctor import examine

    config: Config = context.obj
    found = list(examine(config, online=online, run=run))
    if as_json:
        tables.print_json([asdict(finding) for finding in found])
    else:
        rows = ([finding.state, finding.check, finding.found] for finding in found)
        tables.show(rows, ("", "checked", "found"))
        for finding in found:
            if finding.mend:
                click.echo(f"{finding.check}: {finding.mend}", err=True)
    context.exit(int(any(finding.state == "wrong" for finding in found)))
