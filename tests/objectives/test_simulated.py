"""The simulated objective: its curve, its noise, and its ways to fail."""

import math
import signal
import subprocess
import sys
import time
from itertools import pairwise

import pytest

from objectives.errors import InfeasibleError
from objectives.evaluation import Evaluation
from objectives.measures import direction
from objectives.settings import Curve, Simulated
from objectives.simulated import CHANCE, DIVERGED, FLOOR, loss, run


def reports(**settings) -> list[Evaluation]:
    seen: list[Evaluation] = []
    run(Simulated(simulated=Curve(**settings)), seen.append)
    return seen


def losses(**settings) -> list[float]:
    return [evaluation.metrics["val_loss"] for evaluation in reports(**settings)]


def end(**settings) -> float:
    return loss(Curve(**settings), 1000)


def test_one_evaluation_an_epoch_with_every_metric():
    seen = reports(evaluations=4, learning_rate=2e-3)
    assert [(evaluation.step, evaluation.epoch) for evaluation in seen] == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]
    names = {"val_loss", "train_loss", "accuracy", "learning_rate", "seconds", "examples_per_second"}
    assert all(set(evaluation.metrics) == names for evaluation in seen)
    assert all(type(value) is float for evaluation in seen for value in evaluation.metrics.values())
    assert seen[0].metrics["learning_rate"] == 2e-3
    assert direction("accuracy") == "maximize"


def test_the_loss_falls_from_chance_to_its_end_exponentially():
    best = Curve(dropout=0.1, frozen_layers=2)
    assert loss(best, 0) == pytest.approx(CHANCE)
    assert end(dropout=0.1, frozen_layers=2) == pytest.approx(FLOOR)
    rest = [loss(best, epoch) - FLOOR for epoch in range(4)]
    assert rest[1] / rest[0] == pytest.approx(rest[2] / rest[1]) == pytest.approx(math.exp(-1 / 1.5))


@pytest.mark.parametrize(
    ("name", "best", "worse"),
    [
        ("learning_rate", 1e-3, [1e-5, 1e-4, 5e-3]),
        ("dropout", 0.1, [0.0, 0.5]),
        ("frozen_layers", 2, [0, 6]),
        ("optimizer", "adamw", ["adam", "sgd"]),
    ],
)
def test_each_setting_has_a_best_value(name, best, worse):
    assert all(end(**{name: best}) < end(**{name: value}) < CHANCE for value in worse)


def test_the_best_learning_rate_grows_with_the_batch_size():
    assert end(learning_rate=4e-3, batch_size=64) == pytest.approx(end(learning_rate=1e-3, batch_size=16))
    assert end(learning_rate=1e-3, batch_size=64) > end(learning_rate=1e-3, batch_size=16)


def test_too_high_a_learning_rate_diverges():
    assert end(learning_rate=2.9e-2) < CHANCE
    assert end(learning_rate=3.1e-2) == pytest.approx(DIVERGED)
    assert losses(learning_rate=0.1, evaluations=3) == sorted(losses(learning_rate=0.1, evaluations=3))


def test_accuracy_falls_as_the_loss_rises_and_training_ends_below_validation():
    seen = [evaluation.metrics for rate in (1e-5, 1e-3, 1e-2) for evaluation in reports(learning_rate=rate, noise=0.05)]
    by_loss = sorted(seen, key=lambda metrics: metrics["val_loss"])
    accuracies = [metrics["accuracy"] for metrics in by_loss]
    assert accuracies == sorted(accuracies, reverse=True)
    assert all(0 < accuracy <= 1 for accuracy in accuracies)
    assert all(metrics["train_loss"] < metrics["val_loss"] for metrics in seen)
    gaps = [reports(dropout=dropout)[-1].metrics for dropout in (0.0, 0.2)]  # as far from the best either way
    assert gaps[0]["val_loss"] == pytest.approx(gaps[1]["val_loss"])
    assert gaps[0]["train_loss"] < gaps[1]["train_loss"]


def test_noise_comes_from_the_seed_the_shape_and_the_step():
    calm, noisy = losses(evaluations=50), losses(evaluations=50, noise=0.1)
    steps = [a - b for a, b in zip(noisy, calm, strict=True)]
    assert len(set(steps)) == 50
    assert 0.07 < math.sqrt(sum(step**2 for step in steps) / 50) < 0.13
    assert abs(sum(steps) / 50) < 0.05
    assert losses(evaluations=50, noise=0.1, seed=0) == noisy
    assert losses(evaluations=50, noise=0.1, seed=1) != noisy
    shifted = [a - b for a, b in zip(losses(noise=0.1, dropout=0.2), losses(dropout=0.2), strict=True)]
    assert shifted != pytest.approx(steps[:3])
    assert losses(evaluations=3, noise=0.1, seconds=0.003, exit_at=9, fail_at=9, nan_at=9) == noisy[:3]
    assert min(losses(noise=10.0, evaluations=50)) == 0.0


