"""Which model is fine-tuned, and what of it learns."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from objectives.settings.setting import Setting, Share

WRAPPING = ("prefix", "prompt")
"""Adapters that stand around a model: its blocks see virtual tokens that no row has."""
Depth = Annotated[int, Field(ge=0)] | Literal["all"]
"""So many of the first blocks, or as many as a model has."""


class Lora(Setting):
    """Low-rank updates beside frozen matrices (Hu et al. 2021, arXiv 2106.09685)."""

    rank: int = Field(8, ge=1)
    alpha: float = Field(16.0, gt=0, description="the update is scaled by alpha / rank")
    dropout: Share = Field(0.0, description="of what goes into the update")
    targets: str = Field(
        "query-value", min_length=1, description="query-value, attention, all, or a pattern that the names contain"
    )

    @field_validator("targets")
    @classmethod
    def _a_pattern(cls, value: str) -> str:
        return _pattern(value)


class Head(Setting):
    """Of a `pooling` other than head: a layer of this size before the last one."""

    hidden: int = Field(0, ge=0, description="0 is a linear layer alone")
    activation: Literal["gelu", "relu", "tanh"] = "gelu"


class Model(Setting):
    """Which model is fine-tuned, and what of it learns. The head always does.

    `frozen_layers`: 0 trains all; k >= 1 freezes the embeddings and the first k blocks; `all`, or the model's number of
    blocks, leaves only the head; `frozen_decoder_layers` are those of an encoder-decoder's second side, be it the
    model's own or `decoder`. `layers` names the blocks that learn instead. Frozen blocks run in eval mode, unless
    `frozen_dropout` is true. In what is not frozen `learn` says which parameters learn, or `adapter` what is put beside
    them, which then do not.
    """

    leading: ClassVar[str | None] = "name"
    name: str = Field("minilm", min_length=1, description="an alias, a hub id, a folder, or a URL of one")
    revision: str | None = Field(None, description="the hub's branch, tag or commit")
    decoder: str | None = Field(None, min_length=1, description="what writes beside a model that only reads")
    decoder_revision: str | None = Field(None, description="the same of the decoder, where it is another model")
    pretrained: bool = Field(True, description="false starts from random weights")
    frozen_layers: Depth = 0
    frozen_decoder_layers: int = Field(0, ge=0, description="first blocks of an encoder-decoder's decoder")
    frozen_dropout: bool = Field(False, description="dropout in frozen blocks, too: they then run with every batch")
    dropout: Share | None = Field(None, description="of the encoder and the head; null keeps the model's own")
    pooling: Literal["head", "cls", "mean", "max"] = Field(
        "head", description="head is the architecture's own; the others pool the tokens for one linear layer"
    )
    head: Head = Head()
    layers: str | None = Field(None, description="the blocks that learn, counted from 1, such as 5-6 or 1,6")
    learn: str = Field("all", min_length=1, description="all, biases, norms, or a pattern that the names contain")
    reinit_layers: int = Field(0, ge=0, description="last blocks that start from random weights")
    adapter: Literal["none", "lora", "prefix", "prompt"] = "none"
    lora: Lora = Lora()
    quantization: Literal["none", "8bit", "4bit"] = Field(
        "none", description="of the matrices in blocks, which then do not learn: with adapter lora alone"
    )
    virtual_tokens: int = Field(20, ge=1, description="of prefix and prompt")

    @field_validator("layers", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        many = value if isinstance(value, list) else [value]
        whole = all(isinstance(one, int) and not isinstance(one, bool) for one in many)
        return ",".join(map(str, many)) if many and whole else value

    @field_validator("layers")
    @classmethod
    def _some_blocks(cls, value: str | None) -> str | None:
        if value is not None:
            blocks(value)
        return value

    @field_validator("learn")
    @classmethod
    def _a_pattern(cls, value: str) -> str:
        return _pattern(value)

    @model_validator(mode="after")
    def _one_strategy(self) -> Self:
        for reason, broken in self._contradictions().items():
            if broken:
                raise ValueError(reason)
        return self

    def _contradictions(self) -> dict[str, bool]:
        adapter, whole = self.adapter, self.adapter in WRAPPING
        limits = {"frozen_layers": self.frozen_layers != 0, "layers": self.layers is not None}
        limited = next((name for name, given in limits.items() if given), "")
        partial = f"adapter {adapter}" if adapter != "none" else f"learn {self.learn}"
        rounded = self.quantization != "none"
        own, other = "is of a decoder, and there is none", "is of another model, and decoder is name's; use revision"
        return {
            f"decoder_revision {own if self.decoder is None else other}": (
                self.decoder_revision is not None and self.decoder in (None, self.name)
            ),
            "frozen_layers and layers both say which blocks learn; keep one": all(limits.values()),
            f"with adapter {adapter} no weights of the blocks learn, and learn names some; keep one": (
                adapter != "none" and self.learn != "all"
            ),
            f"{limited} has no meaning with adapter {adapter}, which freezes all blocks; keep one": (
                whole and bool(limited)
            ),
            f"reinit_layers makes blocks anew that must learn, and with {partial} they do not; keep one": (
                self.reinit_layers > 0 and (adapter != "none" or self.learn != "all")
            ),
            f"adapter {adapter} needs the architecture's own head; right is pooling head": (
                whole and self.pooling != "head"
            ),
            f"quantization {self.quantization} keeps weights that cannot learn; right is adapter lora beside them": (
                rounded and adapter != "lora"
            ),
            f"quantization {self.quantization} rounds pretrained weights, and pretrained is false; keep one": (
                rounded and not self.pretrained
            ),
            f"quantization {self.quantization} is of one model, and decoder makes it two; keep one": (
                rounded and self.decoder is not None
            ),
            "head.hidden belongs to a pooling such as cls or mean; set one, or remove it": (
                self.head.hidden > 0 and self.pooling == "head"
            ),
        }


def blocks(written: str) -> set[int]:
    """The blocks that a text such as `1,4-6` names, counted from 1; raises ValueError."""
    found: set[int] = set()
    for part in written.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdecimal() or not (last or first).isdecimal() or not 1 <= int(first) <= int(last or first):
            raise ValueError(f"{written!r} names no blocks; right is such as 6, 5-6 or 1,6")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r} is no pattern: {error}") from error
    return value
