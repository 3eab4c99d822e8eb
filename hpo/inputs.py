"""The models of a study, seen to be there and usable before anything is created."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from hpo import space
from hpo.config import Config
from hpo.errors import SpecError
from hpo.spec import StudySpec, settings_for
from objectives.settings import Transfer

if TYPE_CHECKING:
    from objectives.sources import Source


def check_models(spec: StudySpec, config: Config, source: str | None = None) -> Source | None:
    """Fetches or finds each model that a trial may have; where the objective's own is, None where it has none.

    Hub and URLs are asked; no code that comes with a model is run. Raises SpecError, led by `source`: the study file
    where there is one.
    """
    if not isinstance(spec.objective, Transfer):
        return None
    from objectives.errors import ObjectiveError
    from objectives.ready import ready

    searched = spec.search.get("model.name")
    names = [spec.objective.model.name, *(space.values(searched) if searched is not None else ())]
    found = {}
    for name in dict.fromkeys(map(str, names)):
        wanted = cast(Transfer, settings_for(spec, {"model.name": name}, config.data_root))
        try:
            found[name] = ready(wanted.model, allow_code=config.allow_code, cache=config.models)
        except ObjectiveError as error:
            raise SpecError(f"{source or f'study {spec.study}'}: objective.{error}") from error
    return found[spec.objective.model.name]
