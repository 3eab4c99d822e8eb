"""The command `hpo check`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from hpo.cli import options
from hpo.config import Config

if TYPE_CHECKING:
    from hpo.dryrun import DryRun
    from hpo.forecast import Forecast
    from hpo.spec import StudySpec
    from objectives.odd import Oddities
    from objectives.settings import Transfer
    from objectives.sources import Source
    from objectives.survey import Survey

_SHOWN = 5  # odd rows
_NAME, _LABEL = 34, 18  # columns of a terminal: what stands beside names fits into 80


@click.command()
@click.argument("file")
@options.overrides
@click.option("--data/--no-data", default=True, show_default=True, help="Read the data, and find the model, too.")
@click.option("--dry-run", is_flag=True, help="Take a few real steps, and say what the study takes in time and memory.")
@click.option("-w", "--workers", type=click.IntRange(1), help="How many --dry-run reckons with; as `hpo launch`.")
@options.allow_code
@options.as_json
@click.pass_obj
def check(  # noqa: PLR0913, PLR0917 - an argument an option
    config: Config,
    file: str,
    overrides: tuple[str, ...],
    data: bool,
    dry_run: bool,
    workers: int | None,
    allow_code: bool,
    as_json: bool,
) -> None:
    """Check a study file completely and print the resolved study.

    FILE is a study file or a shipped study's name; --set overrides any key of it. What the rows look like, what in
    them spoils a comparison, and which labels look odd, goes to stderr; with --json all of it is one object.

    Example: hpo check bert-news --set training.epochs=1
    """
    from hpo import fitting, inputs, tables
    from hpo import spec as studies

    config, model = options.allowing(config, allow_code), None
    if workers and not dry_run:
        raise click.UsageError("--workers goes with --dry-run: it says for how many the study's time is estimated")
    spec = studies.load(studies.find(file), overrides)
    found: dict[str, Any] = {"study": spec.to_dict(), "survey": None, "estimate": None}
    if data:
        fitting.check_inputs(spec, config.data_root, file, partial(options.say, err=True), overrides)
        fitting.check_images(spec, config.data_root, file, overrides)
        model = inputs.check_models(spec, config, file)
    if not as_json:
        click.echo(studies.render(spec), nl=False)
    if data:
        found["survey"] = _survey(spec, config, model, quiet=as_json)
    if dry_run:
        found["estimate"] = _estimate(spec, config, workers, quiet=as_json)
    if as_json:
        tables.print_json(found)


def _survey(spec: StudySpec, config: Config, model: Source | None, quiet: bool) -> dict[str, Any] | None:
    """What the rows look like, ready for JSON, and said unless it is to be `quiet`."""
    from hpo import spec as studies
    from objectives import odd, settings, survey

    wanted = studies.settings_for(spec, {}, config.data_root)
    if not isinstance(wanted, settings.Transfer):
        return None
    seed = settings.split_seed(wanted)
    found, oddities = survey.survey(wanted, seed, model), odd.find(wanted, seed)
    if not quiet:
        _say_survey(found)
        _say_odd(oddities, wanted)
    return {**found.plain(), "odd": oddities.plain()}


def _say_survey(found: Survey) -> None:
    """What the rows look like, and what to do about it."""
    from hpo import tables

    rows = [
        [tables.shortened(name, _NAME), *(by_split.get(split) for split in found.splits)]
        for name, by_split in found.measures.items()
    ]
    tables.console(stderr=True).print(tables.table(rows, ("\nrows of the study", *found.splits)))
    for line in found.advice:
        options.say(f"warning: {line}", err=True)


def _say_odd(found: Oddities, settings: Transfer) -> None:
    """How many labels look odd, and the oddest rows, their text cut to the width."""
    from hpo import tables

    if not found.odd:
        return
    looked = f"{found.looked} rows" if found.looked == found.rows else f"{found.looked} of {found.rows} rows, drawn,"
    click.echo(f"\n{len(found.odd)} of {looked} have a label that the most similar training rows contradict", err=True)
    console, short = tables.console(stderr=True), partial(tables.shortened, cells=_LABEL)
    columns = ("where", settings.data.label, "its like", settings.data.text)
    rows = [(short(row.where), short(row.label), short(row.neighbours), row.text) for row in found.odd[:_SHOWN]]
    console.print(tables.fitted(console, rows, columns))


def _estimate(spec: StudySpec, config: Config, workers: int | None, quiet: bool) -> dict[str, Any]:
    """What the study takes, ready for JSON, and said unless it is to be `quiet`."""
    from hpo import dryrun, forecast
    from hpo.launch import devices as cuda

    devices, _ = cuda.roomy(cuda.allowed(config.devices, None))
    count = workers or max(1, len(devices))
    run = dryrun.dry_run(spec, config, count, devices)
    found = forecast.forecast(spec, run, count, len(devices))
    if not quiet:
        _say_estimate(spec, run, found)
    return forecast.plain(found, run)


def _say_estimate(spec: StudySpec, run: DryRun, found: Forecast) -> None:
    """What each tried trial costs, then a trial, the study and the memory in general."""
    from hpo import aside, forecast, tables

    rows = [
        (aside.told(each.params), each.found.steps, each.found.evaluations, each.found.trial_seconds)
        for each in run.tried
    ]
    columns = ("\ndry run: a trial with", "steps", "evaluations", "seconds")
    tables.console(stderr=True).print(tables.table(rows, columns))
    for line in forecast.told(found, spec.pruner.kind):
        options.say(line, err=True)
    for line in forecast.advice(found):
        options.say(f"warning: {line}", err=True)
