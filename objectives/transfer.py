"""A trial that fine-tunes a pretrained model: the story from settings to result."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from objectives import (
    adapters,
    devices,
    images,
    kinds,
    layers,
    lean,
    losses,
    models,
    parts,
    prompts,
    quantized,
    recall,
    strategy,
    tasks,
    trainer,
    whole,
    worth,
)
from objectives.batches import Batch, Example, lengths
from objectives.cache import Cache
from objectives.errors import ChangedError, SnapshotError
from objectives.evaluation import Evaluation, Heed, Report, Result, Snapshot, unheeded
from objectives.garbage import importing
from objectives.host import Host
from objectives.identity import identity, is_certain
from objectives.lent import Lent, lent
from objectives.plan import Plan, plan
from objectives.ready import in_use, ready
from objectives.settings import WRAPPING, Data, Task, Transfer, split_seed
from objectives.sources import Source
from objectives.state import State, fits
from objectives.stopwatch import Stopwatch
from objectives.tokenized import Reader

log = logging.getLogger(__name__)


def prepare(settings: Transfer, host: Host, heed: Heed) -> str:
    """Read the rows, find the model and see that the one fits the other; the rows' fingerprint.

    Raises ObjectiveError, and what `heed` raises.
    """
    kinds.check(settings)
    images = not kinds.has_texts(settings)
    source = ready(settings.model, images=images, allow_code=host.allow_code, cache=host.models, heed=heed)
    rows = read(settings, source, host.cache, heed)
    with importing():  # what the architecture brings
        outline = models.outline(settings.model, source, tasks.of(settings.task).head, rows.classes)
        _arranged(outline, settings, 0)
    if settings.training.layer_decay < 1 or settings.training.unfreeze_every is not None:
        layers.only_side(outline, "training.layer_decay, training.unfreeze_every")
    return kinds.fingerprint(settings.task, settings.data)


def run(
    settings: Transfer,
    report: Report,
    *,
    heed: Heed,
    resume: Snapshot | None,
    earlier: Mapping[str, Any] | None,
    host: Host,
) -> Result:
    """Fine-tune as the settings say, reporting each evaluation; raises ObjectiveError, and what the callbacks raise."""
    earlier = resume.facts if resume else earlier or {}
    used = in_use(settings.model, allow_code=host.allow_code, cache=host.models, heed=heed)
    with devices.threaded(host.threads or earlier.get("threads")), used as source:
        precision, watch = settings.training.precision, Stopwatch()
        off = earlier.get("lean_off", ()) if earlier else host.lean_off
        machine = devices.machine(host.device, precision, earlier.get("precision"), host.measured, off)
        room = parts.room(settings, machine.device.type, earlier)
        with watch("data"):
            rows = read(settings, source, host.cache, heed, host.fingerprint)
            lesson = replace(lesson_of(settings, rows, machine.device), room=room)
        begun, once = replace(room), _Once(report)
        known = (host.cache, resume, earlier, host.measured)
        work = _Work(settings, source, rows, lesson, machine, watch, room, begun, once, heed, *known)
        parts.free()  # what the last trial left
        try:
            return parts.fitting(work.train, room.train)
        finally:
            parts.free()


class _Once:
    """Reports each evaluation once, though a training that ran out of memory starts over."""

    def __init__(self, report: Report) -> None:
        self.report, self.last = report, 0

    def __call__(self, evaluation: Evaluation) -> None:
        if evaluation.step > self.last:
            self.last = evaluation.step
            self.report(evaluation)


@dataclass(frozen=True)
class _Work:
    """A trial whose rows are there: what its trainings are made of, the second being one that needs less parts."""

    settings: Transfer
    source: Source
    rows: Rows
    lesson: trainer.Lesson
    machine: devices.Machine
    watch: Stopwatch
    room: parts.Room
    begun: parts.Room  # as it was before memory ran out, if it did
    report: _Once
    heed: Heed
    cache: Cache | None
    resume: Snapshot | None
    earlier: Mapping[str, Any]
    measured: Path | None

    def train(self, rows_at_once: int) -> Result:
        """From the first step, or from the snapshot where it was made alike, to the end."""
        self.room.train = rows_at_once
        training, watch = self.settings.training, self.watch
        schedule = plan(training, lengths(self.rows.train))
        with watch("load"):
            which, model = identity(self.source), load(self.settings, self.source, self.rows, self.machine)
            trainable, sizes = layers.trainable_parameters(model), {"parameters": layers.total_parameters(model)}
        lesson, frozen = self._recalled(model, schedule, which) or (self.lesson, {})
        with watch("load"):
            pieces = lightened(self.settings, model, self.rows, self.machine, self.measured, self.earlier.get("lean"))
            how = {"cached": bool(frozen), "lean": pieces, "model_identity": which, "versions": self._versions(model)}
            state = trainer.start(model, training, schedule, self.machine)
            if self.resume is not None and fits(self.resume, self._runtime(how)):
                state.load(self.resume)
                watch.add(self.resume.values["seconds"])

        def result() -> Result:
            facts = {**self._runtime(how), **sizes, **self._facts(schedule), **frozen}
            return Result(state.progress.evaluations, trainable, dict(watch.seconds), facts)

        held = [state]

        def snapshot() -> Snapshot:
            made = _saved(held)
            return replace(made, values={**made.values, "seconds": dict(watch.seconds)}, facts=self._runtime(how))

        try:
            for evaluation in trainer.fit(state, lesson, training, schedule, self.machine, watch, self.heed):
                if self.room != self.begun:
                    parts.remember(self.settings, self.machine.device.type, self.room)
                tested = "test_loss" in evaluation.metrics
                made = replace(evaluation, snapshot=snapshot, snapshot_bytes=state.bytes())
                with watch("report"):
                    self.report(replace(made, result=result(), model=partial(self._write, held) if tested else None))
        except BaseException:
            held.clear()  # an evaluation may outlive its training, whose memory the next one needs
            raise
        return result()

    def _recalled(self, model: Any, schedule: Plan, which: str) -> tuple[trainer.Lesson, dict[str, Any]] | None:
        """The lesson with what frozen blocks compute, these taken out of the model, and the facts of that.

        None: each batch runs them. A trial that continues does as it did before.
        """
        frozen = frozen_of(self.settings, model, self.lesson, self.machine, self.measured)
        before = self.earlier.get("cached")
        if self.cache is None or frozen is None or before is False:
            return None
        if quantized.is_quantized(model):
            log.info("frozen blocks run with every batch: what matrices in few bits compute hangs on the batch")
            return None
        unchanged = is_certain(which) and identity(self.source) == which  # while they were read
        frozen = replace(frozen, which=which if self.settings.model.pretrained and unchanged else None)
        course = worth.Course.of(schedule)
        splits = {name: rows for name, rows in self.lesson.splits.items() if rows}
        with self.watch("cache"):
            found = recall.recalled(frozen, splits, course, self.machine, self.cache, before is True, self.heed)
        if found is None:
            return None
        recall.forget(frozen)
        return on_states(self.lesson, found.rows), {"frozen": found.work}

    def _write(self, held: Sequence[State], folder: Path) -> None:
        """The model as it is trained by now, whole again; raises OSError."""
        if not held:
            raise SnapshotError("the training that made this evaluation was given up")
        fresh = load(self.settings, self.source, self.rows, self.machine)
        trained = adapters.merged(whole.restored(fresh, held[0].model))
        whole.write(folder, self.settings, tasks.of(self.settings.task).head, trained, self.rows.tokenizer)

    def _versions(self, model: Any) -> dict[str, str]:
        return {**self.machine.facts()["versions"], **quantized.versions(model)}

    def _runtime(self, how: Mapping[str, Any]) -> dict[str, Any]:
        """What the result depends on beside the settings and the rows, as RUNTIME names it."""
        return {**self.machine.facts(), **self.room.facts(), **how}

    def _facts(self, schedule: Plan) -> dict[str, Any]:
        rows = self.rows
        return {
            "model": self.source.names,
            "rows": dict(rows.counts),
            "classes": list(rows.classes),
            **({"notices": list(rows.notices)} if rows.notices else {}),
            "evaluations_per_epoch": schedule.evaluations_per_epoch,
        }


def _saved(held: Sequence[State]) -> Snapshot:
    """A copy of the state that is held; raises SnapshotError where none is any more, or no memory for the copy: it is
    no step that needs less rows at once."""
    if not held:
        raise SnapshotError("the training that made this evaluation was given up")
    try:
        return held[0].save()
    except Exception as error:
        if not parts.ran_out(error):
            raise
        raise SnapshotError("no memory for a copy of the state") from None


@dataclass(frozen=True)
class Rows:
    """Encoded rows, what there is to predict in the order of the logits, and what reads them, a tokenizer as a rule.

    `counts` are the rows as they were read, by split: a task may make several examples of one.
    """

    train: list[Example]
    valid: list[Example]
    classes: tuple[str, ...]
    tokenizer: Any
    notices: tuple[str, ...] = ()
    test: Sequence[Example] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    def tokens(self) -> set[int]:
        """Those that occur, and padding."""
        return {self.tokenizer.pad_token_id}.union(*(row.tokens for row in chain(self.train, self.valid, self.test)))


def pooling_of(settings: Transfer) -> str | None:
    """How the tokens become one vector for the head; None where it reads every token."""
    return settings.model.pooling if models.HEADS[tasks.of(settings.task).head].pools else None


def lightened(
    settings: Transfer,
    model: Any,
    rows: Rows,
    machine: devices.Machine,
    measured: Path | None,
    before: object = None,
) -> list[str]:
    """Leave out of this training what no result needs; the names of the pieces, none where matrices are rounded.

    Whether layers are by oneDNN is as among the pieces `before`, or as it stands in the folder `measured`.
    """
    if quantized.is_quantized(model):
        return []
    pooling, optimizer = pooling_of(settings), settings.training.optimizer
    onednn = devices.by_onednn(machine, before, measured)
    return lean.lighten(lean.Case(model, pooling, machine, optimizer, rows.tokens, onednn))


def lesson_of(settings: Transfer, rows: Rows, device: torch.device) -> trainer.Lesson:
    """What is learned from these rows."""
    task, labels = tasks.of(settings.task), [row.label for row in rows.train]
    return trainer.Lesson(
        train=rows.train,
        valid=rows.valid,
        collate=partial(task.collate, tokenizer=rows.tokenizer),
        loss=losses.supervised(settings.training, task.loss, labels, len(rows.classes), device),
        plain_loss=task.loss,
        scores=partial(task.scores, targets=rows.classes),
        frozen_dropout=settings.model.frozen_dropout or settings.model.adapter in WRAPPING,
        test=rows.test,
        classes=rows.classes,
        logits=models.HEADS[task.head].logits,
        answers=task.answers,
        chances=task.chances,
        redraw=_redraw(settings, task, rows),
    )


def _redraw(settings: Transfer, task: tasks.Task, rows: Rows) -> Callable[[Batch], Batch] | None:
    """What changes a batch to train on by chance; None where each epoch sees its rows as they are."""
    if isinstance(task, tasks.Redraws):
        return partial(task.redraw, tokenizer=rows.tokenizer)
    augmentation = settings.training.augmentation
    return None if augmentation == "none" else partial(_varied, augmentation=augmentation)


def _varied(batch: Batch, augmentation: str) -> Batch:
    return replace(batch, inputs={name: images.varied(some, augmentation) for name, some in batch.inputs.items()})


def frozen_of(
    settings: Transfer, model: Any, lesson: trainer.Lesson, machine: devices.Machine, measured: Path | None
) -> worth.Frozen | None:
    """What of the model computes the same for a row each time; None where nothing does."""
    chosen = settings.model
    anew = chosen.frozen_dropout or lesson.redraw or chosen.adapter in WRAPPING
    depth = 0 if anew else layers.frozen_depth(model)
    if not depth:
        return None
    whole = chosen.adapter == "none" and not chosen.reinit_layers
    onednn = devices.by_onednn(machine, measured=measured)
    return worth.Frozen(model, depth, pooling_of(settings), lesson.collate, whole=whole, onednn=onednn)


def on_states(lesson: trainer.Lesson, rows: Mapping[str, list[Example]]) -> trainer.Lesson:
    """The lesson on rows with states, for a model whose frozen blocks are taken out."""
    collate = partial(recall.collate, plain=lesson.collate)
    train, valid, test = (rows.get(name, []) for name in lesson.splits)
    return replace(lesson, train=train, valid=valid, test=test, collate=collate)


def read(
    settings: Transfer,
    source: Source,
    cache: Cache | None = None,
    heed: Heed = unheeded,
    expected: str | None = None,
) -> Rows:
    """The rows as the model of this source reads them, their tokens kept in the cache.

    Raises ObjectiveError, also where the rows have another fingerprint than is `expected`, and what `heed` raises,
    called while the cache is waited for and read.
    """
    fingerprint = kinds.fingerprint(settings.task, settings.data)
    if expected is not None and fingerprint != expected:
        raise ChangedError("data: the rows have changed since the study was made")
    kept = None if cache is None else Cache(cache.folder, cache.limit)
    seed = split_seed(settings)
    with lent(heed) as one:
        draw = settings.training.seed if settings.data.shots else None
        return _encoded(settings.task, settings.data, (seed, draw), source, kept, fingerprint, one)


def load(settings: Transfer, source: Source, rows: Rows, machine: devices.Machine) -> Any:
    """The model with a head for these rows' classes, of which learns what the settings say, to be trained on this
    machine and still on the CPU; raises ModelError."""
    head, seed = tasks.of(settings.task).head, settings.training.seed or 0
    model = models.load(settings.model, source, head, rows.classes, seed)
    if not machine.does("sdpa"):
        model.base_model.set_attn_implementation("eager")
    model = _arranged(model, settings, seed)
    if settings.training.gradient_checkpointing:
        models.recompute(model)
    quantized.computing_in(model, machine.dtype)
    return model


def _arranged(model: Any, settings: Transfer, seed: int) -> Any:
    """The model, of which learns what the settings say; raises ModelError."""
    adapters.check(model, settings, pools=pooling_of(settings) is not None)
    return strategy.arranged(model, settings.model, seed)


@lru_cache(maxsize=2)
def _encoded(
    wanted_task: Task,
    wanted: Data,
    seeds: tuple[int, int | None],
    source: Source,
    cache: Cache | None,
    _fingerprint: str,
    heed: Lent,
) -> Rows:
    """The rows as tokens, kept for the next trial of this process while they stay as they are."""
    task = tasks.of(wanted_task)
    tokenizer = models.reader(source, task.head, wanted, kinds.written_tokens(wanted_task))
    splits = kinds.load(wanted_task, wanted, seeds[0], draw=seeds[1])
    classes = kinds.targets(wanted_task, wanted, splits)
    reader = Reader(tokenizer, cache, heed)
    tables = {"train": splits.train, "valid": splits.valid, "test": splits.test}
    there = {name: table for name, table in tables.items() if table is not None}
    prompted, asked = prompts.prompted(wanted_task.prompt, wanted)
    train, valid, *test = (task.encode(prompted(table), reader, asked, classes) for table in there.values())
    counts = {name: len(table) for name, table in there.items()}
    if wanted.fit == "all":
        train, valid = [*train, *valid], []
        counts |= {"train": counts["train"] + counts["valid"], "valid": 0}
    return Rows(train, valid, classes, tokenizer, splits.notices, test[0] if test else (), counts)
