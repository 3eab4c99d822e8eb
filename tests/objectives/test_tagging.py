"""Tags and pieces of words: which piece stands for a word, what a cut costs, what is lost of padding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel, WordPiece
from tokenizers.pre_tokenizers import BertPreTokenizer, ByteLevel, Split
from tokenizers.pre_tokenizers import Sequence as Before

from objectives import tables, tasks
from objectives.batches import UNLABELLED
from objectives.errors import ModelError
from objectives.losses import supervised
from objectives.pieces import pieces
from objectives.settings import Data, Task, Training
from objectives.tables import Table, read
from objectives.tokenized import Reader

TASK = tasks.of(Task(kind="token-classification"))
TARGETS = ("B-LOC", "I-LOC", "O")


def fast(model: Any, before: Any) -> Any:
    tokens = Tokenizer(model)
    tokens.pre_tokenizer = before
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokens, pad_token="[PAD]", unk_token="[UNK]")


@pytest.fixture
def tokenizer() -> Any:
    vocabulary = ["[PAD]", "[UNK]", "in", "os", "##lo", "##-", "by", "-"]
    return fast(
        WordPiece({word: index for index, word in enumerate(vocabulary)}, unk_token="[UNK]"), BertPreTokenizer()
    )


def encoded(tokenizer: Any, max_length: int = 16) -> Any:
    table = Table({"text": ["in oslo by", "oslo"], "label": ["O B-LOC O", "B-LOC"]})
    return TASK.encode(table, Reader(tokenizer), Data(path="-", max_length=max_length), TARGETS)


def test_the_first_piece_carries_the_tag(tokenizer: Any) -> None:
    first, second = encoded(tokenizer)
    assert (first.tokens, first.label, first.items) == ([2, 3, 4, 6], [2, 0, UNLABELLED, 2], 3)
    assert (second.label, second.items) == ([0, UNLABELLED], 1)


def test_what_is_cut_off_counts_as_outside(tokenizer: Any) -> None:
    table = Table({"text": ["in by in by oslo oslo"], "label": ["O O O O B-LOC I-LOC"]})
    rows = TASK.encode(table, Reader(tokenizer), Data(path="-", max_length=6), TARGETS)
    found, _ = TASK.scores([[2, 2, 2, 2, 0]], rows, TARGETS)  # all that it reads is right
    assert (found["accuracy"], found["recall"]) == (5 / 6, 0)


def test_padding_and_later_pieces_cost_nothing(tokenizer: Any) -> None:
    rows = encoded(tokenizer)
    batch = TASK.collate(rows, tokenizer)
    logits = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    training = Training(label_smoothing=0.2, class_weights="balanced")
    loss = supervised(training, TASK.loss, [row.label for row in rows], 3, torch.device("cpu"))
    alone = loss(logits[1:, :2], TASK.collate(rows[1:], tokenizer).labels)
    assert loss(logits, batch.labels)[1] == pytest.approx(alone.item())
    other = logits.clone()
    other[1, 1:] += torch.tensor([9.0, 0.0, 3.0])
    assert torch.equal(loss(other, batch.labels), loss(logits, batch.labels))
    assert loss.keywords["weight"].tolist() == [1.0, 0.0, 1.0]  # type: ignore[attr-defined]
    assert TASK.answers(None, batch, logits) == [
        logits[0, [0, 1, 3]].argmax(1).tolist(),
        [logits[1, 0].argmax().item()],
    ]


def test_a_word_of_bytes_is_read_as_after_a_blank() -> None:
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "in": 2, "Ġin": 3, "Ġoslo": 4}
    found = fast(WordLevel(vocabulary, unk_token="[UNK]"), ByteLevel(add_prefix_space=False))
    assert [*pieces([["in", "oslo"]], Reader(found), 8)] == [([3, 4], [0, 1])]


def test_a_slow_tokenizer_is_refused() -> None:
    class Slow:
        is_fast = False

    with pytest.raises(ModelError, match=r"model\.name: has no fast tokenizer"):
        list(pieces([["in"]], Reader(Slow()), 8))


def test_a_number_stands_for_itself_and_not_for_the_blank_before_it() -> None:
    """Qwen2's and Llama 3's cut a blank off from digits."""
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "Ġ": 2, "2": 3, "4": 4, "Ġin": 5}
    before = Before(
        [Split(Regex(" ?[^ 0-9]+|[0-9]| "), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    found = fast(WordLevel(vocabulary, unk_token="[UNK]"), before)
    assert [*pieces([["in", "24"]], Reader(found), 8)] == [([5, 3, 4], [0, 1, None])]


@pytest.mark.parametrize("spaced", [True, False])
def test_a_word_is_read_so_where_texts_are_cut_before_bytes_too(spaced: bool) -> None:
    """As Qwen2's and Llama 3's tokenizers do; one that has a blank put before each part needs none of ours."""
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "in": 2, "Ġin": 3, "Ġoslo": 4}
    before = Before([Split(Regex(" ?[^ ]+"), "isolated"), ByteLevel(add_prefix_space=spaced, use_regex=False)])
    found = fast(WordLevel(vocabulary, unk_token="[UNK]"), before)
    assert [*pieces([["in", "oslo"]], Reader(found), 8)] == [([3, 4], [0, 1])]


@pytest.mark.parametrize("name", ["rows.conll", "rows.iob", "rows.bio"])
def test_a_conll_file(write: Callable[..., str], name: str) -> None:
    text = "-DOCSTART- -X- O O\n\nEU NNP I-NP B-ORG\nin IN I-PP O\n\n\nOslo\tB-LOC\r\n[ O\n"
    table = read(write(name, text))
    assert dict(table.columns) == {"text": ["EU in", "Oslo ["], "label": ["B-ORG O", "B-LOC O"]}
    assert table.place(1).endswith(f"{name}, line 7")


def test_comments_above_a_sentence_are_no_words(write: Callable[..., str]) -> None:
    """Those of CoNLL-U and of MultiCoNER; # as a word is one."""
    comments = "# sent_id = 1\n# text = EU in\nEU B-ORG\nin O\n\n# O\n# id O\n\n# id 12\tdomain=en\nOslo B-LOC\n"
    table = read(write("rows.conll", "# newdoc\n\n" + comments))
    assert dict(table.columns) == {"text": ["EU in", "# #", "Oslo"], "label": ["B-ORG O", "O O", "B-LOC"]}


def test_a_word_without_a_tag(write: Callable[..., str]) -> None:
    with pytest.raises(tables.DataError, match=r"rows\.conll, line 2: 'in' has no tag beside it; right"):
        read(write("rows.conll", "EU B-ORG\nin\n"))


def test_class_weights_and_smoothing_train(tmp_path: Path, bert: Path) -> None:
    from objectives import settings, trial
    from objectives.host import Host

    (tmp_path / "rows.csv").write_text("text,label\n" + "the film,O N\nso good,O V\n" * 12)
    training = {"epochs": 1, "class_weights": "balanced", "label_smoothing": 0.1, "precision": "fp32", "seed": 0}
    data = {"path": str(tmp_path / "rows.csv"), "max_length": 8}
    chosen = settings.parse({"task": "ner", "model": str(bert), "data": data, "training": training})
    seen: list[Any] = []
    trial.run(chosen, seen.append, host=Host("cpu", 1))
    assert seen[0].metrics["train_loss"] != seen[0].metrics["val_loss"]
