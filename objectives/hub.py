"""The hub: what is there of a model, and in one line what keeps one from it; no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from objectives.errors import ModelError, without_login
from objectives.sources import Source, nearest
from objectives.tables import first_line

Kind = Literal["model", "dataset"]

_TOKENIZER = "tokenizer.json"


@dataclass(frozen=True)
class Found:
    """What a model is made of: its `config.json` and the names of its files, `complete` unless only some are here."""

    config: Mapping[str, Any]
    files: frozenset[str]
    complete: bool = True


def found(source: Source) -> Found:
    """The model of a hub id, from the hub or, where that cannot be asked, from its cache; raises ModelError.

    Its configuration and its tokenizer, a few MB at most, are in the cache afterwards.
    """
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    wanted: dict[str, Any] = {"repo_id": source.where, "revision": source.revision}
    with quiet():
        try:
            config = Path(hf_hub_download(filename="config.json", **wanted))
        except (OSError, ValueError, EntryNotFoundError) as error:
            if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
                return Found({}, frozenset())
            raise _refused(source, error) from error
        try:
            files, complete = frozenset(HfApi().list_repo_files(**wanted)), True
            if _TOKENIZER in files:
                hf_hub_download(filename=_TOKENIZER, **wanted)
        except Exception as error:  # of its client's, which has changed before
            if _reason(error, "model", source.where, source.revision):
                raise _refused(source, error) from error
            files, complete = frozenset(path.name for path in config.parent.iterdir()), False
    return Found(_json(config), files, complete)


def out_of_reach(source: Source) -> ModelError:
    """What to do where the hub cannot be asked and the model is not in its cache."""
    from huggingface_hub import constants

    offline = f"HF_HUB_OFFLINE is set, so {endpoint()} is not asked" if constants.is_offline_mode() else None
    seen = f"{offline or f'{endpoint()} cannot be reached'}, and {constants.HF_HUB_CACHE} has not all of it"
    download = f"hf download {source.where} --local-dir FOLDER"
    near = nearest(source.where)
    hint = f"; did you mean {near}?" if near else ""
    return ModelError(
        f"model.name: cannot load {source.full_name}: {seen}; {download} on a machine that has a network, and give "
        f"model.name the folder, or name a mirror by HF_ENDPOINT{hint}"
    )


def cached(source: Source, name: str) -> Path | None:
    """A file of a model of the hub, where the cache has it; the hub is not asked."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        path = try_to_load_from_cache(source.where, name, revision=source.revision)
    except HFValidationError:
        return None
    return Path(path) if isinstance(path, str) else None


def commit(source: Source) -> str | None:
    """The commit that a model's revision stands for in the cache, where it has one; the hub is not asked."""
    config = cached(source, "config.json")
    return config.parent.name if config else None


def explain(error: BaseException, kind: Kind, name: str, revision: str | None) -> str | None:
    """Why the hub does not give a model or data set, and what to do; None for an error that is not the hub's.

    `datasets` and `transformers` wrap what the hub said: the errors behind this one are looked at, too.
    """
    seen: list[BaseException] = []
    while error not in seen:
        seen.append(error)
        if reason := _reason(error, kind, name, revision):
            return reason
        error = error.__cause__ or error.__context__ or error
    return None


def why_no_data_set(name: str, revision: str | None) -> str | None:
    """What the hub says to a request for a data set; None where it refuses nothing or cannot be asked."""
    from huggingface_hub import hf_hub_download

    with quiet():
        try:
            hf_hub_download(name, "README.md", repo_type="dataset", revision=revision)
        except Exception as error:  # of its client's
            return explain(error, "dataset", name, revision)
    return None


def endpoint() -> str:
    """The hub's address, without a login."""
    from huggingface_hub import constants

    return without_login(constants.ENDPOINT)


def answer() -> int:
    """The code with which the hub answers; raises what its client does where it cannot be reached."""
    from huggingface_hub import constants, get_session

    return int(get_session().head(constants.ENDPOINT, timeout=10).status_code)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and warnings of the hub's client."""
    from huggingface_hub.utils import logging
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    level, bars = logging.get_verbosity(), not are_progress_bars_disabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            enable_progress_bars()


def _refused(source: Source, error: Exception) -> ModelError:
    if reason := explain(error, "model", source.where, source.revision):
        return ModelError(f"model.name: cannot load {source.full_name}: {reason}")
    if isinstance(error, ValueError) and not isinstance(error, OSError):  # no id at all, of too many parts say
        return ModelError(f"model.name: {source.full_name} is no id of the hub: {first_line(error)}")
    return out_of_reach(source)


def _reason(error: BaseException, kind: Kind, name: str, revision: str | None) -> str | None:
    from huggingface_hub import errors

    setting = "model.revision" if kind == "model" else "data.revision"
    login = "hf auth login, or set HF_TOKEN"
    if isinstance(error, errors.GatedRepoError):
        page = f"{endpoint()}/{'datasets/' * (kind == 'dataset')}{name}"
        return f"it is gated; accept its terms at {page}, then {login} to a token of the same account"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"it has no revision {revision!r}; right is a branch, tag or commit, or leave {setting} out"
    if isinstance(error, errors.RepositoryNotFoundError):
        near = nearest(name) if kind == "model" else None
        hint = f"; did you mean {near}?" if near else ""
        return f"{endpoint()} has no such {_WORDS[kind]}, or it is private: {login}{hint}"
    if isinstance(error, errors.DisabledRepoError):
        return f"{endpoint()} has disabled it; choose another"
    if isinstance(error, errors.HfHubHTTPError) and error.response.status_code in (401, 403):
        return f"{endpoint()} refuses the token; mend HF_TOKEN, or hf auth login anew"
    return None


_WORDS: dict[Kind, str] = {"model": "model", "dataset": "data set"}


def _json(path: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"model.name: {path} cannot be read: {error}; remove it, and it is fetched again") from None
    return config if isinstance(config, dict) else {}
