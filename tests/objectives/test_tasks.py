"""Every kind of task: a rule that a child could see is learned, on several architectures, cached or not."""

from __future__ import annotations

import csv
import operator
import random
import re
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from families import WORDS
from PIL import Image
from transformers import AutoTokenizer

from objectives import kinds, models, settings, sources, tasks, transfer, trial
from objectives.cache import Cache
from objectives.errors import ObjectiveError
from objectives.evaluation import Evaluation, Result
from objectives.host import Host
from objectives.measures import LOSSES, OF_KIND, class_of

Checkpoint = Callable[[str], Path]
PLAIN = ("bert", "roberta")
GOOD, BAD, NOUNS = ("good", "fine", "nice"), ("bad", "poor", "sad"), ("film", "book", "song")


@dataclass(frozen=True)
class Case:
    """How a kind of task is learned in a moment: its rows, the score that shows it, and settings of its own.

    `without` are metrics of the kind that such rows have not; `agrees` tells whether what is said of a row is what its
    last cell holds; what frozen blocks compute is `cached`.
    """

    header: str
    row: Callable[[random.Random], str]
    metric: str
    families: tuple[str, ...] = PLAIN
    without: Collection[str] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    agrees: Callable[[Any, str], bool] = operator.eq
    epochs: int = 8
    cached: bool = True
    good: Callable[[float], bool] = lambda score: score > 0.9


def _listed(said: Any, cell: str) -> bool:
    return "|".join(said) == "|".join(sorted(filter(None, cell.split("|"))))


def _worded(said: Any, cell: str) -> bool:
    return [*said] == cell.split()


def _near(said: Any, cell: str) -> bool:
    return abs(said - float(cell)) < 0.25


def _classified(draw: random.Random) -> str:
    good = draw.random() < 0.5
    return f"the {draw.choice(NOUNS)} was {draw.choice(GOOD if good else BAD)},{'yes' if good else 'no'}"


def _alike(draw: random.Random) -> str:
    """Whether the second text praises, whatever the first says."""
    first, second = draw.choice([*GOOD, *BAD]), draw.choice([*GOOD, *BAD])
    return f"the book was {first},{second},{'same' if second in GOOD else 'other'}"


def _named(draw: random.Random) -> str:
    nouns = [noun for noun in NOUNS if draw.random() < 0.5]
    return f"the {' and '.join(nouns) or 'very'} was so,{'|'.join(nouns)}"


def _counted(draw: random.Random) -> str:
    count = draw.randrange(4)
    return f"the film was {'very ' * count}good,{count / 2}"


def _tagged(draw: random.Random, mark: str = "B-") -> str:
    """What kind of word each is: a verdict, a thing, or none."""
    words = [draw.choice([*GOOD, *NOUNS, "the", "was"]) for _ in range(draw.randrange(2, 7))]
    kinds = ["GOOD" if word in GOOD else "NOUN" if word in NOUNS else "" for word in words]
    return f"{' '.join(words)},{' '.join(f'{mark}{kind}' if kind else 'O' for kind in kinds)}"


def _asked(draw: random.Random) -> str:
    """Which thing a text names; some name none, and some are longer than a window."""
    words = draw.choices(["the", "was", "so", "and"], k=draw.randrange(3, 20))
    noun = draw.choice([*NOUNS, ""])
    words.insert(draw.randrange(len(words) + 1), noun)
    return f"very {draw.choice(GOOD)},{' '.join(filter(None, words))},{noun}"


def _reversed(draw: random.Random) -> str:
    words = [draw.choice(NOUNS) for _ in range(draw.randrange(1, 3))]
    return f"{' '.join(words)},{' '.join(words[::-1])}"


def _in_turn(draw: random.Random) -> str:
    """After any noun the next one: all that cannot be known is the first, one of three."""
    first = draw.randrange(3)
    return " ".join(NOUNS[(first + place) % 3] for place in range(5))


def _first_in_turn(draw: random.Random) -> str:
    asked, *answer = _in_turn(draw).split()
    return f"the {asked},{' '.join(answer)}"


