"""The study file: read, checked, one frozen object."""

from __future__ import annotations

import difflib
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hpo import checks, listed, methods, ranges, space, strictyaml
from hpo.complaints import Complaint, ComplaintError, explain, nearest, shown
from hpo.errors import SpecError
from hpo.overrides import override, place
from hpo.promotion import Promotion
from hpo.rules import Stop
from hpo.space import Params, Space, Value
from objectives import settings as objectives
from objectives.measures import Direction, direction
from objectives.settings import Model, Own, Settings, Transfer
from objectives.tables import READERS

_COMPARED = ("objective", "search", "points", "sampler", "metric", "direction", "seed", "warm_start")
_SHOWN = ("objective.data.slice",)  # of these, what only changes how results are shown
_TABLES = (*READERS, ".zip")
_FILES = ("path", "train", "valid", "test")
MODELS = ("model.name", "model.decoder")
"""The settings that name models."""


@dataclass(frozen=True)
class Known:
    """A point of an earlier study, as far as its values lie in the ranges of this one, and where it comes from."""

    study: str
    trial: int
    params: Mapping[str, Value]

    def __str__(self) -> str:
        return f"trial {self.trial} of {self.study}"


@dataclass(frozen=True)
class StudySpec:
    """A study as its file says, every default in place.

    `points` are those that the file lists, each with all that is searched beside them; `search` is then the space that
    holds just these. `sampler` and `pruner` hold their options (`hpo.methods`); `enqueue` the parameters to try first;
    `known` are the points that `warm_start` brought when the study was made; `stop` the rules that end it before its
    budget does (`hpo.rules`); `folder` is where relative paths count from; `towards` is the direction that the file
    gives. `promotes` says what a companion study retrains; others have none, and do not come to the test rows.
    """

    study: str
    objective: Settings
    search: Space
    sampler: methods.Method
    pruner: methods.Method
    metric: str
    trials: int
    seed: int
    enqueue: tuple[Mapping[str, Value], ...]
    enqueue_defaults: bool
    max_attempts: int
    priority: int
    points: listed.Points = ()
    warm_start: str = "off"
    known: tuple[Known, ...] = ()
    stop: Stop = field(default_factory=Stop)
    folder: Path | None = None
    promotes: Promotion | None = None
    towards: Direction | None = None

    @property
    def direction(self) -> Direction:
        """Whether the metric is better low or high."""
        return direction(self.metric) or self.towards or "minimize"

    @property
    def epochs(self) -> int:
        """How long a trial is; a simulated one has an epoch an evaluation."""
        return checks.epochs(self.objective)

    @property
    def evaluations_per_epoch(self) -> int:
        """How many steps an epoch has."""
        return checks.evaluations_per_epoch(self.objective)

    @property
    def defaults(self) -> dict[str, Value] | None:
        """The objective's own values where they lie in their ranges: what trial 0 runs; None where it does not."""
        own = {address: objectives.get(self.objective, address) for address in self.search}
        inside = {address: value for address, value in own.items() if value in self.search[address]}
        return inside if inside and self.enqueue_defaults else None

    @property
    def opening(self) -> Sequence[Params]:
        """What the first trials of the budget have, in their order: the defaults, then points of earlier studies."""
        return [*([self.defaults] if self.defaults else []), *(point.params for point in self.known)]

    @property
    def grid(self) -> Sequence[Params]:
        """The points that are run once each, in their order, where nothing is drawn: listed ones, or a grid's."""
        return self.points or space.grid(self.search)

    def to_dict(self) -> dict[str, Any]:
        """The spec ready for JSON, in the order of a study file; `from_dict` reads it back."""
        return {
            "study": self.study,
            "objective": self.objective.model_dump(),
            "search": {} if self.points else {name: ranges.written(range_) for name, range_ in self.search.items()},
            "points": [dict(point) for point in self.points],
            "sampler": self.sampler.model_dump(),
            "pruner": self.pruner.model_dump(),
            "metric": self.metric,
            "direction": self.towards,
            "trials": self.trials,
            "seed": self.seed,
            "enqueue": [dict(params) for params in self.enqueue],
            "enqueue_defaults": self.enqueue_defaults,
            "max_attempts": self.max_attempts,
            "priority": self.priority,
            "warm_start": self.warm_start,
            "known": [vars(point) for point in self.known],
            "stop": self.stop.model_dump(),
            "folder": str(self.folder) if self.folder else None,
            "promotes": self.promotes.to_dict() if self.promotes else None,
        }

    @staticmethod
    def from_dict(kept: Mapping[str, Any]) -> StudySpec:
        """The spec that `to_dict` gave; raises SpecError."""
        return _kept(kept, f"study {kept.get('study')}")


