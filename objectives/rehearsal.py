"""A few real steps of a trial: what the whole of it would take in time and memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import torch

from objectives import devices, lean, parts, trainer, transfer
from objectives.batches import Example, by_length, chunks
from objectives.checkpoint import Checkpoints
from objectives.devices import Machine
from objectives.evaluation import Rehearsal
from objectives.host import Host
from objectives.layers import train_mode
from objectives.plan import Plan, plan
from objectives.ready import located
from objectives.settings import Transfer
from objectives.state import State
from objectives.stopwatch import Stopwatch

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
        machine = devices.machine(host.device, settings.training.precision, measured=host.measured)
        with parts.enough(machine.device):
            return _rehearse(settings, host, machine)


def _rehearse(settings: Transfer, host: Host, machine: Machine) -> Rehearsal:
    watch, training = Stopwatch(), settings.training
    free = machine.free_memory_bytes()
    with watch("rows"):
        source = located(settings.model, allow_code=host.allow_code, cache=host.models)
        rows = transfer.read(settings, source, host.cache)
        schedule = plan(training, len(rows.train))
    began = perf_counter()
    with watch("load"):
        model = transfer.load(settings, source, rows)
        lean.lighten(transfer.case_of(settings, model, rows, machine))
        state = trainer.start(model, training, schedule, machine)
        machine.finish()
    lesson = replace(transfer.lesson_of(settings, rows, machine.device), scores=lambda *_: ({}, {}))
    school, clock = trainer.School(state, lesson, training, schedule, machine), _Clock(machine)
    evaluations = training.epochs * schedule.evaluations_per_epoch
    train = training.epochs * _epoch_seconds(school, rows.train, schedule, clock)
    evaluate = evaluations * _evaluation_seconds(school, training.eval_batch_size, clock)
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
    )


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


def _epoch_seconds(school: trainer.School, rows: Sequence[Example], schedule: Plan, clock: _Clock) -> float:
    """Of all steps of an epoch, from the costliest, which warms up, and some that lie evenly between dear and cheap."""
    steps = [schedule.batches(step) for step in range(schedule.steps_per_epoch)]
    tokens = [sum(_padded(rows, batch) for batch in batches) for batches in steps]
    dearest = sorted(range(len(steps)), key=lambda step: -tokens[step])
    chosen = [dearest[(2 * place + 1) * len(steps) // (2 * TIMED)] for place in range(TIMED)]
    train_mode(school.state.model, school.lesson.frozen_dropout)
    clock(partial(school.step, steps[dearest[0]]))
    seconds, seen = 0.0, 0
    for step in dict.fromkeys(chosen):
        seconds += clock(partial(school.step, steps[step]))
        seen += tokens[step]
        if seconds > ENOUGH_SECONDS:
            break
    return seconds * sum(tokens) / seen


def _evaluation_seconds(school: trainer.School, size: int, clock: _Clock) -> float:
    """Of a look at all validation rows, from the batch of the longest, which warms up, and one of middling ones."""
    rows = school.lesson.valid
    batches = list(chunks(by_length(rows), size))
    tokens = [_padded(rows, batch) for batch in batches]
    middle = len(batches) // 2
    for batch in (batches[0], batches[middle]):
        part = replace(school.lesson, valid=[rows[row] for row in batch])
        some = trainer.School(school.state, part, school.training, school.plan, school.machine)
        seconds = clock(some.examine)
    return seconds * sum(tokens) / tokens[middle]


def _padded(rows: Sequence[Example], batch: Sequence[int]) -> int:
    """The tokens of a batch, each row as long as the longest."""
    return len(batch) * max(len(rows[row].tokens) for row in batch)
