"""The one training loop: a generator of evaluations, stopped by not asking for more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import nan
from operator import attrgetter
from typing import Any, Literal

import torch
from torch import Tensor

from objectives.batches import Batch, Example, Recalled, by_length, chunks, joined
from objectives.devices import Machine
from objectives.evaluation import Evaluation, Heed, Predictions, unheeded
from objectives.layers import train_mode
from objectives.optimizers import clipped, optimizer, scheduler
from objectives.parts import Room, fitting
from objectives.plan import Plan
from objectives.seeds import derive
from objectives.settings import Training
from objectives.state import Progress, State
from objectives.stopwatch import Stopwatch
from objectives.unfreezing import thawed

Loss = Callable[[Tensor, Tensor], Tensor]
Scores = Callable[[Any, Sequence[Example]], tuple[Mapping[str, float], Mapping[str, Any]]]
Answers = Callable[[Any, Batch, Tensor], Sequence[Any] | Tensor]
Chances = Callable[[Any], Tensor | None]


def _their_logits(_model: Any, _batch: Batch, logits: Tensor) -> Tensor:
    return logits.cpu()


def _unknown(_answers: Any) -> None:
    return None


@dataclass(frozen=True)
class Lesson:
    """What is learned: rows to train and to validate on, and how they are batched, optimised and scored.

    `loss` is optimised, `plain_loss` compares trials: logits and labels to a loss for each row, in nats, which is a sum
    over the row's `items`; means are over the items of all rows. `logits` finds them in what the model returns.
    `answers` is what is kept of a batch's logits, row by row; `scores` maps those of all rows of a split, and the
    rows, to metrics and details, `chances` to the probability of each class [rows, classes], where rows have one
    class. With `frozen_dropout` what does not learn drops, too. `room` limits the rows that are computed at once;
    where an evaluation needs less, it is lowered. There may be no rows to validate on; `test` rows are scored once,
    when the training is over. `classes` are named in the order of the logits. `redraw` makes another of a batch to
    train on by what it draws from torch's generator, which is seeded before.
    """

    train: Sequence[Example]
    valid: Sequence[Example]
    collate: Callable[[Sequence[Example]], Batch]
    loss: Loss
    plain_loss: Loss
    scores: Scores
    frozen_dropout: bool = False
    room: Room | None = None
    test: Sequence[Example] = ()
    classes: tuple[str, ...] = ()
    logits: Callable[[Any], Tensor] = attrgetter("logits")
    answers: Answers = _their_logits
    chances: Chances = _unknown
    redraw: Callable[[Batch], Batch] | None = None

    @property
    def splits(self) -> dict[str, Sequence[Example]]:
        """The rows by the name of their split."""
        return {"train": self.train, "valid": self.valid, "test": self.test}


@dataclass(frozen=True)
class Found:
    """What a look at the rows of a split found; no predictions where a logit is not finite."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    predictions: Predictions | None = None


def start(model: Any, training: Training, plan: Plan, machine: Machine) -> State:
    """The state before the first step, the model on its device."""
    model.to(machine.device)
    chosen = optimizer(model, training, fused=machine.does("fused_optimizer"))
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
    """Train from where the state is to the plan's end, to `stop`, or until `early_stopping_patience` runs out.

    While an evaluation is looked at the state is whole: saved then and loaded into a fresh one, it trains on to the
    same bits. A loss that is not finite is an evaluation like any other; whether to go on is for the caller.

    Where a step runs out of memory, the state is not to be used any more. Raises InfeasibleError where one row of an
    evaluation does not fit, and what `heed` raises.
    """
    school = School(state, lesson, training, plan, machine, heed)
    progress = state.progress
    while not school.is_over():
        with watch("train") as trained:
            rows, metrics = school.teach()
        with watch("evaluate") as evaluated:
            found = school.examine()
            progress.note(found.metrics.get("val_loss", nan))
            tested = school.test() if school.is_over() else Found()
        clocks = {
            "seconds": trained.seconds + evaluated.seconds,
            "examples_per_second": rows / trained.seconds if rows else 0.0,
            "peak_memory_bytes": float(machine.peak_memory_bytes()),
        }
        epoch = plan.epochs_after(progress.steps)
        scores = {**found.metrics, **tested.metrics}
        predictions = tested.predictions or found.predictions
        yield Evaluation(
            progress.evaluations,
            epoch,
            {**scores, **metrics, **clocks},
            {**found.details, **tested.details},
            predictions=predictions,
        )


