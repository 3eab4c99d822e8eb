"""Rows of a file, labelled by a model in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from hpo.card import OF_IMAGES
from hpo.complaints import of_file
from hpo.config import Config
from hpo.errors import HpoError
from objectives import decoding, folders, settings, tables
from objectives.errors import DataError, ObjectiveError
from objectives.sources import NOTE
from objectives.tables import Table

ADDED = ("prediction", "probability")


def rows(file: str, encoding: str | None, delimiter: str | None) -> Table:
    """The rows of a file; raises HpoError."""
    try:
        written = settings.Data(path=file, encoding=encoding, delimiter=delimiter)  # checked as a study file's are
        if folders.are_here(file):
            return folders.listed(file, "FILE")
        return tables.read(file, "FILE", encoding=written.encoding, delimiter=written.delimiter)
    except DataError as error:
        raise HpoError(of_file(error)) from error
    except ValueError as error:
        raise HpoError(str(error).splitlines()[-2].strip().removeprefix("Value error, ")) from error


def label(config: Config, model: Path, table: Table, text: str | None) -> list[dict[str, Any]]:
    """The rows with their `prediction` and its `probability`; raises HpoError."""
    note = _note(model)
    if (listed := folders.are_here(table.source)) and note.get("task") not in OF_IMAGES:
        raise HpoError(f"{table.source} holds images; right is a file of texts, which this model reads")
    column, pair = text or (folders.COLUMNS[0] if listed else note["text"]), note.get("pair")
    for name in (column, pair):
        if name is not None and name not in table.columns:
            known = ", ".join(table.columns)
            advice = "rename one" if name == pair else "name the one to read with --text"
            raise HpoError(f"{table.source} has no column '{name}'; found {known}: {advice}")
    if taken := [name for name in ADDED if name in table.columns]:
        raise HpoError(f"{table.source} has a column '{taken[0]}' already; rename it")
    pairs = list(table.column(pair)) if pair else None
    texts = list(table.column(column))
    if note.get("task") in OF_IMAGES:
        try:
            decoding.check(table, column, "FILE")
        except ObjectiveError as error:
            raise HpoError(of_file(error)) from error
    said = asked(config, model=str(model.absolute()), texts=texts, pairs=pairs, source=table.source)
    columns = [*table.columns]
    values = zip(*(table.column(name) for name in columns), strict=True)
    return [dict(zip((*columns, *ADDED), (*row, *found), strict=True)) for row, found in zip(values, said, strict=True)]


def _note(model: Path) -> dict[str, Any]:
    """What the model's folder says of it, the columns that the training read among that."""
    try:
        found: dict[str, Any] = json.loads((model / NOTE).read_text("utf-8"))
        return found | {"text": str(found["text"])}
    except (OSError, ValueError, KeyError, TypeError):
        raise HpoError(f"--model {model}: is no model folder; right is one that hpo promote wrote") from None


def asked(config: Config, **question: Any) -> list[tuple[Any, float | None]]:
    """What is said, and its probability, for each of the `texts` of a question to `hpo.labelling`; raises HpoError."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hpo.labelling"],
        env={**os.environ, **config.environ(), "TOKENIZERS_PARALLELISM": "false"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said, complained = process.communicate(json.dumps(question))
    finally:
        process.kill()
        process.wait()
    return _answer(process.returncode, said, complained)


def _answer(code: int, said: str, complained: str) -> list[tuple[Any, float | None]]:
    if code == -signal.SIGKILL:
        raise HpoError("labelling: killed, as the system does where memory does not suffice; give fewer rows at once")
    answer: dict[str, Any] = json.loads(said) if said else {}
    if "error" in answer:
        raise HpoError(answer["error"])
    if code:
        raise RuntimeError(f"hpo.labelling ended with {code}:{os.linesep}{complained}")
    return [(name, probability) for name, probability in answer["predictions"]]
