"""Questions of a file in the format of SQuAD: texts with questions, and their answers by place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

COLUMNS = ("question", "context", "answers", "title", "id")


class SquadError(Exception):
    """The file cannot be read; one line says where and why."""


def is_squad(text: str) -> bool:
    """Whether a JSON text is such a file, and not an object a line."""
    return '"paragraphs"' in text and isinstance(_loaded(text), dict)


def questions(text: str) -> Iterator[dict[str, str]]:
    """A row for each question, by COLUMNS; `answers` is a JSON list of texts and places, empty where there are none.

    Of version 1.1 or 2.0; what is `is_impossible` has no answer, whatever else is said of it. Raises SquadError.
    """
    for number, (title, context, asked) in enumerate(_asked(_loaded(text)), start=1):
        try:
            given = [] if asked.get("is_impossible") else asked["answers"]
            answers = [{"text": str(one["text"]), "answer_start": int(one["answer_start"])} for one in given]
            plain = json.dumps(answers, ensure_ascii=False) if answers else ""
            yield dict(zip(COLUMNS, (asked["question"], context, plain, title, str(asked.get("id", ""))), strict=True))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SquadError(f"question {number} is not as SQuAD's: {error!r}; right is question and answers") from None


def _asked(tree: Any) -> Iterator[tuple[str, str, Any]]:
    """The title, the context and the question of each."""
    try:
        for article in tree["data"]:
            for paragraph in article["paragraphs"]:
                for asked in paragraph["qas"]:
                    yield str(article.get("title", "")), str(paragraph["context"]), asked
    except (KeyError, TypeError, AttributeError) as error:
        raise SquadError(f"is not as SQuAD's: {error!r}; right is data, paragraphs, context and qas") from None


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
