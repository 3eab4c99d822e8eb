"""YAML as people mean it."""

from __future__ import annotations

import pytest

from hpo import strictyaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("1e-5", 1e-5), ("1E5", 1e5), ("1e3", 1e3), ("-2.5e-1", -0.25), (".5", 0.5), ("5.", 5.0), ("1_000", 1000)),
        *(("3", 3), ("0", 0), ("-3", -3), ("+3", 3), ("true", True), ("False", False), ("~", None), ("null", None)),
        *((word, word) for word in ("no", "on", "yes", "off", "y", "none", "2024-01-01", "12:30", "007", "0x1F", "1e")),
        ("{a: &x [1], b: *x}", {"a": [1], "b": [1]}),
        ("{a: &x {c: 1}, b: {<<: *x, d: 2}}", {"a": {"c": 1}, "b": {"c": 1, "d": 2}}),
    ],
)
def test_words_read_as_people_mean_them(text: str, value: object) -> None:
    found = strictyaml.loads(text, "")
    assert (found, type(found)) == (value, type(value))
