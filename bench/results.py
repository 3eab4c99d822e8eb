"""Every task on real rows, beside its baselines: one table, one command.

    python -m bench.results FOLDER --page docs/results.md

FOLDER holds the files that SUBJECTS name (headlines, messages, sentences, XQuAD, sentence pairs, Omniglot); one that is
not there is left out. Each row is a shipped study's objective on other rows, nothing searched, one seed: fine-tuned,
from random weights, not trained at all, and by the rules that there are for it, all on the same test rows, scored once,
after the last epoch. What is measured is appended to --keep at once, and not measured again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bench import page
from hpo import spec as studies
from objectives import data, kinds, metrics, rules, settings, trial
from objectives.cache import Cache
from objectives.evaluation import Evaluation
from objectives.host import Host
from objectives.rules import Labelled
from objectives.settings import Transfer

TRAINED: Mapping[str, Mapping[str, Any]] = {
    "untrained": {"training.epochs": 0},
    "random weights": {"model.pretrained": False},
    "fine-tuned": {},
}
"""What is trained of a subject, by the settings that differ."""
RULES = ("majority", "TF-IDF")
COPIED = "the text itself"
"""What a translation is held against, in the place of the majority's."""
_FROM_NOTHING = ("untrained", "random weights")  # the model has never seen anything
Row = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """Rows with the shipped study that they take the objective of, and how that is changed; `metric` of the test rows.

    A file that begins with `./` is the study's own.
    """

    name: str
    study: str
    metric: str
    file: str
    changed: Mapping[str, Any] = field(default_factory=dict)
    trained: Sequence[str] = tuple(TRAINED)


_NEWS: Mapping[str, Any] = {"data.text": "title", "data.label": "category", "data.max_length": 48}
_FINE: Mapping[str, Any] = {"training.learning_rate": 1e-4, "training.warmup_ratio": 0.1, "model.pooling": "mean"}


def _split(train: int, valid: int, test: int) -> dict[str, int]:
    return {"data.split.train": train, "data.split.valid": valid, "data.split.test": test}


SUBJECTS = (
    Subject(
        "headlines (UCI), 4 categories",
        "bert-news",
        "accuracy",
        "news/headlines.tsv",
        {**_NEWS, **_FINE, **_split(800, 400, 1000)},
    ),
    Subject("messages (SMS Spam Collection)", "spam", "f1_macro", "spam/sms.tsv", {**_FINE, **_split(800, 400, 1000)}),
    Subject(
        "sentences (UCI), positive or negative",
        "sentiment",
        "accuracy",
        "sentiment/sentences.tsv",
        {**_FINE, **_split(800, 400, 800), "data.max_length": 48},
    ),
    Subject(
        "sentences (SIB-200), 7 topics",
        "bert-news",
        "accuracy",
        "parallel/eng-fra.tsv",
        {**_FINE, **_split(500, 200, 304), "data.text": "source", "data.label": "topic", "data.max_length": 64},
    ),
    Subject(
        "questions (XQuAD)",
        "questions",
        "f1",
        "qa/xquad.en.json",
        {
            **_split(500, 100, 300),
            "data.max_length": 160,
            "training.learning_rate": 3e-4,
            "model.frozen_layers": 2,
            "training.epochs": 3,
        },
    ),
    Subject(
        "headlines (UCI), masked",
        "news-masked",
        "perplexity",
        "news/headlines.tsv",
        {"data.text": "title", **_split(800, 200, 500)},
    ),
    Subject(
        "Omniglot, 5 alphabets",
        "shapes",
        "accuracy",
        "images/images_background_small1.zip",
        {**_split(1632, 544, 544), "training.augmentation": "crop", "training.learning_rate": 3e-3},
        _FROM_NOTHING,
    ),
    Subject("requests, several topics", "requests", "f1_micro", "./", {"training.learning_rate": 5e-4}),
    Subject("pairs, entailment", "entailment", "accuracy", "./", {"training.learning_rate": 2e-4}),
    Subject("pairs, similarity", "similarity", "spearman", "./", {"training.learning_rate": 2e-4}),
    Subject("names in sentences", "names", "f1", "./", {"training.learning_rate": 5e-4}),
    Subject("shapes", "shapes", "accuracy", "./", {"training.learning_rate": 3e-3}, _FROM_NOTHING),
    Subject(
        "sentences (SIB-200), English to French, by two encoders",
        "phrases",
        "chrf",
        "parallel/eng-fra.tsv",
        {
            **_split(700, 100, 200),
            **dict.fromkeys(("model.name", "model.decoder"), "minilm"),
            **{"task.prefix": None, "task.generation.num_beams": 1, "task.max_target_length": 96},
            **{"data.text": "source", "data.label": "target", "data.max_length": 64},
            **{"training.learning_rate": 5e-4, "training.epochs": 6, "training.batch_size": 16},
        },
    ),
)


def objective(subject: Subject, folder: Path, more: Mapping[str, Any]) -> Transfer:
    """The settings of a trial whose test rows are scored."""
    spec = studies.load(studies.find(subject.study))
    found = studies.settings_for(spec, {})
    here = {} if subject.file == "./" else {"data.path": str((folder / subject.file).absolute())}
    fixed = {"training.precision": "fp32", "training.seed": 0, "data.score": "test"}
    chosen = settings.replace(found, {**fixed, **here, **subject.changed, **more})
    assert isinstance(chosen, Transfer)  # noqa: S101
    return chosen


