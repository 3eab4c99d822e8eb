"""What `training.precision: auto` means: measured once, kept, and obeyed by who adopts a trial."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from objectives import devices, gain, settings, trial
from objectives.errors import ObjectiveError
from objectives.evaluation import Result
from objectives.host import Host

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    gain._kept.cache_clear()
    yield
    gain._kept.cache_clear()


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], list[float]]:
    """Let a measurement find this, and note each."""

    def found(times: float) -> list[float]:
        taken: list[float] = []
        monkeypatch.setattr(gain, "measured", lambda *_: taken.append(times) or times)
        return taken

    return found


def test_a_real_measurement_leaves_the_process_as_it_was() -> None:
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    assert 0 < gain.measured("cpu", torch.bfloat16) < 100
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("times", "precision"), [(0.05, "fp32"), (1.19, "fp32"), (1.2, "bf16"), (3.0, "bf16")])
def test_auto_goes_by_the_gain(found: Callable[[float], list[float]], times: float, precision: str) -> None:
    found(times)
    assert devices.machine("cpu", "auto").precision == precision
    assert devices.machine("cpu", "fp32").precision == "fp32"
    assert f"auto is {precision} on " in devices.explained()
    assert f"bf16 is {times:.2f} times as fast as fp32" in devices.explained()


def test_the_first_answer_stays(found: Callable[[float], list[float]], tmp_path: Path) -> None:
    folder = tmp_path / "measured"
    first = found(1.5)
    assert devices.automatic(CPU, folder) == "bf16"
    assert devices.automatic(CPU, folder) == "bf16"
    assert len(first) == 1
    gain._kept.cache_clear()  # as another process, on a busier day
    assert (found(0.9), devices.automatic(CPU, folder)) == ([], "bf16")
    (key,) = json.loads((folder / gain.FILE).read_text())
    assert key == f"{gain.named(CPU)}, torch {torch.__version__}, bfloat16"


def test_another_device_or_version_is_measured_anew(found: Callable[[float], list[float]], tmp_path: Path) -> None:
    (tmp_path / gain.FILE).write_text('{"another CPU": 9.0}')
    taken = found(1.0)
    assert devices.automatic(CPU, tmp_path) == "fp32"
    assert len(taken) == 1
    assert len(json.loads((tmp_path / gain.FILE).read_text())) == 2


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"x": "y"}', '{"x": null}', "\udcff"])
def test_a_damaged_file_is_made_anew(found: Callable[[float], list[float]], tmp_path: Path, text: str) -> None:
    (tmp_path / gain.FILE).write_bytes(text.encode("utf-8", "surrogateescape"))
    found(2.0)
    assert devices.automatic(CPU, tmp_path) == "bf16"
    assert list(json.loads((tmp_path / gain.FILE).read_text()).values()) == [2.0]


def test_a_folder_that_cannot_be_used_is_done_without(found: Callable[[float], list[float]], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    taken = found(2.0)
    for _ in range(2):
        assert devices.automatic(CPU, tmp_path / "file" / "folder") == "bf16"
    assert len(taken) == 1


CODE = """
import sys, time
from pathlib import Path
import torch
from objectives import devices, gain
gain.measured = lambda *_: (time.sleep(0.2), print("measured"), float(sys.argv[2]))[2]
print(devices.automatic(torch.device("cpu"), Path(sys.argv[1])))
"""


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    said: list[str] = []

    def ask(times: str) -> None:
        command = [sys.executable, "-c", CODE, str(tmp_path), times]
        said.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    threads = [threading.Thread(target=ask, args=(times,)) for times in ("0.5", "1.5", "2.5")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum("measured" in each for each in said) == 1
    assert len({each.split()[-1] for each in said}) == 1


@pytest.mark.parametrize(("precision", "right"), [("fp16", "auto, fp32 or bf16"), ("tf32", "auto, fp32 or bf16")])
def test_what_needs_a_gpu(precision: str, right: str) -> None:
    with pytest.raises(ObjectiveError, match=f"training.precision: {precision} needs a GPU; right on a CPU is {right}"):
        devices.machine("cpu", precision)


@pytest.mark.parametrize(
    ("precision", "before", "obeyed"),
    [("auto", "bf16", "bf16"), ("auto", "fp32", "fp32"), ("auto", "fp16", "bf16"), ("fp32", "bf16", "fp32")],
)
def test_an_adopter_does_as_the_first_attempt_did(
    found: Callable[[float], list[float]], precision: str, before: str, obeyed: str
) -> None:
    found(9.0)
    assert devices.machine("cpu", precision, before).precision == obeyed


@pytest.fixture
def chosen(checkpoint: Callable[[str], Path], rows: Path) -> settings.Settings:
    return settings.parse(
        {
            "task": "text-classification",
            "model": {"name": str(checkpoint("bert")), "frozen_layers": 2},
            "data": {"path": str(rows), "split": {"valid": 12, "test": 12}, "max_length": 32},
            "training": {"epochs": 1, "learning_rate": 5e-3, "seed": 1},
        }
    )


def test_a_trial_goes_by_its_hosts_folder_and_by_its_facts(
    found: Callable[[float], list[float]], chosen: settings.Settings, tmp_path: Path
) -> None:
    def run(**how: object) -> Result:
        return trial.run(chosen, lambda _: None, host=Host("cpu", 1, measured=tmp_path), **how)  # type: ignore[arg-type]

    found(2.0)
    assert run().facts["precision"] == "bf16"
    assert (tmp_path / gain.FILE).exists()
    assert run(earlier={"precision": "fp32"}).facts["precision"] == "fp32"
