"""From the tree of a study file to checked parts, with everything that is wrong at once."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import Field, ValidationError

from hpo import listed, methods, ranges, rules, space
from hpo.complaints import Complaint, ComplaintError, collecting, explain, nearest, shown
from hpo.rules import Stop
from objectives import settings
from objectives.measures import LOSSES, OF_KIND, Direction, class_of, direction, recorded
from objectives.settings import Own, Setting, Settings, Simulated, Transfer, addresses, kind_of

_LENGTHS = ("training.epochs", "training.evaluations_per_epoch", "simulated.evaluations", "python.evaluations")


class Head(Setting):
    """The keys of a study file, the defaults of those that have one."""

    study: str = Field(max_length=100)
    objective: Any
    search: Any = None
    points: list[dict[str, Any]] = Field([], description="settings to compare, each run once, with all of search")
    sampler: Any = "tpe"
    pruner: Any = "percentile"
    metric: str = "val_loss"
    direction: Direction | None = Field(None, description="of a metric of your own function; null: the metric's")
    trials: int | None = Field(None, ge=1, le=2**31 - 1, description="null: the points of a list or a grid, else 20")
    seed: int = Field(0, ge=0, lt=2**32)
    enqueue: list[dict[str, Any]] = Field([], description="parameters to try first, by address")
    enqueue_defaults: bool | None = Field(None, description="try the objective's own values first; null: not in a grid")
    max_attempts: int = Field(3, ge=1)
    priority: int = Field(0, ge=-1_000_000, le=1_000_000, description="workers of all studies take the higher first")
    warm_start: str = Field(
        "off", min_length=1, description="off, auto, or the earlier study whose best is tried first"
    )
    stop: Stop = Stop()


METHODS = {name: Head.model_fields[name].default for name in ("sampler", "pruner")}
"""The sampler and pruner of a study file that names none."""


class Parts(NamedTuple):
    """A study file, checked."""

    head: Head
    objective: Settings
    search: dict[str, space.Range]
    sampler: methods.Method
    pruner: methods.Method
    enqueue: tuple[space.Params, ...] = ()
    points: listed.Points = ()


def written_methods(tree: dict[str, Any]) -> dict[str, Any]:
    """The tree with a sampler and a pruner; listed points are taken in turns, as those of a grid."""
    return METHODS | ({"sampler": "grid"} if tree.get("points") else {}) | tree


def parse(tree: Any) -> Parts:
    """The parts of a study file; raises ComplaintError with every complaint that can be told."""
    if not isinstance(tree, dict):
        raise ComplaintError(Complaint("", f"{shown(tree)} is no study; give study, objective and search"))
    found: list[Complaint] = []
    parts: dict[str, Any] = {}
    with collecting(found):
        parts["head"] = _head(tree)
    for name, read in (("objective", _objective), ("sampler", methods.sampler), ("pruner", methods.pruner)):
        if name in METHODS | tree:
            with collecting(found):
                parts[name] = read(written_methods(tree)[name])
    if "objective" in parts:
        with collecting(found):
            parts |= _space(tree, parts["objective"])
    if found:
        raise ComplaintError(*found)
    return _fitting(Parts(**parts))


def _space(tree: dict[str, Any], objective: Settings) -> dict[str, Any]:
    """The search space of the file, or its points with the space that holds them."""
    written = tree.get("points")
    if not written:
        return {"search": ranges.parse(tree["search"], objective)} if "search" in tree else {}
    if not isinstance(written, list) or not all(isinstance(point, Mapping) for point in written):
        return {}  # as the head complains
    points = listed.parse(written, objective)
    if tree.get("search"):
        points = listed.crossed(points, ranges.parse(tree["search"], objective), objective)
    return {"points": points, "search": listed.space(points)}


_LOCKED = {"data.fit": "train", "data.score": "valid"}


def lock_test(objective: Settings) -> None:
    """Refuses settings that read rows which a search must not see; raises ComplaintError."""
    for address, right in _LOCKED.items():
        if isinstance(objective, settings.Transfer) and (seen := settings.get(objective, address)) != right:
            message = f"{shown(seen)} is for the end of a study, {right} is right here: test by hpo promote -s STUDY"
            raise ComplaintError(Complaint(f"objective.{address}", message))


def epochs(objective: Settings) -> int:
    """How long a trial is; one that is simulated, or a function of its own, has an epoch an evaluation, and so has one
    that does not train."""
    if isinstance(objective, Own):
        return objective.python.evaluations
    return objective.simulated.evaluations if isinstance(objective, Simulated) else objective.training.epochs or 1


def evaluations_per_epoch(objective: Settings) -> int:
    """How many steps an epoch has."""
    if not isinstance(objective, Transfer) or not objective.training.epochs:
        return 1
    return objective.training.evaluations_per_epoch


def _head(tree: dict[str, Any]) -> Head:
    found: list[Complaint] = []
    head = None
    try:
        head = Head.model_validate(tree)
    except ValidationError as error:
        found += map(_placed, explain(error, Head))
    if "search" not in tree and not tree.get("points"):
        found.append(Complaint("search", "is missing; add it, or points"))
    if isinstance(tree.get("study"), str):
        with collecting(found):
            _check_name(tree["study"])
    if isinstance(metric := tree.get("metric", Head.model_fields["metric"].default), str):
        with collecting(found):
            _check_metric(metric, tree.get("objective"), tree.get("direction"))
    if head is None or found:
        raise ComplaintError(*found)
    return head


def _placed(complaint: Complaint) -> Complaint:
    """The complaint, of an unknown key that belongs to the objective with its right place."""
    for address in addresses(settings.Transfer):
        if complaint.message.startswith("unknown") and complaint.key in address.split("."):
            place = address[: address.index(complaint.key)] + complaint.key
            return Complaint(complaint.key, f"unknown setting; did you mean objective.{place}?")
    return complaint


def _check_name(name: str) -> None:
    plain = name.replace("@", "", 1)
    odd = [char for char in plain if char not in "._-" and unicodedata.category(char)[0] not in "LMN"]
    if odd:
        advice = "letters, digits and . _ - are right"
        raise ComplaintError(Complaint("study", f"{shown(name)} has {shown(odd[0])} in it; {advice}"))
    if not name or unicodedata.category(name[0])[0] not in "LN":
        raise ComplaintError(Complaint("study", f"{shown(name)} must begin with a letter or digit"))


def _check_metric(metric: str, objective: Any, towards: Any) -> None:
    known = direction(metric)
    if known is None:
        _check_own_metric(metric, objective, towards)
    elif towards not in (None, known):
        raise ComplaintError(Complaint("direction", f"{metric} is to {known}; leave direction out"))
    kind = _kind(objective)
    if kind is not None and not recorded(metric, kind):
        advice = f"right is one of {', '.join((*LOSSES, *OF_KIND[kind]))}"
        raise ComplaintError(Complaint("metric", f"{shown(metric)} is not measured by {kind}; {advice}"))
    if class_of(metric) and isinstance(objective, Mapping) and "simulated" in objective:
        raise ComplaintError(Complaint("metric", f"{shown(metric)} names a class, and a simulated objective has none"))


def _check_own_metric(metric: str, objective: Any, towards: Any) -> None:
    """Refuses a name that no task records, unless a function of one's own does, with a direction; ComplaintError."""
    if kind_of(objective) is not Own:
        kind = _kind(objective) or "text-classification"
        of_class = ("precision[CLASS]", "recall[CLASS]", "f1[CLASS]") if recorded("f1[CLASS]", kind) else ()
        advice = nearest(metric, [*LOSSES, *OF_KIND[kind], *of_class])
        raise ComplaintError(Complaint("metric", f"{shown(metric)} is unknown; {advice}"))
    if not metric.isidentifier():
        message = f"{shown(metric)} is no name of a metric; letters, digits and _ are right"
        raise ComplaintError(Complaint("metric", message))
    if towards is None:
        message = f"{shown(metric)} is the function's own: add direction: minimize, or maximize"
        raise ComplaintError(Complaint("metric", message))


