"""A training by the Trainer of transformers, reported to a study by a callback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from objectives.own import Reporter

_NAMES = {"eval_loss": "val_loss", "eval_samples_per_second": "examples_per_second"}
_STATE = "trainer_state.json"
"""What the Trainer writes last: a checkpoint without it is one that was being written when its worker was killed."""
_LEFT_OUT = {"eval_runtime", "eval_steps_per_second", "epoch"}


class HpoCallback(TrainerCallback):
    """Reports each evaluation, under hpo's names: `eval_loss` is `val_loss`, `eval_accuracy` is `accuracy`.

    Pruning, pausing and cancelling end `Trainer.train()` by an exception: let it pass. With `output_dir` in
    `report.folder` and `resume_from_checkpoint=callback.checkpoint`, a killed trial goes on from its last checkpoint;
    evaluations are then counted from the first step, as `log_history` has them.
    """

    def __init__(self, report: Reporter) -> None:
        self.report = report

    @property
    def checkpoint(self) -> str | None:
        """The last whole checkpoint of an earlier attempt; None where there is none."""
        steps = {path.name.rpartition("-")[2]: path for path in self.report.folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*")}
        newest = sorted((step for step in steps if step.isdecimal()), key=int, reverse=True)
        return next((str(steps[step]) for step in newest if _is_whole(steps[step])), None)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **named: Any) -> None:
        """Report the metrics of an evaluation, with the last training loss; it may raise."""
        step = sum("eval_loss" in entry for entry in state.log_history)
        losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
        metrics = {
            _NAMES.get(name, name.removeprefix("eval_")): value
            for name, value in named["metrics"].items()
            if name not in _LEFT_OUT
        }
        self.report(metrics | ({"train_loss": losses[-1]} if losses else {}), step=step, epoch=state.epoch)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Hear between two steps of what ends the trial; it may raise."""
        self.report.heed()


def _is_whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / _STATE).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return True
