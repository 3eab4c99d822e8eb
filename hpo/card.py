"""The folder of a winner's model: its files, and a card that says how it was made and how good it is."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import hpo
from hpo import tables
from hpo.errors import HpoError
from hpo.intervals import Interval
from hpo.promotion import Candidate
from hpo.trained import Models
from hpo.verdict import Comparison, Verdict
from objectives import kinds
from objectives.measures import limits
from objectives.sources import NOTE

PIPELINES = {
    "text-classification": ("text-classification", ", truncation=True"),
    "multi-label-classification": ("text-classification", ", truncation=True, top_k=None"),
    "text-regression": ("text-classification", ', truncation=True, function_to_apply="none"'),
    "token-classification": ("token-classification", ', aggregation_strategy="first"'),
}
"""The pipeline of transformers for a kind of task, where it has another name or wants to be told more."""

_ASKED = {"image-classification": '"a/photo.png"', "fill-mask": 'f"a {model.tokenizer.mask_token} text"'}
WITHOUT_PIPELINE = {
    "question-answering": "AutoModelForQuestionAnswering",
    "translation": "AutoModelForSeq2SeqLM",
    "summarization": "AutoModelForSeq2SeqLM",
}
"""Kinds of tasks for which transformers 5 has no pipeline, and what loads their models."""

OF_IMAGES = ("image-classification",)
"""Kinds of tasks that read images, which a pipeline is given by their paths."""


@dataclass(frozen=True)
class Made:
    """How the winner's model was made: its trial_id, its settings and facts as kept with the trial, the rows'
    fingerprint."""

    trial_id: int
    settings: Mapping[str, Any]
    facts: Mapping[str, Any]
    fingerprint: str | None


def check(out: Path, study: str) -> None:
    """Refuse a place that holds something else than an earlier model of this study, or that may not be written;
    raises HpoError."""
    parent = next(folder for folder in out.absolute().parents if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise HpoError(f"--out {out}: nothing can be written in {parent}; name another place")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if _note(out).get("study") != study:
        raise HpoError(f"--out {out}: is no folder that a promotion of {study} wrote; name another, or remove it")


def write(out: Path, verdict: Verdict, made: Made, models: Models) -> None:
    """Put the winner's model into `out`, whole or not at all; raises HpoError."""
    check(out, verdict.promotion.study)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
        models.fetch(made.trial_id, part)
        note = _note(part) | {"study": verdict.promotion.study, "trial": verdict.winner.trials[0].number}
        (part / NOTE).write_text(json.dumps(note, ensure_ascii=False, indent=2) + "\n", "utf-8")
        (part / "README.md").write_text(text(verdict, made, note), "utf-8")
        if out.exists():
            shutil.rmtree(out)
        part.rename(out)
    except OSError as error:
        raise HpoError(f"--out {out}: {error}; run the same command again to go on") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _note(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / NOTE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def text(verdict: Verdict, made: Made, note: Mapping[str, Any]) -> str:
    """The card, as Markdown."""
    return "\n".join((*_head(verdict, made, note), *_use(note), *_scores(verdict), *_making(verdict, made), ""))


def _head(verdict: Verdict, made: Made, note: Mapping[str, Any]) -> Iterator[str]:
    pipeline, _ = PIPELINES.get(note["task"], (note["task"], ""))
    yield from ("---", f"pipeline_tag: {pipeline}", "tags: [hpo]")
    yield from (("library_name: transformers",) if _is_plain(note) else ())
    yield from ("---", "", f"# {verdict.promotion.study}", "")
    known = note["classes"]
    classes = f": {len(known)} classes, {', '.join(map(_plainly, known))}" if len(known) > 1 else ""
    yield f"{_plainly(made.facts.get('model'))}, fine-tuned for {note['task']}{classes}."
    reads = " and ".join(_code(note[key]) for key in ("text", "pair") if note.get(key))
    yield f"It reads {reads}, and predicts what the column {_code(note['label'])} held."


def _is_plain(note: Mapping[str, Any]) -> bool:
    """Whether transformers has a class for the whole model."""
    return bool(note["pooling"] == "head" and not note.get("around"))


def _use(note: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## Use", "")
    if note["task"] in WITHOUT_PIPELINE:
        yield f"transformers has no pipeline for it; `{WITHOUT_PIPELINE[note['task']]}` loads the model."
    elif _is_plain(note):
        yield from _piped(note)
    elif around := note.get("around"):
        yield (
            "`transformers.pipeline` does not load it: virtual tokens stand around it "
            f"(`model.adapter: {around}`), which are beside it here."
        )
    else:
        yield (
            f"`transformers.pipeline` does not load it: its head (`model.pooling: {note['pooling']}`) is none of "
            "transformers' own. The body is here, the head in `head.safetensors`."
        )
    if (bits := note.get("quantization", "none")) != "none":
        yield f"It learned beside matrices of {bits}: they are here as they were rounded, in fp32, the updates added."
    yield "`hpo predict --model FOLDER FILE` says of each row of a file what it predicts."
    if kinds.KINDS[note["task"]].windows:
        yield f"A text is read in windows of {note['max_length']} tokens."
    elif note["task"] not in OF_IMAGES:
        yield f"Of a text the first {note['max_length']} tokens count."


def _piped(note: Mapping[str, Any]) -> Iterator[str]:
    """A model that a pipeline of transformers loads."""
    pipeline, more = PIPELINES.get(note["task"], (note["task"], ""))
    asked = '{"text": "a text", "text_pair": "another"}' if note.get("pair") else '"a text"'
    asked = _ASKED.get(note["task"], asked)
    yield from ("```python", "from transformers import pipeline", "")
    yield f'model = pipeline("{pipeline}", model="FOLDER"{more})'
    yield from (f"print(model({asked}))", "```", "")
    if any(note["clean"][name] not in (False, "none") for name in note["clean"]):
        yield f"Texts were cleaned before ({note['clean']}): `hpo predict` does it, a pipeline does not."
    if prompt := note.get("settings", {}).get("prompt"):
        yield f"Texts stand in a prompt, {_code(prompt)}: `hpo predict` puts them there, a pipeline does not."


def _scores(verdict: Verdict) -> Iterator[str]:
    count, rows = len(verdict.promotion.seeds), verdict.test_rows
    trained = "one training with a fresh seed" if count == 1 else f"{count} trainings with fresh seeds"
    yield from ("", "## How good it is", "")
    yield f"On {rows} test rows, not read before. Means over {trained}, with 95 % intervals:"
    yield from ("", "| metric | mean | 95 % interval | this model |", "|---|---|---|---|")
    for name, found, own in metrics(verdict):
        yield f"| {_plainly(name)} | {tables.shown(found.mean)} | {_from_to(found)} | {tables.shown(own)} |"
    yield ""
    yield from map(_plainly, lines(verdict))


def _plainly(value: Any) -> str:
    """A value as Markdown shows it letter by letter, on one line and in a table, too: rows may hold anything."""
    text = escape(" ".join(tables.shown(value).split()), quote=False)
    return re.sub(r"[\\`*|]|(?<=\])(?=\()", r"\\\g<0>", text)


def _code(text: str) -> str:
    """A text of whoever made the rows as code, in a fence that is longer than any in it."""
    inner = " ".join(tables.printable(text).split()).replace("|", "\\|")
    fence = "`" * (max(map(len, re.findall("`+", inner)), default=0) + 1)
    space = " " * (len(fence) > 1)
    return f"{fence}{space}{inner}{space}{fence}"


def metrics(verdict: Verdict) -> Iterator[tuple[str, Interval, float]]:
    """Of the winner on the test rows: each metric's mean with its interval, and the written model's own."""
    from hpo import intervals

    trials = verdict.winner.trials
    for name in sorted(trials[0].metrics):
        if name.startswith("test_") and all(name in trial.metrics for trial in trials):
            values = [trial.metrics[name] for trial in trials]
            yield name, intervals.mean(values).within(*limits(name.removeprefix("test_"))), values[0]


def lines(verdict: Verdict) -> Iterator[str]:
    """What is certain, in sentences."""
    yield f"{_chosen(verdict)} The test rows chose nothing."
    if (defaults := verdict.defaults) is None:
        yield "The winner is the objective as the study file writes it: the search found nothing better."
    else:
        yield _beside(verdict, defaults)
    alike = [called(one.other.candidate) for one in verdict.comparisons if not one.is_told_apart]
    if alike:
        yield f"Not distinguishable from the winner on these test rows: {', '.join(alike)}."
    if len(verdict.promotion.seeds) == 1:
        yield "Of one seed these are single models: with another seed each configuration may do better or worse."
    yield from _always(verdict)


def _always(verdict: Verdict) -> Iterator[str]:
    """Where the winner's model has one answer for all rows, whatever a metric makes of it."""
    said = verdict.winner.trials[0].said
    if said is not None and len({*said.predicted.tolist()}) == 1 < len({*said.truth.tolist()}):
        yield f"Its model says {said.classes[said.predicted[0]]} of every test row: it tells nothing apart."


def called(candidate: Candidate) -> str:
    """A configuration in a word or two: the defaults, or the trial that it comes from."""
    return "the defaults" if candidate.defaults else f"trial {candidate.number}"


def _chosen(verdict: Verdict) -> str:
    winner = called(verdict.winner.candidate)
    if verdict.winner.valid is None:
        return f"The winner is {winner}, the best of the search: no row was left to validate on."
    return f"The winner is {winner}, by its mean {verdict.metric} on the validation rows over fresh seeds."


def _beside(verdict: Verdict, found: Comparison) -> str:
    difference = found.difference
    better = "lower" if verdict.direction == "minimize" else "higher"
    interval = "no interval of one seed"
    if difference.low is not None and difference.high is not None:
        interval = f"95 %: {_signed(difference.low)} to {_signed(difference.high)}"
    numbers = (
        f"{verdict.tested} by {_signed(difference.mean)} ({interval}, p = {tables.shown(round(found.p, 4))}; "
        f"{better} is better)"
    )
    if not found.is_told_apart:
        return f"The winner and the default settings are not distinguishable: {numbers}."
    return f"The winner {'beats' if found.better else 'is worse than'} the default settings: {numbers}."


def _signed(value: float) -> str:
    return f"{value:+.4g}"


def _from_to(found: Interval) -> str:
    return "" if found.low is None else f"{tables.shown(found.low)} to {tables.shown(found.high)}"


def _making(verdict: Verdict, made: Made) -> Iterator[str]:
    winner, promotion = verdict.winner, verdict.promotion
    yield from ("", "## How it was made", "", "| | |", "|---|---|")
    fit = "training and validation rows" if promotion.fit == "all" else "training rows"
    facts = {
        "study": promotion.study,
        "configuration": called(winner.candidate),
        "retrained in": f"{promotion.companion}, trial {winner.trials[0].number}",
        "fitted on": fit,
        "rows": ", ".join(f"{count} {split}" for split, count in made.facts.get("rows", {}).items()),
        "fingerprint of the rows": made.fingerprint,
        "seed": winner.trials[0].seed,
        "all seeds": ", ".join(map(str, promotion.seeds)),
        "ends after evaluation": winner.candidate.stop or "the last",
        "computed": f"{made.facts.get('device')}, {made.facts.get('precision')}",
        "model's files": made.facts.get("model_identity"),
        "versions": _versions(made.facts),
    }
    yield from (f"| {key} | {_plainly(value)} |" for key, value in facts.items() if value is not None)
    yield from ("", "Parameters that were searched:", "", "| parameter | value |", "|---|---|")
    yield from (f"| {_code(address)} | {_plainly(value)} |" for address, value in winner.candidate.params.items())
    yield from ("", "All settings:", "", "```json", json.dumps(made.settings, ensure_ascii=False, indent=2), "```")


def _versions(facts: Mapping[str, Any]) -> str:
    found: Sequence[tuple[str, str]] = [("hpo", hpo.__version__), *facts.get("versions", {}).items()]
    return ", ".join(f"{package} {version}" for package, version in found)