def _kind(objective: Any) -> str | None:
    """The kind of task that an objective names, where it names one there is."""
    task = objective.get("task") if isinstance(objective, Mapping) else None
    named = task.get("kind") if isinstance(task, Mapping) else task
    kind = settings.TASK_ALIASES.get(named, named) if isinstance(named, str) else None
    return kind if kind in OF_KIND else None


def _objective(written: Any) -> Settings:
    try:
        return settings.parse(written)
    except ValidationError as error:
        raise ComplaintError(*explain(error, kind_of(written), "objective")) from error


def _fitting(parts: Parts) -> Parts:
    """The parts, refused where one does not go with another."""
    found: list[Complaint] = []
    with collecting(found):
        _check_length_is_fixed(parts)
    with collecting(found):
        _check_pruner(parts.pruner, parts.objective, "pruner")
    with collecting(found):
        _check_grid(parts)
        _check_count(parts)
    with collecting(found):
        rules.check_target(parts.head.stop, parts.head.metric)
    queue = []
    for place, params in enumerate(parts.head.enqueue):
        with collecting(found):
            queue.append(listed.queued(params, parts.points, parts.search, parts.objective, f"enqueue.{place}"))
    if found:
        raise ComplaintError(*found)
    return parts._replace(enqueue=tuple(queue))


