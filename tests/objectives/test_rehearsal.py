"""What a trial would cost, from a few of its steps: counts are exact, seconds only there."""

import pytest
import torch

from objectives import glimpse, memory, rehearsal, settings, trainer, trial
from objectives.batches import Recalled
from objectives.cache import Cache
from objectives.errors import ModelError, OutOfMemoryError
from objectives.host import Host


@pytest.fixture
def wanted(checkpoint, rows):
    """Settings of a trial on 60 rows and a tiny model."""

    def _wanted(model=None, **training):
        data = {"path": str(rows), "split": {"train": 36, "valid": 12, "test": 12}, "max_length": 16}
        named = {"name": str(checkpoint("bert")), **(model or {})}
        training = {"epochs": 2, "batch_size": 4, "eval_batch_size": 5, "seed": 0, **training}
        return settings.parse({"task": "text-classification", "model": named, "data": data, "training": training})

    return _wanted


@pytest.mark.parametrize(
    "training",
    [
        {},
        {"epochs": 4},
        {"batch_size": 5, "evaluations_per_epoch": 3},
        {"gradient_accumulation_steps": 2, "evaluations_per_epoch": 100},
        {"batch_size": 64},
    ],
)
def test_steps_and_evaluations_are_those_of_the_trial(wanted, training, monkeypatch):
    found = trial.rehearse(wanted(**training))
    taken = []
    step = trainer.School.step
    monkeypatch.setattr(trainer.School, "step", lambda self, batches: (taken.append(1), step(self, batches))[1])
    evaluations = []
    trial.run(wanted(**training), evaluations.append)
    assert (found.steps, found.evaluations) == (len(taken), len(evaluations))
    assert found.trial_seconds == pytest.approx(sum(found.seconds[name] for name in ("load", "train", "evaluate")))
    assert all(seconds > 0 for seconds in found.seconds.values())
    assert 0 < found.peak_memory_bytes < found.free_memory_bytes
    assert (found.device, 0 < found.cpu_share <= 1) == ("cpu", True)


def test_few_steps_are_taken_the_costliest_first(wanted, monkeypatch):
    seen = []
    step = trainer.School.step

    def watched(self, batches):
        seen.append(sum(rehearsal._padded(self.lesson.train, batch) for batch in batches))
        return step(self, batches)

    monkeypatch.setattr(trainer.School, "step", watched)
    trial.rehearse(wanted(epochs=50, batch_size=1))
    assert len(seen) == 1 + rehearsal.TIMED
    assert seen[0] == max(seen) > min(seen)


@pytest.mark.parametrize(
    ("training", "model", "unfrozen", "learn"),
    [
        ({"epochs": 2, "unfreeze_every": 1}, {}, (1, 3), {2}),
        ({"epochs": 4, "unfreeze_every": 2}, {"frozen_layers": 1}, (1, 2), {2}),
        ({"epochs": 5, "unfreeze_every": 1}, {}, (3, 3), {0, 1, 2}),
        ({}, {}, None, {0, 1, 2}),
    ],
)
def test_steps_are_those_of_the_last_epoch_of_gradual_unfreezing(wanted, training, model, unfrozen, learn, monkeypatch):
    step, seen = trainer.School.step, set()

    def watched(self, batches):
        blocks = self.state.model.bert.encoder.layer
        seen.update(place for place, block in enumerate(blocks) if any(one.requires_grad for one in block.parameters()))
        return step(self, batches)

    monkeypatch.setattr(trainer.School, "step", watched)
    assert trial.rehearse(wanted(model, **training)).unfrozen == unfrozen
    assert seen == learn


def test_seconds_grow_with_the_tokens_of_the_trial(wanted, monkeypatch):
    """The clock stands for one that takes a second an act."""
    monkeypatch.setattr(rehearsal._Clock, "__call__", lambda self, act: (act(), 1.0)[1])
    monkeypatch.setattr(rehearsal._Clock, "cpu_share", lambda self: 1.0)
    once, twice = (trial.rehearse(wanted(epochs=epochs)) for epochs in (2, 4))
    assert twice.seconds["train"] == pytest.approx(2 * once.seconds["train"])
    assert twice.seconds["evaluate"] == pytest.approx(2 * once.seconds["evaluate"])
    assert 0.5 * once.steps < once.seconds["train"] < 2 * once.steps
    assert once.seconds["evaluate"] / once.evaluations == pytest.approx(3, rel=0.4)  # batches of 5, 5 and 2 rows


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: 9 bytes."),
    ],
)
def test_want_of_memory_is_said_as_such(wanted, error, monkeypatch):
    def fail(self, batches):
        raise error

    monkeypatch.setattr(trainer.School, "step", fail)
    with pytest.raises(OutOfMemoryError, match=r"^out of memory on cpu$"):
        trial.rehearse(wanted())


