"""Which cores each worker of a launch computes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from moves import spec

from hpo.config import Config
from hpo.launch import cores
from hpo.launch.local import Crew, Launch
from hpo.store import Store

Machine = Callable[..., Path]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    """A machine of so many cores, the second half of which are second threads of the first; perhaps a quota."""

    def make(number: int, quota: str | None = None) -> Path:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(number)))
        for core in range(number):
            folder = tmp_path / f"cpu{core}" / "topology"
            folder.mkdir(parents=True)
            (folder / "physical_package_id").write_text("0\n")
            (folder / "core_id").write_text(f"{core % (number // 2)}\n")
        if quota:
            (tmp_path / "cpu.max").write_text(f"{quota}\n")
        monkeypatch.setattr(cores, "_QUOTA", tmp_path / "cpu.max")
        return tmp_path

    return make


def test_workers_have_cores_of_their_own_threads_of_one_core_together(machine: Machine) -> None:
    topology = machine(8)
    assert [cores.share(slot, 4, topology) for slot in range(4)] == [{0, 4}, {1, 5}, {2, 6}, {3, 7}]
    assert [cores.share(slot, 3, topology) for slot in range(3)] == [{0, 4}, {1, 5}, {2, 6}]
    assert cores.threads(4) == 2


@pytest.mark.parametrize("workers", [1, 9])
def test_one_worker_and_more_than_there_are_cores_are_free(machine: Machine, workers: int) -> None:
    assert cores.share(0, workers, machine(8)) is None
    assert cores.threads(9) == 1


@pytest.mark.parametrize(("quota", "count"), [("250000 100000", 2), ("50000 100000", 1), ("max 100000", 8), ("", 8)])
def test_a_container_has_the_cores_whose_time_it_is_granted(machine: Machine, quota: str, count: int) -> None:
    topology = machine(8, quota)
    assert cores.count() == count
    assert (cores.share(0, 2, topology) is None) == (count < 8)


def test_cores_of_which_nothing_is_known_are_taken_by_number(machine: Machine, tmp_path: Path) -> None:
    machine(4)
    assert cores.share(1, 2, tmp_path / "none") == {2, 3}


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core has nothing to share out")
@pytest.mark.parametrize("by_hand", [False, True])
def test_launched_workers_keep_to_their_cores_unless_shared_out_by_hand(
    store: Store, config: Config, monkeypatch: pytest.MonkeyPatch, by_hand: bool
) -> None:
    if not by_hand:
        monkeypatch.delenv("OMP_NUM_THREADS")
    store.create(spec())
    crew = Crew(Launch(config, store, "toy", 2, []))
    try:
        crew.start(0)
        crew.start(1)
        one, other = (os.sched_getaffinity(child.process.pid) for child in crew.children)
    finally:
        crew.kill()
    assert one == other if by_hand else not one & other