def _check_length_is_fixed(parts: Parts) -> None:
    searched = [address for address in _LENGTHS if address in parts.search]
    if searched and parts.pruner.kind != "none":
        message = f"a pruner compares trials of one length, and pruner is {parts.pruner.kind}; use pruner: none"
        key = f"points: {searched[0]}" if parts.points else f"search.{searched[0]}"
        raise ComplaintError(Complaint(key, message))


def _check_pruner(pruner: methods.Method, objective: Settings, key: str) -> None:
    """Refuses options in epochs that fall between two evaluations or after the last."""
    for name in pruner.in_epochs:
        value, most = getattr(pruner, name), epochs(objective)
        if value is not None and value * evaluations_per_epoch(objective) % 1:
            message = f"{value} epochs end between two evaluations; raise evaluations_per_epoch or give whole epochs"
            raise ComplaintError(Complaint(f"{key}.{name}", message))
        if value is not None and value > most:
            raise ComplaintError(Complaint(f"{key}.{name}", f"{value} epochs are beyond a trial's {most}; lower it"))
    if isinstance(pruner, methods.Patient):
        _check_pruner(pruner.wrapped, objective, f"{key}.wrapped")


def _check_grid(parts: Parts) -> None:
    if parts.points and parts.sampler.kind != "grid":
        raise ComplaintError(Complaint("sampler", "points run as they are listed, nothing is drawn; remove sampler"))
    if parts.points or parts.sampler.kind != "grid":
        return
    ranges.check_grid(parts.search)


def _check_count(parts: Parts) -> None:
    """Refuses more trials than a grid, or a list, has points."""
    if parts.sampler.kind != "grid":
        return
    count, what = len(parts.points) or space.points(parts.search) or 0, "list's" if parts.points else "grid's"
    if (parts.head.trials or 0) > count:
        message = f"{parts.head.trials} is above the {what} {count} points; remove trials"
        raise ComplaintError(Complaint("trials", message))
    if parts.head.enqueue_defaults:
        raise ComplaintError(Complaint("enqueue_defaults", f"a {what[:-2]} runs its own points only; remove it"))
    if parts.head.warm_start != "off":
        raise ComplaintError(Complaint("warm_start", f"a {what[:-2]} runs its own points only; remove it"))
