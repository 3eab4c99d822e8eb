"""The commands that come after a search: `hpo promote` and `hpo predict`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpo.cli import options
from hpo.config import Config
from hpo.errors import HpoError
from objectives.errors import without_login

if TYPE_CHECKING:
    from hpo.card import Made
    from hpo.launch.devices import Device
    from hpo.promote import Wish
    from hpo.promotion import Promotion
    from hpo.spec import StudySpec
    from hpo.store import Plan, Store
    from hpo.verdict import Standing, Verdict


@click.command()
@options.study
@click.option("--top", type=click.IntRange(1), help="So many of the best configurations, beside the defaults: 3.")
@click.option("--seeds", type=click.IntRange(1), help="So many fresh seeds for each: 5.")
@click.option("--fit", type=click.Choice(["train", "all"]), help="Fit the training rows, or the validation rows, too.")
@click.option("-w", "--workers", type=click.IntRange(1), help="Processes; by default one a device, or one on a CPU.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The model's folder: models/STUDY.")
@click.option("--again", is_flag=True, help="Replace an earlier promotion of the study, and its models.")
@options.yes
@options.allow_code
@options.as_json
@click.pass_obj
def promote(  # noqa: PLR0913, PLR0917 - an argument an option
    config: Config,
    study: str,
    top: int | None,
    seeds: int | None,
    fit: Any,
    workers: int | None,
    out: Path | None,
    again: bool,
    yes: bool,
    allow_code: bool,
    as_json: bool,
) -> None:
    """Retrain the best configurations with fresh seeds, test them once, and write the winner's model.

    The defaults are retrained beside them. All of it is a study STUDY@promote, on which any worker may help; the same
    command goes on where it was ended, and prints what it found once it is done.

    Example: hpo promote --study bert-news --top 3 --seeds 5
    """
    from hpo import card
    from hpo.launch import devices as cuda
    from hpo.promote import Wish
    from hpo.store import open_store

    config, name = options.allowing(config, allow_code), options.name_of(study)
    folder = out or Path("models") / name
    card.check(folder, name)
    devices, skipped = cuda.roomy(cuda.allowed(config.devices, None))
    for line in skipped:
        click.echo(line, err=True)
    with open_store(config) as store:
        if again:
            _forget(config, store, name, Wish(top, seeds, fit), yes)
        promotion, spec = planned(config, store, name, Wish(top, seeds, fit))
        elsewhere = f" --out {shlex.quote(str(out))}" if out else ""
        going = f"go on with: hpo promote -s {name}{elsewhere}"  # without --again, which would begin anew
        work(config, store, spec, workers or max(1, len(devices)), devices, going)
        found, made = _found(config, store, promotion)
        card.write(folder, found, made, _models(config, store.plan(promotion.companion)))
    _say(found, made, folder, as_json)


def _forget(config: Config, store: Store, study: str, wish: Wish, yes: bool) -> None:
    """Remove an earlier companion, after asking, where a new one can be made; raises HpoError where it cannot."""
    from hpo import promote as promoting
    from hpo import report

    before = promoting.earlier(store, study)
    if before is None:
        return
    with report.read(config) as rows:
        promoting.checked(store, config, promoting.plan(store, rows, study, wish, None))
    if not yes:
        options.confirm(f"Delete {before.spec.study}, its {before.made} trials and their models?")
    store.delete(before.spec.study)
    discard(config, before)


def discard(config: Config, plan: Plan) -> None:
    """Remove the models that the trials of a companion left; says where they are if they stay."""
    try:
        _models(config, plan).clear()
    except OSError as error:
        click.echo(without_login(f"models stay in {config.trained}/{plan.folder}: {error}"), err=True)


def _models(config: Config, plan: Plan) -> Any:
    from hpo.trained import Models

    return Models(f"{config.trained}/{plan.folder}")


def planned(config: Config, store: Store, study: str, wish: Wish) -> tuple[Promotion, StudySpec]:
    """What is to be retrained, and its companion in the database; raises HpoError."""
    from hpo import inputs, report, verdict
    from hpo import promote as promoting

    before = promoting.earlier(store, study)
    with report.read(config) as rows:
        verdict.companion(rows, study)
        promotion = promoting.plan(store, rows, study, wish, before)
    spec = promoting.create(store, config, promotion, before)
    inputs.check_models(spec, config)
    return promotion, spec


def work(
    config: Config,
    store: Store,
    spec: StudySpec,
    workers: int,
    devices: list[Device],
    going: str = "the same command goes on",
) -> None:
    """Run the retrainings that are left under the live view; `going` says, after Ctrl-C, what goes on with them."""
    from hpo import config as configuration
    from hpo import control, report
    from hpo.cli.launch import viewed
    from hpo.launch import LAUNCHERS
    from hpo.launch.local import Launch

    with report.read(config) as rows:
        if rows.study(spec.study)["state"] == "complete":
            return
    control.restart(store, spec.study, configuration.who())
    try:
        with viewed(config, spec) as view:
            LAUNCHERS["local"](Launch(config, store, spec.study, workers, devices, watch=view, say=view.say))
    except KeyboardInterrupt:
        click.echo(f"stopped; {going}", err=True)
        raise


def _found(config: Config, store: Store, promotion: Promotion) -> tuple[Verdict, Made]:
    """What the retrainings have shown, and how the winner's model was made."""
    from hpo import report, verdict
    from hpo.card import Made

    with report.read(config) as rows:
        name = promotion.companion
        found = verdict.read(rows, name)
        trial = rows.trial(name, found.winner.trials[0].number)
    return found, Made(trial["trial_id"], trial["settings"], trial["facts"], store.plan(name).fingerprint)


