"""Commands that only read: tables on a terminal, `--json` and `--csv` for programs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from hpo import loglines, report, tables
from hpo.cli import options
from hpo.config import Config
from hpo.errors import StudyError

Row = dict[str, Any]

_CURVE = ("val_loss", "train_loss", "accuracy", "f1_macro", "learning_rate", "seconds", "examples_per_second")
_ASKED = ("asked", "asked_by", "asked_at")  # what people last wanted of a study, or of a trial
_FACTS = ("number", "state", "activity", "value", "best_step", "error", "trainable_parameters", "seconds")
_COUNTS = ("state", "trials", "complete", "pruned", "failed", "running", "waiting", "remaining")


@click.command()
@options.as_json
@click.pass_obj
def studies(config: Config, as_json: bool) -> None:
    """List the studies of the database.

    Example: hpo studies
    """
    with report.read(config) as rows:
        found = rows.studies()
    if as_json:
        tables.print_json([_without(row, "spec") for row in found])
    elif found:
        rules = {"ended_by"} if any(row["ended_by"] for row in found) else set()
        columns = ("study", *_COUNTS, "metric", "created", *rules)
        short = (row | {"ended_by": row["ended_by"] and row["ended_by"].split()[0]} for row in found)
        tables.show(([row[column] for column in columns] for row in short), columns)
    else:
        click.echo("no studies yet; start one: hpo launch --study bert-news", err=True)


@click.command()
@options.study
@options.as_json
@options.as_csv
@click.pass_obj
def status(config: Config, study: str, as_json: bool, as_csv: bool) -> None:
    """How a study stands: its counts, what runs where, the best so far.

    --csv is one line: the counts, and the best as `best.value` and its like.

    Example: hpo status -s bert-news
    """
    with report.read(config) as rows:
        found = rows.progress(options.name_of(study))
    if as_json:
        tables.print_json(_without(found, "spec"))
        return
    if as_csv:
        click.echo(tables.as_csv([_without(found, "spec", "trials_running")]), nl=False)
        return
    facts = ("study", *_COUNTS, "error", *_ASKED, "ended_by", "ended_at")
    tables.show(((name, found[name]) for name in facts if found[name] is not None), ("", ""))
    if found["trials_running"]:
        columns = ("number", "activity", "worker", "epoch", "value", "params")
        tables.show(([row[column] for column in columns] for row in found["trials_running"]), columns, "\nrunning")
    if found["best"]:
        print_best(found["best"])


@click.command()
@options.as_json
@click.pass_obj
def workers(config: Config, as_json: bool) -> None:
    """The workers that run a trial now, on all machines; one that waits for a trial is not listed.

    `beat` is how many seconds ago a worker gave its last sign of life.

    Example: hpo workers
    """
    with report.read(config) as rows:
        found = rows.workers()
    if as_json:
        tables.print_json(found)
    elif found:
        columns = ("worker", "host", "pid", "device", "study", "trial", "step")
        body = ([*(row[column] for column in columns), round(row["last_beat"], 1)] for row in found)
        tables.show(body, (*columns, "beat"))
    else:
        click.echo("no worker runs a trial now; start one: hpo worker", err=True)


@click.command()
@options.study
@options.as_json
@options.as_csv
@click.pass_obj
def trials(config: Config, study: str, as_json: bool, as_csv: bool) -> None:
    """All trials of a study.

    `state` is Optuna's; `activity` says what becomes of a RUNNING one.

    Example: hpo trials -s bert-news --csv > trials.csv
    """
    with report.read(config) as rows:
        found = rows.trials(options.name_of(study))
    if as_json:
        tables.print_json(found)
    elif as_csv:
        click.echo(tables.as_csv(found), nl=False)
    else:
        tables.show(*_trial_table(found))


@click.command()
@options.study
@click.argument("number", type=int)
@options.as_json
@options.as_csv
@click.pass_obj
def show(config: Config, study: str, number: int, as_json: bool, as_csv: bool) -> None:
    """One trial: parameters, settings, attempts and learning curve.

    --csv is the learning curve, a line for each evaluation.

    Example: hpo show -s bert-news 3
    """
    with report.read(config) as rows:
        found = rows.trial(options.name_of(study), number)
    if as_json:
        tables.print_json(found)
        return
    if as_csv:
        click.echo(tables.as_csv(found["curve"]), nl=False)
        return
    facts = {name: found[name] for name in (*_FACTS, "requeued_from", *_ASKED)} | _machine(found)
    tables.show(((name, value) for name, value in facts.items() if value not in (None, {})), ("trial", ""))
    tables.show(found["params"].items(), ("\nparameter", "value"))
    tables.show(_settings(found), ("\nsettings", ""))
    own = dict.fromkeys(name for row in found["curve"] for name in row["metrics"])  # what a function reports
    names = tuple(own) if "python" in (found["settings"] or ()) else _CURVE
    curve = ([row["step"], row["epoch"], *(row["metrics"].get(name) for name in names)] for row in found["curve"])
    tables.show(curve, ("step", "epoch", *names), "\ncurve")
    attempts = ("attempt", "worker", "started", "ended", "outcome", "error")
    tables.show(([row[name] for name in attempts] for row in found["history"]), attempts, "\nattempts")


@click.command()
@options.study
@options.as_json
@click.pass_obj
def best(config: Config, study: str, as_json: bool) -> None:
    """The best complete trial: its parameters and the metrics of its best evaluation.

    Example: hpo best -s bert-news --json
    """
    with report.read(config) as rows:
        name = options.name_of(study)
        found = rows.best(name)
    if found is None:
        raise StudyError(f"{name}: no trial is complete yet; hpo status -s {name} shows how it stands")
    if as_json:
        tables.print_json(found)
    else:
        print_best(found)


@click.command()
@options.study
@click.option("--trial", type=int, help="Only the lines of this trial.")
@click.option("-f", "--follow", is_flag=True, help="Go on showing what comes.")
@click.pass_obj
def logs(config: Config, study: str, trial: int | None, follow: bool) -> None:
    """What this machine's workers wrote, in order of time.

    Example: hpo logs -s bert-news --trial 3
    """
    folder = config.logs / options.name_of(study)
    if not folder.is_dir():
        raise StudyError(f"{study}: no logs in {folder}; logs stay on the machine whose workers write them")
    positions: dict[Path, int] = {}
    while True:
        for entry in loglines.gained(folder, positions, trial):
            click.echo(entry)
        if not follow:
            return
        time.sleep(0.5)


def print_best(found: Row) -> None:
    """The best trial as a person reads it."""
    value, epoch = tables.shown(found["value"]), tables.shown(found["epoch"])
    click.echo(f"\nbest {found['metric']} {value}, trial {found['number']}, epoch {epoch}\n")
    tables.show(found["params"].items(), ("parameter", "value"))
    metrics = {name: value for name, value in found["metrics"].items() if "[" not in name}
    click.echo()
    tables.show(metrics.items(), ("metric", "value"))


def _machine(trial: Row) -> Row:
    """Which model ran where, as far as it is known."""
    facts = trial["facts"]
    on = {name: facts[name] for name in ("device", "device_name", "threads", "precision") if name in facts}
    return {"model": facts.get("model"), "host": trial["host"], "ran on": on}


def _settings(trial: Row) -> Iterator[tuple[str, Row]]:
    """The trial's settings, a line a group, without what is left open and without its parameters."""
    for group, values in (trial["settings"] or {}).items():
        yield (
            group,
            {
                name: value
                for name, value in values.items()
                if value is not None and f"{group}.{name}" not in trial["params"]
            },
        )


def _trial_table(found: list[Row]) -> tuple[list[list[Any]], list[str]]:
    names = list(dict.fromkeys(name for row in found for name in row["params"]))
    columns = ["trial", "state", "value", "step", "attempts", *(name.rpartition(".")[2] for name in names), "note"]
    body = [
        [
            *(row["number"], row["state"], row["value"], row["best_step"], row["attempts"]),
            *(row["params"].get(name) for name in names),
            _note(row),
        ]
        for row in found
    ]
    return body, columns


def _note(row: Row) -> str | None:
    """What becomes of a trial, or what ended it; who paused it; which one it runs again."""
    paused = row["activity"] == "paused" and row["asked"] == "pause"
    notes = [f"paused by {row['asked_by']}" if paused else row["activity"] or row["error"]]
    if row["requeued_from"] is not None:
        notes.append(f"requeued from {row['requeued_from']}")
    return "; ".join(note for note in notes if note) or None


def _without(row: Row, *names: str) -> Row:
    return {name: value for name, value in row.items() if name not in names}
