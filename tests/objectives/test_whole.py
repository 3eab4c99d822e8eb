"""The model that a trial leaves: whole, loaded by transformers, and of the same mind about every row."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from families import CONFIGS

from objectives import data, models, settings, sources, trial, whole
from objectives.cache import Cache
from objectives.errors import DataError, ModelError
from objectives.evaluation import Evaluation, Predictions
from objectives.host import Host
from objectives.settings import Model

Checkpoint = Callable[[str], Path]
Promoted = Callable[..., settings.Transfer]


@pytest.fixture
def promoted(checkpoint: Checkpoint, rows: Path) -> Promoted:
    """Settings that score the test rows."""

    def choose(family: str = "bert", **values: Any) -> settings.Transfer:
        tree = {
            "task": "text-classification",
            "model": {"name": str(checkpoint(family))},
            "data": {"path": str(rows), "split": {"valid": 12, "test": 12}, "max_length": 8, "score": "test"},
            "training": {"epochs": 2, "learning_rate": 5e-3, "batch_size": 8, "seed": 1, "precision": "fp32"},
        }
        found = settings.replace(settings.parse(tree), values)
        assert isinstance(found, settings.Transfer)
        return found

    return choose


def run(chosen: settings.Settings, folder: Path | None = None, cache: Cache | None = None) -> list[Evaluation]:
    """The evaluations; the last one's model is written to the folder."""
    found: list[Evaluation] = []

    def report(evaluation: Evaluation) -> None:
        found.append(evaluation)
        if evaluation.model and folder:
            evaluation.model(folder)

    trial.run(chosen, report, host=Host("cpu", 1, cache=cache))
    return found


def texts_of(chosen: settings.Transfer) -> list[str]:
    splits = data.load(chosen.data, settings.split_seed(chosen))
    assert splits.test
    return list(splits.test.column("text"))


def said(found: list[Evaluation]) -> list[tuple[str, float]]:
    predictions = found[-1].predictions
    assert predictions
    assert predictions.split == "test"
    named = [predictions.classes[place] for place in predictions.predicted]
    return list(zip(named, predictions.probability, strict=True))


def alike(one: list[tuple[str, float]], other: list[tuple[str, float]]) -> None:
    assert [label for label, _ in one] == [label for label, _ in other]
    assert [p for _, p in one] == pytest.approx([p for _, p in other], abs=1e-4)


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("frozen", [0, 2, 3])
@pytest.mark.parametrize("family", CONFIGS)
def test_a_pipeline_says_what_the_trial_said(
    promoted: Promoted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, frozen: int, cached: bool
) -> None:
    if family == "albert" and frozen == 2:
        pytest.skip("its blocks are one")
    monkeypatch.setattr("objectives.worth.Offer.refused", lambda *_: None)
    chosen = promoted(family, **{"model.frozen_layers": frozen})
    found = run(chosen, tmp_path / "model", Cache(tmp_path / "cache", 10**9) if cached else None)
    assert found[-1].result
    assert found[-1].result.facts["cached"] is (cached and frozen > 0)
    pipe = transformers.pipeline("text-classification", str(tmp_path / "model"), device="cpu", truncation=True)
    answers = [(row["label"], row["score"]) for row in pipe(texts_of(chosen))]
    alike(answers, said(found))
    alike([(p.label, p.probability) for p in trial.predict(tmp_path / "model", texts_of(chosen))], said(found))


def test_what_is_written_can_be_trained_on_at_another_length(promoted: Promoted, tmp_path: Path) -> None:
    run(promoted(**{"data.max_length": 8}), tmp_path)
    assert models.tokenizer(sources.find(Model(name=str(tmp_path))), 40)
    with pytest.raises(ModelError, match="41 is more than the 40 tokens"):
        models.tokenizer(sources.find(Model(name=str(tmp_path))), 41)
    found = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert (found.model_max_length, [*found("good film")]) == (8, ["input_ids", "attention_mask"])


@pytest.mark.parametrize("pooling", ["cls", "mean", "max"])
def test_a_head_of_our_own_is_read_again(promoted: Promoted, tmp_path: Path, pooling: str) -> None:
    chosen = promoted(**{"model.pooling": pooling})
    found = run(chosen, tmp_path)
    assert (tmp_path / whole.HEAD).is_file()
    alike([(p.label, p.probability) for p in trial.predict(tmp_path, texts_of(chosen))], said(found))


