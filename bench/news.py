"""Fine-tuning on real headlines beside what is cheaper: majority, TF-IDF, a linear probe, random weights.

    python -m bench.news HEADLINES.tsv --page docs/results.md

The file is the UCI News Aggregator as a table with the columns title and category.

Needs scikit-learn (it comes with the `offline` extra). All numbers are on the same 1,000 validation rows; the test rows
stay locked. Intervals are Wilson's, 95 %.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy
import torch
import yaml
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from transformers import AutoModel, AutoTokenizer

from bench import page
from objectives import data, settings, sources

CS = {"C": [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]}
FINE_TUNED = {
    "training.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
    "training.batch_size": [8, 16, 32],
    "training.warmup_ratio": {"low": 0.0, "high": 0.2},
    "model.frozen_layers": {"low": 0, "high": 6},
}
FROZEN = {
    "training.learning_rate": {"low": 1e-3, "high": 3e-2, "log": True},
    "training.batch_size": [8, 16, 32],
    "training.warmup_ratio": {"low": 0.0, "high": 0.2},
}
STUDIES: dict[str, dict[str, Any]] = {
    "pretrained": {"search": FINE_TUNED, "trials": 16},
    "frozen": {"search": FROZEN, "trials": 8, "model": {"frozen_layers": 6}},
    "random-weights": {"search": FINE_TUNED, "trials": 16, "model": {"pretrained": False}},
}


def study(name: str, path: Path) -> dict[str, Any]:
    """The study file of one of the compared searches; they differ in what is said in STUDIES alone."""
    varied = STUDIES[name]
    return {
        "study": name,
        "objective": {
            "task": "text-classification",
            "model": {"name": "minilm", "pooling": "mean", **varied.get("model", {})},
            "data": {
                "path": str(path.absolute()),
                "text": "title",
                "label": "category",
                "split": {"train": 800, "valid": 1000, "test": 1000},
                "max_length": 48,
            },
            "training": {"epochs": 3},
        },
        "search": varied["search"],
        "sampler": "tpe",
        "pruner": "asha",
        "trials": varied["trials"],
    }


def main() -> None:
    """Measure everything, then print the table, or put it into its section of a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--page", type=Path, help="the page whose section is to be written anew")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hpo-news-") as folder:
        os.chmod(folder, 0o711)  # noqa: S103 - the embedded server's account must pass through
        found = {name: searched(name, Path(folder), options) for name in STUDIES}
    rows = [*baselines(options.path), *(row(name, *found[name]) for name in STUDIES)]
    print(table(rows))
    if options.page:
        page.put(options.page, "Headlines, tuned", table(rows))


def searched(
    name: str, folder: Path, options: argparse.Namespace
) -> tuple[dict[str, Any], list[dict[str, Any]], float]:
    """Launch a study: its best trial, all trials, and the seconds it took."""
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(study(name, options.path), sort_keys=False), "utf-8")
    began = time.monotonic()
    hpo(folder, "launch", "-s", str(file), "-w", str(options.workers))
    seconds = time.monotonic() - began
    return (
        json.loads(hpo(folder, "best", "-s", name, "--json")),
        json.loads(hpo(folder, "trials", "-s", name, "--json")),
        seconds,
    )


def hpo(home: Path, *arguments: str) -> str:
    """What `hpo` prints on stdout, with a home of its own."""
    command = [sys.executable, "-m", "hpo", *arguments]
    return subprocess.run(
        command, env={**os.environ, "HPO_HOME": str(home)}, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def baselines(path: Path) -> Iterator[tuple[Any, ...]]:
    """The methods that train nothing of the encoder, on the rows that the trials see."""
    chosen = settings.parse(study("pretrained", path)["objective"])
    assert isinstance(chosen, settings.Transfer)  # noqa: S101
    splits = data.load(chosen.data, seed=0)
    (texts, labels), (valid, truth) = (
        (list(t.column("title")), list(t.column("category"))) for t in (splits.train, splits.valid)
    )
    majority = Counter(labels).most_common(1)[0][0]
    yield ("majority class", sum(label == majority for label in truth) / len(truth), None, "")
    tfidf = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(max_iter=2000))
    yield fitted(
        "TF-IDF + logistic regression", tfidf, {"logisticregression__C": CS["C"]}, (texts, labels), (valid, truth)
    )
    model = chosen.model
    features = [embedded(some, model) for some in (texts, valid)]
    probe = LogisticRegression(max_iter=5000)
    yield fitted("linear probe on frozen MiniLM", probe, CS, (features[0], labels), (features[1], truth))


def fitted(
    name: str, estimator: Any, grid: dict[str, Any], train: tuple[Any, Any], valid: tuple[Any, Any]
) -> tuple[Any, ...]:
    """A row of the table: the estimator with its C chosen by five folds of the training rows."""
    search = GridSearchCV(estimator, grid, cv=5, scoring="neg_log_loss").fit(*train)
    shares = search.predict_proba(valid[0])
    places = [list(search.classes_).index(label) for label in valid[1]]
    loss = float(-numpy.log(shares[numpy.arange(len(places)), places]).mean())
    accuracy = float((search.predict(valid[0]) == numpy.array(valid[1])).mean())
    chosen = next(iter(search.best_params_.values()))
    return name, accuracy, loss, f"C = {chosen:g}, by 5-fold cross-validation"


@torch.inference_mode()
def embedded(texts: Sequence[str], model: settings.Model) -> Any:
    """The mean over the tokens of the last layer: float [rows, 384]."""
    where = sources.find(model).where
    tokenizer, encoder = AutoTokenizer.from_pretrained(where), AutoModel.from_pretrained(where).eval()
    found = []
    for start in range(0, len(texts), 64):
        batch = tokenizer(
            list(texts[start : start + 64]), padding=True, truncation=True, max_length=48, return_tensors="pt"
        )
        mask = batch["attention_mask"].unsqueeze(-1)
        found.append((encoder(**batch).last_hidden_state * mask).sum(1) / mask.sum(1))
    return torch.cat(found).numpy()


def row(name: str, best: dict[str, Any], trials: list[dict[str, Any]], seconds: float) -> tuple[Any, ...]:
    """A row of the table for a study."""
    titles = {
        "pretrained": "`hpo`, 16 trials, pretrained weights",
        "frozen": "`hpo`, 8 trials, encoder fully frozen",
        "random-weights": "`hpo`, 16 trials, random weights",
    }
    pruned = sum(trial["state"] == "PRUNED" for trial in trials)
    params = ", ".join(f"{key.rpartition('.')[2]} {value:.3g}" for key, value in best["params"].items())
    note = f"trial {best['number']}: {params}; {pruned} pruned; {seconds / 60:.1f} min"
    return titles[name], best["metrics"]["accuracy"], best["value"], note


def table(rows: Sequence[tuple[Any, ...]]) -> str:
    """Markdown, whatever came out."""
    lines = ["| what | accuracy (95 % interval) | validation loss | |", "|---|---|---|---|"]
    for name, accuracy, loss, note in rows:
        low, high = page.interval(accuracy, 1000)
        shown = "" if loss is None else f"{loss:.3f}"
        lines.append(f"| {name} | {accuracy:.3f} ({low:.3f}–{high:.3f}) | {shown} | {note} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
