"""Every kind of task: a rule that a child could see is learned, on several architectures, cached or not."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import CASES, kind, run

from objectives import kinds, settings, tasks, trial
from objectives.cache import Cache
from objectives.errors import ObjectiveError
from objectives.host import Host
from objectives.measures import LOSSES, OF_KIND, class_of

Lesson = Callable[..., settings.Settings]

LEARNED = [(name, family) for name, case in CASES.items() for family in case.families]


@pytest.mark.parametrize(("name", "family"), LEARNED)
def test_a_rule_is_learned(lesson: Lesson, name: str, family: str) -> None:
    seen, _ = run(lesson(name, family))
    assert seen[-1].metrics["val_loss"] < seen[0].metrics["val_loss"]
    assert any(CASES[name].good(each.metrics[CASES[name].metric]) for each in seen)


@pytest.mark.parametrize("name", CASES)
def test_frozen_states_are_computed_once_where_they_can_be_with_the_same_losses(
    lesson: Lesson, name: str, tmp_path: Path
) -> None:
    chosen = lesson(name, CASES[name].families[0], epochs=2, frozen_layers=2)
    cache = Cache(tmp_path / "cache", trials=100)
    plain, cached = run(chosen), run(chosen, Host("cpu", 1, cache=cache))
    assert (plain[1].facts["cached"], cached[1].facts["cached"]) == (False, CASES[name].cached)
    losses = [[each.metrics["val_loss"] for each in seen] for seen, _ in (plain, cached)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_the_model_that_is_left_says_the_same_of_rows_without_labels(lesson: Lesson, name: str, tmp_path: Path) -> None:
    seen, _ = run(settings.replace(lesson(name, CASES[name].families[0]), {"data.score": "test"}))
    assert seen[-1].model is not None
    seen[-1].model(tmp_path / "model")
    with (tmp_path / "rows.csv").open(newline="") as file:
        _, *rows = csv.reader(file)
    pairs = [row[1] for row in rows] if len(rows[0]) > 2 else None
    if kinds.KINDS[kind(name)].images:
        rows = [[str(tmp_path / row[0]), *row[1:]] for row in rows]
    told = trial.predict(tmp_path / "model", [row[0] for row in rows], pairs)
    agreed = sum(CASES[name].agrees(one.label, row[-1]) for one, row in zip(told, rows, strict=True))
    assert agreed > 0.9 * len(rows)


@pytest.mark.parametrize("name", CASES)
def test_it_records_what_it_is_said_to(lesson: Lesson, name: str) -> None:
    seen, result = run(lesson(name, CASES[name].families[0], epochs=1))
    assert result.facts["rows"] == {"train": 192, "valid": 24}
    clocks = {"seconds", "examples_per_second", "peak_memory_bytes", "learning_rate"}
    found = {metric for metric in seen[-1].metrics if class_of(metric) is None} - clocks
    assert found == {*LOSSES, *OF_KIND[kind(name)]}.difference(CASES[name].without)


def test_every_kind_has_a_case_and_its_parts() -> None:
    assert set(map(kind, CASES)) == tasks.TASKS.keys() == kinds.KINDS.keys() == OF_KIND.keys()


@pytest.mark.parametrize(
    ("task", "rows", "said"),
    [
        ("text-regression", "a,1\nb,two\n" * 5, "rows.csv, line #: 'two' is no finite number; right is one as 3.5"),
        ("text-regression", "a,nan\nb,2\n" * 5, "rows.csv, line #: 'nan' is no finite number; right is one as 3.5"),
        ("text-regression", "a,1\nb,1\n" * 5, "every training row has the same number in column 'label'"),
        ("multi-label", "a,\nb,\n" * 5, "no training row has a class in column 'label'; right is A|B or a JSON list"),
        ("multi-label", 'a,x\nb,"[1]"\n' * 5, "rows.csv, line #: '[1]' is no list of classes; right is A|B"),
        (
            "ner",
            "a b,O X\na b,O\n" * 5,
            "rows.csv, line #: 2 words in 'text' and 1 tags in 'label'; right is a tag",
        ),
        ("ner", "a b,O O\n" * 5, "every word to train on has the tag 'O'; right is two tags or more"),
        ("ner", "".join(f"a,Y{row}\n" for row in range(9)), "stands in no training row; found Y"),
        ("multi-label", 'a,x\nb,"[x"\n' * 5, "rows.csv, line #: '[x' is no list of classes; right is A|B"),
    ],
)
def test_labels_that_cannot_be_learned(tmp_path: Path, task: str, rows: str, said: str) -> None:
    (tmp_path / "rows.csv").write_text("text,label\n" + rows)
    chosen = settings.parse({"task": task, "data": str(tmp_path / "rows.csv")})
    assert isinstance(chosen, settings.Transfer)
    with pytest.raises(ObjectiveError) as caught:
        kinds.targets(chosen.task, chosen.data, kinds.load(chosen.task, chosen.data, 0))
    assert said in re.sub(r"line \d+", "line #", str(caught.value))


@pytest.mark.parametrize(
    ("task", "address", "value"),
    [
        ("text-regression", "training.class_weights", "balanced"),
        ("text-regression", "training.label_smoothing", 0.1),
        ("multi-label-classification", "data.shots", 3),
        ("token-classification", "model.pooling", "mean"),
        ("token-classification", "task.stride", 4),
        ("token-classification", "data.clean.unicode", "nfkc"),
        ("text-classification", "task.prefix", "say: "),
        ("text-classification", "task.generation.num_beams", 2),
        ("text-generation", "model.decoder", "minilm"),
        ("translation", "model.pooling", "mean"),
        ("summarization", "data.pair", "text"),
        ("text-generation", "task.mask_share", 0.3),
        ("fill-mask", "task.packing", True),
        ("fill-mask", "data.shots", 3),
    ],
)
def test_settings_that_mean_nothing_to_a_task(task: str, address: str, value: Any) -> None:
    plain = settings.parse({"task": task, "data": "rows.csv"})
    kinds.check(plain)  # type: ignore[arg-type]
    with pytest.raises(ObjectiveError, match=f"{address}: {task} has no such setting; remove it"):
        kinds.check(settings.replace(plain, {address: value}))  # type: ignore[arg-type]
    with pytest.raises(ObjectiveError, match=f"{address}: {task} has no such setting; remove it"):
        kinds.check(plain, {address})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "family"), [("text-generation", "gpt2"), ("translation", "t5"), ("text-classification", "bert")]
)
def test_blocks_computed_twice_learn_the_same(
    lesson: Lesson, name: str, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = lesson(name, family, epochs=1, frozen_layers=1)
    once, met = run(plain)[0], 0
    whole = torch.utils.checkpoint.checkpoint

    def counted(*args: Any, **named: Any) -> Any:
        nonlocal met
        met += 1
        return whole(*args, **named)

    monkeypatch.setattr("transformers.modeling_utils.checkpoint", counted)
    twice = run(settings.replace(plain, {"training.gradient_checkpointing": True}))[0]
    assert twice[0].metrics["val_loss"] == pytest.approx(once[0].metrics["val_loss"], rel=1e-4)
    assert met > 0


@pytest.mark.parametrize("name", CASES)
def test_every_kind_learns_by_adapters_and_is_evaluated_untrained(lesson: Lesson, name: str) -> None:
    family = CASES[name].families[0]
    untrained, _ = run(lesson(name, family, epochs=0))
    assert [each.step for each in untrained] == [1]
    assert CASES[name].metric in untrained[0].metrics
    seen, result = run(lesson(name, family, epochs=2, adapter="lora", frozen_layers=1))
    assert result.trainable_parameters < result.facts["parameters"] / (3 if CASES[name].pair else 4)
    assert seen[-1].metrics["train_loss"] < seen[0].metrics["train_loss"]
