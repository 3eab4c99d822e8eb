"""One trial as each contender makes it: hpo, transformers' hyperparameter_search, plain Optuna and torch.

As a program (`python -m bench.peers`) it reads a contest from the first line of stdin and a trial from each other one,
and answers each with a line: so every contender has a process of its own, with the environment that it comes with.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import torch
import transformers
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    get_linear_schedule_with_warmup,
)

from objectives import data, settings, sources, stopwatch, trial
from objectives.cache import Cache
from objectives.evaluation import Evaluation
from objectives.host import Host
from objectives.switches import Piece

EVALUATED_AT_ONCE = 64
ALIKE = 8
"""Trials that are to share what a cache holds."""


class Point(NamedTuple):
    """A trial's parameters, and the seed of its head, its batches and its dropout."""

    frozen_layers: int
    learning_rate: float
    batch_size: int
    warmup_ratio: float
    seed: int = 0


@dataclass
class Outcome:
    """Seconds of the whole trial, of its training and evaluations alone, and of filling or reading the cache; the last
    evaluation's metrics."""

    seconds: float = 0.0
    training: float = 0.0
    fill: float = 0.0
    val_loss: float = float("nan")
    accuracy: float = float("nan")


@dataclass
class Contest:
    """The rows that all contenders train and validate on, `train` and `valid` of them, for so many epochs, and where:
    `device` is cpu, whose own seconds count, or cuda, where it is those on the wall."""

    path: Path
    train: int
    valid: int
    epochs: int
    scratch: Path
    device: str = "cpu"
    _splits: dict[str, Any] = field(default_factory=dict)

    def run(self, what: str, point: Point, cache: Cache) -> Outcome:
        """A trial of the contender of this name."""
        if what == "plain":
            return self.plain(point)
        if what.startswith("trainer"):
            return self.trainer(point, half=what.endswith("bf16"))
        return self.hpo(point, cache, what.removeprefix("hpo").strip() or "fp32")

    def now(self) -> float:
        """The clock that contenders are compared by, in seconds."""
        if self.device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    def settings(self, point: Point, precision: str = "fp32") -> settings.Transfer:
        """A point as our objective takes it."""
        training = {"epochs": self.epochs, "seed": point.seed, "precision": precision}
        found = settings.parse(
            {
                "task": "text-classification",
                "model": {"name": "minilm", "frozen_layers": point.frozen_layers},
                "data": {
                    "path": str(self.path),
                    "split": {"train": self.train, "valid": self.valid, "test": 0, "seed": 0},  # as the peers have it
                },
                "training": training | {name: getattr(point, name) for name in Point._fields[1:4]},
            }
        )
        assert isinstance(found, settings.Transfer)  # noqa: S101
        return found

    def hpo(self, point: Point, cache: Cache | None, precision: str = "fp32", off: Collection[Piece] = ()) -> Outcome:
        """Our objective, with what other trials left in the cache, without the pieces that are `off`."""
        last: list[Evaluation] = []
        host = Host(self.device, 1, cache=cache, lean_off=off)
        with measured(self.now) as outcome, _clocked(self.now):
            result = trial.run(self.settings(point, precision), last.append, host=host)
        metrics = last[-1].metrics
        outcome.training = result.seconds["train"] + result.seconds["evaluate"]
        outcome.fill = result.seconds.get("cache", 0.0)
        outcome.val_loss, outcome.accuracy = metrics["val_loss"], metrics["accuracy"]
        return outcome

    def trainer(self, point: Point, half: bool = False) -> Outcome:
        """`Trainer.hyperparameter_search` with Optuna, of one trial that has the point's parameters; `half` in bf16."""
        splits, clock = self.splits(point), _Clock(self.now)
        arguments = TrainingArguments(
            output_dir=str(self.scratch / "trainer"),
            num_train_epochs=self.epochs,
            per_device_eval_batch_size=EVALUATED_AT_ONCE,
            weight_decay=0.01,
            warmup_steps=0.0,  # a float: what hp_space gives is cast to the type that stands here
            eval_strategy="epoch",
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=self.device == "cpu",
            dataloader_pin_memory=self.device != "cpu",
            bf16=half,
            seed=point.seed,
        )
        searcher = Trainer(
            args=arguments,
            data_collator=splits["collate"],
            train_dataset=splits["train"],
            eval_dataset=splits["valid"],
            model_init=lambda chosen: self.model(point) if chosen is None else self.model(_suggested(chosen, point)),
            compute_metrics=lambda told: {"accuracy": float((told.predictions.argmax(-1) == told.label_ids).mean())},
            callbacks=[clock],
        )
        with measured(self.now) as outcome:
            searcher.hyperparameter_search(
                hp_space=lambda chosen: {
                    "learning_rate": chosen.suggest_float("learning_rate", 1e-5, 1e-2),
                    "per_device_train_batch_size": chosen.suggest_int("batch_size", 1, 64),
                    "warmup_steps": chosen.suggest_float("warmup_ratio", 0.0, 0.5),
                },
                compute_objective=lambda metrics: metrics["eval_loss"],
                n_trials=1,
                backend="optuna",
                sampler=_only(point),
            )
        outcome.training = clock.seconds
        outcome.val_loss, outcome.accuracy = clock.metrics["eval_loss"], clock.metrics["eval_accuracy"]
        return outcome

    def plain(self, point: Point) -> Outcome:
        """A loop in torch within `study.optimize`, frozen blocks in eval mode as ours."""
        study = optuna.create_study(sampler=_only(point))
        with measured(self.now) as outcome:
            study.optimize(lambda chosen: self._loop(_suggested(chosen, point), chosen, outcome), n_trials=1)
        return outcome

    def model(self, point: Point) -> Any:
        """MiniLM with a new head, embeddings and first blocks frozen."""
        torch.manual_seed(point.seed)
        where = self.splits(point)["where"]
        model = AutoModelForSequenceClassification.from_pretrained(where, num_labels=self.splits(point)["classes"])
        for part in _frozen(model, point):
            part.requires_grad_(False)
        return model

    def splits(self, point: Point) -> dict[str, Any]:
        """The encoded rows, made once: the peers' users do that outside of their trials, too."""
        if not self._splits:
            chosen = self.settings(point)
            where = sources.find(chosen.model).where
            tokenizer, found = AutoTokenizer.from_pretrained(where), data.load(chosen.data, 0)
            classes = data.classes(found, "label")
            for name, table in (("train", found.train), ("valid", found.valid)):
                tokens = tokenizer(list(table.column("text")), truncation=True, max_length=128)["input_ids"]
                labels = [classes.index(label) for label in table.column("label")]
                self._splits[name] = [
                    {"input_ids": row, "labels": label} for row, label in zip(tokens, labels, strict=True)
                ]
            self._splits |= {
                "classes": len(classes),
                "where": where,
                "collate": DataCollatorWithPadding(tokenizer),
            }
        return self._splits

    def _loop(self, point: Point, chosen: optuna.Trial, outcome: Outcome) -> float:
        splits, model = self.splits(point), self.model(point).to(self.device)
        learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(learning, lr=point.learning_rate, weight_decay=0.01)
        steps = self.epochs * -(-self.train // point.batch_size)
        schedule = get_linear_schedule_with_warmup(optimizer, round(point.warmup_ratio * steps), steps)
        began = self.now()
        for epoch in range(self.epochs):
            model.train()
            for part in _frozen(model, point):
                part.eval()
            order = torch.randperm(self.train, generator=torch.Generator().manual_seed(point.seed + epoch)).tolist()
            for at in range(0, self.train, point.batch_size):
                rows = [splits["train"][row] for row in order[at : at + point.batch_size]]
                model(**splits["collate"](rows).to(self.device)).loss.backward()
                clip_grad_norm_(learning, 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            outcome.val_loss, outcome.accuracy = self._validated(model, splits)
            chosen.report(outcome.val_loss, epoch)
        outcome.training = self.now() - began
        return outcome.val_loss

    @torch.no_grad()
    def _validated(self, model: Any, splits: dict[str, Any]) -> tuple[float, float]:
        model.eval()
        loss = right = 0.0
        for at in range(0, self.valid, EVALUATED_AT_ONCE):
            batch = splits["collate"](splits["valid"][at : at + EVALUATED_AT_ONCE]).to(self.device)
            logits = model(**batch).logits
            loss += cross_entropy(logits, batch["labels"], reduction="sum").item()
            right += (logits.argmax(-1) == batch["labels"]).sum().item()
        return loss / self.valid, right / self.valid


@contextmanager
def measured(now: Callable[[], float] = time.process_time) -> Iterator[Outcome]:
    """An outcome whose `seconds` the block takes, by this clock."""
    gc.collect()
    outcome, began = Outcome(), now()
    yield outcome
    outcome.seconds = now() - began


@contextmanager
def _clocked(now: Callable[[], float]) -> Iterator[None]:
    """Within the block our stopwatch goes by this clock."""
    wall, stopwatch.perf_counter = stopwatch.perf_counter, now
    try:
        yield
    finally:
        stopwatch.perf_counter = wall


class _Clock(TrainerCallback):  # type: ignore[misc]
    """From the Trainer's first step to its end."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now, self.seconds = now, 0.0
        self.metrics: dict[str, float] = {}

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.began = self.now()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.seconds = self.now() - self.began

    def on_evaluate(self, *_: Any, metrics: dict[str, float], **__: Any) -> None:
        self.metrics = metrics


def _frozen(model: Any, point: Point) -> Sequence[Any]:
    depth = point.frozen_layers
    return (model.bert.embeddings, *model.bert.encoder.layer[:depth]) if depth else ()


def _only(point: Point) -> optuna.samplers.BaseSampler:
    """A sampler that draws this point."""
    return optuna.samplers.GridSampler({name: [value] for name, value in point._asdict().items()}, seed=0)


def _suggested(chosen: optuna.Trial, point: Point) -> Point:
    """The point, its depth asked of the trial: a model must have it before the Trainer asks for the rest."""
    return point._replace(frozen_layers=chosen.suggest_int("frozen_layers", 0, 6, step=2))


def main() -> None:
    """Serve until stdin ends."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    asked = json.loads(sys.stdin.readline())
    contest = Contest(**{name: Path(each) if name in ("path", "scratch") else each for name, each in asked.items()})
    for line in sys.stdin:
        what, folder, depths, values = json.loads(line)
        cache = Cache(Path(folder), depths=tuple(depths), trials=ALIKE)
        print(json.dumps(asdict(contest.run(what, Point(*values), cache))), file=answers, flush=True)


if __name__ == "__main__":
    main()