def _under(floor: float, times: float = 1.12) -> Callable[..., bool]:
    """Little above what even a model that knows the rule cannot know."""
    return lambda perplexity, _cell="": floor - 0.01 <= perplexity < times * floor


_PLAIN = 3 ** (1 / 6)  # one choice of three, in the six tokens after the first
_SHORT = {"max_target_length": 8, "generation": {"num_beams": 2}}


def _lit(draw: random.Random) -> str:
    """Which half of an image is bright, by the name that it is drawn from."""
    half, light, dark = draw.choice(["left", "right"]), draw.randrange(128, 256), draw.randrange(128)
    return f"images/{half}-{light}-{dark}.png,{half}"


def _draw(folder: Path, name: str) -> None:
    half, light, dark = name.split("-")
    image = Image.new("RGB", (16, 16), (int(dark),) * 3)
    image.paste((int(light),) * 3, (0, 0, 8, 16) if half == "left" else (8, 0, 16, 16))
    image.save(folder / f"{name}.png")


CASES = {
    "text-classification": Case("text,label", _classified, "accuracy"),
    "text-classification of pairs": Case("text,pair,label", _alike, "accuracy", settings={"data": {"pair": "pair"}}),
    "multi-label-classification": Case("text,label", _named, "f1_micro", agrees=_listed),
    "text-regression": Case("text,label", _counted, "r2", agrees=_near),
    "token-classification": Case("text,label", _tagged, "f1", (*PLAIN, "distilbert"), agrees=_worded),
    "token-classification of plain tags": Case(
        "text,label", partial(_tagged, mark=""), "f1_macro", without=("precision", "recall", "f1"), agrees=_worded
    ),
    "question-answering": Case("text,pair,label", _asked, "exact_match", settings={"data": {"pair": "pair"}}),
    "translation": Case(
        "text,label", _reversed, "chrf", ("t5", "marian"), settings={"task": _SHORT}, epochs=10, cached=False
    ),
    "text-generation": Case(
        "text", _in_turn, "perplexity", ("gpt2", "llama"), agrees=_under(1.0, 1.6), cached=False, good=_under(_PLAIN)
    ),
    "text-generation of answers": Case(
        "text,label",
        _first_in_turn,
        "perplexity",
        ("llama", "gpt2"),
        agrees=lambda said, _: said > 1,
        cached=False,
        good=_under(1.0),
    ),
    "fill-mask": Case("text", _in_turn, "accuracy", agrees=lambda said, _: said < 1.2, epochs=12, cached=False),
    "summarization": Case(
        "text,label", _reversed, "rougeL", ("bart", "mbart"), settings={"task": _SHORT}, epochs=10, cached=False
    ),
    "image-classification": Case("text,label", _lit, "accuracy", ("vit", "resnet"), cached=False),
}


def _kind(name: str) -> str:
    return name.partition(" ")[0]


@pytest.fixture
def lesson(tmp_path: Path, checkpoint: Checkpoint) -> Callable[..., settings.Settings]:
    """The settings of a case's trial with a tiny model of a family."""

    def lesson(name: str, family: str, epochs: int | None = None, **model: Any) -> settings.Settings:
        case, draw = CASES[name], random.Random(3)
        rows = [case.row(draw) for _ in range(240)]
        (tmp_path / "rows.csv").write_text("\n".join([case.header, *rows]) + "\n")
        if kinds.KINDS[_kind(name)].images:
            (tmp_path / "images").mkdir(exist_ok=True)
            for row in rows:
                _draw(tmp_path / "images", Path(row.partition(",")[0]).stem)
        split = {"train": 192, "valid": 24, "test": 24}
        length = {} if kinds.KINDS[_kind(name)].images else {"max_length": 16}
        data = {"path": str(tmp_path / "rows.csv"), "split": split, **length, **case.settings.get("data", {})}
        training = {
            "epochs": case.epochs if epochs is None else epochs,
            "learning_rate": 3e-3,
            "precision": "fp32",
            "seed": 1,
            "batch_size": 8,
        }
        folder = checkpoint(family)
        if name == "fill-mask":
            folder = shutil.copytree(folder, tmp_path / family, dirs_exist_ok=True)
            masking = AutoTokenizer.from_pretrained(folder)
            masking.mask_token = "and"  # a word of the vocabulary, and of no row
            masking.save_pretrained(folder)
        dropout = {} if family == "resnet" else {"dropout": 0.0}
        chosen = {"name": str(folder), **dropout, **model}
        task = {"kind": _kind(name), **case.settings.get("task", {})}
        return settings.parse({"task": task, "model": chosen, "data": data, "training": training})

    return lesson


