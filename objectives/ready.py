"""A model made ready: found or fetched, and seen to be one that can be loaded; no torch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from objectives import hub, remote, sources, tokens
from objectives.errors import ModelError
from objectives.evaluation import Heed, unheeded
from objectives.hub import Found
from objectives.settings import Model
from objectives.sources import Source

QUANTIZATION = ("bitsandbytes", "accelerate")
"""What transformers rounds weights with."""
CODE = (
    "--allow-code (of hpo launch, worker and check; allow_code=True in Python) runs it, with all that this account may"
)


def ready(
    model: Model,
    *,
    images: bool = False,
    allow_code: bool = False,
    cache: Path | None = None,
    heed: Heed = unheeded,
) -> Source:
    """Where the model is, a folder if it was behind a URL; raises ModelError where it could not be loaded.

    It is to read `images`, or texts. Code that comes with a model is run only with `allow_code`; here none is run in
    any case. `cache` is the folder for models of URLs; `heed` is called while one is fetched, and may raise.
    """
    _check_packages(model)
    source = located(model, allow_code=allow_code, cache=cache, heed=heed)
    _check(source, model.pretrained, images)
    if source.decoder is not None:
        with sources.of_decoder():
            _check(source.decoder, model.pretrained, images)
        _check_tokens(source, source.decoder)
    return source


def located(model: Model, *, allow_code: bool = False, cache: Path | None = None, heed: Heed = unheeded) -> Source:
    """The same, without a look at what is there; raises ModelError."""
    source = sources.find(model, allow_code=allow_code)
    found = remote.fetched(source, cache, heed) if source.is_url else source
    if source.decoder is None or not source.decoder.is_url:
        return found
    with sources.of_decoder():
        return replace(found, decoder=remote.fetched(source.decoder, cache, heed))


@contextmanager
def in_use(
    model: Model, *, allow_code: bool = False, cache: Path | None = None, heed: Heed = unheeded
) -> Iterator[Source]:
    """The same for the length of the block: a copy of a model behind a URL is not removed within it."""
    while True:
        source = located(model, allow_code=allow_code, cache=cache, heed=heed)
        with ExitStack() as stack:
            both = [source] if source.decoder is None else [source, source.decoder]
            if all(stack.enter_context(remote.held(one)) for one in both):
                yield source
                return


def needs_code(source: Source) -> ModelError:
    """What is said of a model that cannot be loaded without running its code."""
    read = source.where if source.is_folder else f"{hub.endpoint()}/{source.where}"
    return ModelError(
        f"model.name: {source.full_name} comes with Python code of its own, which is not run unless you allow it: "
        f"read it ({read}); {CODE}"
    )


def other_tokens(source: Source, decoder: Source) -> ModelError:
    """What is said of two models whose tokens are not the same."""
    return ModelError(
        f"model.decoder: the tokens of {decoder.full_name} are others than those of {source.full_name}, by whose "
        f"tokenizer texts are read and written; right is a decoder of the same tokenizer, such as the same model twice"
    )


def _check_packages(model: Model) -> None:
    wanted = QUANTIZATION if model.quantization != "none" else ()
    if absent := [name for name in wanted if find_spec(name) is None]:
        raise ModelError(
            f"model.quantization: {model.quantization} needs the extra quantization; pip install {' '.join(absent)}"
        )


def _check(source: Source, pretrained: bool, images: bool) -> None:
    found = _in_folder(source) if source.is_folder else hub.found(source)
    _check_files(source, found, pretrained)
    _check_reads(source, found, images)
    _check_architecture(source, found)


def _check_tokens(source: Source, decoder: Source) -> None:
    """Refuse two vocabularies, where both are here; others are compared when they are loaded."""
    read, written = tokens.vocabulary(source), tokens.vocabulary(decoder)
    if read is not None and written is not None and read != written:
        raise other_tokens(source, decoder)


def _in_folder(source: Source) -> Found:
    folder = Path(source.where)
    try:
        files = frozenset(path.name for path in folder.iterdir() if path.is_file())
        config = json.loads((folder / "config.json").read_text("utf-8")) if "config.json" in files else {}
    except OSError as error:
        raise ModelError(f"model.name: {error.filename} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ModelError(f"model.name: {folder / 'config.json'} is broken JSON: {error}") from None
    return Found(config if isinstance(config, dict) else {}, files)


def _check_files(source: Source, found: Found, pretrained: bool) -> None:
    if not found.config:
        raise ModelError(f"model.name: {source.full_name} has no config.json; right is a model of transformers")
    if not pretrained or any(name.endswith(".safetensors") for name in found.files):
        return
    if not found.complete:
        raise hub.out_of_reach(source)
    others = sorted(name for name in found.files if name.endswith((".bin", ".h5", ".msgpack", ".pt", ".pth")))
    seen = f"its weights are {', '.join(others[:3])}, which are not read" if others else "it has no weights"
    raise ModelError(
        f"model.name: cannot load {source.full_name}: {seen}; there is no file named model.safetensors: take another "
        f"model.revision or model, or save it anew with save_pretrained"
    )


def _check_reads(source: Source, found: Found, images: bool) -> None:
    """Refuse a model of texts where images are read, and the other way round, as far as its files say it."""
    of_images, of_texts = not found.files.isdisjoint(_PROCESSORS), any(map(_of_tokenizer, found.files))
    if of_images in (of_texts, images) or not found.complete:
        return
    its, wanted = ("images", "texts") if of_images else ("texts", "images")
    right = "google/vit-base-patch16-224 or microsoft/resnet-50" if images else "minilm or distilbert"
    raise ModelError(f"model.name: {source.full_name} reads {its}, and the task {wanted}; right is such as {right}")


_PROCESSORS = ("preprocessor_config.json", "processor_config.json")


def _of_tokenizer(name: str) -> bool:
    return name.startswith(("tokenizer", "vocab", "merges")) or name.endswith(".model")


def _check_architecture(source: Source, found: Found) -> None:
    """Refuse an architecture that transformers has not, and that code of its own would have to bring."""
    kind, known = found.config.get("model_type"), _architectures()
    if source.allow_code or kind in known or not known:
        return
    if "AutoConfig" in (found.config.get("auto_map") or {}):
        raise needs_code(source)
    raise ModelError(
        f"model.name: cannot load {source.full_name}: transformers {version('transformers')} does not know its "
        f"architecture {kind!r}; a newer one may, else choose another model"
    )


@lru_cache(maxsize=1)
def _architectures() -> frozenset[str]:
    """The architectures of the installed transformers, and other words, without importing it; none where it keeps
    them elsewhere."""
    spec = find_spec("transformers")
    if spec is None or spec.origin is None:
        return frozenset()
    lists = [Path(spec.origin).parent / "models" / "auto" / name for name in _LISTS]
    texts = [path.read_text("utf-8") for path in lists if path.is_file()]
    return frozenset(name for text in texts for name in re.findall(r'"([\w.-]+)"', text))


_LISTS = ("auto_mappings.py", "configuration_auto.py")
