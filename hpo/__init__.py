"""Hyperparameter optimization for transfer learning: exact, resumable, shared through PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpo.report import Reader

__version__ = "0.1.0"


def open_study(study: str, database_url: str | None = None) -> Reader:
    """A study to read from: `hpo.open_study("bert-news").best`.

    Args:
        study: its name, as `hpo studies` lists it.
        database_url: a PostgreSQL URL; by default HPO_DATABASE_URL, else the embedded server, as for the commands.

    Raises:
        hpo.errors.DatabaseError: the database cannot be reached.
        hpo.errors.StudyError: it holds no such study.
    """
    from hpo import config, report

    return report.Reader.open(config.load(database_url=database_url), study)
