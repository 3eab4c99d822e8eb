"""What is learned."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from objectives.settings.setting import Setting

TASK_ALIASES = {
    "sentiment-analysis": "text-classification",
    "multi-label": "multi-label-classification",
    "regression": "text-regression",
    "ner": "token-classification",
    "qa": "question-answering",
}
"""Other names of kinds of tasks."""


class Generation(Setting):
    """How text is written when it is scored."""

    num_beams: int = Field(1, ge=1, description="1 takes the likeliest token each time")
    max_new_tokens: int | None = Field(None, ge=1, description="null takes task.max_target_length")
    length_penalty: float = Field(1.0, description="of beams: above 0 favours long answers")
    no_repeat_ngram_size: int = Field(0, ge=0, description="no run of so many tokens stands twice; 0: any may")


class Task(Setting):
    """What is learned; all but `kind` is of some kinds alone."""

    leading: ClassVar[str | None] = "kind"
    kind: Literal[
        "text-classification",
        "multi-label-classification",
        "text-regression",
        "token-classification",
        "question-answering",
        "translation",
        "summarization",
        "text-generation",
        "fill-mask",
        "image-classification",
    ]
    prompt: str | None = Field(None, description="what is read in place of a text, such as 'Topic of {text}:'")
    stride: int = Field(128, ge=0, description="tokens that neighbouring windows of a long text share")
    n_best: int = Field(20, ge=1, description="starts that are paired with as many ends of an answer")
    max_answer_length: int = Field(30, ge=1, description="tokens")
    prefix: str | None = Field(None, description="stands before each text")
    max_target_length: int = Field(128, ge=2, description="tokens of what is written; the rest is cut off")
    generation: Generation = Generation()
    packing: bool = Field(False, description="texts one after the other in rows of data.max_length tokens")
    mask_share: float = Field(0.15, gt=0, lt=1, description="of a row's tokens are to be told")

    @field_validator("kind", mode="before")
    @classmethod
    def _by_its_name(cls, value: Any) -> Any:
        return TASK_ALIASES.get(value, value) if isinstance(value, str) else value

    @field_validator("prompt")
    @classmethod
    def _holds_the_text(cls, value: str | None) -> str | None:
        if value is None:
            return value
        names = re.findall(r"\{(\w+)\}", value)
        if "text" not in names:
            raise ValueError(f"{value!r} has no place for the text; right is such as 'Topic of {{text}}:'")
        if odd := next((name for name in names if name not in ("text", "pair")), None):
            raise ValueError(f"{value!r} names {{{odd}}}; right are {{text}} and {{pair}}")
        return value
