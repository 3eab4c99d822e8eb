"""Which CUDA devices workers get, as a program named nvidia-smi tells them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpo.config import Config
from hpo.errors import HpoError
from hpo.launch.devices import Device, allowed, crowded, roomy
from hpo.launch.local import Launch, local
from hpo.spec import StudySpec
from hpo.store import Store

Driver = Callable[..., None]
Run = Callable[..., Any]
QUERY = "--query-gpu=index,memory.free,memory.total --format=csv,noheader,nounits"


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """Put a driver on PATH that says these lines; none removes it."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))

    def install(*lines: str, code: int = 0) -> None:
        said = "\n".join(lines)
        program = programs / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n[ \"$*\" = '{QUERY}' ] || exit 9\necho '{said}'\nexit {code}\n")
        program.chmod(0o755)

    return install


def names(found: list[Device]) -> list[str]:
    return [device.name for device in found]


def test_all_devices_with_their_free_share(driver: Driver) -> None:
    driver("0, 60000, 80000", "1, 8000, 80000")
    assert allowed(None, None) == [Device("0", 0.75), Device("1", 0.1)]


@pytest.mark.parametrize(
    ("visible", "wanted", "found"),
    [
        (None, "2,0", ["2", "0"]),
        (None, " 1 , 2 ,", ["1", "2"]),
        (None, "0,0", ["0", "0"]),
        ("1", None, ["1"]),
        ("2,1", None, ["2", "1"]),
        ("2,1", "1", ["1"]),
        ("", None, []),
        ("  ", None, []),
        ("GPU-8932f937-d72c", None, ["GPU-8932f937-d72c"]),
        ("GPU-8932f937-d72c", "GPU-8932f937-d72c", ["GPU-8932f937-d72c"]),
    ],
)
def test_the_flag_and_the_variable_limit_them(
    driver: Driver, visible: str | None, wanted: str | None, found: list[str]
) -> None:
    driver("0, 1, 1", "1, 1, 1", "2, 1, 1")
    assert names(allowed(visible, wanted)) == found


@pytest.mark.parametrize(
    ("visible", "wanted", "line"),
    [
        (None, "3", "--devices 3: no device 3 here (there is: 0, 1)"),
        (None, "0,cuda", "--devices 0,cuda: no device cuda here (there is: 0, 1)"),
        ("1", "0", "--devices 0: no device 0 here (there is: 1)"),
        ("0,7", "7", "--devices 7: no device 7 here (there is: 0, 7)"),
        ("", "0", "--devices 0: CUDA_VISIBLE_DEVICES is empty here, which hides every device"),
    ],
)
def test_a_device_that_is_not_there(driver: Driver, visible: str | None, wanted: str, line: str) -> None:
    driver("0, 1, 1", "1, 1, 1")
    with pytest.raises(HpoError) as refused:
        allowed(visible, wanted)
    assert str(refused.value) == line


def test_without_a_driver_there_are_no_devices(driver: Driver) -> None:
    assert allowed(None, None) == []
    assert allowed("0,1", None) == []
    with pytest.raises(HpoError, match=r"^--devices 0: no device 0 here \(the driver names none; .* CPU\)$"):
        allowed(None, "0")


@pytest.mark.parametrize(
    ("lines", "code"), [(["NVIDIA-SMI has failed"], 9), (["No devices were found"], 0), (["0, 1, 1"], 6)]
)
def test_a_driver_that_fails_has_no_devices(driver: Driver, lines: list[str], code: int) -> None:
    driver(*lines, code=code)
    assert allowed(None, None) == []


@pytest.mark.parametrize("memory", ["[N/A], [N/A]", "0, 0"])
def test_a_driver_that_cannot_tell_the_memory_is_believed(driver: Driver, memory: str) -> None:
    driver(f"0, {memory}")
    assert allowed(None, None) == [Device("0", 1.0)]


def test_a_nearly_full_device_is_skipped() -> None:
    found, said = roomy([Device("0", 0.5), Device("1", 0.06), Device("2", 0.1)])
    assert names(found) == ["0", "2"]
    assert said == ["device 1 is skipped: only 6% of its memory is free"]


def test_workers_that_share_a_device_are_told_of_mps_where_it_does_not_run(tmp_path: Path) -> None:
    two = [Device("0"), Device("1")]
    assert "nvidia-cuda-mps-control -d" in str(crowded(two, 3, tmp_path))
    assert "take turns" in str(crowded([two[0], two[0]], 2, tmp_path))
    assert crowded(two, 2, tmp_path) is None
    assert crowded([], 8, tmp_path) is None
    (tmp_path / "control").touch()
    assert crowded(two, 3, tmp_path) is None


@pytest.mark.parametrize("devices", [[], [Device("0", 0.01), Device("1", 0.02)]])
def test_where_none_has_room_all_are_used(devices: list[Device]) -> None:
    assert roomy(devices) == (devices, [])


@pytest.mark.parametrize(
    ("devices", "seen"),
    [([Device("2"), Device("GPU-b")], {"2": 2, "GPU-b": 1}), ([], {None: 3})],
    ids=["in turn", "none"],
)
def test_workers_get_devices_in_turn(
    store: Store, config: Config, devices: list[Device], seen: dict[str | None, int]
) -> None:
    """As the kernel shows the environment that each worker was started with."""
    study = {"study": "turns", "objective": {"simulated": {}}, "search": {"simulated.dropout": [0.1]}, "trials": 1}
    store.create(StudySpec.from_dict(study))
    given: dict[str, str | None] = {}

    def look() -> None:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_text().split("\0")
                environ = dict(line.split("=", 1) for line in (process / "environ").read_text().split("\0") if line)
            except OSError:
                continue
            if "hpo.worker" in command and str(os.getpid()) in command:
                given[process.name] = environ.get("CUDA_VISIBLE_DEVICES")

    local(Launch(config, store, "turns", 3, devices, watch=look))
    assert {device: list(given.values()).count(device) for device in given.values()} == seen


def test_a_launch_says_which_device_it_skips(driver: Driver, run: Run) -> None:
    driver("0, 1, 100", "1, 90, 100")
    found = run("launch", "-s", "nowhere.yaml")
    assert (found.code, found.err) == (
        1,
        "device 0 is skipped: only 1% of its memory is free\nError: nowhere.yaml: no such study file\n",
    )


def test_a_launch_on_a_device_that_is_not_there(driver: Driver, run: Run) -> None:
    driver("0, 90, 100")
    found = run("launch", "-s", "nowhere.yaml", "--devices", "4")
    assert (found.code, found.err) == (1, "Error: --devices 4: no device 4 here (there is: 0)\n")
