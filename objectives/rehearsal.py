"""A few real steps of a trial: what the whole of it would take in time and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import torch

from objectives import devices, parts, quantized, recall, trainer, transfer
from objectives.batches import Example, by_length, chunks, lengths
from objectives.cache import Cache
from objectives.checkpoint import Checkpoints
from objectives.devices import Machine
from objectives.evaluation import Rehearsal
from objectives.glimpse import Glimpse, glimpse, offered
from objectives.host import Host
from objectives.layers import learns, only_side, train_mode
from objectives.plan import Plan, plan
from objectives.ready import located
from objectives.settings import Training, Transfer
from objectives.state import State
from objectives.stopwatch import Stopwatch
from objectives.unfreezing import thawed
from objectives.worth import Course, Frozen

TIMED = 4
"""Steps whose time is taken, after one that warms up."""

ENOUGH_SECONDS = 4.0
"""Of steps on the clock; no more are taken then."""


def rehearse(settings: Transfer, host: Host) -> Rehearsal:
    """Take the costliest step and a few usual ones, evaluate two batches, and multiply by what the trial has of them.

    Time is taken to grow with the tokens that are computed, padding included, which are counted for the whole trial.
    Raises ObjectiveError; OutOfMemoryError where the memory does not suffice.
    """
    with devices.threaded(host.threads):
        machine = devices.machine(host.device, settings.training.precision, measured=host.measured, off=host.lean_off)
        with parts.enough(machine.device):
            return _rehearse(settings, host, machine)


def _rehearse(settings: Transfer, host: Host, machine: Machine) -> Rehearsal:
    watch, training = Stopwatch(), settings.training
    free = machine.free_memory_bytes()
    with watch("rows"):
        source = located(settings.model, allow_code=host.allow_code, cache=host.models)
        rows = transfer.read(settings, source)
        schedule = plan(training, lengths(rows.train))
    began = perf_counter()
    with watch("load"):
        model = transfer.load(settings, source, rows, machine)
    clock = _Clock(machine)
    lesson = replace(transfer.lesson_of(settings, rows, machine.device), scores=lambda *_: ({}, {}))
    frozen = transfer.frozen_of(settings, model, lesson, machine, host.measured)
    seen = _glimpse(settings, frozen, lesson, schedule, machine, host.cache, clock)
    lesson = transfer.on_states(lesson, seen.rows) if seen else lesson
    with watch("load"):
        transfer.lightened(settings, model, rows, machine, host.measured)
        state = trainer.start(model, training, schedule, machine)
        machine.finish()
    school, pooled = trainer.School(state, lesson, training, schedule, machine), seen is not None and seen.pooled
    evaluations = schedule.evaluations
    with _unfrozen(model, training) as unfrozen:
        train = training.epochs * _epoch_seconds(school, clock, pooled)
    evaluate = evaluations * _evaluation_seconds(school, clock, pooled)
    _checkpoint(school.state)
    seconds = {**watch.seconds, "train": train, "evaluate": evaluate}
    return Rehearsal(
        steps=schedule.steps,
        evaluations=evaluations,
        seconds=seconds,
        device=str(machine.device),
        peak_memory_bytes=machine.peak_memory_bytes(),
        free_memory_bytes=free,
        took=perf_counter() - began,
        cpu_share=clock.cpu_share() if machine.device.type == "cpu" else None,
        build_seconds=seen.build_seconds if seen else None,
        unfrozen=unfrozen,
    )


@contextmanager
def _unfrozen(model: Any, training: Training) -> Iterator[tuple[int, int] | None]:
    """Within the block what learns is what does in the last epoch, the dearest of gradual unfreezing; how many blocks
    that are, of those that may. None without it."""
    every = training.unfreeze_every
    if every is None:
        yield None
        return
    blocks = dict.fromkeys(only_side(model, "training.unfreeze_every").blocks)
    may = sum(map(learns, blocks))
    with thawed(model, max(training.epochs - 1, 0) // every):
        yield sum(map(learns, blocks)), may


def _glimpse(
    settings: Transfer,
    frozen: Frozen | None,
    lesson: trainer.Lesson,
    schedule: Plan,
    machine: Machine,
    cache: Cache | None,
    clock: _Clock,
) -> Glimpse | None:
    """Where a trial would compute its frozen blocks once: the states of the rows to come, these blocks taken out."""
    if cache is None or frozen is None or quantized.is_quantized(frozen.model):
        return None
    splits = {"train": lesson.train, "valid": lesson.valid}
    offer = offered(frozen, splits, Course.of(schedule), machine, cache)
    if offer is None:
        return None
    steps = (batch for step in _steps(lesson.train, schedule) for batch in schedule.batches(step))
    exams = _exams(lesson.valid, settings.training.eval_batch_size)
    wanted = {"train": set(chain.from_iterable(steps)), "valid": set(chain.from_iterable(exams))}
    seen = glimpse(offer, wanted, clock)
    recall.forget(frozen)
    return seen


def _checkpoint(state: State) -> None:
    """Write one, as a worker does beside its trial: no step takes as much of its memory."""
    with TemporaryDirectory() as folder:
        Checkpoints(folder).save(1, state.save())


class _Clock:
    """Takes the wall time of acts, and tells how much of its threads' time the process was let compute in them."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.wall, self.cpu = machine, 0.0, 0.0

    def __call__(self, act: Callable[[], object]) -> float:
        """The seconds that an act takes, to its end on the device."""
        began, used = perf_counter(), process_time()
        act()
        self.machine.finish()
        seconds = perf_counter() - began
        self.wall += seconds
        self.cpu += process_time() - used
        return seconds

    def cpu_share(self) -> float:
        """Near 1 where nobody else wants the cores."""
        return min(1.0, self.cpu / (self.wall * torch.get_num_threads()))


