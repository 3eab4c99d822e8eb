"""Options that several commands share, and how a study is named in all of them."""

from __future__ import annotations

import click

study = click.option(
    "-s", "--study", metavar="STUDY", required=True, help="A study's name, a shipped one's, or a study file."
)
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
as_csv = click.option("--csv", "as_csv", is_flag=True, help="CSV on stdout.")
overrides = click.option(
    "--set", "overrides", metavar="ADDRESS=VALUE", multiple=True, help="Override any key of the study file; repeatable."
)
renamed = click.option("--as", "renamed", metavar="NAME", help="Another name for the study.")
yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def is_file(study: str) -> bool:
    """Whether `--study` names a file, not a study."""
    return study.endswith((".yaml", ".yml")) or "/" in study


def name_of(study: str) -> str:
    """The study's name, read from the file where a file is named."""
    if not is_file(study):
        return study
    from hpo import spec

    return spec.load(spec.find(study)).study
