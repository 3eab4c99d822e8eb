"""What a study's trials need of a machine: models, seen to be usable, and what they may use beside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from hpo import space
from hpo.config import Config
from hpo.errors import HpoError, SpecError
from hpo.spec import StudySpec, settings_for
from objectives import settings
from objectives.cache import Cache
from objectives.evaluation import Heed, unheeded
from objectives.host import Host
from objectives.settings import Settings, Transfer

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

    found = {}
    for name in _names(spec, spec.objective):
        wanted = cast(Transfer, settings_for(spec, {"model.name": name}, config.data_root))
        try:
            found[name] = ready(wanted.model, allow_code=config.allow_code, cache=config.models)
        except ObjectiveError as error:
            raise SpecError(f"{source or f'study {spec.study}'}: objective.{error}") from error
    return found[spec.objective.model.name]


def identities(spec: StudySpec, config: Config) -> dict[str, str]:
    """What tells each model of a study, by its name there, from others of that name; none where revisions are searched.

    Raises ObjectiveError where one cannot be read.
    """
    if not isinstance(spec.objective, Transfer) or "model.revision" in spec.search:
        return {}
    return {name: _identity(spec, config, name, {}) for name in _names(spec, spec.objective)}


def check_identities(spec: StudySpec, config: Config, known: Mapping[str, str], heed: Heed = unheeded) -> None:
    """Raise HpoError where a model here is not the one that the study was made with, and what `heed` raises."""
    for name, identity in known.items():
        if _identity(spec, config, name, known, heed) != identity:
            raise HpoError(
                f"model.name: the files of {name} are not those that {spec.study} was made with; put the same files "
                f"here, or start a new study with --as {spec.study}-2"
            )


def pinned(spec: StudySpec, params: Mapping[str, Any], config: Config, known: Mapping[str, str]) -> Settings:
    """A trial's settings; a model of the hub at the commit that the study was made with, wherever its branch is now."""
    wanted = settings_for(spec, params, config.data_root)
    if not isinstance(spec.objective, Transfer):
        return wanted
    name = str(params.get("model.name", spec.objective.model.name))
    kind, _, commit = known.get(name, "").partition(":")
    return settings.replace(wanted, {"model.revision": commit}) if kind == "hub" else wanted


def _names(spec: StudySpec, objective: Transfer) -> list[str]:
    """The models that a trial may have, the objective's own first."""
    searched = spec.search.get("model.name")
    return list(dict.fromkeys(map(str, [objective.model.name, *(space.values(searched) if searched else ())])))


def _identity(spec: StudySpec, config: Config, name: str, known: Mapping[str, str], heed: Heed = unheeded) -> str:
    from objectives.identity import identity
    from objectives.ready import located

    wanted = cast(Transfer, pinned(spec, {"model.name": name}, config, known))
    return identity(located(wanted.model, allow_code=config.allow_code, cache=config.models, heed=heed))


def host_for(config: Config, spec: StudySpec) -> Host:
    """What a study's trials may use on this machine; the cache is made for all depths that it may ask for."""
    searched = spec.search.get("model.frozen_layers")
    depths = {int(value or 0) for value in space.values(searched)} if searched else set()
    cache = Cache(config.caches, config.cache_size, tuple(sorted(depths)), spec.trials)
    return Host(
        models=config.models,
        cache=None if config.cache_size == 0 else cache,
        allow_code=config.allow_code,
        measured=config.caches,
    )
