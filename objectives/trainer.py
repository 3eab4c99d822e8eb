"""The one training loop: a generator of evaluations, stopped by not asking for more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from objectives.batches import Batch, Example, Recalled, by_length, chunks
from objectives.devices import Machine
from objectives.evaluation import Evaluation, Heed, unheeded
from objectives.layers import train_mode
from objectives.optimizers import optimizer, scheduler
from objectives.parts import Room, fitting
from objectives.plan import Plan
from objectives.seeds import derive
from objectives.settings import Training
from objectives.state import Progress, State
from objectives.stopwatch import Stopwatch

Loss = Callable[[Tensor, Tensor], Tensor]
Scores = Callable[[Tensor, Tensor], tuple[Mapping[str, float], Mapping[str, Any]]]


@dataclass(frozen=True)
class Lesson:
    """What is learned: rows to train and to validate on, and how they are batched, optimised and scored.

    `loss` is optimised, `plain_loss` compares trials: logits and labels to a loss for each row, in nats. `scores` maps
    the logits and labels of all validation rows, on the CPU, to metrics and details. With `frozen_dropout` what does
    not learn drops, too. `room` limits the rows that are computed at once; where an evaluation needs less, it is
    lowered.
    """

    train: Sequence[Example]
    valid: Sequence[Example]
    collate: Callable[[Sequence[Example]], Batch]
    loss: Loss
    plain_loss: Loss
    scores: Scores
    frozen_dropout: bool = False
    room: Room | None = None


def start(model: Any, training: Training, plan: Plan, machine: Machine) -> State:
    """The state before the first step, the model on its device."""
    model.to(machine.device)
    chosen = optimizer(model, training)
    return State(model, chosen, scheduler(chosen, training, plan.steps), machine.scaler(), Progress())


def fit(
    state: State,
    lesson: Lesson,
    training: Training,
    plan: Plan,
    machine: Machine,
    watch: Stopwatch,
    heed: Heed = unheeded,
) -> Iterator[Evaluation]:
    """Train from where the state is to the plan's end, or until `early_stopping_patience` runs out.

    While an evaluation is looked at the state is whole: saved then and loaded into a fresh one, it trains on to the
    same bits. A loss that is not finite is an evaluation like any other; whether to go on is for the caller.

    Where a step runs out of memory, the state is not to be used any more. Raises InfeasibleError where one row of an
    evaluation does not fit, and what `heed` raises.
    """
    school = School(state, lesson, training, plan, machine, heed)
    progress, patience = state.progress, training.early_stopping_patience or plan.steps
    while progress.steps < plan.steps and progress.waited() < patience:
        with watch("train") as trained:
            rows, metrics = school.teach()
        with watch("evaluate") as evaluated:
            scores, details = school.examine()
        progress.note(scores["val_loss"])
        clocks = {
            "seconds": trained.seconds + evaluated.seconds,
            "examples_per_second": rows / trained.seconds,
            "peak_memory_bytes": float(machine.peak_memory_bytes()),
        }
        epoch = plan.epochs_after(progress.steps)
        yield Evaluation(progress.evaluations, epoch, {**scores, **metrics, **clocks}, details)


class School:
    """Teaches and examines the model of a state."""

    def __init__(
        self, state: State, lesson: Lesson, training: Training, plan: Plan, machine: Machine, heed: Heed = unheeded
    ) -> None:
        self.state, self.lesson, self.training, self.plan, self.machine = state, lesson, training, plan, machine
        self.heed, self.room = heed, lesson.room or Room(training.batch_size, training.eval_batch_size)
        self.learning = [parameter for parameter in state.model.parameters() if parameter.requires_grad]
        self.rows = by_length(lesson.valid)
        self.exams: list[Batch] = []
        self.places = torch.tensor(self.rows).argsort()

    def teach(self) -> tuple[int, dict[str, float]]:
        """Step until an evaluation is due: the rows seen, their mean loss, and the last step's learning rate."""
        train_mode(self.state.model, self.lesson.frozen_dropout)
        total, rows = torch.zeros((), device=self.machine.device), 0
        while True:
            self.heed()
            batches = self.plan.batches(self.state.progress.steps)
            learning_rate = self.state.scheduler.get_last_lr()[0]
            total += self.step(batches)
            rows += sum(map(len, batches))
            if self.plan.evaluates_after(self.state.progress.steps):
                return rows, {"train_loss": total.item() / rows, "learning_rate": float(learning_rate)}

    @torch.inference_mode()
    def examine(self) -> tuple[dict[str, float], Mapping[str, Any]]:
        """The mean plain loss over the validation rows and the task's scores; the scores of NaN are NaN."""
        self.state.model.eval()
        logits, labels = fitting(self._answers, self.room.evaluate)
        loss = self.lesson.plain_loss(logits, labels).double().mean().item()
        logits, labels = logits.cpu()[self.places], labels.cpu()[self.places]
        if not logits.isfinite().all():
            scores, _ = self.lesson.scores(torch.zeros_like(logits), labels)
            return {"val_loss": loss, **dict.fromkeys(scores, nan)}, {}
        scores, details = self.lesson.scores(logits, labels)
        return {"val_loss": loss, **scores}, details

    def _answers(self, rows_at_once: int) -> tuple[Tensor, Tensor]:
        """The logits and the labels of all validation rows, from batches of so many."""
        exams = self._exams(rows_at_once)
        self.room.evaluate = rows_at_once
        logits, labels = (torch.cat(parts) for parts in zip(*map(self._answer, exams), strict=True))
        return logits, labels

    def _exams(self, rows_at_once: int) -> Iterable[Batch]:
        """All validation rows in batches, made once, unless they hold the states of all tokens: made one by one then,
        since a padded copy of these may be larger than the model."""
        if self.exams and rows_at_once == self.room.evaluate:
            return self.exams
        made = (self._batch(self.lesson.valid, some) for some in chunks(self.rows, rows_at_once))
        if any(isinstance(row, Recalled) and len(row.states) > 1 for row in self.lesson.valid):
            return made
        self.exams = list(made)
        return self.exams

    def _answer(self, exam: Batch) -> tuple[Tensor, Tensor]:
        self.heed()
        batch = self._here(exam)
        return self._logits(batch), batch.labels

    def step(self, batches: Sequence[Sequence[int]]) -> Tensor:
        """One optimizer step over the mean of all rows of these batches; returns the sum of their losses."""
        rows, total = sum(map(len, batches)), torch.zeros((), device=self.machine.device)
        for number, some in enumerate(batches):
            # Dropout depends on the place in the training alone, not on what else drew from torch's generator before.
            # Parts of a batch draw one after the other, and so it depends on their size, too.
            torch.manual_seed(derive(self.plan.seed, "dropout", self.state.progress.steps, number))
            for part in chunks(some, self.room.train):
                batch = self._here(self._batch(self.lesson.train, part))
                loss = self.lesson.loss(self._logits(batch), batch.labels).sum()
                torch.autograd.backward(self.state.scaler.scale(loss / rows))
                total += loss.detach()
        self._update()
        return total

    def _update(self) -> None:
        state = self.state
        if self.training.max_grad_norm:
            state.scaler.unscale_(state.optimizer)
            clip_grad_norm_(self.learning, self.training.max_grad_norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        state.scheduler.step()
        state.progress.steps += 1

    def _logits(self, batch: Batch) -> Tensor:
        with self.machine.autocast():
            logits: Tensor = self.state.model(**batch.inputs).logits
        return logits.float()

    def _batch(self, examples: Sequence[Example], rows: Sequence[int]) -> Batch:
        return self.lesson.collate([examples[row] for row in rows])

    def _here(self, batch: Batch) -> Batch:
        return batch.to(self.machine.device)
