"""What is on this machine, as commands answer it."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict


class Finding(TypedDict):
    """One thing that was looked at; `mend` says what to do where it is not ok."""

    check: str
    state: Literal["ok", "warning", "wrong"]
    found: str
    mend: str | None


class Cache(TypedDict):
    """Frozen states and tokens, and the copies of models of URLs."""

    folder: str
    files: int
    bytes: int
    limit_bytes: int
    last_used: str | None
    models_folder: str
    models: int
    models_bytes: int
    models_last_used: str | None


class Server(TypedDict):
    """`server` is `embedded`, or the URL of your own, of which `schema` is the version of hpo's tables."""

    server: str
    running: bool
    postgresql: str | None
    kept: NotRequired[bool]
    in_use: NotRequired[bool]
    port: NotRequired[int | None]
    pid: NotRequired[int | None]
    data: NotRequired[str | None]
    schema: NotRequired[str]