def load(path: Path, overrides: Sequence[str] = ()) -> StudySpec:
    """The spec in a study file, with `address=value` overrides; raises SpecError, one line for each thing wrong."""
    tree = strictyaml.read(path)
    if not isinstance(tree, dict):
        seen = "is empty" if tree is None else f"holds {shown(tree)}"
        raise SpecError(f"{path}: {seen}; give a mapping with study, objective and search")
    changed_tree = override(checks.written_methods(tree), overrides, list(checks.Head.model_fields))
    if "@" in str(name := changed_tree.get("study")):
        where = place("study", str(path), overrides)
        raise SpecError(f"{where}: {shown(name)} has '@' in it, kept for companion studies; remove it")
    return _checked(changed_tree, str(path), path.absolute().parent, overrides, tree)


def changed(spec: StudySpec, overrides: Sequence[str]) -> StudySpec:
    """The spec with `address=value` overrides; raises SpecError."""
    kept = spec.to_dict()
    beside = {name: kept.pop(name) for name in _BESIDE}
    tree = override(kept, overrides, list(checks.Head.model_fields))
    if spec.promotes and tree["study"] != spec.study:
        raise SpecError(spec.promotes.alone)
    return _kept(tree | beside, f"study {spec.study}", overrides)


def renamed(spec: StudySpec, name: str) -> StudySpec:
    """The spec under another name; raises SpecError where it can be none."""
    if "@" in name:
        raise SpecError(f"{shown(name)} has '@' in it, kept for companion studies; choose another name")
    if spec.promotes:
        raise SpecError(spec.promotes.alone)
    return StudySpec.from_dict(spec.to_dict() | {"study": name})


_BESIDE = ("folder", "promotes", "known")
"""What is kept with a spec and stands in no study file."""


def _kept(kept: Mapping[str, Any], source: str, overrides: Sequence[str] = ()) -> StudySpec:
    """The spec of what `to_dict` gives."""
    tree = {key: value for key, value in kept.items() if key not in _BESIDE}
    folder, promotes, known = (kept.get(name) for name in _BESIDE)
    checked = _checked(tree, source, Path(folder) if folder else None, overrides, ours=promotes is not None)
    promotion = Promotion.from_dict(promotes) if promotes else None
    return replace(checked, promotes=promotion, known=tuple(Known(**point) for point in known or ()))


def _checked(
    tree: dict[str, Any],
    source: str,
    folder: Path | None,
    overrides: Sequence[str] = (),
    before: Any = None,
    *,
    ours: bool = False,
) -> StudySpec:
    """The spec of a tree; `before` is what it was without the overrides, which are not blamed for what that lacks.

    One of `ours`, not of a study file, may ask for the test rows.
    """
    try:
        head, objective, search, sampler, pruner, enqueue, points = checks.parse(tree)
        if not ours:
            checks.lock_test(objective)
    except ComplaintError as refused:
        raise located(refused, source, overrides, _complaints(before) if overrides and before else ()) from refused
    grid, count = sampler.kind == "grid", len(points) or space.points(search)
    return StudySpec(
        study=head.study,
        objective=objective,
        search=search,
        sampler=sampler,
        pruner=pruner,
        metric=head.metric,
        trials=head.trials or (count if grid else None) or 20,
        seed=head.seed,
        enqueue=enqueue,
        enqueue_defaults=not grid if head.enqueue_defaults is None else head.enqueue_defaults,
        max_attempts=head.max_attempts,
        priority=head.priority,
        points=points,
        warm_start=head.warm_start,
        stop=head.stop,
        folder=folder,
        towards=head.direction,
    )


