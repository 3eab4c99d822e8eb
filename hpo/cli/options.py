"""Options that several commands share, and how a study is named in all of them."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from hpo.cli import completion
from hpo.config import Config
from hpo.errors import HpoError
from hpo.tables import printable


@dataclass(frozen=True)
class Budget:
    """So many trials, or so many `more` than there are."""

    trials: int
    more: bool


def _budget(context: click.Context, param: click.Parameter, value: str | None) -> Budget | None:
    if value is None:
        return None
    found = re.fullmatch(r"(\+?)0*([1-9]\d*)", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is neither a number of trials, such as 30, nor one to add, such as +20")
    return Budget(int(found[2]), more=bool(found[1]))


class _Price(click.FloatRange):
    """A number from 0; neither `nan` nor `inf`, which Python takes for numbers, too."""

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> float:
        found = super().convert(value, param, context)
        if not math.isfinite(found):
            self.fail(f"{value} is no price", param, context)
        return float(found)


PRICE = _Price(0)
study = click.option(
    "-s",
    "--study",
    metavar="STUDY",
    required=True,
    shell_complete=completion.studies,
    help="A study's name, a shipped one's, or a study file.",
)
study_or_all = click.option(
    "-s",
    "--study",
    metavar="STUDY",
    shell_complete=completion.studies,
    help="A study's name, a shipped one's, or a study file; by default all studies.",
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
as_csv = click.option("--csv", "as_csv", is_flag=True, help="CSV on stdout.")
overrides = click.option(
    "--set", "overrides", metavar="ADDRESS=VALUE", multiple=True, help="Override any key of the study file; repeatable."
)
renamed = click.option("--as", "renamed", metavar="NAME", help="Another name for the study.")
budget = click.option(
    "--trials", "budget", metavar="N|+N", callback=_budget, help="The budget, or with + how many trials to add to it."
)
allow_code = click.option(
    "--allow-code",
    is_flag=True,
    help="Run the Python code that a model brings along: with all that this account may.  [env: HPO_ALLOW_CODE=1]",
)
trials = click.option(
    "--trial", "numbers", metavar="N", type=click.IntRange(0), multiple=True, help="Only this trial; repeatable."
)
yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def as_json(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--json`, and the schema of what it prints."""
    return _json(_schema(command))


def _print_schema(context: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or context.resilient_parsing:
        return
    from hpo import answers, tables

    words: list[str] = []
    at = context
    while at.parent is not None:
        words.insert(0, str(at.info_name))
        at = at.parent
    tables.print_json(answers.schema(" ".join(words)))
    context.exit()


_schema = click.option(
    "--json-schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_schema,
    help="The JSON Schema of what --json prints, and end.",
)


def allowing(config: Config, allow_code: bool) -> Config:
    """The configuration that `--allow-code` makes of this one."""
    return replace(config, allow_code=True) if allow_code else config


def say(line: str, err: bool = False) -> None:
    """Print a line that may hold what rows say."""
    click.echo(printable(line), err=err)


def check_out(out: Path | None, *suffixes: str) -> None:
    """Refuse a file that cannot be written, before the work for it is done; raises HpoError."""
    if out is None:
        return
    if suffixes and out.suffix not in suffixes:
        *others, last = suffixes
        right = f"{', '.join(others)} or {last}" if others else last
        raise HpoError(f"--out {out}: a file ending in {right} is right")
    if out.is_dir():
        raise HpoError(f"--out {out}: is a folder; name a file in it")
    if not out.parent.is_dir():
        raise HpoError(f"--out {out}: there is no folder {out.parent}; make it, or name another")
    if not os.access(out if out.exists() else out.parent, os.W_OK):
        raise HpoError(f"--out {out}: may not be written by this account; name another")


def confirm(question: str) -> None:
    """Ask, and abort where the answer is not yes; where nobody can answer, say what answers beforehand."""
    try:
        click.confirm(question, abort=True, err=True)
    except click.Abort as abort:
        if isinstance(abort.__context__, EOFError):
            click.echo("\nnobody is there to answer; -y does it without asking", err=True)
        raise


def is_file(study: str) -> bool:
    """Whether `--study` names a file, not a study."""
    return study.endswith((".yaml", ".yml")) or "/" in study


def name_of(study: str) -> str:
    """The study's name, read from the file where a file is named."""
    if not is_file(study):
        return study
    from hpo import spec

    return spec.load(spec.find(study)).study
