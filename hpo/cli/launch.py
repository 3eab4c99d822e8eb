"""The command `hpo launch`."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpo.cli import options
from hpo.config import Config
from hpo.errors import HpoError, SpecError, StudyError

if TYPE_CHECKING:
    from hpo import live
    from hpo.cli.options import Budget
    from hpo.launch.local import Launch
    from hpo.spec import StudySpec
    from hpo.store import Store


@click.command()
@options.study
@click.option("-w", "--workers", type=click.IntRange(1), help="Processes; by default one a device, or one on a CPU.")
@click.option("--devices", metavar="0,2", help="CUDA devices to use.  [env: CUDA_VISIBLE_DEVICES]")
@options.overrides
@options.renamed
@options.budget
@click.option("--detach", is_flag=True, help="Go on in the background.")
@options.allow_code
@click.pass_obj
def launch(  # noqa: PLR0913, PLR0917 - an argument an option
    config: Config,
    study: str,
    workers: int | None,
    devices: str | None,
    overrides: tuple[str, ...],
    renamed: str | None,
    budget: Budget | None,
    detach: bool,
    allow_code: bool,
) -> None:
    """Create or continue a study and work on it with local processes.

    Ctrl-C lets the trials stop at their next evaluation and releases them, a second one ends at once; launching again
    continues the study.

    Example: hpo launch --study bert-news --workers 2
    """
    from hpo import report
    from hpo.launch import devices as cuda
    from hpo.launch.local import Launch
    from hpo.store import open_store

    config = options.allowing(config, allow_code)
    found, skipped = cuda.roomy(cuda.allowed(config.devices, devices))
    if shared := cuda.crowded(found, workers or 1, config.mps):
        skipped = [*skipped, shared]
    for line in skipped:
        click.echo(line, err=True)
    with open_store(config) as store:
        spec = _planned(config, store, study, _changes(overrides, renamed, budget), budget)
        _restart(store, spec.study)
        with report.read(config) as rows:
            state = rows.study(spec.study)
        if state["state"] == "paused":
            click.echo(f"paused by {state['asked_by']}; workers wait for: hpo resume -s {spec.study}", err=True)
        if state["state"] == "complete":
            _say_complete(state, again(study, overrides, renamed))
        elif detach:
            _detach(config, spec)
            return
        else:
            _work(Launch(config, store, spec.study, workers or max(1, len(found)), found), spec)
        _farewell(config, spec)


def _restart(store: Store, study: str) -> None:
    """To launch a study that was stopped is to go on with it."""
    from hpo import config as configuration
    from hpo import control

    if who := control.restart(store, study, configuration.who()):
        click.echo(f"{study} was stopped by {who}; it goes on", err=True)


def _changes(overrides: tuple[str, ...], renamed: str | None, budget: Budget | None) -> list[str]:
    """All that the options change in the study file, as `--set` does."""
    if budget and any(text.partition("=")[0].strip() == "trials" for text in overrides):
        raise click.UsageError("--trials and --set trials say the same; give one of them")
    total = [f"trials={budget.trials}"] if budget and not budget.more else []
    return [*overrides, *([f"study={renamed}"] if renamed else []), *total]


def _planned(config: Config, store: Store, study: str, changes: list[str], budget: Budget | None) -> StudySpec:
    """The study as the database now holds it."""
    spec = asked_for(store, study, changes)
    return created(config, store, study, spec, changes, more=budget.trials if budget and budget.more else 0)


def asked_for(store: Store, study: str, changes: list[str]) -> StudySpec:
    """The study of a file, or, where there is none, as it was launched before, with these changes."""
    from hpo import spec as studies

    try:
        file = studies.find(study)
    except SpecError as error:
        if options.is_file(study):
            raise
        try:
            return studies.changed(store.plan(study).spec, changes)
        except StudyError:
            raise error from None
    return studies.load(file, changes)


def created(
    config: Config, store: Store, study: str, spec: StudySpec, changes: list[str], *, more: int = 0
) -> StudySpec:
    """The study as the database now holds it: made, or continued, its rows and models having been looked at."""
    from hpo import fitting, inputs

    inputs.check_code(spec, config, study)
    inputs.check_models(spec, config, study)
    rows = fitting.check_inputs(spec, config.data_root, study, partial(options.say, err=True), changes)
    if not store.has(spec.study):
        fitting.check_images(spec, config.data_root, study, changes)
    models = inputs.identities(spec, config)
    spec = _warmed(config, spec)
    return store.create(spec, rows, models, more=more).spec


def _warmed(config: Config, spec: StudySpec) -> StudySpec:
    """The spec with what past studies know, where it asks for that and the study is new."""
    if spec.warm_start == "off":
        return spec
    from hpo import report, warm

    with report.read(config) as rows:
        studies = rows.studies()
        if spec.study in {row["study"] for row in studies}:
            return spec
        found = warm.started(spec, studies, rows.trials)
    said = ", ".join(map(str, found.known)) or "no earlier study of this database is like it"
    click.echo(f"warm start: {said}", err=True)
    return found


def _say_complete(state: dict[str, Any], again: list[str]) -> None:
    """That nothing is left to do, and how to go on."""
    line = f"{state['study']} is complete: {state['trials']} trials."
    if state["ended_by"]:
        rule = state["ended_by"].split()[0]
        go_on = shlex.join([*again, "--set", f"{rule}=null"])
        line = f"{state['study']} is complete: {state['made']} of {state['trials']} trials, then {state['ended_by']}."
        click.echo(f"{line} Go on without this rule, or with another value: {go_on}", err=True)
    elif state["spec"].get("points"):
        click.echo(f"{line} All of its points have run; list others under a new name with --as.", err=True)
    elif state["spec"]["sampler"]["kind"] == "grid":
        click.echo(f"{line} Its grid has no more points; widen the search under a new name with --as.", err=True)
    else:
        click.echo(f"{line} Extend it: {shlex.join([*again, '--trials', '+8'])}", err=True)


def again(study: str, overrides: tuple[str, ...], renamed: str | None) -> list[str]:
    """The words that launch the same study again."""
    kept = [word for override in overrides if not override.startswith("trials=") for word in ("--set", override)]
    return ["hpo", "launch", "-s", study, *(["--as", renamed] if renamed else []), *kept]


def _work(launch: Launch, spec: StudySpec) -> None:
    """Run the workers under a live view."""
    from hpo.launch import LAUNCHERS

    try:
        with viewed(launch.config, spec) as view:
            LAUNCHERS["local"](replace(launch, watch=view, say=view.say))
    except KeyboardInterrupt:
        click.echo(f"stopped; go on with: {shlex.join(['hpo', *_words(spec)])}", err=True)
        raise


@contextmanager
def viewed(config: Config, spec: StudySpec) -> Iterator[live.View]:
    """The live view of a launch, over a connection of its own."""
    from hpo import live, report
    from hpo import spec as studies

    drawn = "listed points" if spec.points else spec.sampler.kind
    many = "1 trial" if spec.trials == 1 else f"{spec.trials} trials"
    title = f"{spec.study}: {many}, {drawn} + {spec.pruner.kind}, {spec.direction} {spec.metric}"
    click.echo(title, err=True)
    click.echo(studies.subject(spec, config.data_root), err=True)
    with report.read(config) as rows, live.View(live.Look(rows, spec.study)) as view:
        yield view


def _farewell(config: Config, spec: StudySpec) -> None:
    """The best parameters and the commands to look further."""
    from hpo import report
    from hpo.cli.read import print_best

    study = spec.study
    with report.read(config) as rows:
        state, best = rows.study(study), rows.best(study)
    click.echo(f"{study}: {state['complete']} complete, {state['pruned']} pruned, {state['failed']} failed", err=True)
    if state["ended_by"]:
        click.echo(f"ended by {state['ended_by']}", err=True)
    if best:
        print_best(best)
    if state["state"] == "stopped":
        again = shlex.join(["hpo", *_words(spec)])
        click.echo(f"stopped by {state['asked_by']}; go on with: {again}", err=True)
    if state["failed"]:
        click.echo(f"why trials failed: hpo trials -s {study}, and hpo logs -s {study}", err=True)
    click.echo("\nLook further:", err=True)
    for command, what in _FURTHER.items():
        click.echo(f"  {command.format(study=study):<{len(study) + 22}}  {what}", err=True)


_FURTHER = {
    "hpo trials -s {study}": "every trial",
    "hpo show -s {study} NUMBER": "one trial and its curve",
    "hpo dashboard": "all of it in the browser",
    "hpo db psql": "in SQL: SELECT * FROM hpo.best_params;",
}


def _words(spec: StudySpec) -> list[str]:
    """The arguments of this launch; trials that are added now are not added again."""
    return [re.sub(r"^(--trials=)?\+\d+$", rf"\g<1>{spec.trials}", word) for word in sys.argv[1:]]


def _detach(config: Config, spec: StudySpec) -> None:
    """The same launch in a process of its own that no terminal ends."""
    study, arguments = spec.study, [word for word in _words(spec) if word != "--detach"]
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
