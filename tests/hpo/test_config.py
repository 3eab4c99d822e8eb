"""Where settings come from: flags, the environment, the defaults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpo.config import VARIABLES, Config, load
from hpo.errors import HpoError
from objectives.switches import PIECES

Run = Callable[..., Any]
FULL = {
    "HPO_DATABASE_URL": "postgresql://one@here/studies",
    "HPO_HOME": "/there",
    "HPO_DATA_ROOT": "/data",
    "HPO_PG_BIN": "/pg/bin",
    "HPO_PG_USER": "nobody",
    "CUDA_VISIBLE_DEVICES": "1,0",
    "HPO_BEAT": "0.5",
    "HPO_GRACE": "2.5",
    "HPO_PATIENCE": "7",
    "HPO_ALLOW_CODE": "1",
    "HPO_CACHE": "/fast/cache",
    "HPO_CACHE_SIZE": "20GB",
    "HPO_LEAN_OFF": "sdpa, first_token",
}


def test_the_environment_gives_every_setting() -> None:
    assert load(FULL) == Config(
        home=Path("/there"),
        database_url="postgresql://one@here/studies",
        data_root=Path("/data"),
        pg_bin=Path("/pg/bin"),
        pg_user="nobody",
        devices="1,0",
        beat=0.5,
        grace=2.5,
        patience=7.0,
        allow_code=True,
        cache=Path("/fast/cache"),
        cache_size=20_000_000_000,
        lean_off=("first_token", "sdpa"),
    )


def test_the_defaults() -> None:
    found = load({})
    assert found == Config(home=found.home)
    assert found.home.name == "hpo"
    assert (found.beat, found.grace, found.patience) == (10.0, 60.0, 300.0)
    assert found.logs == found.home / "logs"
    assert found.caches == found.home / "cache"


SIZES = [("0", 0), ("1000", 1000), ("1.5 MB", 1_500_000), ("2k", 2000), ("3TB", 3 * 10**12)]


@pytest.mark.parametrize(("text", "size"), SIZES)
def test_a_size_is_a_number_of_bytes(text: str, size: int) -> None:
    assert load({"HPO_CACHE_SIZE": text}).cache_size == size


@pytest.mark.parametrize("text", ["much", "-1", "10 XB", "nan"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(HpoError, match=f"HPO_CACHE_SIZE: '{text}' is no size; right is one such as 20GB"):
        load({"HPO_CACHE_SIZE": text})


def test_pieces_are_named_or_all() -> None:
    assert load({"HPO_LEAN_OFF": "all"}).lean_off == PIECES
    assert load({"HPO_LEAN_OFF": " , sdpa,,sdpa"}).lean_off == ("sdpa",)
    with pytest.raises(HpoError) as refused:
        load({"HPO_LEAN_OFF": "sdpa,padding"})
    right = ", ".join(PIECES)
    assert str(refused.value) == f"HPO_LEAN_OFF: 'padding' is no piece of a lean step; right are all, {right}"


@pytest.mark.parametrize(("field", "name"), VARIABLES.items())
def test_empty_means_unset_but_for_the_devices(field: str, name: str) -> None:
    found = load({name: ""})
    assert getattr(found, field) == ("" if field == "devices" else getattr(load({}), field))


@pytest.mark.parametrize(("field", "value"), [("home", "/flag"), ("database_url", "postgresql://flag/x")])
def test_a_flag_comes_before_the_environment(field: str, value: str) -> None:
    assert str(getattr(load(FULL, **{field: value}), field)) == value
    assert str(getattr(load(FULL, **{field: None}), field)) == FULL[VARIABLES[field]]


def test_a_folder_may_be_relative_or_begin_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/people/me")
    assert load({"HPO_HOME": "here"}).home == tmp_path / "here"
    assert load({"HPO_HOME": "~/hpo"}).home == Path("/people/me/hpo")


@pytest.mark.parametrize("name", ["HPO_BEAT", "HPO_GRACE", "HPO_PATIENCE"])
@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf"])
def test_seconds_that_are_none(name: str, value: str) -> None:
    with pytest.raises(HpoError) as refused:
        load({name: value})
    assert str(refused.value) == f"{name}: '{value}' is not a number of seconds above 0"


def test_no_seconds_between_two_checkpoints() -> None:
    assert load({"HPO_CHECKPOINT": "0"}).checkpoint == 0
    with pytest.raises(HpoError, match="HPO_CHECKPOINT: '-1' is not a number of seconds from 0"):
        load({"HPO_CHECKPOINT": "-1"})


def test_a_grace_below_two_beats_is_refused() -> None:
    with pytest.raises(HpoError) as refused:
        load({"HPO_BEAT": "5", "HPO_GRACE": "9.5"})
    assert str(refused.value) == "HPO_GRACE: 9.5 s is less than two beats of 5 s (HPO_BEAT)"
    assert load({"HPO_BEAT": "5", "HPO_GRACE": "10"}).grace == 10


@pytest.mark.parametrize(("beat", "grace"), [("10", 60), ("20", 60), ("30", 90)])
def test_the_grace_grows_with_a_slow_beat(beat: str, grace: float) -> None:
    assert load({"HPO_BEAT": beat}).grace == grace


@pytest.mark.parametrize("environ", [{}, FULL, {"CUDA_VISIBLE_DEVICES": ""}])
def test_a_child_sees_the_same_places(environ: dict[str, str]) -> None:
    found = load(environ)
    assert load(found.environ()) == found
    assert all(isinstance(value, str) for value in found.environ().values())


def test_an_unset_place_is_no_variable() -> None:
    assert set(load({}).environ()) == {"HPO_HOME", "HPO_BEAT", "HPO_GRACE", "HPO_PATIENCE", "HPO_CHECKPOINT"}


def test_a_bad_variable_is_one_line_of_any_command(run: Run) -> None:
    found = run("studies", HPO_BEAT="soon")
    assert (found.code, found.err) == (1, "Error: HPO_BEAT: 'soon' is not a number of seconds above 0\n")