def test_other_errors_are_what_they_are(wanted, monkeypatch):
    with pytest.raises(ModelError, match="more than the model's 3 blocks"):
        trial.rehearse(wanted({"frozen_layers": 4}))

    def fail(self, batches):
        raise RuntimeError("a bug")

    monkeypatch.setattr(trainer.School, "step", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        trial.rehearse(wanted())


def test_a_simulated_trial_says_what_it_costs():
    found = trial.rehearse(settings.parse({"simulated": {"seconds": 7.0, "evaluations": 5}}))
    assert (found.steps, found.evaluations, found.trial_seconds, found.peak_memory_bytes) == (5, 5, 7.0, None)


def test_free_memory_is_the_machines_or_what_a_container_leaves(tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       2000 kB\nMemAvailable:   1000 kB\nHugePages_Total:       0\n")
    assert memory.free_bytes(meminfo, tmp_path) == 1000 * 1024
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("4000\n")
    assert memory.free_bytes(meminfo, tmp_path) == 1000
    assert memory.free_bytes(tmp_path / "none", tmp_path) == 1000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_bytes(tmp_path / "none", tmp_path) is None


@pytest.fixture
def kept(tmp_path):
    """A host with a cache for many trials."""
    return Host("cpu", 1, cache=Cache(tmp_path / "cache", trials=50))


def test_steps_after_frozen_blocks_are_taken_on_states_as_the_trial_does(wanted, kept, monkeypatch):
    """The cache gets nothing: the rows of the steps have their states in memory, and no others are computed."""
    seen, read = [], []
    step, noted = trainer.School.step, glimpse.Rows.recalled

    def watched(self, batches):
        seen.extend(self.lesson.train[row] for batch in batches for row in batch)
        return step(self, batches)

    monkeypatch.setattr(trainer.School, "step", watched)
    monkeypatch.setattr(glimpse.Rows, "recalled", lambda self, *how: (read.extend(self.examples), noted(self, *how))[1])
    found = trial.rehearse(wanted({"frozen_layers": 2}, epochs=50, batch_size=1), kept)
    assert found.build_seconds > 0
    assert found.seconds["train"] > 0
    assert len(seen) == 1 + rehearsal.TIMED
    assert all(isinstance(row, Recalled) for row in seen)
    assert len({id(row) for row in read}) < 36 + 12
    assert not kept.cache.folder.exists()


@pytest.mark.parametrize("model", [{}, {"frozen_layers": 2, "frozen_dropout": True}])
def test_what_learns_or_drops_is_computed_with_each_batch(wanted, kept, model):
    assert trial.rehearse(wanted(model), kept).build_seconds is None


def test_a_cache_that_does_not_pay_or_has_no_room_is_not_counted(wanted, kept):
    frozen = wanted({"frozen_layers": 1}, epochs=1)
    for cache in (None, Cache(kept.cache.folder, limit=10, trials=50), Cache(kept.cache.folder)):
        pays = cache is not None and cache.limit is None and _is_built(frozen, cache)
        assert (trial.rehearse(frozen, Host("cpu", 1, cache=cache)).build_seconds is not None) == pays


def _is_built(settings, cache):
    """Whether a trial computes its states once."""
    found = trial.run(settings, lambda _: None, host=Host("cpu", 1, cache=cache))
    cache.clear()
    return found.facts["cached"]


@pytest.mark.parametrize("depth", [1, 3])
def test_the_seconds_of_states_grow_with_what_is_computed(wanted, kept, depth, monkeypatch):
    """The clock stands for one that takes a second an act; pooled states are one a row, others one a token."""
    monkeypatch.setattr(rehearsal._Clock, "__call__", lambda self, act: (act(), 1.0)[1])
    monkeypatch.setattr(rehearsal._Clock, "cpu_share", lambda self: 1.0)
    found = trial.rehearse(wanted({"frozen_layers": depth, "pooling": "mean"}), kept)
    assert found.build_seconds == pytest.approx(2 * 48 / 30, rel=0.2)  # two batches: 20 of 36 rows, 10 of 12
    assert found.seconds["train"] == pytest.approx(found.steps, rel=0.5)
    assert found.seconds["evaluate"] / found.evaluations == pytest.approx(12 / 5, rel=0.4)


def test_a_step_on_states_learns_what_a_step_on_tokens_does(wanted, kept, monkeypatch):
    losses = []
    step = trainer.School.step
    monkeypatch.setattr(
        trainer.School, "step", lambda self, batches: (losses.append(step(self, batches).item()), torch.zeros(()))[1]
    )
    for host in (kept, Host("cpu", 1)):
        trial.rehearse(wanted({"frozen_layers": 2, "dropout": 0.0}, precision="fp32"), host)
    half = len(losses) // 2
    assert losses[:half] == pytest.approx(losses[half:], abs=1e-5)