class _Exam:
    """The rows of a split in the order in which they are looked at, their batches once these are made."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples, self.order = examples, by_length(examples)
        self.places = torch.tensor(self.order).argsort()
        self.batches: list[Batch] = []


def _is_large(row: Example) -> bool:
    """Whether it is kept as more than one vector."""
    kept = row.states if isinstance(row, Recalled) else row.about
    return isinstance(kept, Tensor) and kept.numel() > max(kept.shape)


class School:
    """Teaches and examines the model of a state."""

    def __init__(
        self, state: State, lesson: Lesson, training: Training, plan: Plan, machine: Machine, heed: Heed = unheeded
    ) -> None:
        self.state, self.lesson, self.training, self.plan, self.machine = state, lesson, training, plan, machine
        self.heed, self.room = heed, lesson.room or Room(training.batch_size, training.eval_batch_size)
        self.learning = [parameter for parameter in state.model.parameters() if parameter.requires_grad]
        self.exam = _Exam(lesson.valid)

    def is_over(self) -> bool:
        """Whether no step is left to take, nor the one evaluation of a training without any. Where an end is set, or
        nothing is validated, no patience ends it before."""
        progress, training = self.state.progress, self.training
        bounded = training.stop is not None or not self.lesson.valid
        patience = None if bounded else training.early_stopping_patience
        return (
            (progress.steps >= self.plan.steps and (self.plan.steps > 0 or progress.evaluations > 0))
            or (training.stop is not None and progress.evaluations >= training.stop)
            or (patience is not None and progress.waited() >= patience)
        )

    def teach(self) -> tuple[int, dict[str, float]]:
        """Step until an evaluation is due: the rows seen, their mean loss, and the last step's learning rate."""
        if not self.plan.steps:
            return 0, {}
        every, epoch = self.training.unfreeze_every, self.state.progress.steps // self.plan.steps_per_epoch
        with thawed(self.state.model, None if every is None else epoch // every):
            return self._taught()

    def _taught(self) -> tuple[int, dict[str, float]]:
        train_mode(self.state.model, self.lesson.frozen_dropout)
        total, rows, items = torch.zeros((), device=self.machine.device), 0, 0
        while True:
            self.heed()
            batches = self.plan.batches(self.state.progress.steps)
            learning_rate = self.state.scheduler.get_last_lr()[0]
            total += self.step(batches)
            rows += sum(map(len, batches))
            items += sum(map(self._items, batches))
            if self.plan.evaluates_after(self.state.progress.steps):
                return rows, {"train_loss": total.item() / items, "learning_rate": float(learning_rate)}

    def examine(self) -> Found:
        """The mean plain loss over the validation rows, as `val_loss`, and the task's scores, details, predictions."""
        if not self.lesson.valid:
            return Found()
        found = self._look(self.exam, "valid")
        loss = found.metrics["loss"]
        return replace(found, metrics={"val_loss": loss, **{k: v for k, v in found.metrics.items() if k != "loss"}})

    def test(self) -> Found:
        """The same of the test rows, the names led by `test_`; nothing where there are none."""
        if not self.lesson.test:
            return Found()
        found = self._look(_Exam(self.lesson.test), "test")
        metrics, details = (
            {f"test_{name}": value for name, value in part.items()} for part in (found.metrics, found.details)
        )
        return Found(metrics, details, found.predictions)

    def _look(self, exam: _Exam, split: Literal["valid", "test"]) -> Found:
        """The mean plain `loss` and the task's scores; there are none of logits that are not finite."""
        self.state.model.eval()
        with self.machine.evaluating():
            losses, answers = fitting(partial(self._answers, exam), self.room.evaluate)
            loss = losses.sum().item() / sum(row.items for row in exam.examples)
            if answers is None:
                return Found({"loss": loss})
            scores, details = self.lesson.scores(answers, exam.examples)
            return Found({"loss": loss, **scores}, details, self._predictions(exam, split, losses, answers))

    def _predictions(self, exam: _Exam, split: Literal["valid", "test"], losses: Tensor, answers: Any) -> Any:
        """One class for each row, or None where the task has no such thing."""
        chances = self.lesson.chances(answers)
        if chances is None:
            return None
        probability, predicted = chances.max(dim=1)
        truth = [row.label for row in exam.examples]
        plain = (truth, predicted.tolist(), probability.tolist(), losses.tolist())
        return Predictions(split, self.lesson.classes, *plain)

    def _answers(self, exam: _Exam, rows_at_once: int) -> tuple[Tensor, Any]:
        """The loss of each row of an exam [rows] and the answers, from batches of so many; None where a logit is not
        finite."""
        batches = self._batches(exam, rows_at_once)
        self.room.evaluate = rows_at_once
        losses, answers = zip(*map(self._answer, batches), strict=True)
        known = None if any(some is None for some in answers) else joined(answers, exam.order)
        return torch.cat(losses).double().cpu()[exam.places], known

    def _batches(self, exam: _Exam, rows_at_once: int) -> Iterable[Batch]:
        """All rows of an exam in batches, made once, unless they hold the states of all tokens or images: made one by
        one then, since a copy of these, padded or in floats, may be larger than the model."""
        if exam.batches and rows_at_once == self.room.evaluate:
            return exam.batches
        made = (self._batch(exam.examples, some) for some in chunks(exam.order, rows_at_once))
        if any(map(_is_large, exam.examples)):
            return made
        exam.batches = list(made)
        return exam.batches

    def _answer(self, exam: Batch) -> tuple[Tensor, Any]:
        self.heed()
        batch = self._here(exam)
        logits = self._logits(batch)
        losses = self.lesson.plain_loss(logits, batch.labels)
        return losses, self.lesson.answers(self.state.model, batch, logits) if logits.isfinite().all() else None

    def step(self, batches: Sequence[Sequence[int]]) -> Tensor:
        """One optimizer step over the mean of all items of these batches; returns the sum of their losses."""
        items, total = sum(map(self._items, batches)), torch.zeros((), device=self.machine.device)
        for number, some in enumerate(batches):
            # Dropout depends on the place in the training alone, not on what else drew from torch's generator before.
            # Parts of a batch draw one after the other, and so it depends on their size, too.
            self.machine.seed(derive(self.plan.seed, "dropout", self.state.progress.steps, number))
            for part in chunks(some, self.room.train):
                drawn = self._batch(self.lesson.train, part)
                batch = self._here(self.lesson.redraw(drawn) if self.lesson.redraw else drawn)
                loss = self.lesson.loss(self._logits(batch), batch.labels).sum()
                torch.autograd.backward(self.state.scaler.scale(loss / items))
                total += loss.detach()
        self._update()
        if not self.machine.does("asynchronous_steps"):
            self.machine.finish()
        return total

    def _update(self) -> None:
        state, bound = self.state, self.training.max_grad_norm
        state.scaler.unscale_(state.optimizer)
        with clipped(state.optimizer, self.learning, bound, scaled=state.scaler.is_enabled()):
            state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        state.scheduler.step()
        state.progress.steps += 1

    def _logits(self, batch: Batch) -> Tensor:
        with self.machine.autocast():
            logits = self.lesson.logits(self.state.model(**batch.inputs))
        return logits.float()

    def _items(self, rows: Sequence[int]) -> int:
        return sum(self.lesson.train[row].items for row in rows)

    def _batch(self, examples: Sequence[Example], rows: Sequence[int]) -> Batch:
        return self.lesson.collate([examples[row] for row in rows])

    def _here(self, batch: Batch) -> Batch:
        return batch.to(self.machine.device)