def located(
    refused: ComplaintError, source: str, overrides: Sequence[str], before: Sequence[Complaint] = ()
) -> SpecError:
    """A line for each complaint, led by where it is: in the source, or in an override unless it stood `before`."""
    places = (place(one.key, source, () if one in before else overrides) for one in refused.complaints)
    lines = (f"{where}: {one.message}" for where, one in zip(places, refused.complaints, strict=True))
    return SpecError("\n".join(lines))


def _complaints(tree: Any) -> Sequence[Complaint]:
    """All that is wrong with the tree of a study file."""
    try:
        checks.parse(tree)
    except ComplaintError as refused:
        return refused.complaints
    return ()


def point(spec: StudySpec, texts: Sequence[str]) -> dict[str, Value]:
    """The parameters that `address=value` texts give, checked against the search space; raises SpecError."""
    params: dict[str, Any] = {}
    for text in texts:
        address, equals, value = text.partition("=")
        if not equals:
            raise SpecError(f"{text}: is no address=value; write such as training.learning_rate=3e-4")
        if (name := address.strip().removeprefix("objective.")) in params:
            raise SpecError(f"{text}: {name} is given twice; leave one out")
        params[name] = strictyaml.loads(value, text)
    try:
        return listed.queued(params, spec.points, spec.search, spec.objective, "")
    except ComplaintError as refused:
        raise SpecError("\n".join(f"study {spec.study}: {line}" for line in refused.complaints)) from refused


def shipped() -> dict[str, Path]:
    """The study files that come with the package, by name."""
    inside = Path(__file__).parent / "studies"
    folder = inside if inside.is_dir() else Path(__file__).parent.parent / "studies"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find(name_or_path: str) -> Path:
    """The study file at a path or of a shipped study's name; raises SpecError."""
    path, known = Path(name_or_path), shipped()
    if path.suffix in _TABLES and path.is_file():
        raise SpecError(f"{path}: holds rows; write a study file for them: hpo init {shlex.quote(name_or_path)}")
    if path.is_file():
        return path
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        there = [file.name for file in path.parent.glob("*.y*ml")]
        near = difflib.get_close_matches(path.name, there, n=1)
        hint = f"; did you mean {path.with_name(near[0])}?" if near else ""
        raise SpecError(f"{path}: no such study file{hint}")
    if name_or_path not in known:
        raise SpecError(f"{shown(name_or_path)} is no study file and no shipped study; {nearest(name_or_path, known)}")
    return known[name_or_path]


def settings_for(spec: StudySpec, params: Params, data_root: Path | None = None) -> Settings:
    """A trial's settings: its parameters put in, the study's seed, and paths that count from `data_root`, else from
    the study file; raises SpecError. Whatever seed a trial has, the rows are divided as for all others."""
    try:
        found = objectives.replace(spec.objective, params)
    except ValidationError as error:
        lines = explain(error, type(spec.objective))
        raise SpecError("\n".join(f"study {spec.study}: {line}" for line in lines)) from error
    found = objectives.with_seed(found, spec.seed)
    if isinstance(found, Transfer) and isinstance(own := objectives.with_seed(spec.objective, spec.seed), Transfer):
        divided = objectives.split_seed(own)
        if objectives.split_seed(found) != divided:
            found = objectives.replace(found, {"data.split.seed": divided})
    root = data_root or spec.folder
    return objectives.replace(found, dict(_rooted(found, root))) if root else found


