"""Commands that check, start and change studies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hpo.cli import options
from hpo.config import Config
from hpo.errors import HpoError, SpecError, StudyError

if TYPE_CHECKING:
    from hpo import live
    from hpo.spec import StudySpec
    from hpo.store import Store


@click.command()
@options.study
@click.option("-w", "--workers", type=click.IntRange(1), help="Processes; by default one a device, or one on a CPU.")
@click.option("--devices", metavar="0,2", help="CUDA devices to use.  [env: CUDA_VISIBLE_DEVICES]")
@options.overrides
@options.renamed
@click.option("--detach", is_flag=True, help="Go on in the background.")
@click.pass_obj
def launch(
    config: Config,
    study: str,
    workers: int | None,
    devices: str | None,
    overrides: tuple[str, ...],
    renamed: str | None,
    detach: bool,
) -> None:
    """Create or continue a study and work on it with local processes.

    Ctrl-C lets the trials stop at their next evaluation and releases them, a second one ends at once; launching again
    continues the study.

    Example: hpo launch --study bert-news --workers 2
    """
    from hpo.launch import LAUNCHERS
    from hpo.launch import devices as cuda
    from hpo.launch.local import Launch
    from hpo.store import open_store

    found, skipped = cuda.roomy(cuda.allowed(config.devices, devices))
    for line in skipped:
        click.echo(line, err=True)
    with open_store(config) as store:
        spec = _planned(config, store, study, overrides, renamed)
        if detach:
            _detach(config, spec.study)
            return
        if _is_complete(config, spec.study):
            return
        try:
            with _viewed(config, spec) as view:
                wanted = workers or max(1, len(found))
                LAUNCHERS["local"](Launch(config, store, spec.study, wanted, found, view, view.say))
        except KeyboardInterrupt:
            click.echo(f"stopped; go on with: hpo launch -s {study}", err=True)
            raise
        _farewell(config, spec.study)


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
        studies.check_data(spec, config.data_root, source=file)
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


def _planned(config: Config, store: Store, study: str, overrides: tuple[str, ...], renamed: str | None) -> StudySpec:
    """The study as the database now holds it: from its file, or, where there is none, as it was launched before."""
    from hpo import spec as studies

    try:
        file = studies.find(study)
    except SpecError as error:
        if options.is_file(study) or overrides or renamed:
            raise
        try:
            return store.plan(study).spec
        except StudyError:
            raise error from None
    spec = studies.load(file, [*overrides, *([f"study={renamed}"] if renamed else [])])
    rows = studies.check_data(spec, config.data_root, source=str(file))
    return store.create(spec, rows).spec


def _is_complete(config: Config, study: str) -> bool:
    from hpo import report

    with report.read(config) as rows:
        state = rows.study(study)
    if state["state"] != "complete":
        return False
    more = state["trials"] + 8
    click.echo(
        f"{study} is complete: {state['trials']} trials. Extend it: hpo launch -s {study} --set trials={more}", err=True
    )
    _farewell(config, study)
    return True


@contextmanager
def _viewed(config: Config, spec: StudySpec) -> Iterator[live.View]:
    """The live view of a launch, over a connection of its own."""
    from hpo import live, report

    title = (
        f"{spec.study}: {spec.trials} trials, {spec.sampler.kind} + {spec.pruner.kind}, {spec.direction} {spec.metric}"
    )
    click.echo(title, err=True)
    with report.read(config) as rows, live.View(lambda: rows.progress(spec.study)) as view:
        yield view


def _farewell(config: Config, study: str) -> None:
    """The best parameters and the commands to look further."""
    from hpo import report
    from hpo.cli.read import print_best

    with report.read(config) as rows:
        state, best = rows.study(study), rows.best(study)
    click.echo(f"{study}: {state['complete']} complete, {state['pruned']} pruned, {state['failed']} failed", err=True)
    if best:
        print_best(best)
    click.echo(_FURTHER.format(study=study), err=True)


_FURTHER = """
Look further:
  hpo trials -s {study}        every trial
  hpo show -s {study} NUMBER   one trial and its curve
  hpo dashboard                all of it in the browser
  hpo db psql                  in SQL: SELECT * FROM hpo.best_params;"""


def _detach(config: Config, study: str) -> None:
    """The same launch in a process of its own that no terminal ends."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--detach"]
    log = config.logs / study / "launch.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "hpo", *arguments],
            env={**os.environ, **config.environ()},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        code = process.wait(2.0)
    except subprocess.TimeoutExpired:
        click.echo(
            f"runs in the background as process {process.pid}: hpo status -s {study}, hpo logs -s {study} -f", err=True
        )
        click.echo(f"stop it: kill {process.pid}", err=True)
        return
    if code:
        raise HpoError(f"the launch ended at once; see {log}")
    click.echo(Path(log).read_text("utf-8"), nl=False)
