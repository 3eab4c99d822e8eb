"""What learns: by the number of parameters on several architectures, by a rule that is learned, cached or not."""

from __future__ import annotations

import random
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from pydantic import ValidationError

from objectives import data, layers, models, settings, sources, strategy, trial
from objectives.cache import Cache
from objectives.errors import ModelError
from objectives.evaluation import Evaluation, Result
from objectives.host import Host
from objectives.settings import Model

Checkpoint = Callable[[str], Path]
HIDDEN, CLASSES = 32, 3
HEADS = {"bert": 1056 + 99, "roberta": 1056 + 99, "distilbert": 1056 + 99, "albert": 1056 + 99}
"""The numbers of a pooler or a dense layer [32, 32], and of a classifier [32, 3], with their biases."""


@pytest.fixture
def arranged(checkpoint: Checkpoint) -> Callable[..., Any]:
    def arranged(family: str, **chosen: Any) -> Any:
        wanted = Model.model_validate({"name": str(checkpoint(family)), **chosen})
        names = tuple("abc")
        return strategy.arranged(
            models.load(wanted, sources.find(wanted), "sequence-classification", names, 0), wanted, 0
        )

    return arranged


def learning(model: Any) -> list[str]:
    return [name for name, one in model.named_parameters() if one.requires_grad]


# Of a block: query, key, value, output [32, 32], intermediate [32, 64], output [64, 32], two norms.
BLOCK = 4 * 1056 + (32 * 64 + 64) + (64 * 32 + 32) + 2 * 64
COUNTS = {
    "bert, biases": ("bert", {"learn": "biases"}, HEADS["bert"] + 3 * (4 * 32 + 64 + 32 + 2 * 32) + 32),
    "roberta, biases": ("roberta", {"learn": "biases"}, HEADS["roberta"] + 3 * (4 * 32 + 64 + 32 + 2 * 32) + 32),
    "bert, biases above": ("bert", {"learn": "biases", "frozen_layers": 2}, HEADS["bert"] + 4 * 32 + 64 + 32 + 2 * 32),
    "bert, norms": ("bert", {"learn": "norms"}, HEADS["bert"] + 7 * 64),
    "distilbert, norms": ("distilbert", {"learn": "norms"}, HEADS["distilbert"] + 7 * 64),
    "bert, pattern": ("bert", {"learn": r"layer\.1\.attention\.self\.query"}, HEADS["bert"] + 1056),
    "bert, layers": ("bert", {"layers": "1,3"}, HEADS["bert"] + 2 * BLOCK),
    "distilbert, layers": ("distilbert", {"layers": [2]}, HEADS["distilbert"] + BLOCK),
    "bert, lora": ("bert", {"adapter": "lora", "lora": {"rank": 4}}, HEADS["bert"] + 3 * 2 * 4 * 64),
    "roberta, lora": ("roberta", {"adapter": "lora", "lora": {"rank": 4}}, HEADS["roberta"] + 3 * 2 * 4 * 64),
    "distilbert, lora": ("distilbert", {"adapter": "lora", "lora": {"rank": 2}}, HEADS["distilbert"] + 3 * 2 * 2 * 64),
    "albert, lora": ("albert", {"adapter": "lora", "lora": {"rank": 4}}, HEADS["albert"] + 2 * 4 * 64),
    "deberta-v2, lora": ("deberta-v2", {"adapter": "lora", "lora": {"rank": 4}}, 1056 + 99 + 3 * 2 * 4 * 64),
    "modernbert, lora": ("modernbert", {"adapter": "lora", "lora": {"rank": 4}}, 1024 + 99 + 64 + 3 * 4 * (32 + 96)),
    "bert, lora above": (
        "bert",
        {"adapter": "lora", "frozen_layers": 2, "lora": {"rank": 4, "targets": "attention"}},
        HEADS["bert"] + 4 * 4 * 64,
    ),
    "bert, lora of all": (
        "bert",
        {"adapter": "lora", "layers": "3", "lora": {"rank": 4, "targets": "all"}},
        HEADS["bert"] + 4 * 4 * 64 + 2 * 4 * 96,
    ),
    "bert, prompt": ("bert", {"adapter": "prompt", "virtual_tokens": 5}, HEADS["bert"] + 5 * 32),
    "distilbert, prompt": ("distilbert", {"adapter": "prompt", "virtual_tokens": 5}, HEADS["distilbert"] + 5 * 32),
    "albert, prompt": ("albert", {"adapter": "prompt", "virtual_tokens": 5}, HEADS["albert"] + 5 * 16),
    "bert, prefix": ("bert", {"adapter": "prefix", "virtual_tokens": 5}, HEADS["bert"] + 5 * 3 * 2 * 32),
    "roberta, prefix": ("roberta", {"adapter": "prefix", "virtual_tokens": 5}, HEADS["roberta"] + 5 * 3 * 2 * 32),
    "bert, a head of two": (
        "bert",
        {"pooling": "mean", "head": {"hidden": 8}, "frozen_layers": 3},
        32 * 8 + 8 + 8 * 3 + 3,
    ),
}


