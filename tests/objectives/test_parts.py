"""Memory that runs out: rows are computed in parts, to the same losses, and what worked is remembered."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from objectives import parts, settings, trainer, trial
from objectives.batches import Batch, Example
from objectives.errors import InfeasibleError, SnapshotError
from objectives.evaluation import Evaluation, Result, Snapshot
from objectives.host import Host
from objectives.state import State
from objectives.tasks import TASKS
from objectives.tasks.text_classification import TextClassification

Checkpoint = Callable[[str], Path]
TRAINING = {
    **{"epochs": 2, "batch_size": 16, "learning_rate": 5e-3, "evaluations_per_epoch": 2, "seed": 1},
    "precision": "fp32",
}
KIND = "text-classification"
CLOCKS = {"seconds", "examples_per_second", "peak_memory_bytes"}


class Narrow(TextClassification):
    """A task on a machine whose memory holds `most` rows, from the batch numbered `since` on."""

    def __init__(self, most: int, since: int = 1) -> None:
        super().__init__(settings.Task(kind=KIND))
        self.most, self.since, self.errors = most, since, 0
        self.rows: list[int] = []

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def collate(self, examples: Sequence[Example], tokenizer: Any) -> Batch:
        self.rows.append(len(examples))
        if len(examples) > self.most and len(self.rows) >= self.since:
            self.errors += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().collate(examples, tokenizer)


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_worked", {})


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Narrow]:
    def narrow(most: int, since: int = 1) -> Narrow:
        task = Narrow(most, since)
        monkeypatch.setitem(TASKS, KIND, lambda _: task)
        return task

    return narrow


@pytest.fixture
def chosen(checkpoint: Checkpoint, rows: Path) -> settings.Settings:
    """36 rows to train on, 12 to validate on."""
    return settings.parse(
        {
            "task": KIND,
            "model": {"name": str(checkpoint("bert")), "dropout": 0.0},
            "data": {"path": str(rows), "split": {"valid": 12, "test": 12}, "max_length": 32},
            "training": TRAINING,
        }
    )


def run(
    chosen: settings.Settings, values: dict[str, Any] | None = None, threads: int | None = 1, **options: Any
) -> tuple[Any, Result]:
    evaluations: list[Evaluation] = []
    found = settings.replace(chosen, values or {})
    result = trial.run(found, evaluations.append, host=Host("cpu", threads), **options)
    return evaluations, result


def losses(evaluations: list[Evaluation]) -> list[tuple[int, dict[str, float]]]:
    return [(e.step, {name: v for name, v in e.metrics.items() if name not in CLOCKS}) for e in evaluations]


def room(result: Result) -> tuple[int, int]:
    return result.facts["micro_batch"], result.facts["eval_micro_batch"]


def test_rows_are_halved_until_they_fit_and_the_losses_are_the_same(chosen: settings.Settings, narrow: Any) -> None:
    whole, result = run(chosen)
    assert room(result) == (16, 64)
    task = narrow(3)
    split, result = run(chosen)
    assert room(result) == (2, 2)
    assert task.errors == 3 + 5  # 16, 8, 4; then 64, 32, 16, 8, 4
    for (step, one), (other, two) in zip(losses(whole), losses(split), strict=True):
        assert step == other
        assert two == pytest.approx(one, abs=2e-4)


def test_no_trial_meets_the_error_twice(chosen: settings.Settings, narrow: Any) -> None:
    run(chosen, earlier={"micro_batch": 2, "eval_micro_batch": 2})  # another's memory is not remembered
    task = narrow(5)
    first, result = run(chosen)
    assert room(result) == (4, 4)
    before = task.errors
    _, result = run(chosen, {"training.learning_rate": 1e-3, "model.dropout": 0.2})
    assert (task.errors, room(result)) == (before, (4, 4))
    run(chosen, {"training.batch_size": 8})
    assert task.errors > before  # another batch, another trial
    assert losses(run(chosen)[0]) == losses(first)


def test_a_size_gives_the_same_bits_wherever_memory_ran_out(chosen: settings.Settings, narrow: Any) -> None:
    """Dropout follows from the parts, too: what ran with more rows at once before is done again."""
    chosen = settings.replace(chosen, {"model.dropout": 0.3})
    obeyed, result = run(chosen, earlier={"micro_batch": 8})
    assert room(result) == (8, 64)
    assert losses(obeyed) != losses(run(chosen)[0])
    narrow(12, since=6)  # in the second epoch; all 12 validation rows fit
    late, result = run(chosen)
    assert room(result) == (8, 64)
    assert [step for step, _ in losses(late)] == [1, 2, 3, 4]
    assert losses(late)[2:] == losses(obeyed)[2:]
    assert losses(late)[:2] != losses(obeyed)[:2]  # as they were reported, once


def test_an_evaluation_does_not_hold_the_model_of_a_training_that_ran_out(
    chosen: settings.Settings, narrow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    models: list[weakref.ref[Any]] = []
    alive: list[int] = []
    start = trainer.start

    def started(model: Any, *others: Any) -> Any:
        alive.append(sum(earlier() is not None for earlier in models))
        models.append(weakref.ref(model))
        return start(model, *others)

    monkeypatch.setattr(trainer, "start", started)
    narrow(12, since=6)  # in the second epoch: two evaluations are out by then, and kept
    evaluations, _ = run(chosen)
    assert alive == [0, 0]
    with pytest.raises(SnapshotError, match="was given up"):
        evaluations[0].snapshot()
    assert evaluations[-1].snapshot().tensors  # that of a training that ended is still to be had


@pytest.mark.parametrize("ends", [True, False], ids=["ended", "complete"])
def test_a_trial_gives_its_memory_back_however_it_ends(
    chosen: settings.Settings, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    """Before it begins, what the one before it left; and at its end, after its last evaluation."""
    evaluations: list[Evaluation] = []
    freed: list[int] = []
    monkeypatch.setattr(parts, "free", lambda: freed.append(len(evaluations)))

    def report(evaluation: Evaluation) -> None:
        evaluations.append(evaluation)
        if ends:
            raise KeyError("ended")

    with pytest.raises(KeyError) if ends else nullcontext():
        trial.run(chosen, report, host=Host("cpu", 1))
    assert freed == [0, len(evaluations)]


def test_a_copy_that_finds_no_memory_is_no_step_that_did(
    chosen: settings.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(state: State) -> Snapshot:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(State, "save", save)
    evaluations, result = run(chosen)
    with pytest.raises(SnapshotError, match="no memory"):
        evaluations[-1].snapshot()
    assert room(result) == (16, 64)


def snapshot_of(chosen: settings.Settings, **options: Any) -> Snapshot:
    """The state after the second evaluation."""
    kept: list[Snapshot] = []

    def report(evaluation: Evaluation) -> None:
        assert evaluation.snapshot is not None
        kept.append(evaluation.snapshot())

    trial.run(chosen, report, host=Host("cpu", 1), **options)
    return kept[1]


def test_an_adopter_obeys_the_snapshot(chosen: settings.Settings) -> None:
    chosen = settings.replace(chosen, {"model.dropout": 0.3})
    expected, _ = run(chosen, earlier={"micro_batch": 4, "eval_micro_batch": 3})
    snapshot = snapshot_of(chosen, earlier={"micro_batch": 4, "eval_micro_batch": 3})
    assert (snapshot.facts["micro_batch"], snapshot.facts["eval_micro_batch"]) == (4, 3)
    found, result = run(chosen, resume=snapshot, threads=None)
    assert losses(found) == losses(expected)[2:]
    assert room(result) == (4, 3)


def test_an_adopter_with_less_memory_starts_over(
    chosen: settings.Settings, narrow: Any, caplog: pytest.LogCaptureFixture
) -> None:
    snapshot = snapshot_of(chosen)
    narrow(12)
    found, result = run(chosen, resume=snapshot)
    assert room(result) == (8, 64)
    assert [step for step, _ in losses(found)] == [1, 2, 3, 4]
    assert "micro_batch is 8 here and was 16: starting over" in caplog.text


def test_an_adopter_without_a_snapshot_obeys_the_facts(chosen: settings.Settings) -> None:
    before = torch.get_num_threads()
    facts = {"threads": before + 1, "micro_batch": 2, "eval_micro_batch": 1}
    _, result = run(chosen, {"training.epochs": 1}, threads=None, earlier=facts)
    assert result.facts["threads"] == before + 1
    assert room(result) == (2, 1)
    assert result.runtime.keys() == {
        *("device", "device_name", "threads", "precision", "micro_batch", "eval_micro_batch", "versions"),
        *("cached", "lean", "model_identity"),
    }
    assert torch.get_num_threads() == before  # the next trial is another one


def test_one_row_that_does_not_fit_is_infeasible(chosen: settings.Settings, narrow: Any) -> None:
    task = narrow(0)
    with pytest.raises(InfeasibleError, match=r"not even one row fits \(CUDA out of memory.*lower data\.max_length"):
        run(chosen)
    assert task.rows == [16, 8, 4, 2, 1]
    assert not parts._worked


def test_other_errors_are_not_memorys() -> None:
    def work(rows: int) -> None:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({rows}x2 and 3x4)")

    with pytest.raises(RuntimeError, match="16x2"):
        parts.fitting(work, 16)


def test_what_python_and_torch_say() -> None:
    with pytest.raises(RuntimeError) as torchs:
        torch.empty(10**16)
    with pytest.raises(MemoryError) as pythons:
        bytearray(2**62)
    said = [torchs.value, pythons.value, torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("shape")]
    assert [parts.ran_out(error) for error in said] == [True, True, True, False]


def test_what_was_held_is_free_before_the_next_try() -> None:
    held: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []

    def work(rows: int) -> int:
        alive.append(sum(tensor() is not None for tensor in held))
        mine = torch.ones(rows)
        cycle: list[Any] = [mine]
        cycle.append(cycle)
        held.append(weakref.ref(mine))
        if rows > 2:
            raise MemoryError
        return rows

    assert parts.fitting(work, 8) == 2
    assert alive == [0, 0, 0]
