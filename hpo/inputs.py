"""What a study's trials need of a machine: models, seen to be usable, and what they may use beside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from hpo import space
from hpo.config import Config
from hpo.errors import HpoError, SpecError
from hpo.spec import StudySpec, models, settings_for
from objectives import settings
from objectives.cache import Cache
from objectives.evaluation import Heed, unheeded
from objectives.host import Host
from objectives.settings import Depth, Own, Settings, Transfer

if TYPE_CHECKING:
    from objectives.sources import Source


def check_models(spec: StudySpec, config: Config, source: str | None = None) -> Source | None:
    """Fetches or finds each model that a trial may have; where the objective's own is, None where it has none.

    Hub and URLs are asked; no code that comes with a model is run. Raises SpecError, led by `source`: the study file
    where there is one.
    """
    if not isinstance(spec.objective, Transfer):
        return None
    from objectives import kinds
    from objectives.errors import ObjectiveError
    from objectives.ready import ready

    own = cast(Transfer, settings_for(spec, {}, config.data_root)).model
    wanted = dict.fromkeys([own, *models(spec, config.data_root)])
    try:
        images = not kinds.has_texts(spec.objective)
        found = [ready(model, images=images, allow_code=config.allow_code, cache=config.models) for model in wanted]
    except ObjectiveError as error:
        raise SpecError(f"{source or f'study {spec.study}'}: objective.{error}") from error
    return found[0]


def check_code(spec: StudySpec, config: Config, source: str) -> None:
    """Raises SpecError, led by `source`, where the objective is a function, and code may not be run here."""
    if not isinstance(spec.objective, Own):
        return
    from objectives import own
    from objectives.errors import CodeError

    try:
        own.permit(spec.objective, config.allow_code)
    except CodeError as error:
        raise SpecError(f"{source}: objective.{error}") from error


def identities(spec: StudySpec, config: Config) -> dict[str, str]:
    """What tells each model of a study, by its name there, from others of that name; none where revisions are searched.

    A decoder is one of them. Raises ObjectiveError where one cannot be read.
    """
    searched = {"model.revision", "model.decoder_revision"}.intersection(spec.search)
    if not isinstance(spec.objective, Transfer) or searched:
        return {}
    return {name: _identity(spec, config, name, {}) for name in _names(spec, spec.objective)}


def check_identities(spec: StudySpec, config: Config, known: Mapping[str, str], heed: Heed = unheeded) -> None:
    """Raise HpoError where a model here is not the one that the study was made with, and what `heed` raises."""
    for name, identity in known.items():
        if _identity(spec, config, name, known, heed) != identity:
            address = _names(spec, cast(Transfer, spec.objective))[name]
            raise HpoError(
                f"{address}: the files of {name} are not those that {spec.study} was made with; put the same files "
                f"here, or start a new study with --as {spec.study}-2"
            )


def pinned(spec: StudySpec, params: Mapping[str, Any], config: Config, known: Mapping[str, str]) -> Settings:
    """A trial's settings; models of the hub at the commits that the study was made with, wherever a branch is now."""
    wanted = settings_for(spec, params, config.data_root)
    if not isinstance(spec.objective, Transfer):
        return wanted
    name, decoder = (params.get(address, settings.get(spec.objective, address)) for address in _REVISIONS)
    named = dict(zip(_REVISIONS.values(), (name, None if decoder == name else decoder), strict=True))
    found = {address: known.get(str(one), "").partition(":") for address, one in named.items()}
    return settings.replace(wanted, {address: commit for address, (kind, _, commit) in found.items() if kind == "hub"})


_REVISIONS = {"model.name": "model.revision", "model.decoder": "model.decoder_revision"}


def _names(spec: StudySpec, objective: Transfer) -> dict[str, str]:
    """The models that a trial may have, and the address of the setting where each may stand."""
    found: dict[str, str] = {}
    for address in _REVISIONS:
        searched = spec.search.get(address)
        for name in (settings.get(objective, address), *(space.values(searched) if searched else ())):
            if name is not None:
                found.setdefault(str(name), address)
    return found


def _identity(spec: StudySpec, config: Config, name: str, known: Mapping[str, str], heed: Heed = unheeded) -> str:
    from objectives.identity import identity
    from objectives.ready import located
    from objectives.sources import first, second

    address = _names(spec, cast(Transfer, spec.objective))[name]
    wanted = cast(Transfer, pinned(spec, {address: name}, config, known)).model
    one = first(wanted) if address == "model.name" else second(wanted) or wanted
    return identity(located(one, allow_code=config.allow_code, cache=config.models, heed=heed))


def host_for(config: Config, spec: StudySpec) -> Host:
    """What a study's trials may use on this machine; the cache is made for all depths that it may ask for."""
    searched = spec.search.get("model.frozen_layers")
    depths = [cast(Depth, value) for value in space.values(searched)] if searched else []
    cache = Cache(config.caches, config.cache_size, tuple(dict.fromkeys(depths)), spec.trials)
    return Host(
        models=config.models,
        cache=None if config.cache_size == 0 else cache,
        allow_code=config.allow_code,
        measured=config.caches,
        lean_off=config.lean_off,
    )