@pytest.mark.parametrize(("family", "chosen", "count"), COUNTS.values(), ids=COUNTS)
def test_so_many_numbers_learn(arranged: Callable[..., Any], family: str, chosen: dict[str, Any], count: int) -> None:
    assert layers.trainable_parameters(arranged(family, **chosen)) == count


@pytest.mark.parametrize(
    ("family", "chosen", "said"),
    [
        ("modernbert", {"learn": "biases"}, "model.learn: no parameter before the head is one of 'biases'"),
        ("bert", {"learn": "nothing such"}, "model.learn: no parameter before the head is one of 'nothing such'"),
        ("bert", {"layers": "2-4"}, "model.layers: there is no block 4; the model has 3"),
        ("bert", {"adapter": "lora", "frozen_layers": 3}, "model.frozen_layers: no block is left for adapters"),
        ("bert", {"adapter": "lora", "lora": {"targets": "Wqkv"}}, "model.lora.targets: no matrix is one of 'Wqkv'"),
        ("modernbert", {"adapter": "prefix"}, "model.adapter: modernbert takes no keys and values from before"),
        ("bert", {"reinit_layers": 4}, "model.reinit_layers: 4 is more than the model's 3 blocks"),
        ("bert", {"reinit_layers": 2, "frozen_layers": 2}, "model.reinit_layers: 2 blocks start anew, and some"),
        ("albert", {"reinit_layers": 1}, "model.reinit_layers: the model's blocks share their weights; right is 0"),
    ],
)
def test_what_a_model_lacks_is_said(
    arranged: Callable[..., Any], family: str, chosen: dict[str, Any], said: str
) -> None:
    with pytest.raises(ModelError, match=re.escape(said)):
        arranged(family, **chosen)


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"layers": "0-2"}, "'0-2' names no blocks; right is such as 6, 5-6 or 1,6"),
        ({"layers": "2", "frozen_layers": 1}, "frozen_layers and layers both say which blocks learn; keep one"),
        ({"learn": "("}, "'(' is no pattern"),
        ({"learn": "biases", "adapter": "lora"}, "with adapter lora no weights of the blocks learn"),
        ({"adapter": "prompt", "frozen_layers": 1}, "frozen_layers has no meaning with adapter prompt"),
        ({"adapter": "prefix", "pooling": "mean"}, "adapter prefix needs the architecture's own head"),
        ({"adapter": "lora", "reinit_layers": 1}, "with adapter lora they do not; keep one"),
        ({"learn": "biases", "reinit_layers": 1}, "with learn biases they do not; keep one"),
        ({"head": {"hidden": 8}}, "head.hidden belongs to a pooling such as cls or mean"),
    ],
)
def test_strategies_that_contradict_each_other_are_refused(chosen: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        Model.model_validate(chosen)


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_last_blocks_start_anew(arranged: Callable[..., Any], family: str) -> None:
    plain, anew, again = arranged(family), arranged(family, reinit_layers=1), arranged(family, reinit_layers=1)
    parts = [layers.prefix(model).blocks for model in (plain, anew)]
    for depth, (one, other) in enumerate(zip(*parts, strict=True)):
        same = all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True) if a.ndim > 1)
        assert same is (depth < 2)
    assert all(torch.equal(a, b) for a, b in zip(anew.parameters(), again.parameters(), strict=True))
    assert next(parts[1][2].parameters()).std().item() == pytest.approx(0.2, rel=0.2)


TRIALS = {
    "biases": {"learn": "biases"},
    "norms": {"learn": "norms"},
    "layers": {"layers": "3"},
    "lora": {"adapter": "lora", "lora": {"rank": 4, "targets": "all"}},
    "lora above": {"adapter": "lora", "frozen_layers": 2, "lora": {"rank": 4}},
    "reinit_layers": {"reinit_layers": 1, "frozen_layers": 2},
    "head": {"pooling": "mean", "head": {"hidden": 16}},
    "prompt": {"adapter": "prompt", "virtual_tokens": 4},
    "prefix": {"adapter": "prefix", "virtual_tokens": 4},
}

RATES = {"prompt": 3e-2, "prefix": 3e-2, "biases": 1e-2, "norms": 1e-2, "lora": 1e-2, "lora above": 1e-2}


