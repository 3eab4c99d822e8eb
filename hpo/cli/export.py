"""The command `hpo export`."""

from __future__ import annotations

from pathlib import Path

import click

from hpo import report, tables
from hpo.cli import options
from hpo.config import Config
from hpo.errors import HpoError

SUFFIXES = (".csv", ".json", ".parquet")


@click.command()
@options.study
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="A .csv, .json or .parquet file; else stdout."
)
@click.option("--mlflow", metavar="URI", help="An MLflow server, or sqlite:///FILE, in place of a file.")
@click.pass_obj
def export(config: Config, study: str, out: Path | None, mlflow: str | None) -> None:
    """Write all trials to a file, or to MLflow.

    Without --out it is CSV on stdout. To MLflow go finished trials with their parameters and curves, each once: the
    same command again adds what is new.

    Example: hpo export -s bert-news --out trials.json
    """
    if out is not None and mlflow is not None:
        raise click.UsageError("give --out or --mlflow, not both")
    options.check_out(out, *SUFFIXES)
    name = options.name_of(study)
    with report.read(config) as rows:
        if mlflow is not None:
            _to_mlflow(mlflow, rows, name)
            return
        found = rows.trials(name)
    if out is None:
        click.echo(tables.as_csv(found), nl=False)
        return
    try:
        if out.suffix == ".parquet":
            tables.write_parquet(found, out)
        else:
            out.write_text(tables.as_json(found) if out.suffix == ".json" else tables.as_csv(found), "utf-8")
    except OSError as error:
        raise HpoError(f"--out {out}: {error.strerror}") from None


def _to_mlflow(uri: str, rows: report.Report, study: str) -> None:
    from hpo import tracking

    sent = tracking.send(
        uri, rows.study(study), rows.trials(study), lambda number: rows.curve(study, number), rows.best(study)
    )
    click.echo(f"{study}: {sent.written} trials written, {sent.before} were there", err=True)