def _steps(rows: Sequence[Example], schedule: Plan) -> list[int]:
    """Of the first epoch: the costliest step, and then some that lie evenly between dear and cheap."""
    tokens = _costs(rows, schedule)
    dearest = sorted(range(len(tokens)), key=lambda step: -tokens[step])
    chosen = [dearest[(2 * place + 1) * len(tokens) // (2 * TIMED)] for place in range(TIMED)]
    return [dearest[0], *dict.fromkeys(chosen)]


def _epoch_seconds(school: trainer.School, clock: _Clock, pooled: bool) -> float:
    """Of all steps of an epoch, from the costliest, which warms up, and some others."""
    schedule, costs = school.plan, _costs(school.lesson.train, school.plan, pooled)
    first, *others = _steps(school.lesson.train, schedule)
    train_mode(school.state.model, school.lesson.frozen_dropout)
    clock(partial(school.step, schedule.batches(first)))
    seconds, seen = 0.0, 0
    for step in others:
        seconds += clock(partial(school.step, schedule.batches(step)))
        seen += costs[step]
        if seconds > ENOUGH_SECONDS:
            break
    return seconds * sum(costs) / seen


def _costs(rows: Sequence[Example], schedule: Plan, pooled: bool = False) -> list[int]:
    steps = (schedule.batches(step) for step in range(schedule.steps_per_epoch))
    return [sum(_padded(rows, batch, pooled) for batch in batches) for batches in steps]


def _exams(rows: Sequence[Example], size: int) -> list[Sequence[int]]:
    """Two batches of an evaluation: the longest rows, and middling ones."""
    batches = list(chunks(by_length(rows), size))
    return [batches[0], batches[len(batches) // 2]]


def _evaluation_seconds(school: trainer.School, clock: _Clock, pooled: bool) -> float:
    """Of a look at all validation rows, from two batches, the first of which warms up."""
    rows, size = school.lesson.valid, school.training.eval_batch_size
    for batch in (exams := _exams(rows, size)):
        part = replace(school.lesson, valid=[rows[row] for row in batch])
        some = trainer.School(school.state, part, school.training, school.plan, school.machine)
        seconds = clock(some.examine)
    every = sum(_padded(rows, batch, pooled) for batch in chunks(by_length(rows), size))
    return seconds * every / _padded(rows, exams[-1], pooled)


def _padded(rows: Sequence[Example], batch: Sequence[int], pooled: bool = False) -> int:
    """The tokens of a batch, each row as long as the longest; of pooled states and of images one a row."""
    return len(batch) * (1 if pooled else max(len(rows[row].tokens) or 1 for row in batch))