def test_embeddings_that_no_row_reads_are_as_they_were(promoted: Promoted, tmp_path: Path) -> None:
    chosen = promoted(**{"training.weight_decay": 0.5})
    found = run(chosen, tmp_path)
    assert found[-1].result
    assert "used_embeddings" in found[-1].result.facts["lean"]
    tables = [
        transformers.AutoModel.from_pretrained(folder).get_input_embeddings().weight
        for folder in (chosen.model.name, tmp_path)
    ]
    unread, read = 1, 4  # [UNK], and a word of the rows
    assert torch.equal(tables[0][unread], tables[1][unread])
    assert not torch.equal(tables[0][read], tables[1][read])


def test_the_test_rows_are_scored_once_at_the_end(promoted: Promoted) -> None:
    found = run(promoted())
    assert "test_loss" not in found[0].metrics
    assert found[0].predictions
    assert found[0].predictions.split == "valid"
    last, predictions = found[-1], found[-1].predictions
    assert isinstance(predictions, Predictions)
    right = [a == b for a, b in zip(predictions.truth, predictions.predicted, strict=True)]
    assert last.metrics["test_accuracy"] == pytest.approx(sum(right) / 12)
    assert last.metrics["test_loss"] == pytest.approx(sum(predictions.loss) / 12, rel=1e-5)
    assert {"val_loss", "f1_macro", "test_f1_macro"} <= last.metrics.keys()
    assert last.details["test_confusion_matrix"]["labels"] == ["mid", "neg", "pos"]
    assert json.loads(json.dumps(predictions.probability)) == predictions.probability


def test_a_search_reads_no_test_row(promoted: Promoted) -> None:
    found = run(promoted(**{"data.score": "valid"}))
    assert [name for name in found[-1].metrics if name.startswith("test_")] == []
    assert found[-1].model is None
    assert found[-1].result
    assert found[-1].result.facts["rows"] == {"train": 36, "valid": 12}


def test_an_early_end_keeps_the_schedule(promoted: Promoted) -> None:
    rates = [[e.metrics["learning_rate"] for e in run(promoted(**{"training.stop": stop}))] for stop in (None, 1)]
    assert rates[1] == rates[0][:1]
    assert "test_loss" in run(promoted(**{"training.stop": 1, "training.early_stopping_patience": 1}))[-1].metrics


def test_all_rows_train_and_none_validates(promoted: Promoted) -> None:
    found = run(promoted(**{"data.fit": "all", "training.early_stopping_patience": 1}))
    assert found[-1].result
    assert found[-1].result.facts["rows"] == {"train": 48, "valid": 0, "test": 12}
    assert len(found) == 2
    assert [name for e in found for name in e.metrics if name in ("val_loss", "accuracy")] == []
    assert {"train_loss", "test_accuracy"} <= found[-1].metrics.keys()


def test_all_rows_train_on_cached_states(promoted: Promoted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("objectives.worth.Offer.refused", lambda *_: None)
    chosen = promoted(**{"data.fit": "all", "model.frozen_layers": 2})
    cached, plain = run(chosen, cache=Cache(tmp_path, 10**9)), run(chosen)
    assert cached[-1].result
    assert cached[-1].result.facts["cached"]
    alike(said(cached), said(plain))


def test_the_split_has_a_seed_of_its_own(promoted: Promoted) -> None:
    one, other = (promoted(**{"training.seed": seed, "data.split.seed": 0}) for seed in (1, 2))
    assert texts_of(one) == texts_of(other) == texts_of(promoted(**{"training.seed": 0}))
    assert texts_of(promoted(**{"training.seed": 2})) != texts_of(one)


def test_no_rows_to_score_is_said(promoted: Promoted) -> None:
    with pytest.raises(DataError, match=r"data\.split\.test: there are no test rows to score"):
        run(promoted(**{"data.split.test": 0}))


def test_a_folder_that_is_no_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is no model folder: .* hpo\.json in it"):
        trial.predict(tmp_path, ["good"])
