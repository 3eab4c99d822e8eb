"""Files shared by processes: built once, whole or not at all, the least used removed first."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest
from support import wait_until

from objectives.cache import Cache
from objectives.evaluation import unheeded

BUILDER = """
import sys, time
from pathlib import Path
from objectives.cache import Cache
from objectives.evaluation import unheeded
cache = Cache(Path(sys.argv[1]), limit=1000)
Path(sys.argv[2]).touch()
with cache.building("group", unheeded) as alone:
    if cache.find("states") is None:
        with cache.write("states", 3) as stream:
            while not Path(sys.argv[3]).exists():
                time.sleep(0.01)
            stream.write(b"abc")
        print("built", alone)
"""


def put(cache: Cache, name: str, content: bytes = b"abc") -> Path:
    with cache.write(name, len(content)) as stream:
        stream.write(content)
    found = cache.find(name)
    assert found is not None
    return found


def names(cache: Cache) -> list[str]:
    return [entry.path.name.partition("-")[0] for entry in cache.entries()]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    cache = Cache(tmp_path / "cache", limit=10)
    cache.folder.mkdir()
    return cache


def used(path: Path, seconds: float) -> None:
    os.utime(path, (seconds, path.stat().st_mtime))


def test_what_is_written_is_found(cache: Cache) -> None:
    assert cache.find("states") is None
    path = put(cache, "states")
    assert path.read_bytes() == b"abc"
    assert cache.find("state") is None
    assert [entry.size for entry in cache.entries()] == [3]


@pytest.mark.parametrize("content", [b"ab", b"abd", b"", b"abcd"])
def test_a_damaged_file_is_removed(cache: Cache, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path = put(cache, "states")
    path.write_bytes(content)
    assert cache.find("states") is None
    assert not path.exists()
    assert "damaged" in caplog.text
    assert put(cache, "states").read_bytes() == b"abc"


def test_a_block_that_fails_leaves_nothing(cache: Cache) -> None:
    def fail() -> None:
        with cache.write("states", 3) as stream:
            stream.write(b"ab")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(cache.folder.iterdir()) == []


def test_what_was_not_used_for_longest_makes_room(cache: Cache) -> None:
    paths = {name: put(cache, name) for name in ("old", "older", "new")}
    for seconds, name in enumerate(("older", "old", "new")):
        used(paths[name], seconds)
    put(cache, "next")
    assert names(cache) == ["old", "new", "next"]
    assert cache.find("old")
    put(cache, "last", b"abcd")
    assert names(cache) == ["next", "old", "last"]


def test_half_a_file_counts_and_stays(cache: Cache) -> None:
    put(cache, "old")
    with cache.write("first", 4) as one, cache.write("second", 5) as two:
        one.write(b"abcd")
        two.write(b"abcde")
        assert [name.partition(".")[0] for name in names(cache)] == ["first", "second"]
    assert sorted(names(cache)) == ["first", "second"]


def test_two_who_write_one_file_do_not_meet(cache: Cache) -> None:
    with cache.write("states", 5) as one:
        one.write(b"ab")
        with cache.write("states", 5) as two:
            two.write(b"abcde")
        one.write(b"cde")
        assert [path.read_bytes() for path in cache.folder.glob("*.safetensors")] == [b"abcde"]
    assert [entry.path.read_bytes() for entry in cache.entries()] == [b"abcde"]
    assert cache.find("states")


def test_what_a_killed_writer_left_makes_room_first(cache: Cache) -> None:
    put(cache, "old")
    left = cache.folder / "states.1-00000000.part"
    left.write_bytes(b"abcdef")
    put(cache, "new")
    assert names(cache) == ["old", "new"]


def test_a_part_swept_before_it_is_locked_is_begun_anew(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, swept = fcntl.flock, list[Path]()

    def late(stream: BinaryIO, how: int) -> None:
        if not swept:
            swept.append(Path(stream.name))
            swept[0].unlink()
        lock(stream, how)

    monkeypatch.setattr(fcntl, "flock", late)
    assert put(cache, "states").read_bytes() == b"abc"
    assert swept


def test_without_a_limit_it_is_a_share_of_the_free_disk(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path)
    room = Cache(tmp_path / "not" / "there").room()
    assert 0.05 * free.f_bavail * free.f_frsize < room < 0.25 * free.f_blocks * free.f_frsize


def test_a_full_disk_is_noticed_before_anything_is_computed(cache: Cache) -> None:
    free = os.statvfs(cache.folder)
    with (
        pytest.raises(OSError, match=r"space|large"),
        cache.write("states", free.f_blocks * free.f_frsize * 2),
    ):
        pytest.fail("there is no room")
    assert list(cache.folder.iterdir()) == []


def test_two_processes_build_once(cache: Cache, tmp_path: Path) -> None:
    go, ready = tmp_path / "go", [tmp_path / "one", tmp_path / "two"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", BUILDER, str(cache.folder), str(path), str(go)], stdout=subprocess.PIPE, text=True
        )
        for path in ready
    ]
    wait_until(lambda: all(path.exists() for path in ready) and list(cache.folder.glob("*.part")))
    go.touch()
    assert sorted(process.communicate()[0] for process in processes) == ["", "built True\n"]
    assert names(cache) == ["states"]


def test_who_waits_too_long_goes_on_without(cache: Cache) -> None:
    hasty = Cache(cache.folder, patience=0.05)
    with cache.building("group", unheeded) as alone:
        assert alone
        with hasty.building("group", unheeded) as second:
            assert not second
    with hasty.building("group", unheeded) as alone:
        assert alone


def test_who_waits_heeds(cache: Cache) -> None:
    glances = iter([None, None, KeyError("ended")])

    def heed() -> None:
        if error := next(glances):
            raise error

    with cache.building("group", unheeded), pytest.raises(KeyError, match="ended"), cache.building("group", heed):
        pytest.fail("another builds")
    with cache.building("group", unheeded) as alone:
        assert alone


def test_a_killed_builder_leaves_the_lock(cache: Cache, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(cache.folder), str(tmp_path / "ready"), str(tmp_path / "never")]
    )
    wait_until(lambda: list(cache.folder.glob("*.part")))
    process.kill()
    process.wait()
    with cache.building("group", unheeded) as alone:
        assert alone
    assert put(cache, "states").read_bytes() == b"abc"
    assert names(cache) == ["states"]


def test_clear_while_in_use(cache: Cache) -> None:
    path = put(cache, "read")

    def write() -> None:
        with cache.write("written", 3) as stream:
            stream.write(b"abc")
            assert len(cache.clear()) == 2

    with path.open("rb") as reader:
        with pytest.raises(FileNotFoundError):
            write()
        assert reader.read() == b"abc"
    assert cache.entries() == []
    assert put(cache, "written").read_bytes() == b"abc"


def test_a_file_that_is_read_for_its_digest_heeds_and_stays(cache: Cache) -> None:
    """What ends the wait leaves the file as it is; once its digest is known nobody is asked again."""
    with cache.write("states", 3) as stream:
        stream.write(b"abc")

    def heed() -> None:
        raise KeyError("ended")

    with pytest.raises(KeyError, match="ended"):
        cache.find("states", heed)
    assert cache.find("states") is not None
    assert cache.find("states", heed) is not None
