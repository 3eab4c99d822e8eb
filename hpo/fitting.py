"""Whether a study's rows and models are what it says, told before a trial is claimed; no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hpo import listed, space
from hpo.complaints import Complaint, ComplaintError, nearest, shown
from hpo.errors import SpecError
from hpo.overrides import place
from hpo.space import Categorical, Params, Range, Space, Value
from hpo.spec import MODELS, StudySpec, located, models, settings_for
from objectives import limits, sources
from objectives.measures import class_of
from objectives.settings import WRAPPING, Model, Transfer, get, split_seed
from objectives.tables import Table

ADAPTER, VIRTUAL = "model.adapter", "model.virtual_tokens"


def check_inputs(
    spec: StudySpec,
    data_root: Path | None = None,
    source: str | None = None,
    say: Callable[[str], None] = lambda _: None,
    overrides: Sequence[str] = (),
    tested: str | None = None,
) -> str | None:
    """Reads the rows and finds the model as a trial would; the rows' fingerprint, None where there are none.

    `say` is given what reading and cleaning did to the rows and what in the labels is doubtful, line by line. `tested`
    is the metric that test rows are read for. Raises SpecError where rows or model are not what the study says;
    `source` leads it, the study file where there is one, or the one of the `address=value` overrides that it is about.
    """
    source = source or f"study {spec.study}"
    settings = settings_for(spec, {}, data_root)
    if not isinstance(settings, Transfer):
        return None
    from objectives import doubts, kinds
    from objectives.errors import ObjectiveError

    try:
        beside = [settings.data.slice] if settings.data.slice else []
        seed, draw = split_seed(settings), settings.training.seed
        kinds.check(settings, spec.search)
        splits = kinds.load(settings.task, settings.data, seed, beside=beside, draw=draw)
        _check_shots(spec, settings, data_root)
        labels = kinds.targets(settings.task, settings.data, splits)
        fingerprint = kinds.fingerprint(settings.task, settings.data)
        _check_limits(settings, spec, data_root)
    except ObjectiveError as error:
        key, _, message = f"objective.{error}".partition(": ")
        raise SpecError(f"{place(key, source, overrides)}: {message}") from error
    except ComplaintError as refused:
        raise located(refused, source, overrides) from refused
    doubted = doubts.of_labels(splits, settings.data.label) if kinds.has_classes(settings) else ()
    for notice in (*splits.notices, *doubted):
        say(notice)
    try:
        _check_metric(spec.metric, settings, labels, "validation", splits.valid)
        if tested and splits.test:
            _check_metric(tested, settings, labels, "test", splits.test)
    except ComplaintError as refused:
        raise located(refused, source, overrides) from refused
    return fingerprint


def check_images(
    spec: StudySpec, data_root: Path | None = None, source: str | None = None, overrides: Sequence[str] = ()
) -> None:
    """Decode each image, also those to test on, which no trial would read; raises SpecError where one cannot be."""
    settings = settings_for(spec, {}, data_root)
    if not isinstance(settings, Transfer):
        return
    from objectives import decoding, kinds
    from objectives.errors import ObjectiveError

    if kinds.has_texts(settings):
        return
    try:
        every = settings.data.model_copy(update={"shots": None})
        for table in kinds.load(settings.task, every, split_seed(settings), test=True).tables:
            decoding.check(table, every.text, "data.text")
    except ObjectiveError as error:
        key, _, message = f"objective.{error}".partition(": ")
        raise SpecError(f"{place(key, source or f'study {spec.study}', overrides)}: {message}") from error


def _check_metric(metric: str, settings: Transfer, labels: tuple[str, ...], split: str, table: Table) -> None:
    """Refuses a metric that has no value on these rows, whatever a model says; ComplaintError."""
    from objectives import kinds

    wanted, named = class_of(metric), kinds.named(settings.task, labels)
    if wanted is not None and wanted not in named:
        message = f"{shown(metric)} names no class of {settings.data.label}; {nearest(wanted, named)}"
        raise ComplaintError(Complaint("metric", message))
    why = kinds.undefined(metric, table, settings.data.label, labels)
    if wanted is not None and kinds.has_classes(settings) and wanted not in table.column(settings.data.label):
        why = f"none of them is {wanted!r}"
    if why:
        message = (
            f"{metric} has no value on the {len(table)} {split} rows: {why}; right is another metric, or more rows"
        )
        raise ComplaintError(Complaint("metric", message))


def _check_shots(spec: StudySpec, settings: Transfer, data_root: Path | None) -> None:
    """Refuses more rows of each class than there are to train on, where `data.shots` is searched; ComplaintError."""
    searched = spec.search.get("data.shots")
    if searched is None:
        return
    from objectives import kinds
    from objectives.errors import DataError

    counts = [count for count in space.ends(searched) if isinstance(count, int)]
    most = settings.data.model_copy(update={"shots": max(counts, default=None)})
    try:
        kinds.load(settings.task, most, split_seed(settings))
    except DataError as error:
        raise ComplaintError(_of_searched(spec, "data.shots", str(error).removeprefix("data.shots: "))) from error


def _of_searched(spec: StudySpec, address: str, message: str) -> Complaint:
    """A complaint about the values of an address, in the ranges or in the points."""
    return Complaint("points", f"{address}: {message}") if spec.points else Complaint(f"search.{address}", message)


def _check_limits(settings: Transfer, spec: StudySpec, data_root: Path | None) -> None:
    """Find each of the models that trials may have, and compare tokens and frozen blocks with what it has.

    Raises ModelError where there is no such model, ComplaintError where it has less.
    """
    for model, search in _models(spec, data_root):
        found, virtual = limits.read(sources.find(model)), _virtual(settings, model, search)
        tokens = found.tokens and found.tokens - virtual
        beside = f" beside {virtual} virtual ones" if virtual else ""
        for address, most, what in (
            ("data.max_length", tokens, f"tokens that {{}} reads{beside}"),
            ("model.frozen_layers", found.blocks, "blocks that {} has"),
            ("task.max_target_length", found.written, "tokens that {} writes"),
            ("model.frozen_decoder_layers", found.decoder_blocks, "blocks that the decoder of {} has"),
        ):
            asked = _most(address, settings, search)
            if most is not None and asked > most:
                message = f"{asked} is more than the {most} {what.format(model.name)}; lower it to {most}"
                fixed = Complaint(f"objective.{address}", message)
                raise ComplaintError(_of_searched(spec, address, message) if address in spec.search else fixed)


def _models(spec: StudySpec, data_root: Path | None) -> Iterator[tuple[Model, Space]]:
    """The models that trials may have, and what is searched with each: of points those that name it and one adapter."""
    if not spec.points:
        yield from ((model, spec.search) for model in models(spec, data_root))
    named: dict[tuple[tuple[str, Value], ...], list[Params]] = {}
    for point in spec.points:
        kind = tuple((name, point[name]) for name in (*MODELS, ADAPTER, VIRTUAL) if name in point)
        named.setdefault(kind, []).append(point)
    for model, points in named.items():
        found = settings_for(spec, dict(model), data_root)
        assert isinstance(found, Transfer)  # noqa: S101 - no other has a model
        yield found.model, listed.space(tuple(points))


def _virtual(settings: Transfer, model: Model, search: Space) -> int:
    """The most virtual tokens that trials may have beside those of a row."""
    adapters = _ends(search[ADAPTER]) if ADAPTER in search else [model.adapter]
    return _most(VIRTUAL, settings, search) if {*adapters} & {*WRAPPING} else 0


def _most(address: str, settings: Transfer, search: Space) -> int:
    """The highest value of a setting that trials may have."""
    if address not in search:
        return _number(get(settings, address))
    return max(map(_number, _ends(search[address])))


def _number(value: Any) -> int:
    """A whole number; 0 for `all`, which every model has."""
    return 0 if value == "all" else int(value)


def _ends(range_: Range) -> tuple[Value, ...]:
    return range_.choices if isinstance(range_, Categorical) else (range_.high,)
