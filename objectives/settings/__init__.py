"""Every setting a study may name, its default and its check; no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from objectives.settings.data import Clean, Data, Size, Split, Where
from objectives.settings.model import WRAPPING, Depth, Head, Lora, Model, blocks
from objectives.settings.setting import Setting, Share
from objectives.settings.task import TASK_ALIASES, Generation, Task
from objectives.settings.training import Training

__all__ = (
    "KINDS",
    "TASK_ALIASES",
    "WRAPPING",
    "Clean",
    "Curve",
    "Data",
    "Depth",
    "Function",
    "Generation",
    "Head",
    "Lora",
    "Model",
    "Own",
    "Setting",
    "Settings",
    "Simulated",
    "Size",
    "Split",
    "Task",
    "Training",
    "Transfer",
    "Where",
    "addresses",
    "blocks",
    "get",
    "kind_of",
    "parse",
    "replace",
    "split_seed",
    "with_seed",
)


class Transfer(Setting):
    """Fine-tuning a pretrained model: the objective of a study."""

    task: Task
    model: Model = Model()
    data: Data
    training: Training = Training()

    @model_validator(mode="after")
    def _pair_is_there(self) -> Self:
        if self.task.prompt and "{pair}" in self.task.prompt and self.data.pair is None:
            raise ValueError("task.prompt names {pair} and there is none; give data.pair, or remove it")
        return self

    @model_validator(mode="after")
    def _blocks_learn(self) -> Self:
        training, adapter = self.training, self.model.adapter
        for name in ("layer_decay", "unfreeze_every"):
            if adapter in WRAPPING and getattr(training, name) != Training.model_fields[name].default:
                raise ValueError(f"training.{name} is of blocks that learn, and with adapter {adapter} none does")
        if adapter == "prefix" and training.gradient_checkpointing:
            raise ValueError("training.gradient_checkpointing loses the keys and values of adapter prefix; keep one")
        return self


class Curve(Setting):
    """A simulated trial: a learning curve in closed form over settings that look like real ones.

    See `objectives.simulated` for the formula.
    """

    learning_rate: float = Field(1e-3, gt=0)
    batch_size: int = Field(16, ge=1)
    dropout: Share = 0.1
    frozen_layers: int = Field(0, ge=0, le=6)
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    evaluations: int = Field(3, ge=1)
    noise: float = Field(0.0, ge=0, description="standard deviation added to each loss, from the seed and the settings")
    seconds: float = Field(0.0, ge=0, description="a trial takes")
    fail_at: int | None = Field(None, ge=1, description="raises at this evaluation")
    exit_at: int | None = Field(None, ge=1, description="ends the process at this evaluation, as kill -9 does")
    nan_at: int | None = Field(None, ge=1, description="the loss is NaN from this evaluation on")
    nan_above: float = Field(0.0, ge=0, description="learning rates up to this one know no nan_at")
    memory: int | None = Field(None, ge=1, description="rows of the largest batch that there is memory for")
    fail_share: Share = Field(0.0, description="of the trials raise, chosen by their settings")
    seed: int | None = Field(None, ge=0, description="null takes the study's")


class Simulated(Setting):
    """A simulated objective, for tests, load and a first look."""

    simulated: Curve = Curve()


class Function(Setting):
    """A function of your own, as `package.module:name`; all further fields are what it is called with.

    `folder` is where its module is looked for first, from the study file's folder on.
    """

    model_config = ConfigDict(extra="allow")
    leading: ClassVar[str | None] = "function"
    function: str = Field(pattern=r"^[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*$", description="package.module:name")
    folder: str = Field(".", min_length=1, description="where its module is looked for first")
    evaluations: int = Field(1, ge=1, description="a trial makes")
    seed: int | None = Field(None, ge=0, description="null takes the study's")

    @model_validator(mode="after")
    def _holds_plain_values(self) -> Self:
        for name, value in (self.model_extra or {}).items():
            if not isinstance(value, bool | int | float | str | None):
                raise ValueError(f"{name} is no number, text, true or false")
        return self

    def values(self) -> dict[str, Any]:
        """What the function is called with: the fields of its own, and the seed."""
        return {**(self.model_extra or {}), "seed": self.seed}


class Own(Setting):
    """An objective that is a function of your own."""

    python: Function


Settings = Transfer | Simulated | Own
KINDS: dict[str, type[Transfer | Simulated | Own]] = {"simulated": Simulated, "python": Own}
"""The objectives that one group of settings tells from a fine-tuning."""


def kind_of(objective: Any) -> type[Transfer | Simulated | Own]:
    """Which settings a mapping is meant for."""
    named = (kind for name, kind in KINDS.items() if isinstance(objective, Mapping) and name in objective)
    return next(named, Transfer)


def parse(objective: Any) -> Settings:
    """The settings that a mapping describes; raises pydantic.ValidationError."""
    return kind_of(objective).model_validate(objective)


def addresses(settings: Setting | type[Setting], prefix: str = "") -> Iterator[str]:
    """The address of every single setting: `training.learning_rate` and so on."""
    kind = settings if isinstance(settings, type) else type(settings)
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Setting):
            yield from addresses(inner if isinstance(settings, type) else getattr(settings, name), f"{prefix}{name}.")
        else:
            yield prefix + name
    if isinstance(settings, Setting):
        yield from (prefix + name for name in settings.model_extra or {})


def get(settings: Setting, address: str) -> Any:
    """The value at an address; AttributeError where there is none."""
    value: Any = settings
    for name in address.split("."):
        value = getattr(value, name)
    return value


def replace(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """The same settings with the values at these addresses, checked anew; raises pydantic.ValidationError."""
    tree = settings.model_dump()
    for address, value in values.items():
        *groups, name = address.split(".")
        group = tree
        for part in groups:
            group = group[part]
        group[name] = value
    return parse(tree)


def split_seed(settings: Transfer) -> int:
    """The seed by which rows are divided."""
    own = settings.data.split.seed
    return own if own is not None else settings.training.seed or 0


_SEEDED = {kind: name for name, kind in KINDS.items()}


def with_seed(settings: Settings, seed: int) -> Settings:
    """The settings with the study's seed where they name none."""
    address = f"{_SEEDED.get(type(settings), 'training')}.seed"
    return settings if get(settings, address) is not None else replace(settings, {address: seed})
