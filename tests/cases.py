"""A case for each kind of task: a rule that a child could see, its rows, and a tiny trial that learns it."""

from __future__ import annotations

import operator
import random
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from transformers import AutoTokenizer

from objectives import kinds, settings, trial
from objectives.evaluation import Evaluation, Result
from objectives.host import Host

PLAIN = ("bert", "roberta")
GOOD, BAD, NOUNS = ("good", "fine", "nice"), ("bad", "poor", "sad"), ("film", "book", "song")


@dataclass(frozen=True)
class Case:
    """How a kind of task is learned in a moment: its rows, the score that shows it, and settings of its own.

    `without` are metrics of the kind that such rows have not; `agrees` tells whether what is said of a row is what its
    last cell holds; what frozen blocks compute is `cached`. Of a `pair` the same model writes, too.
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
    pair: bool = False
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
    "translation": Case("text,label", _reversed, "chrf", ("t5", "marian"), settings={"task": _SHORT}, epochs=10),
    "translation by a pair": Case(
        "text,label",
        _reversed,
        "chrf",
        settings={"task": _SHORT},
        epochs=10,
        pair=True,
    ),
    "text-generation": Case(
        "text", _in_turn, "perplexity", ("gpt2", "llama"), agrees=_under(1.0, 1.6), good=_under(_PLAIN)
    ),
    "text-generation of answers": Case(
        "text,label",
        _first_in_turn,
        "perplexity",
        ("llama", "gpt2"),
        agrees=lambda said, _: said > 1,
        good=_under(1.0),
    ),
    "text-generation without a first token": Case(
        "text",
        _in_turn,
        "perplexity",
        ("qwen2",),
        agrees=_under(1.0, 1.6),
        good=_under(1.0, 1 / 0.9),
    ),
    "fill-mask": Case("text", _in_turn, "accuracy", agrees=lambda said, _: said < 1.2, epochs=12, cached=False),
    "summarization": Case("text,label", _reversed, "rougeL", ("bart", "mbart"), settings={"task": _SHORT}, epochs=10),
    "image-classification": Case("text,label", _lit, "accuracy", ("vit", "resnet")),
}


def kind(name: str) -> str:
    """The kind of task of a case."""
    return name.partition(" ")[0]


def tree(name: str, model: Path, folder: Path, epochs: int | None = None) -> dict[str, dict[str, Any]]:
    """The settings of a case's trial as a study file has them; its rows are written into the folder.

    `model` is the folder of a tiny checkpoint, copied where the case needs another.
    """
    case, images = CASES[name], kinds.KINDS[kind(name)].images
    write(name, folder)
    if name == "fill-mask":
        model = _masking(model, folder / "masking")
    length = {} if images else {"max_length": 16}
    split = {"train": 192, "valid": 24, "test": 24}
    training = {"learning_rate": 3e-3, "precision": "fp32", "seed": 1, "batch_size": 8}
    return {
        "task": {"kind": kind(name), **case.settings.get("task", {})},
        "model": {"name": str(model), **({"decoder": str(model)} if case.pair else {})},
        "data": {"path": str(folder / "rows.csv"), "split": split, **length, **case.settings.get("data", {})},
        "training": {"epochs": case.epochs if epochs is None else epochs, **training},
    }


def write(name: str, folder: Path) -> None:
    """240 rows of a case, always the same, as rows.csv; the images that they name beside them."""
    case, draw = CASES[name], random.Random(3)
    rows = [case.row(draw) for _ in range(240)]
    (folder / "rows.csv").write_text("\n".join([case.header, *rows]) + "\n")
    if kinds.KINDS[kind(name)].images:
        (folder / "images").mkdir(exist_ok=True)
        for row in rows:
            _draw(folder / "images", Path(row.partition(",")[0]).stem)


def _masking(model: Path, folder: Path) -> Path:
    """A copy of a checkpoint whose tokenizer can mask, by a word of the vocabulary that is in no row."""
    shutil.copytree(model, folder, dirs_exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.mask_token = "and"
    tokenizer.save_pretrained(folder)
    return folder


def run(chosen: settings.Settings, host: Host | None = None, **how: Any) -> tuple[list[Evaluation], Result]:
    """A trial's evaluations and its result, on one thread of the CPU unless `host` says otherwise."""
    seen: list[Evaluation] = []
    result = trial.run(chosen, seen.append, host=host or Host("cpu", 1), **how)
    return seen, result
