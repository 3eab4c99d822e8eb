"""Which rows, and which of their columns."""

from __future__ import annotations

import codecs
from difflib import get_close_matches
from encodings.aliases import aliases
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from objectives.settings.setting import Setting

Size = Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0.0, lt=1.0)]
"""An integer is a number of rows, a float a share of them."""


class Split(Setting):
    """Which rows of one file train, validate and test: integers are rows, floats shares; `train` null: the rest."""

    train: Size | None = None
    valid: Size = 0.2
    test: Size = 0.2
    seed: int | None = Field(None, ge=0, description="which rows go where; null takes training.seed")

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        shares = [size for size in (self.train, self.valid, self.test) if isinstance(size, float)]
        if sum(shares) > 1 + 1e-9 or (self.train is None and sum(shares) >= 1):
            raise ValueError(f"the shares add up to {sum(shares):g} and leave no rows to train on; lower valid or test")
        if not self.valid:
            raise ValueError("valid must be above 0: trials are compared on validation rows")
        return self


class Clean(Setting):
    """What is mended in the rows before they are divided; a notice says how many each removed or changed."""

    drop_empty: bool = Field(False, description="remove rows with an empty cell in a column that is used")
    deduplicate: bool = Field(False, description="keep the first of equal texts")
    unicode: Literal["none", "nfkc"] = Field("none", description="nfkc makes full-width letters plain, and the like")
    strip_html: bool = Field(False, description="take HTML tags and entities out of the text")


class Where(Setting):
    """Which rows of all: for a column, the value or the values that it has in them."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="after")
    def _holds_values(self) -> Self:
        for column, wanted in self.columns.items():
            values = wanted if isinstance(wanted, list) and wanted else [wanted]
            if not all(isinstance(value, bool | int | float | str) for value in values):
                raise ValueError(f"{column} takes a value that its cells have, or a list of such values")
        return self

    @property
    def columns(self) -> dict[str, Any]:
        """What is wanted, by column."""
        return self.model_extra or {}


class Data(Setting):
    """Which rows, and which of their columns.

    One file (`path`) or hub data set (`hub`) with `split`, or `train`, `valid` and `test`: files, or with `hub` the
    names of its splits.
    """

    leading: ClassVar[str | None] = "path"
    path: str | None = None
    hub: str | None = Field(None, description="a data set of the hub, loaded by `datasets`")
    config: str | None = Field(None, description="the hub data set's configuration")
    revision: str | None = Field(None, description="the hub data set's branch, tag or commit")
    train: str | None = None
    valid: str | None = None
    test: str | None = None
    text: str = Field("text", min_length=1, description="the column to read")
    pair: str | None = Field(None, min_length=1, description="a second text to read with it, as an entailment needs")
    label: str = Field("label", min_length=1, description="the column to predict")
    group: str | None = Field(None, description="rows of one group never stand in two splits")
    slice: str | None = Field(None, description="the column by whose values `hpo errors` divides what a model said")
    split: Split = Split()
    where: Where = Field(Where(), description="by column, the values of the rows that are kept once all are divided")
    shots: int | None = Field(None, ge=1, description="training rows of each class, drawn by training.seed; null: all")
    image_size: int | None = Field(None, ge=4, description="pixels a side of an image; null is the model's own")
    max_length: int = Field(128, ge=4, description="tokens a row; the rest is cut off")
    encoding: str | None = Field(None, description="of text files; null guesses, and says so where it is not UTF-8")
    delimiter: str | None = Field(None, description="of .csv and .tsv files; null is a comma or a tab, by suffix")
    clean: Clean = Clean()
    fit: Literal["train", "all"] = Field("train", description="all: the validation rows train, too")
    score: Literal["valid", "test"] = Field("valid", description="test: the test rows, too, once, at the end")

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str | None) -> str | None:
        if value is not None and not _is_text_encoding(value):
            known = filter(_is_text_encoding, sorted({*aliases.values()}, reverse=True))
            near = get_close_matches(value.lower().replace("-", "_"), list(known), n=1)
            advice = f"did you mean {near[0]}?" if near else "utf-8, utf-16, gb18030, big5 and cp1252 are some"
            raise ValueError(f"{value!r} is no encoding that Python knows; {advice}")
        return value

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        value = {"tab": "\t", "\\t": "\t"}.get(value or "", value)
        if value is not None and (len(value) != 1 or value in '"\r\n\0'):
            raise ValueError(f"{value!r} is no delimiter; right is one character such as ';', or tab")
        return value

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        sources = [name for name in ("path", "hub") if getattr(self, name)]
        if not sources and self.train:
            sources = ["train"]
        if len(sources) != 1 or (self.path and (self.train or self.valid or self.test)):
            raise ValueError("give one of: path (one file, divided by split), train + valid (+ test) files, or hub")
        if self.train and not self.hub and not self.valid:
            raise ValueError("data.train needs data.valid beside it; for one file to be divided use data.path")
        if not self.hub and (self.config or self.revision):
            raise ValueError("config and revision belong to a hub data set; remove them or give hub")
        return self

    @model_validator(mode="after")
    def _few_or_all(self) -> Self:
        if self.shots is not None and self.fit == "all":
            raise ValueError("fit is all and shots draws a few training rows; keep one of them")
        return self


def _is_text_encoding(name: str) -> bool:
    """Whether a codec of this name turns bytes into text."""
    try:
        codecs.lookup(name)
        b"text".decode(name, "replace")  # LookupError for codecs such as base64, which give bytes
    except (LookupError, ValueError):
        return False
    return True
