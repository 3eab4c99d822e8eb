"""A trial that fine-tunes a pretrained model: the story from settings to result."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from objectives import data, devices, layers, losses, models, trainer
from objectives.batches import Example
from objectives.evaluation import Heed, Report, Result, Snapshot, unheeded
from objectives.plan import plan
from objectives.ready import ready
from objectives.settings import Data, Transfer
from objectives.sources import Source
from objectives.stopwatch import Stopwatch
from objectives.tasks import TASKS

log = logging.getLogger(__name__)


def prepare(settings: Transfer, allow_code: bool = False, cache: Path | None = None) -> str:
    """Read the rows, find the model and see that the one fits the other; the rows' fingerprint.

    Raises ObjectiveError.
    """
    source = ready(settings.model, allow_code=allow_code, cache=cache)
    rows = read(settings, source)
    outline = models.outline(settings.model, source, TASKS[settings.task.kind].head, rows.classes)
    layers.freeze(outline, settings.model.frozen_layers)
    return data.fingerprint(settings.data)


def run(
    settings: Transfer,
    source: Source,
    report: Report,
    *,
    device: str,
    threads: int | None,
    resume: Snapshot | None = None,
    heed: Heed = unheeded,
) -> Result:
    """Fine-tune the model at `source` as the settings say, reporting each evaluation.

    Raises ObjectiveError, OutOfMemoryError where it takes more memory than there is, and what the callbacks raise.
    """
    watch, training = Stopwatch(), settings.training
    if resume is not None and threads is None:
        threads = resume.facts["threads"]
    machine = devices.machine(device, training.precision, threads)
    with watch("data"):
        rows = read(settings, source)
        lesson = lesson_of(settings, rows, machine.device)
        schedule = plan(training, len(rows.train))
    with watch("load"):
        model = load(settings, source, rows)
        state = trainer.start(model, training, schedule, machine)
        if resume is not None and _fits(resume, machine):
            state.load(resume)
            watch.add(resume.values["seconds"])
    facts = {
        **machine.facts(),
        "model": source.full_name,
        "parameters": layers.total_parameters(model),
        "rows": {"train": len(rows.train), "valid": len(rows.valid)},
        "classes": list(rows.classes),
        **({"notices": list(rows.notices)} if rows.notices else {}),
        "evaluations_per_epoch": schedule.evaluations_per_epoch,
    }

    def result() -> Result:
        return Result(state.progress.evaluations, layers.trainable_parameters(model), dict(watch.seconds), facts)

    def snapshot() -> Snapshot:
        made = state.save()
        return replace(made, values={**made.values, "seconds": dict(watch.seconds)}, facts=machine.facts())

    advice = f"a smaller training.batch_size than {training.batch_size} or data.max_length needs less"
    with devices.enough_memory(machine.device, advice):
        for evaluation in trainer.fit(state, lesson, training, schedule, machine, watch, heed):
            with watch("report"):
                report(replace(evaluation, result=result(), snapshot=snapshot))
    return result()


def _fits(resume: Snapshot, machine: devices.Machine) -> bool:
    """Whether a training continues here to the same bits; the number of the GPU makes no difference."""
    here = machine.facts()
    others = [name for name in here if name != "device" and resume.facts.get(name) != here[name]]
    for name in others:
        log.warning("%s is %s here and was %s: starting over", name, here[name], resume.facts.get(name))
    return not others


@dataclass(frozen=True)
class Rows:
    """Encoded rows, their classes in the order of the logits, and the tokenizer that pads them."""

    train: list[Example]
    valid: list[Example]
    classes: tuple[str, ...]
    tokenizer: Any
    notices: tuple[str, ...] = ()


def lesson_of(settings: Transfer, rows: Rows, device: torch.device) -> trainer.Lesson:
    """What is learned from these rows."""
    task, labels = TASKS[settings.task.kind], [row.label for row in rows.train]
    return trainer.Lesson(
        train=rows.train,
        valid=rows.valid,
        collate=partial(task.collate, tokenizer=rows.tokenizer),
        loss=losses.supervised(settings.training, labels, len(rows.classes), device),
        plain_loss=task.loss,
        scores=partial(task.scores, classes=rows.classes),
    )


def read(settings: Transfer, source: Source) -> Rows:
    """The rows as the model of this source reads them; raises ObjectiveError."""
    fingerprint = data.fingerprint(settings.data)
    return _encoded(settings.task.kind, settings.data, settings.training.seed or 0, source, fingerprint)


def load(settings: Transfer, source: Source, rows: Rows) -> Any:
    """The model with a head for these rows' classes, its first layers frozen; raises ModelError."""
    head = TASKS[settings.task.kind].head
    model = models.load(settings.model, source, head, rows.classes, settings.training.seed or 0)
    layers.freeze(model, settings.model.frozen_layers)
    return model


@lru_cache(maxsize=2)
def _encoded(kind: str, wanted: Data, seed: int, source: Source, _fingerprint: str) -> Rows:
    """The rows as tokens, kept for the next trial of this process while they stay as they are."""
    task, tokenizer = TASKS[kind], models.tokenizer(source, wanted.max_length)
    splits = data.load(wanted, seed, columns=task.columns(wanted))
    classes = task.classes(splits, wanted)
    train, valid = (task.encode(table, tokenizer, wanted, classes) for table in (splits.train, splits.valid))
    return Rows(train, valid, classes, tokenizer, splits.notices)
