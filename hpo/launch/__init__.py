"""One module a place to run workers; a launcher starts them, replaces those that die and returns when all is done."""

from __future__ import annotations

from typing import Protocol

from hpo.launch.local import Launch, local


class Launcher(Protocol):
    """Runs workers until the study is complete or a stop is asked for; raises HpoError where no worker can work."""

    def __call__(self, launch: Launch) -> None: ...


LAUNCHERS: dict[str, Launcher] = {"local": local}
