"""Checkpoints: whole or not at all, on a disk and elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import fsspec  # type: ignore[import-untyped]
import pytest
import torch

from objectives import checkpoint
from objectives.checkpoint import Checkpoints
from objectives.evaluation import Snapshot


@pytest.fixture(params=["disk", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    yield str(tmp_path / "study/7") if request.param == "disk" else "memory://study/7"
    fsspec.filesystem("memory").store.clear()


def snapshot(step: int) -> Snapshot:
    tensors = {"weight": torch.arange(6, dtype=torch.float32).reshape(2, 3) / 7 + step, "count": torch.tensor(step)}
    return Snapshot(tensors, {"progress": {"steps": step, "best": 0.1}}, {"threads": 1})


def test_the_newest_is_read_back_to_the_bit(folder: str) -> None:
    kept = Checkpoints(folder)
    assert kept.newest() is None
    for step in (1, 12):
        kept.save(step, snapshot(step))
    found = kept.newest()
    assert found is not None
    assert found[0] == 12
    assert (found[1].values, found[1].facts) == (snapshot(12).values, snapshot(12).facts)
    assert {name: tensor.tolist() for name, tensor in found[1].tensors.items()} == {
        name: tensor.tolist() for name, tensor in snapshot(12).tensors.items()
    }


def test_a_state_without_tensors_needs_no_torch(folder: str) -> None:
    Checkpoints(folder).save(3, Snapshot({}, {"step": 3}))
    assert Checkpoints(folder).newest() == (3, Snapshot({}, {"step": 3}))


def test_one_checkpoint_is_kept_and_none_after_clearing(folder: str) -> None:
    kept = Checkpoints(folder)
    kept.save(1, snapshot(1))
    kept.save(2, snapshot(2))
    files, root = fsspec.url_to_fs(folder)
    assert len(files.ls(root, detail=False)) == 1
    assert checkpoint.trials(folder.rpartition("/")[0]) == ["7"]
    kept.clear()
    kept.clear()
    assert checkpoint.trials(folder.rpartition("/")[0]) == []


def test_an_attempt_that_was_superseded_takes_nothing_of_its_successors(folder: str) -> None:
    frozen, successor = Checkpoints(folder), Checkpoints(folder, 2)
    frozen.save(3, snapshot(3))
    successor.save(4, snapshot(4))
    frozen.save(9, snapshot(9))
    assert (found := successor.newest()) is not None
    assert found[0] == 4
    successor.save(5, snapshot(5))
    files, root = fsspec.url_to_fs(folder)
    (left,) = files.ls(root, detail=False)
    assert "/0002-000005-" in left


def test_a_name_without_an_attempt_is_of_the_earliest(tmp_path: Path) -> None:
    Checkpoints(str(tmp_path)).save(7, snapshot(7))
    (file,) = tmp_path.iterdir()
    file.rename(tmp_path / file.name.removeprefix("0001-"))
    assert (found := Checkpoints(str(tmp_path)).newest()) is not None
    assert found[0] == 7
    Checkpoints(str(tmp_path)).save(2, snapshot(2))
    assert [path.name[:12] for path in tmp_path.iterdir()] == ["0001-000002-"]


@pytest.mark.parametrize("damage", ["cut off", "altered", "empty"])
def test_a_damaged_file_is_never_read(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    Checkpoints(str(tmp_path)).save(1, snapshot(1))
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes({"cut off": content[:-3], "altered": content, "empty": b""}[damage])
    assert Checkpoints(str(tmp_path)).newest() is None
    assert "is damaged; it is not used" in caplog.text


def test_an_older_whole_one_stands_in_for_a_damaged_one(tmp_path: Path) -> None:
    Checkpoints(str(tmp_path)).save(1, snapshot(1))
    (tmp_path / "0001-000002-0123456789abcdef.safetensors").write_bytes(b"half")
    (tmp_path / "0001-000003-0123456789abcdef.safetensors.part").write_bytes(b"half")
    found = Checkpoints(str(tmp_path)).newest()
    assert found is not None
    assert found[0] == 1


def test_a_disk_that_is_full_leaves_the_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Checkpoints(str(tmp_path))
    kept.save(1, snapshot(1))
    (tmp_path / "full").symlink_to("/dev/full")
    monkeypatch.setattr(checkpoint, "_sync", lambda stream: os.write(os.open("/dev/full", os.O_WRONLY), b"x"))
    with pytest.raises(OSError, match="No space left"):
        kept.save(2, snapshot(2))
    found = kept.newest()
    assert found is not None
    assert found[0] == 1
    assert not list(tmp_path.glob("*.part"))