def pieces(folder: Path) -> Iterator[tuple[Subject, str]]:
    """What is to be measured where its rows are there."""
    for subject in SUBJECTS:
        if subject.file == "./" or (folder / subject.file).exists():
            yield from ((subject, what) for what in (*_rules(subject), *subject.trained))


def _rules(subject: Subject) -> tuple[str, ...]:
    """Those that make sense for a task whose rows have one class."""
    kind = studies.load(studies.find(subject.study)).objective
    assert isinstance(kind, Transfer)  # noqa: S101
    if kind.task.kind == "translation":
        return (COPIED,)
    if not kinds.has_classes(kind):
        return ()
    return RULES if kinds.has_texts(kind) else RULES[:1]


def measured(subject: Subject, what: str, folder: Path, cache: Path) -> Row:
    """The metric on the test rows, how many there are, and the seconds that it took."""
    began = time.monotonic()
    if what in TRAINED:
        seen: list[Evaluation] = []
        chosen = objective(subject, folder, TRAINED[what])
        result = trial.run(chosen, seen.append, host=Host("cpu", 1, cache=Cache(cache, trials=4)))
        value, rows = seen[-1].metrics[f"test_{subject.metric}"], result.facts["rows"]
    else:
        value, rows = _by_rule(objective(subject, folder, {}), what, subject.metric)
    return {"value": value, "rows": rows, "seconds": round(time.monotonic() - began, 1)}


def _by_rule(chosen: Transfer, what: str, metric: str) -> tuple[float, dict[str, int]]:
    splits = kinds.load(chosen.task, chosen.data, settings.split_seed(chosen), test=True)
    tables = {"train": splits.train, "valid": splits.valid, "test": splits.test}
    found = {
        name: Labelled(kinds.texts(table, chosen.data), table.column(chosen.data.label))
        for name, table in tables.items()
        if table is not None
    }
    rows = {name: len(some.texts) for name, some in found.items()}
    if what == COPIED:
        return metrics.of_texts(found["test"].texts, found["test"].labels, (metric,))[metric], rows
    return _classified(what, found, data.classes(splits, chosen.data.label))[metric], rows


def _classified(what: str, found: Mapping[str, Labelled], classes: Sequence[str]) -> Mapping[str, float]:
    """The metrics of a rule that says classes."""
    train, valid, test = found["train"], found["valid"], found["test"]
    said = rules.majority(train, len(test.texts)) if what == "majority" else rules.by_words(train, valid, test.texts)
    places = [[classes.index(label) for label in labels] for labels in (test.labels, said)]
    truth, told = (torch.tensor(some) for some in places)
    return metrics.scores(torch.nn.functional.one_hot(told, len(classes)).double(), truth, classes)[0]


def table(rows: Sequence[Row]) -> str:
    """Markdown: a line for each subject."""
    names = (*RULES, *TRAINED)
    lines = [
        "| task | rows, of which tested | study | metric | " + " | ".join(names) + " |",
        "|---|---|---|---|" + "---|" * len(names),
    ]
    for subject in SUBJECTS:
        found = {row["what"]: row for row in rows if row["subject"] == subject.name}
        if found:
            lines.append(_line(subject, found, names))
    return "\n".join(lines)


def _line(subject: Subject, found: Mapping[str, Row], names: Sequence[str]) -> str:
    last = [name for name in names if name in found][-1]
    counts = found[last]["rows"]
    spec = studies.load(studies.find(subject.study)).objective
    assert isinstance(spec, Transfer)  # noqa: S101
    cells = [f"{found[name]['value']:.3f}" if name in found else "" for name in names]
    cells[0] += f"{found[COPIED]['value']:.3f} ({COPIED})" if COPIED in found else ""
    if subject.metric == "accuracy":
        low, high = page.interval(found[last]["value"], counts["test"])
        cells[names.index(last)] += f" ({low:.3f}–{high:.3f})"
    where = f"{subject.name} | {counts['train']}, {counts['test']} | `{subject.study}` | {subject.metric}"
    return f"| {spec.task.kind}: {where} | " + " | ".join(cells) + " |"


def main() -> None:
    """Measure what is left, then print the table, or put it into its section of a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keep", type=Path, default=Path(__file__).with_name("results.jsonl"))
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no measurement after so many")
    parser.add_argument("--page", type=Path, help="the page whose section is to be written anew")
    options = parser.parse_args()
    torch.set_num_threads(1)
    until = time.monotonic() + 60 * options.minutes
    rows = [json.loads(line) for line in options.keep.read_text().splitlines()] if options.keep.exists() else []
    done = {(row["subject"], row["what"]) for row in rows}
    with tempfile.TemporaryDirectory(prefix="hpo-results-") as cache:
        for subject, what in pieces(options.folder):
            if (subject.name, what) in done or time.monotonic() > until:
                continue
            row = {"subject": subject.name, "what": what, **measured(subject, what, options.folder, Path(cache))}
            print(json.dumps(row), flush=True)
            rows.append(row)
            with options.keep.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
    print(table(rows))
    if options.page:
        page.put(options.page, "Every task", table(rows))


if __name__ == "__main__":
    main()
