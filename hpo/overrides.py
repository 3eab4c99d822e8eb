"""`--set address=value`: one place of a study file, given on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hpo import strictyaml
from hpo.complaints import nearest, shown
from hpo.errors import SpecError
from hpo.methods import Method
from hpo.ranges import FIELDS
from objectives.settings import KINDS, Setting, Transfer

GROUPS = {*Transfer.model_fields, *KINDS}


def override(tree: dict[str, Any], texts: Sequence[str], known: Sequence[str]) -> dict[str, Any]:
    """The tree of a study file with these places replaced; raises SpecError. `known` are its top-level keys."""
    for text in texts:
        address, equals, written = text.partition("=")
        address = address.strip()
        if not equals or not address or not written.strip():
            raise SpecError(f"--set {text}: is no address=value; write such as --set training.epochs=1")
        value = strictyaml.loads(written, f"--set {address}")
        path = _path(address, known)
        is_range = path[0] == "search" and len(path) == 2
        tree = _unsearched(tree, path[1]) if is_range and value is None else _replaced(tree, path, value, address)
    return tree


def _unsearched(tree: dict[str, Any], address: str) -> dict[str, Any]:
    """The tree of a study that searches everything but this."""
    search = tree.get("search")
    there = list(search) if isinstance(search, dict) else []
    if address not in there:
        raise SpecError(f"--set search.{address}: is not searched; {nearest(address, there)}")
    return tree | {"search": {name: range_ for name, range_ in tree["search"].items() if name != address}}


def place(key: str, source: str, texts: Sequence[str]) -> str:
    """Where a person finds what stands at a key path: in the file `source`, or in one of these `--set` texts."""
    for address in (text.partition("=")[0].strip() for text in texts):
        full = f"objective.{address}" if address.split(".")[0] in GROUPS else address
        if key == full or key.startswith(f"{full}."):
            return f"{_SHORT.get(key, '')}--set {key[len(full) - len(address) :]}"
        if full.startswith(f"{key}.") and key != "objective":
            return f"--set {address}"
    return f"{source}: {key}" if key else source


_SHORT = {"study": "--as or ", "trials": "--trials or "}
"""Options of `hpo launch` that say the same as a `--set`."""


def _path(address: str, known: Sequence[str]) -> list[str]:
    """The keys that lead to an address; those of settings may leave `objective` out."""
    first, *rest = address.split(".")
    if first in GROUPS:
        return ["objective", first, *rest]
    if first not in known:
        raise SpecError(f"--set {address}: unknown setting; {nearest(first, [*known, *sorted(GROUPS)])}")
    if first == "search" and rest:
        return ["search", ".".join(rest[:-1]), rest[-1]] if rest[-1] in FIELDS else ["search", ".".join(rest)]
    return [first, *rest]


def _replaced(tree: Any, path: list[str], value: Any, address: str) -> Any:
    if not path:
        return value
    group = {} if tree is None else tree
    leading = _leading(address)
    if isinstance(group, str) and leading:  # a bare word stands for its mapping
        group = {leading: group}
    if not isinstance(group, dict):
        raise SpecError(f"--set {address}: {shown(group)} has no {path[0]}; set the whole of it")
    return group | {path[0]: _replaced(group.get(path[0]), path[1:], value, address)}


def _leading(address: str) -> str | None:
    """The field that a bare word stands for in the group an address names."""
    first = address.removeprefix("objective.").split(".")[0]
    if first in ("sampler", "pruner"):
        return Method.leading
    group = Transfer.model_fields[first].annotation if first in Transfer.model_fields else None
    return group.leading if isinstance(group, type) and issubclass(group, Setting) else None
