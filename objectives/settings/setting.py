"""What every group of settings is."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
"""A share of something, from 0 to below 1."""


class Setting(BaseModel):
    """A frozen group of settings; a bare word in its place stands for its leading field."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    leading: ClassVar[str | None] = None

    @model_validator(mode="before")
    @classmethod
    def _expand_a_bare_word(cls, value: Any) -> Any:
        return {cls.leading: value} if cls.leading and isinstance(value, str) else value