def test_noise_is_the_same_in_every_process_and_needs_no_numpy():
    script = (
        "import sys; from objectives.simulated import run; from objectives.settings import Curve, Simulated\n"
        "run(Simulated(simulated=Curve(noise=0.1)), lambda e: print(e.metrics['val_loss']))\n"
        "print([m for m in ('torch', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == [*map(repr, losses(noise=0.1)), "[]"]


def test_nan_from_an_evaluation_on():
    assert [math.isnan(value) for value in losses(nan_at=2)] == [False, True, True]


def test_failing_at_an_evaluation_reports_those_before():
    seen: list[Evaluation] = []
    with pytest.raises(RuntimeError, match=r"^simulated failure at evaluation 2$"):
        run(Simulated(simulated=Curve(fail_at=2)), seen.append)
    assert [evaluation.step for evaluation in seen] == [1]


def test_a_share_of_trials_fails_chosen_by_their_settings():
    def failing(**settings) -> bool:
        try:
            return not reports(**settings)
        except RuntimeError:
            return True

    rates = [1e-4 * (1 + i / 10) for i in range(300)]
    failed = [failing(learning_rate=rate, fail_share=0.3) for rate in rates]
    assert 70 < sum(failed) < 110
    assert failed == [failing(learning_rate=rate, fail_share=0.3) for rate in rates]
    assert failed != [failing(learning_rate=rate, fail_share=0.3, seed=1) for rate in rates]


def test_failures_of_a_share_come_at_any_evaluation():
    places = set()
    for rate in range(1, 60):
        with pytest.raises(RuntimeError, match="simulated failure") as caught:
            reports(learning_rate=rate / 1000, fail_share=0.999999)
        places.add(str(caught.value)[-1])
    assert places == {"1", "2", "3"}


def test_exit_ends_the_process_as_kill_does():
    script = (
        "from objectives.simulated import run; from objectives.settings import Curve, Simulated\n"
        "run(Simulated(simulated=Curve(exit_at=2)), lambda e: print(e.step, flush=True))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "1\n")


def test_seconds_are_spread_over_the_evaluations():
    times = [time.perf_counter()]
    run(Simulated(simulated=Curve(seconds=0.3)), lambda _: times.append(time.perf_counter()))
    pauses = [after - before for before, after in pairwise(times)]
    assert all(pause >= 0.099 for pause in pauses)
    metrics = reports(seconds=0.3)[0].metrics
    assert (metrics["seconds"], metrics["examples_per_second"]) == (pytest.approx(0.1), pytest.approx(10000))
    assert reports()[0].metrics["examples_per_second"] == 0


def test_the_result_tells_steps_seconds_and_what_learns():
    settings = Simulated(simulated=Curve(evaluations=2, seconds=0.02, frozen_layers=6))
    result = run(settings, lambda _: time.sleep(0.01))
    assert (result.steps, result.trainable_parameters) == (2, 100)
    assert set(result.seconds) == {"load", "data", "train", "evaluate", "report"}
    assert result.seconds["train"] == 0.02
    assert result.seconds["report"] >= 0.02
    assert result.facts["model"] == "simulated"


def test_what_heed_raises_ends_the_trial_between_two_evaluations():
    heeds = iter([None, None, KeyboardInterrupt()])

    def heed() -> None:
        if told := next(heeds):
            raise told

    seen: list[Evaluation] = []
    with pytest.raises(KeyboardInterrupt):
        run(Simulated(simulated=Curve(evaluations=1, seconds=3600)), seen.append, heed=heed)
    assert seen == []


def test_what_report_raises_ends_the_trial():
    def report(evaluation: Evaluation) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Simulated(), report)


def test_some_settings_cannot_be_trained_with() -> None:
    assert len(reports(batch_size=16, memory=16)) == 3
    with pytest.raises(InfeasibleError, match=r"simulated\.batch_size: 32 rows do not fit into memory"):
        reports(batch_size=32, memory=16)
    losses = [
        [one.metrics["val_loss"] for one in reports(learning_rate=r, nan_at=2, nan_above=1e-3)] for r in (1e-3, 2e-3)
    ]
    assert [sum(map(math.isnan, curve)) for curve in losses] == [0, 2]