def _run(chosen: settings.Settings, host: Host | None = None) -> tuple[list[Evaluation], Result]:
    seen: list[Evaluation] = []
    result = trial.run(chosen, seen.append, host=host or Host("cpu", 1))
    return seen, result


LEARNED = [(name, family) for name, case in CASES.items() for family in case.families]


@pytest.mark.parametrize(("name", "family"), LEARNED)
def test_a_rule_is_learned(lesson: Callable[..., settings.Settings], name: str, family: str) -> None:
    seen, _ = _run(lesson(name, family))
    assert seen[-1].metrics["val_loss"] < seen[0].metrics["val_loss"]
    assert any(CASES[name].good(each.metrics[CASES[name].metric]) for each in seen)


@pytest.mark.parametrize("name", CASES)
def test_frozen_states_are_computed_once_where_they_can_be_with_the_same_losses(
    lesson: Callable[..., settings.Settings], name: str, tmp_path: Path
) -> None:
    chosen = lesson(name, CASES[name].families[0], epochs=2, frozen_layers=2)
    cache = Cache(tmp_path / "cache", trials=100)
    plain, cached = _run(chosen), _run(chosen, Host("cpu", 1, cache=cache))
    assert (plain[1].facts["cached"], cached[1].facts["cached"]) == (False, CASES[name].cached)
    losses = [[each.metrics["val_loss"] for each in seen] for seen, _ in (plain, cached)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_the_model_that_is_left_says_the_same_of_rows_without_labels(
    lesson: Callable[..., settings.Settings], name: str, tmp_path: Path
) -> None:
    seen, _ = _run(settings.replace(lesson(name, CASES[name].families[0]), {"data.score": "test"}))
    assert seen[-1].model is not None
    seen[-1].model(tmp_path / "model")
    with (tmp_path / "rows.csv").open(newline="") as file:
        _, *rows = csv.reader(file)
    pairs = [row[1] for row in rows] if len(rows[0]) > 2 else None
    if kinds.KINDS[_kind(name)].images:
        rows = [[str(tmp_path / row[0]), *row[1:]] for row in rows]
    told = trial.predict(tmp_path / "model", [row[0] for row in rows], pairs)
    agreed = sum(CASES[name].agrees(one.label, row[-1]) for one, row in zip(told, rows, strict=True))
    assert agreed > 0.9 * len(rows)


@pytest.mark.parametrize("name", CASES)
def test_it_records_what_it_is_said_to(lesson: Callable[..., settings.Settings], name: str) -> None:
    seen, result = _run(lesson(name, CASES[name].families[0], epochs=1))
    assert result.facts["rows"] == {"train": 192, "valid": 24}
    clocks = {"seconds", "examples_per_second", "peak_memory_bytes", "learning_rate"}
    found = {metric for metric in seen[-1].metrics if class_of(metric) is None} - clocks
    assert found == {*LOSSES, *OF_KIND[_kind(name)]}.difference(CASES[name].without)


def test_every_kind_has_a_case_and_its_parts() -> None:
    assert set(map(_kind, CASES)) == tasks.TASKS.keys() == kinds.KINDS.keys() == OF_KIND.keys()


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


@pytest.fixture
def written(lesson: Callable[..., settings.Settings]) -> Callable[..., list[list[int]]]:
    """What a model that learned nothing writes for two rows, by settings of its task."""

    def written(**task: Any) -> list[list[int]]:
        chosen = settings.replace(lesson("translation", "t5"), {f"task.{name}": value for name, value in task.items()})
        assert isinstance(chosen, settings.Transfer)
        source = sources.find(chosen.model)
        model, rows = models.load(chosen.model, source, "seq2seq-lm", (), 0), transfer.read(chosen, source)
        asked = tasks.of(chosen.task)
        batch = asked.collate(rows.valid[:2], rows.tokenizer)
        return [*asked.answers(model.eval(), batch, batch.labels)]

    return written


@pytest.mark.parametrize(
    ("setting", "value", "lengths"), [("max_new_tokens", 3, {4}), ("max_new_tokens", None, {9}), ("num_beams", 3, {9})]
)
def test_as_much_is_written_as_asked_for(
    written: Callable[..., Any], setting: str, value: Any, lengths: set[int]
) -> None:
    assert {len(row) for row in written(**{f"generation.{setting}": value})} == lengths


def test_no_run_of_tokens_is_written_twice(written: Callable[..., Any]) -> None:
    free, told = written(), written(**{"generation.no_repeat_ngram_size": 1})
    assert any(len(set(row[1:])) < len(row[1:]) for row in free)
    end = 3
    written_to_the_end = [row[: row.index(end) + 1] for row in told]
    assert all(len(set(row)) == len(row) for row in written_to_the_end), str(told)


def test_a_prefix_stands_before_each_text(lesson: Callable[..., settings.Settings]) -> None:
    plain = lesson("translation", "t5")
    found = []
    for chosen in (plain, settings.replace(plain, {"task.prefix": "so very "})):
        assert isinstance(chosen, settings.Transfer)
        found.append(transfer.read(chosen, sources.find(chosen.model)).train[0].tokens)
    assert list(found[1]) == [2, 4 + WORDS.index("so"), 4 + WORDS.index("very"), *found[0][1:]]


def test_more_to_write_than_the_model_has_places_for(lesson: Callable[..., settings.Settings]) -> None:
    chosen = settings.replace(lesson("translation", "marian"), {"task.generation.max_new_tokens": 41})
    with pytest.raises(ObjectiveError, match=r"task\.max_target_length: 41 is more than the 40 tokens .* writes"):
        trial.prepare(chosen)


def _examples(chosen: settings.Settings, **changed: Any) -> tuple[tasks.Task, transfer.Rows]:
    chosen = settings.replace(chosen, {name.replace("__", "."): value for name, value in changed.items()})
    assert isinstance(chosen, settings.Transfer)
    return tasks.of(chosen.task), transfer.read(chosen, sources.find(chosen.model))


def test_texts_are_packed_to_full_rows(lesson: Callable[..., settings.Settings]) -> None:
    plain, packed = lesson("text-generation", "gpt2"), {"task__packing": True, "data__max_length": 12}
    rows, full = _examples(plain)[1].train, _examples(plain, **packed)[1].train
    assert {len(row.tokens) for row in full[:-1]} == {12}
    whole = [token for row in rows for token in row.tokens]
    assert [token for row in full for token in row.tokens] == whole
    assert [row.items for row in full[:-1]] == [11] * (len(full) - 1)


def test_only_answers_are_learned(lesson: Callable[..., settings.Settings]) -> None:
    task, rows = _examples(lesson("text-generation of answers", "llama"))
    row = rows.train[0]
    batch = task.collate([row], rows.tokenizer)
    told = batch.labels[0] != -100
    assert batch.inputs["input_ids"][0][told].tolist() == list(row.tokens[4:]) == batch.labels[0][told].tolist()
    assert row.items == int(told.sum()) == 4
    # the question can say what it likes
    logits = torch.zeros(1, len(row.tokens), 18)
    logits[0, :2, 5] = 9.0
    assert float(task.loss(logits, batch.labels)) == pytest.approx(4 * torch.tensor(18.0).log().item())


def test_a_long_question_makes_room_for_its_answer(lesson: Callable[..., settings.Settings]) -> None:
    _, rows = _examples(lesson("text-generation of answers", "llama"), data__max_length=5)
    assert [len(row.tokens) for row in rows.train[:3]] == [5, 5, 5]
    assert [row.items for row in rows.train[:3]] == [4, 4, 4]


def test_answers_are_not_packed(lesson: Callable[..., settings.Settings]) -> None:
    with pytest.raises(ObjectiveError, match=r"task\.packing: rows with answers in column 'label' are not packed"):
        _examples(lesson("text-generation of answers", "llama"), task__packing=True)


def test_a_column_of_answers_that_is_named_must_be_there(lesson: Callable[..., settings.Settings]) -> None:
    with pytest.raises(ObjectiveError, match=r"has no column 'answer'; found text"):
        _examples(lesson("text-generation", "gpt2"), data__label="answer")


def test_masks_follow_from_the_row_and_are_drawn_anew_to_train(lesson: Callable[..., settings.Settings]) -> None:
    task, rows = _examples(lesson("fill-mask", "bert"), task__mask_share=0.4)
    assert isinstance(task, tasks.Redraws)
    whole = task.collate(rows.train[:50], rows.tokenizer)
    alone = task.collate(rows.train[7:8], rows.tokenizer)
    assert torch.equal(whole.labels[7], alone.labels[0])
    torch.manual_seed(1)
    one, other = task.redraw(whole, rows.tokenizer), task.redraw(whole, rows.tokenizer)
    torch.manual_seed(1)
    again = task.redraw(whole, rows.tokenizer)
    assert torch.equal(one.inputs["input_ids"], again.inputs["input_ids"])
    assert not torch.equal(one.labels, other.labels)
    for batch in (whole, one, other):
        told, shown = batch.labels != -100, batch.inputs["input_ids"]
        assert told.sum(dim=1).tolist() == [row.items for row in rows.train[:50]] == [2] * 50
        original = torch.where(told, batch.labels, shown)
        assert original.tolist() == [list(row.tokens) for row in rows.train[:50]]
    masked = one.inputs["input_ids"][one.labels != -100] == rows.tokenizer.mask_token_id
    assert 0.65 < masked.float().mean() < 0.95


def test_a_tokenizer_that_masks_nothing(lesson: Callable[..., settings.Settings], checkpoint: Checkpoint) -> None:
    with pytest.raises(ObjectiveError, match=r"model\.name: its tokenizer has no token that masks"):
        _examples(lesson("fill-mask", "bert"), model__name=str(checkpoint("bert")))


@pytest.mark.parametrize(
    ("name", "family"), [("text-generation", "gpt2"), ("translation", "t5"), ("text-classification", "bert")]
)
def test_blocks_computed_twice_learn_the_same(
    lesson: Callable[..., settings.Settings], name: str, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = lesson(name, family, epochs=1, frozen_layers=1)
    once, met = _run(plain)[0], 0
    whole = torch.utils.checkpoint.checkpoint

    def counted(*args: Any, **named: Any) -> Any:
        nonlocal met
        met += 1
        return whole(*args, **named)

    monkeypatch.setattr("transformers.modeling_utils.checkpoint", counted)
    twice = _run(settings.replace(plain, {"training.gradient_checkpointing": True}))[0]
    assert twice[0].metrics["val_loss"] == pytest.approx(once[0].metrics["val_loss"], rel=1e-4)
    assert met > 0


@pytest.mark.parametrize("name", CASES)
def test_every_kind_learns_by_adapters_and_is_evaluated_untrained(
    lesson: Callable[..., settings.Settings], name: str
) -> None:
    family = CASES[name].families[0]
    untrained, _ = _run(lesson(name, family, epochs=0))
    assert [each.step for each in untrained] == [1]
    assert CASES[name].metric in untrained[0].metrics
    seen, result = _run(lesson(name, family, epochs=2, adapter="lora", frozen_layers=1))
    assert result.trainable_parameters < result.facts["parameters"] / 4
    assert seen[-1].metrics["train_loss"] < seen[0].metrics["train_loss"]