def _say(found: Verdict, made: Made, folder: Path, as_json: bool) -> None:
    from hpo import card, tables

    if as_json:
        tables.print_json(_plain(found, made, folder))
        return
    columns = ["configuration", found.tested, "+/-", "seeds", "beside the winner"]
    if found.winner.valid is not None:
        columns.insert(1, found.metric)
    tables.show((_row(found, standing) for standing in found.standings), columns)
    addresses = list(found.winner.candidate.params)
    short = [address.rpartition(".")[2] for address in addresses]
    settings = (
        [card.called(one.candidate), *(one.candidate.params[name] for name in addresses)] for one in found.standings
    )
    tables.show(settings, ("\nconfiguration", *short))
    click.echo()
    for line in card.lines(found):
        options.say(line)
    click.echo(f"\nmodel: {folder}", err=True)
    click.echo(f"label rows with it: hpo predict --model {shlex.quote(str(folder))} FILE", err=True)


def _row(found: Verdict, standing: Standing) -> list[Any]:
    from hpo import card

    beside = found.beside(standing)
    valid = [standing.valid.mean] if standing.valid else []
    said = beside.said if beside else "winner"
    return [card.called(standing.candidate), *valid, standing.test.mean, standing.test.half, len(standing.trials), said]


def _plain(found: Verdict, made: Made, folder: Path) -> dict[str, Any]:
    """Ready for JSON."""
    from dataclasses import asdict

    from hpo import card

    def configuration(standing: Standing) -> dict[str, Any]:
        beside = found.beside(standing)
        return {
            **asdict(standing.candidate),
            "valid": standing.valid and asdict(standing.valid),
            "test": asdict(standing.test),
            "trials": [
                {"number": trial.number, "seed": trial.seed, "metrics": dict(trial.metrics)}
                for trial in standing.trials
            ],
            "winner": standing is found.winner,
            "difference": beside and asdict(beside.difference),
            "p": beside and beside.p,
            "verdict": beside.said if beside else "winner",
        }

    defaults = found.defaults
    return {
        "study": found.promotion.study,
        "companion": found.promotion.companion,
        "fit": found.promotion.fit,
        "seeds": list(found.promotion.seeds),
        "metric": found.metric,
        "tested": found.tested,
        "direction": found.direction,
        "test_rows": found.test_rows,
        "configurations": [configuration(standing) for standing in found.standings],
        "beats_defaults": defaults and defaults.is_told_apart and defaults.better,
        "metrics": {name: asdict(interval) | {"model": own} for name, interval, own in card.metrics(found)},
        "model": str(folder),
        "facts": dict(made.facts),
    }


@click.command()
@click.option("-m", "--model", required=True, type=click.Path(path_type=Path), help="A folder that hpo promote wrote.")
@click.argument("file")
@click.option("--text", help="The column to read; by default that of the training.")
@click.option("--encoding", help="Of a text file; by default UTF-8, or guessed.")
@click.option("--delimiter", help="Of a .csv or .tsv file: one character, or tab.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write FILE.csv or FILE.json.")
@options.allow_code
@options.as_json
@click.pass_obj
def predict(  # noqa: PLR0913, PLR0917 - an argument an option
    config: Config,
    model: Path,
    file: str,
    text: str | None,
    encoding: str | None,
    delimiter: str | None,
    out: Path | None,
    allow_code: bool,
    as_json: bool,
) -> None:
    """Label the rows of a file with a model that `hpo promote` wrote.

    Each row comes back with its columns and two more, `prediction` and `probability`: as CSV, or with --json as a list
    of objects. FILE is .csv, .tsv, .jsonl, .json, .parquet or .xlsx, or a URL of one; for a model of images it may
    be a folder or .zip of them.

    Example: hpo predict --model models/bert-news titles.csv > labelled.csv
    """
    from hpo import predict as predicting
    from hpo import tables

    options.check_out(out, ".csv", ".json")
    rows = predicting.rows(file, encoding, delimiter)
    for notice in rows.notices:
        options.say(notice, err=True)
    found = predicting.label(options.allowing(config, allow_code), model, rows, text)
    is_json = as_json or (out is not None and out.suffix == ".json")
    written = tables.as_json(found) if is_json else tables.as_csv(found)
    if out is None:
        click.echo(written, nl=False)
        return
    try:
        out.write_text(written, "utf-8")
    except OSError as error:
        raise HpoError(f"--out {out}: {error.strerror}") from None
