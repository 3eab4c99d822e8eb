"""What `hpo compare --on` does: promoted models by domains."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hpo import domains, report, tables
from hpo.cli import options
from hpo.config import Config
from hpo.domains import Cell, Domain, Model
from hpo.errors import HpoError
from hpo.store import Store
from objectives.tables import READERS


@dataclass(frozen=True)
class Matrix:
    """Cells model by model, and the metric that is shown of them."""

    metric: str
    models: Sequence[str]
    domains: Sequence[str]
    cells: Sequence[Cell]


def crossed(config: Config, store: Store, named: Sequence[str], on: Sequence[str], metric: str) -> Matrix:
    """Each model, a study's or a folder's, on the rows of each study or file in `on`; raises HpoError."""
    with tempfile.TemporaryDirectory(prefix="hpo-models-") as folder, report.read(config) as rows:
        models = []
        for place, name in enumerate(dict.fromkeys(named)):
            into = Path(folder, str(place))
            into.mkdir()
            is_folder = domains.is_model(name)
            model = domains.of_folder(Path(name)) if is_folder else domains.promoted(config, store, rows, name, into)
            models.append(model)
        parts = [_domain(config, store, one, models[0]) for one in dict.fromkeys(on)]
        names = [model.name for model in models], [part.name for part in parts]
        _check_names(*names)
        return Matrix(metric, *names, domains.crossed(config, models, parts))


def _domain(config: Config, store: Store, name: str, model: Model) -> Domain:
    """The rows of a file, by the columns of this model's training, or the test rows of a study."""
    if Path(name).suffix.lower() in READERS:
        return domains.of_file(name, model)
    return domains.of_study(config, store, options.name_of(name))


def _check_names(models: Sequence[str], parts: Sequence[str]) -> None:
    for what, names in (("models", models), ("domains", parts)):
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise HpoError(f"two of the {what} are called {twice}; rename a folder or file of that name")


def say(found: Matrix, as_json: bool) -> None:
    """The matrix on stdout."""
    if as_json:
        tables.print_json(plain(found))
        return
    tables.show((_row(found, model) for model in found.models), ["trained by", *found.domains])
    counts = ", ".join(f"{cell.rows} of {cell.domain}" for cell in found.cells[: len(found.domains)])
    options.say(f"\n{found.metric} on test rows ({counts}), 95 % intervals over them, one model each")
    for cell in found.cells:
        if cell.seen:
            options.say(f"{cell.seen} of the rows of {cell.domain} have a text that {cell.model} was trained on.")


def _row(found: Matrix, model: str) -> list[str]:
    measures = [cell.measures[found.metric] for cell in found.cells if cell.model == model]
    return [model, *(f"{one.mean:.3f} ({one.low:.3f} to {one.high:.3f})" for one in measures)]


def plain(found: Matrix) -> dict[str, Any]:
    """Ready for JSON."""
    cells = [asdict(cell) for cell in found.cells]
    return {"metric": found.metric, "models": [*found.models], "domains": [*found.domains], "cells": cells}


def draw(found: Matrix, out: Path) -> list[str]:
    """Draw the matrix; lines to be said. Raises OSError."""
    from hpo.plots import heat

    values = [cell.measures[found.metric] for cell in found.cells]
    return heat.save(out, found.metric, found.models, found.domains, values)
