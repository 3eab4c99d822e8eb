"""A trial from settings to result."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from objectives import data, settings, transfer, trial
from objectives.errors import DataError, ModelError, ObjectiveError
from objectives.evaluation import Evaluation, Result
from objectives.host import Host
from objectives.measures import direction
from objectives.tasks import TASKS

Checkpoint = Callable[[str], Path]
TRAINING = {"epochs": 2, "learning_rate": 5e-3, "evaluations_per_epoch": 2, "seed": 1, "precision": "fp32"}
CLOCKS = {"seconds", "examples_per_second", "peak_memory_bytes"}


@pytest.fixture
def transfer_settings(checkpoint: Checkpoint, rows: Path) -> settings.Settings:
    return settings.parse(
        {
            "task": "text-classification",
            "model": {"name": str(checkpoint("bert"))},
            "data": {"path": str(rows), "split": {"valid": 12, "test": 12}, "max_length": 32},
            "training": TRAINING,
        }
    )


def _run(chosen: settings.Settings, **values: Any) -> tuple[list[Evaluation], Result]:
    evaluations: list[Evaluation] = []
    result = trial.run(settings.replace(chosen, values), evaluations.append, host=Host("cpu", 1))
    return evaluations, result


def _numbers(evaluations: list[Evaluation]) -> list[dict[str, float]]:
    return [{name: value for name, value in e.metrics.items() if name not in CLOCKS} for e in evaluations]


def test_learns_and_tells_what_it_did(transfer_settings: settings.Settings) -> None:
    values = {"training.epochs": 12, "training.batch_size": 8, "model.dropout": 0.0}
    evaluations, result = _run(transfer_settings, **values)
    assert [(e.step, e.epoch) for e in evaluations[:2]] == [(1, pytest.approx(24 / 36)), (2, 1.0)]
    assert evaluations[-1].metrics["val_loss"] < evaluations[0].metrics["val_loss"] - 0.4
    assert evaluations[-1].metrics["accuracy"] > 0.8
    assert evaluations[-1].details["confusion_matrix"]["labels"] == ["mid", "neg", "pos"]
    assert result.steps == len(evaluations) == 24
    assert evaluations[-1].snapshot
    saved = evaluations[-1].snapshot().tensors
    assert evaluations[-1].snapshot_bytes == sum(tensor.nbytes for tensor in saved.values()) > 3 * 4 * 10_000
    assert result.seconds.keys() == {"load", "data", "train", "evaluate", "report"}
    facts = json.loads(json.dumps(result.facts))
    assert facts["parameters"] == result.trainable_parameters > 10_000
    assert (facts["device"], facts["threads"], facts["precision"]) == ("cpu", 1, "fp32")
    assert facts["rows"] == {"train": 36, "valid": 12}
    assert facts["classes"] == ["mid", "neg", "pos"]
    assert facts["versions"].keys() == {"python", "torch", "transformers"}
    assert facts["evaluations_per_epoch"] == 2


def test_the_same_settings_give_the_same_bits(transfer_settings: settings.Settings) -> None:
    first, _ = _run(transfer_settings)
    assert _numbers(_run(transfer_settings)[0]) == _numbers(first)
    assert _numbers(_run(transfer_settings, **{"training.seed": 2})[0]) != _numbers(first)


def test_no_seed_is_seed_0(transfer_settings: settings.Settings) -> None:
    none, zero = (_run(transfer_settings, **{"training.seed": seed})[0] for seed in (None, 0))
    assert _numbers(none) == _numbers(zero)


SETTINGS: list[tuple[str, Any]] = [
    ("model.dropout", 0.5),
    ("model.pooling", "mean"),
    ("model.frozen_layers", 3),
    ("model.pretrained", False),
    ("data.max_length", 4),
    ("training.batch_size", 8),
    ("training.class_weights", "balanced"),
    ("training.gradient_accumulation_steps", 2),
    ("training.label_smoothing", 0.3),
    ("training.learning_rate", 1e-4),
    ("training.lr_scheduler", "cosine"),
    ("training.max_grad_norm", 0.01),
    ("training.optimizer", "sgd"),
    ("training.precision", "bf16"),
    ("training.warmup_ratio", 0.5),
    ("training.warmup_steps", 2),
    ("training.weight_decay", 5.0),
]


@pytest.mark.parametrize(("address", "value"), SETTINGS, ids=str)
def test_every_setting_reaches_the_training(
    transfer_settings: settings.Settings, rows: Path, address: str, value: Any
) -> None:
    rows.write_text(rows.read_text() + "good good,pos\n" * 12)  # so that the classes are out of balance
    chosen = settings.replace(transfer_settings, {"training.epochs": 1})
    assert _numbers(_run(chosen, **{address: value})[0]) != _numbers(_run(chosen)[0])


def test_frozen_layers_are_counted(transfer_settings: settings.Settings) -> None:
    _, result = _run(transfer_settings, **{"model.frozen_layers": 3, "training.epochs": 1})
    assert result.trainable_parameters == 32 * 32 + 32 + 32 * 3 + 3
    assert result.facts["parameters"] > result.trainable_parameters


def test_report_may_raise(transfer_settings: settings.Settings) -> None:
    seen = []

    def report(evaluation: Evaluation) -> None:
        seen.append(evaluation.step)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trial.run(transfer_settings, report, host=Host("cpu"))
    assert seen == [1]


def test_heed_may_raise_between_two_evaluations(transfer_settings: settings.Settings) -> None:
    heeds = iter([None, KeyboardInterrupt()])

    def heed() -> None:
        if told := next(heeds):
            raise told

    seen: list[Evaluation] = []
    with pytest.raises(KeyboardInterrupt):
        trial.run(transfer_settings, seen.append, host=Host("cpu"), heed=heed)
    assert seen == []


def test_rows_are_encoded_once(
    transfer_settings: settings.Settings, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = []
    load = data.load

    def counted(*arguments: Any, **options: Any) -> data.Splits:
        loads.append(options)
        return load(*arguments, **options)

    monkeypatch.setattr(data, "load", counted)
    trial.prepare(transfer_settings)
    _run(transfer_settings, **{"training.learning_rate": 1e-3})
    assert len(loads) == 1
    rows.write_text(rows.read_text() + "good song,pos\n")
    _run(transfer_settings)
    assert len(loads) == 2
    _run(transfer_settings, **{"training.seed": 5})
    assert len(loads) == 3
    assert not any(options.get("test") for options in loads)


@pytest.mark.parametrize("family", ["albert", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet", "roberta"])
def test_every_family_trains(transfer_settings: settings.Settings, checkpoint: Checkpoint, family: str) -> None:
    frozen = 3 if family == "albert" else 1
    values = {"model.name": str(checkpoint(family)), "model.frozen_layers": frozen, "training.epochs": 1}
    first, *_, last = _run(transfer_settings, **values)[0]
    assert last.metrics["train_loss"] != first.metrics["train_loss"]


WRONG: list[tuple[str, Any, type[ObjectiveError], str]] = [
    ("data.path", "nowhere.csv", DataError, "data.path"),
    ("data.label", "nolabel", DataError, "data.label"),
    ("data.max_length", 500, ModelError, "data.max_length"),
    ("model.name", "./nowhere", ModelError, "model.name"),
    ("model.frozen_layers", 4, ModelError, "more than the model's 3 blocks"),
]


@pytest.mark.parametrize(("address", "value", "kind", "message"), WRONG)
def test_prepare_finds_what_is_wrong(
    transfer_settings: settings.Settings, address: str, value: Any, kind: type[ObjectiveError], message: str
) -> None:
    trial.prepare(transfer_settings)
    with pytest.raises(kind, match=message):
        trial.prepare(settings.replace(transfer_settings, {address: value}))


def test_a_simulated_trial_needs_no_torch() -> None:
    code = """
