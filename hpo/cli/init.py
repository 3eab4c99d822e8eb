"""The command `hpo init`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hpo import tables

if TYPE_CHECKING:
    from hpo.init import Draft


@click.command()
@click.argument("file")
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="The study file; by default NAME.yaml, here."
)
@click.option("--task", metavar="KIND", help="What is predicted, as task: of a study file has it, such as ner.")
@click.option("--text", metavar="COLUMN", help="The column to read.")
@click.option("--pair", metavar="COLUMN", help="A second column to read with it.")
@click.option("--label", metavar="COLUMN", help="The column to predict.")
@click.option("--study", metavar="NAME", help="The study's name; by default the file's.")
@click.option("--encoding", metavar="NAME", help="Of a text file, such as gb18030; by default UTF-8, else a guess.")
@click.option("--delimiter", metavar="CHARACTER", help="Of a .csv or .tsv file: one character, or tab.")
@click.option("--config", metavar="NAME", help="The configuration of a data set of the hub.")
@click.option("--force", is_flag=True, help="Overwrite the study file.")
def init(file: str, out: Path | None, force: bool, **wanted: str | None) -> None:
    """Write a first study file for rows: task, columns, lengths and ranges are guessed.

    FILE is a .csv, .tsv, .jsonl, .json, .parquet, .xlsx or .conll file, a folder or .zip of images by class, or a data
    set of the hub: fancyzhx/ag_news, or hub:imdb. The study file says why for each guess.

    Example: hpo init reviews.csv -o reviews.yaml
    """
    from hpo import init as making

    made = making.draft(file, out, **wanted)
    making.write(made, force)
    for notice in made.table.notices:
        click.echo(notice, err=True)
    guesses = [guess for guess in made.guesses if guess.why and not guess.off]
    tables.show([(guess.address, guess.written, guess.why) for guess in guesses], ("guessed", "value", "why"))
    tables.show(*_shown(made))
    path = shlex.quote(os.fspath(made.path))
    click.echo(_NEXT.format(path=path, file=shlex.quote(file)), err=True)


_NEXT = """
Wrote {path}. Is it right? Mend it there, or anew: hpo init {file} --task KIND --text COLUMN --label COLUMN --force
  hpo check {path}         read the data as trials do
  hpo launch -s {path}     search"""


def _shown(made: Draft) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """Some rows, what is predicted behind an arrow, and the names of the columns."""
    read = len(made.roles.read)
    rows = [
        tuple(_cut(cell, 90 // read) if place < read else f"-> {_cut(cell, 30)}" for place, cell in enumerate(row))
        for row in made.examples
    ]
    return rows, tuple(f"\n{name}" for name in made.roles.taken)


def _cut(text: str, most: int) -> str:
    """The text on one line, and no longer."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 3]}..."