@pytest.fixture
def trial_of(checkpoint: Checkpoint, rows: Path) -> Callable[..., settings.Transfer]:
    """The settings of a trial on the rows of a few words."""

    def trial_of(family: str, model: dict[str, Any], epochs: int = 3, **training: Any) -> settings.Transfer:
        found = settings.parse(
            {
                "task": "text-classification",
                "model": {"name": str(checkpoint(family)), "dropout": 0.0, **model},
                "data": {"path": str(rows), "max_length": 16, "split": {"train": 36, "valid": 12, "test": 12}},
                "training": {
                    **{"epochs": epochs, "learning_rate": 1e-2, "precision": "fp32", "seed": 1, "batch_size": 4},
                    **training,
                },
            }
        )
        assert isinstance(found, settings.Transfer)
        return found

    return trial_of


def run(chosen: settings.Transfer, **how: Any) -> tuple[list[Evaluation], Result]:
    seen: list[Evaluation] = []

    def report(evaluation: Evaluation) -> None:
        seen.append(replace(evaluation, snapshot=None if evaluation.snapshot is None else kept(evaluation)))

    return seen, trial.run(chosen, report, host=Host("cpu", 1, cache=how.pop("cache", None)), **how)


def kept(evaluation: Evaluation) -> Any:
    assert evaluation.snapshot
    made = evaluation.snapshot()
    return lambda: made


def losses(seen: list[Evaluation]) -> list[float]:
    return [each.metrics["val_loss"] for each in seen]


@pytest.fixture
def easy(rows: Path) -> None:
    """More rows, each told by its first word among a few others."""
    draw, tail = random.Random(3), ("the", "film", "was", "song")
    words = {"good": "pos", "fine": "pos", "bad": "neg", "poor": "neg"}
    made = [(draw.choice([*words]), draw.sample(tail, draw.randrange(4))) for _ in range(240)]
    rows.write_text("text,label\n" + "".join(f"{' '.join([word, *some])},{words[word]}\n" for word, some in made))


@pytest.mark.usefixtures("easy")
@pytest.mark.parametrize("family", ["bert", "roberta"])
@pytest.mark.parametrize("name", TRIALS)
def test_a_rule_is_learned(trial_of: Callable[..., settings.Transfer], family: str, name: str) -> None:
    rate = RATES.get(name, 3e-3)
    split = {"data.split.train": 192, "data.split.valid": 48, "data.split.test": 0}
    chosen = settings.replace(trial_of(family, TRIALS[name], epochs=6, learning_rate=rate, batch_size=8), split)
    assert isinstance(chosen, settings.Transfer)
    seen, _ = run(chosen)
    assert losses(seen)[-1] < 0.8 * losses(seen)[0]
    assert max(each.metrics["accuracy"] for each in seen) > 0.8


@pytest.mark.parametrize("name", TRIALS)
def test_a_trial_continues_to_the_same_losses(trial_of: Callable[..., settings.Transfer], name: str) -> None:
    chosen = trial_of("bert", TRIALS[name])
    seen, _ = run(chosen)
    assert seen[0].snapshot
    again, _ = run(chosen, resume=seen[0].snapshot())
    assert losses(again) == losses(seen)[1:]


CACHED = {"layers": 2, "lora above": 2, "reinit_layers": 2}


@pytest.mark.parametrize("family", ["bert", "modernbert"])
@pytest.mark.parametrize("name", CACHED)
def test_blocks_below_what_learns_are_computed_once(
    trial_of: Callable[..., settings.Transfer], tmp_path: Path, family: str, name: str
) -> None:
    chosen, cache = trial_of(family, TRIALS[name], epochs=2), Cache(tmp_path / "cache", depths=(1, 3), trials=100)
    plain, cached = run(chosen), run(chosen, cache=cache)
    assert (plain[1].facts["cached"], cached[1].facts["cached"]) == (False, True)
    assert losses(cached[0]) == pytest.approx(losses(plain[0]), rel=1e-4)


def test_states_after_blocks_of_its_own_are_kept_for_nobody(
    trial_of: Callable[..., settings.Transfer], tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "cache", depths=(3,), trials=100)
    for name in ("reinit_layers", "lora above"):
        run(trial_of("bert", TRIALS[name], epochs=1), cache=cache)
    plain = trial_of("bert", {"frozen_layers": 3}, epochs=1)
    assert losses(run(plain, cache=cache)[0]) == pytest.approx(losses(run(plain)[0]), rel=1e-4)