import sys
from objectives import settings, trial
chosen = settings.parse({"simulated": {"evaluations": 2}})
trial.prepare(chosen)
steps = []
trial.run(chosen, lambda evaluation: steps.append(evaluation.step))
print(steps, {"torch", "transformers"} & sys.modules.keys())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[1, 2] set()\n"


def test_minilm_is_fine_tuned(transfer_settings: settings.Settings) -> None:
    values = {"model.name": "minilm", "model.frozen_layers": 6, "training.epochs": 1, "training.learning_rate": 1e-2}
    evaluations, result = _run(transfer_settings, **values)
    assert evaluations[-1].metrics["val_loss"] < evaluations[0].metrics["val_loss"]
    assert result.facts["model"] == "minilm (all-MiniLM-L6-v2, BERT architecture, English)"
    assert result.trainable_parameters == 384 * 384 + 384 + 384 * 3 + 3


def test_every_kind_of_task_is_there() -> None:
    assert TASKS.keys() == set(get_args(settings.Task.model_fields["kind"].annotation))


def test_every_metric_has_a_direction_or_is_no_objective(transfer_settings: settings.Settings) -> None:
    evaluations, _ = _run(transfer_settings, **{"training.epochs": 1})
    without = {name for name in evaluations[0].metrics if direction(name) is None}
    assert without == {"learning_rate", *CLOCKS}


def test_encoded_rows_do_not_pile_up() -> None:
    assert transfer._encoded.cache_info().maxsize == 2
