"""YAML as people mean it: `1e-5` is a number, `no` is text, and nothing is written twice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from hpo.errors import SpecError

_PLAIN = {
    "null": (r"~|null|Null|NULL|", "~nN\0"),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?(?:0|[1-9][0-9_]*)", "-+0123456789"),
    "float": (
        r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9][0-9_]*(?=[eE]))(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
    "merge": (r"<<", "<"),
}
"""How a word without quotes reads, by type, and how it may begin; all else is text (YAML 1.1 reads `1e-5` as text,
`no` as false and `2024-01-01` as a date)."""


def _resolvers() -> dict[str | None, list[tuple[str, re.Pattern[str]]]]:
    table: dict[str | None, list[tuple[str, re.Pattern[str]]]] = {}
    for name, (pattern, starts) in _PLAIN.items():
        for start in starts:
            key = "" if start == "\0" else start
            table.setdefault(key, []).append((f"tag:yaml.org,2002:{name}", re.compile(f"(?:{pattern})$")))
    return table


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = _resolvers()

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping, refused where a key is no text or stands twice."""
        seen = set()
        for key, _ in node.value:
            if key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
                raise _problem(f"the key {_written(key)} is not text; put it in quotes", key)
            if key.value in seen:
                raise _problem(f"{key.value} is given twice; keep one", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep=True)

    def plain_mapping(self, node: yaml.MappingNode) -> dict[Any, Any]:
        return self.construct_mapping(node, deep=True)

    def plain_sequence(self, node: yaml.SequenceNode) -> list[Any]:
        return self.construct_sequence(node, deep=True)

    def undefined(self, node: yaml.Node) -> None:
        raise _problem(f"the tag {node.tag.replace('tag:yaml.org,2002:', '!!')} is not allowed; remove it", node)


_Loader.yaml_constructors = {
    "tag:yaml.org,2002:null": yaml.SafeLoader.construct_yaml_null,
    "tag:yaml.org,2002:bool": yaml.SafeLoader.construct_yaml_bool,
    "tag:yaml.org,2002:int": yaml.SafeLoader.construct_yaml_int,
    "tag:yaml.org,2002:float": yaml.SafeLoader.construct_yaml_float,
    "tag:yaml.org,2002:str": yaml.SafeLoader.construct_yaml_str,
    "tag:yaml.org,2002:map": _Loader.plain_mapping,
    "tag:yaml.org,2002:seq": _Loader.plain_sequence,
    None: _Loader.undefined,
}


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers = _resolvers()

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        """On one line where it is short and holds nothing deeper."""
        node = super().represent_mapping(tag, mapping, flow_style)
        node.flow_style = node.flow_style and sum(len(k.value) + len(str(v.value)) + 4 for k, v in node.value) < 100
        return node


_Dumper.add_representer(float, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:float", repr(value)))


def _problem(text: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=text, problem_mark=node.start_mark)


def _written(node: yaml.Node) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else "in brackets"


def read(path: Path) -> Any:
    """What a file holds; raises SpecError, one line with file, line and column."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8 text") from error
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    return loads(text, str(path))


def loads(text: str, source: str) -> Any:
    """What a text holds, None where it holds nothing; `source` leads the SpecError."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader with fewer types
    except yaml.MarkedYAMLError as error:
        raise SpecError(f"{source}{_place(error.problem_mark)}: {_plainly(error)}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SpecError(f"{source}:{line}: the character {error.character:#x} is not allowed; remove it") from error
    except (ValueError, KeyError) as error:
        raise SpecError(f"{source}: a value cannot be read; remove its !!tag or shorten it") from error
    except RecursionError as error:
        raise SpecError(f"{source}: brackets are nested too deeply") from error


def dumps(tree: Any) -> str:
    """YAML that `loads` reads back unchanged."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)


def _place(mark: yaml.Mark | None) -> str:
    return f":{mark.line + 1}:{mark.column + 1}" if mark else ""


def _plainly(error: yaml.MarkedYAMLError) -> str:
    problem = (error.problem or "cannot be read").replace("\n", " ")
    if problem.startswith("but "):
        problem = f"{error.context} {problem}"
    return "a tab stands where YAML wants spaces; indent with spaces" if r"'\t'" in problem else problem