def _rooted(settings: Settings, root: Path) -> Iterator[tuple[str, str]]:
    """The addresses of relative paths, with the paths they become; a model is one if it begins with a dot."""
    if isinstance(settings, Own):
        yield "python.folder", str(root / settings.python.folder)
    if not isinstance(settings, Transfer):
        return
    if not settings.data.hub:
        for name in _FILES:
            path = getattr(settings.data, name)
            if path and "://" not in path:
                yield f"data.{name}", str(root / path)
    for address in MODELS:
        found = objectives.get(settings, address)
        if found is not None and found.startswith(("./", "../")):
            yield address, str(root / found)


def models(spec: StudySpec, data_root: Path | None = None) -> list[Model]:
    """The models that trials may have: those that are searched, else the objective's own; raises SpecError."""
    searched = [name for name in MODELS if name in spec.search]
    choices = product(*(space.values(spec.search[name]) for name in searched))
    found = (settings_for(spec, dict(zip(searched, choice, strict=True)), data_root) for choice in choices)
    return [settings.model for settings in found if isinstance(settings, Transfer)]


def subject(spec: StudySpec, data_root: Path | None = None) -> str:
    """What is tuned, as a person reads it; raises SpecError where a model is not on this machine."""
    if not isinstance(spec.objective, Transfer):
        own = spec.objective.python.function if isinstance(spec.objective, Own) else None
        return f"the function {own}" if own else "a simulated objective: nothing is trained"
    from objectives import sources
    from objectives.errors import ObjectiveError

    try:
        names = ", ".join(sources.find(model).names for model in models(spec, data_root))
    except ObjectiveError as error:
        raise SpecError(f"study {spec.study}: objective.{error}") from error
    return f"{spec.objective.task.kind} with {names}"


def differences(old: StudySpec, new: StudySpec) -> list[str]:
    """What makes two specs different studies, as `search.training.batch_size.choices: [8] -> [8, 16]`."""
    before, after = _flat(old), _flat(new)
    return [
        _points_changed(old.points, new.points)
        if key == "points"
        else f"{key}: {before.get(key, '(none)')} -> {after.get(key, '(none)')}"
        for key in {**before, **after}
        if before.get(key) != after.get(key)
    ]


def _points_changed(old: listed.Points, new: listed.Points) -> str:
    """How many points there are, and the first of those that went and of those that came: there may be many."""
    before, after = ({json.dumps(point, ensure_ascii=False): None for point in points} for points in (old, new))
    gone, come = ([one for one in some if one not in others] for some, others in ((before, after), (after, before)))
    said = [
        f", {word} {some[0]}" + (f" and {len(some) - 1} more" if len(some) > 1 else "")
        for word, some in (("without", gone), ("with", come))
        if some
    ]
    return f"points: {len(old)} -> {len(new)}{''.join(said) or ', in another order'}"


def _flat(spec: StudySpec) -> dict[str, str]:
    tree = spec.to_dict()

    def leaves(key: str, value: Any) -> Iterator[tuple[str, str]]:
        if not isinstance(value, dict):
            yield key, json.dumps(value, ensure_ascii=False)
            return
        for name, inner in value.items():
            yield from leaves(f"{key}.{name}", inner)

    return dict(leaf for key in _COMPARED for leaf in leaves(key, tree[key]) if leaf[0] not in _SHOWN)


def render(spec: StudySpec) -> str:
    """The study file that says every default; read again from the same folder, it gives an equal spec."""
    tree = spec.to_dict()
    for name in _BESIDE:
        tree.pop(name)
    tree.pop("search" if spec.points else "points")
    tree["objective"] = {name: _said(group) for name, group in tree["objective"].items()}
    if isinstance(spec.objective, Transfer):
        from objectives import kinds

        task = spec.objective.task
        said = {name: value for name, value in task.model_dump().items() if kinds.has(task, f"task.{name}")}
        tree["objective"]["task"] = _said(said)
    tree["stop"] = _said(tree["stop"])
    if spec.towards is None:
        tree.pop("direction")
    return strictyaml.dumps(tree)


def _said(group: dict[str, Any]) -> dict[str, Any]:
    """A group of settings without those that are null, their default."""
    return {name: value for name, value in group.items() if value is not None}
