"""Every setting a study may name, its default and its check; no torch."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from encodings.aliases import aliases
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
"""A share of something, from 0 to below 1."""

Size = Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0.0, lt=1.0)]
"""An integer is a number of rows, a float a share of them."""


class Setting(BaseModel):
    """A frozen group of settings; a bare word in its place stands for its leading field."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    leading: ClassVar[str | None] = None

    @model_validator(mode="before")
    @classmethod
    def _expand_a_bare_word(cls, value: Any) -> Any:
        return {cls.leading: value} if cls.leading and isinstance(value, str) else value


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

    `frozen_layers`: 0 trains all; k >= 1 freezes the embeddings and the first k blocks; the model's number of blocks
    leaves only the head; `frozen_decoder_layers` are those of an encoder-decoder's second side. `layers` names the
    blocks that learn instead. Frozen blocks run in eval mode, unless `frozen_dropout` is true. In what is not frozen
    `learn` says which parameters learn, or `adapter` what is put beside them, which then do not.
    """

    leading: ClassVar[str | None] = "name"
    name: str = Field("minilm", min_length=1, description="an alias, a hub id, a folder, or a URL of one")
    revision: str | None = Field(None, description="the hub's branch, tag or commit")
    pretrained: bool = Field(True, description="false starts from random weights")
    frozen_layers: int = Field(0, ge=0)
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
        adapter, whole = self.adapter, self.adapter in ("prefix", "prompt")
        limits = {"frozen_layers": self.frozen_layers > 0, "layers": self.layers is not None}
        limited = next((name for name, given in limits.items() if given), "")
        partial = f"adapter {adapter}" if adapter != "none" else f"learn {self.learn}"
        return {
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


class Training(Setting):
    """How it is trained. A step of the trial is an evaluation, counted from 1."""

    epochs: int = Field(3, ge=0, description="0 evaluates once what is not trained")
    evaluations_per_epoch: int = Field(1, ge=1)
    optimizer: Literal["adamw", "adam", "sgd", "adafactor"] = "adamw"
    learning_rate: float = Field(5e-5, gt=0)
    weight_decay: float = Field(0.01, ge=0, description="decoupled; none on biases and norms")
    l1: float = Field(0.0, ge=0, description="draws weights to exactly 0, decoupled; none on biases and norms")
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="the learning rate shrinks so from block to block downwards"
    )
    unfreeze_every: int | None = Field(None, ge=1, description="epochs after which one more block learns, from the top")
    momentum: Share = Field(0.9, description="of sgd")
    lr_scheduler: Literal["linear", "cosine", "constant"] = "linear"
    warmup_ratio: Share = 0.0
    warmup_steps: int = Field(0, ge=0, description="optimizer steps; instead of warmup_ratio")
    batch_size: int = Field(16, ge=1)
    gradient_accumulation_steps: int = Field(1, ge=1, description="batches to one optimizer step")
    max_grad_norm: float = Field(1.0, ge=0, description="0 does not clip")
    label_smoothing: Share = 0.0
    class_weights: Literal["none", "balanced"] = "none"
    augmentation: Literal["none", "flip", "crop", "flip_crop"] = Field(
        "none", description="of images that are trained on: mirrored by chance, shifted by up to an eighth, or both"
    )
    stop: int | None = Field(None, ge=1, description="ends after so many evaluations of the whole schedule")
    early_stopping_patience: int | None = Field(None, ge=1, description="evaluations without a better val_loss")
    gradient_checkpointing: bool = Field(False, description="compute blocks twice, to keep less of them in memory")
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "auto"
    eval_batch_size: int = Field(64, ge=1)
    seed: int | None = Field(None, ge=0, description="null takes the study's")

    @model_validator(mode="after")
    def _one_warmup(self) -> Self:
        if self.warmup_ratio and self.warmup_steps:
            raise ValueError("warmup_ratio and warmup_steps are both set; keep one")
        return self


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
            if adapter in ("prefix", "prompt") and getattr(training, name) != Training.model_fields[name].default:
                raise ValueError(f"training.{name} is of blocks that learn, and with adapter {adapter} none does")
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