def test_states_after_all_blocks_are_kept_for_trials_that_freeze_all(
    trial_of: Callable[..., settings.Transfer], tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "cache", depths=(0, 2, "all"), trials=100)
    _, first = run(trial_of("bert", {"frozen_layers": 2}, epochs=1), cache=cache)
    seen, second = run(trial_of("bert", {"frozen_layers": "all"}, epochs=1), cache=cache)
    assert (first.facts["frozen"]["built"] > 0, second.facts["frozen"]["built"]) == (True, 0)
    assert losses(seen) == losses(run(trial_of("bert", {"frozen_layers": 3}, epochs=1), cache=cache)[0])


@pytest.mark.parametrize("name", ["prompt", "prefix"])
def test_virtual_tokens_run_with_every_batch(
    trial_of: Callable[..., settings.Transfer], tmp_path: Path, name: str
) -> None:
    _, result = run(trial_of("bert", TRIALS[name], epochs=1), cache=Cache(tmp_path / "cache", trials=100))
    assert (result.facts["cached"], result.facts["lean"]) == (False, [])


def promoted(chosen: settings.Transfer, folder: Path) -> tuple[list[str], list[tuple[str, float]]]:
    """Write the model of a trial; the texts of the test rows, and what the trial said of each."""
    scored, found = settings.replace(chosen, {"data.score": "test"}), list[Evaluation]()
    assert isinstance(scored, settings.Transfer)
    folder.mkdir()

    def report(evaluation: Evaluation) -> None:
        found.append(evaluation)
        if evaluation.model:
            evaluation.model(folder)

    trial.run(scored, report, host=Host("cpu", 1))
    predictions, test = found[-1].predictions, data.load(scored.data, 1).test
    assert predictions
    assert test
    named = [predictions.classes[place] for place in predictions.predicted]
    return list(test.column("text")), list(zip(named, predictions.probability, strict=True))


def alike(one: list[tuple[str, float]], other: list[tuple[str, float]]) -> None:
    assert [label for label, _ in one] == [label for label, _ in other]
    assert [chance for _, chance in one] == pytest.approx([chance for _, chance in other], abs=1e-4)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "modernbert", "albert", "deberta-v2"])
def test_a_pipeline_says_what_low_rank_updates_have_learned(
    trial_of: Callable[..., settings.Transfer], tmp_path: Path, family: str
) -> None:
    model = {"adapter": "lora", "lora": {"rank": 4, "targets": "all", "dropout": 0.1}}
    texts, expected = promoted(trial_of(family, model, epochs=2), tmp_path / "model")
    pipe = transformers.pipeline("text-classification", str(tmp_path / "model"), device="cpu")
    alike([(row["label"], row["score"]) for row in pipe(texts)], expected)


@pytest.mark.parametrize("name", ["prompt", "prefix", "head", "biases"])
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_a_written_model_says_what_the_trial_said(
    trial_of: Callable[..., settings.Transfer], tmp_path: Path, family: str, name: str
) -> None:
    texts, expected = promoted(trial_of(family, TRIALS[name], epochs=2), tmp_path / "model")
    alike([(p.label, p.probability) for p in trial.predict(tmp_path / "model", texts)], expected)


@pytest.mark.parametrize("kind", ["prompt", "prefix"])
def test_virtual_tokens_are_those_of_peft(arranged: Callable[..., Any], kind: str) -> None:
    """The same logits as peft's own model with the same weights."""
    ours, plain = arranged("bert", adapter=kind, virtual_tokens=4), arranged("bert")
    config = {"prompt": peft.PromptTuningConfig, "prefix": peft.PrefixTuningConfig}[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = peft.get_peft_model(plain, config(task_type="SEQ_CLS", num_virtual_tokens=4))
    theirs.load_state_dict(ours.state_dict())
    inputs = {"input_ids": torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]])}
    inputs["attention_mask"] = (inputs["input_ids"] > 0).long()
    assert torch.equal(ours.eval()(**inputs).logits, theirs.eval()(**inputs).logits)


LEAN = [{"targets": "query-value"}, {"targets": "all"}]


@pytest.mark.parametrize("lora", LEAN, ids=str)
@pytest.mark.parametrize("family", ["bert", "distilbert", "albert", "modernbert", "deberta-v2", "mpnet"])
def test_lightened_low_rank_updates_learn_as_plain_ones(
    trial_of: Callable[..., settings.Transfer], monkeypatch: pytest.MonkeyPatch, family: str, lora: dict[str, Any]
) -> None:
    chosen = trial_of(family, {"adapter": "lora", "lora": lora}, epochs=2)
    lightened = run(chosen)
    monkeypatch.setattr("objectives.lean.lighten", lambda _case: [])
    assert "first_token" in lightened[1].facts["lean"] or family == "modernbert"
    assert losses(lightened[0]) == pytest.approx(losses(run(chosen)[0]), rel=1e-3)
