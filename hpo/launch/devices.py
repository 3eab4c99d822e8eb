"""Which CUDA devices the workers may use, found without importing torch."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hpo.errors import HpoError

MPS = Path("/tmp/nvidia-mps")  # noqa: S108 - where NVIDIA's programs look by default
NEARLY_FULL = 0.1  # a device with less than this share of its memory free is skipped


@dataclass(frozen=True)
class Device:
    """A CUDA device by the name that CUDA_VISIBLE_DEVICES takes; `free` is the share of its memory."""

    name: str
    free: float = 1.0


def allowed(visible: str | None, wanted: str | None) -> list[Device]:
    """The devices of this machine that `wanted` (--devices 0,2) or else `visible` (CUDA_VISIBLE_DEVICES) names.

    Empty where there is none: the workers then use the CPU. Raises HpoError for a device that is not there or not
    visible here.
    """
    if visible is not None and not visible.strip():
        if wanted:
            raise HpoError(f"--devices {wanted}: CUDA_VISIBLE_DEVICES is empty here, which hides every device")
        return []
    found = _installed()
    names = _names(visible) or list(found)
    missing = [name for name in _names(wanted) if name not in names or (name.isdigit() and name not in found)]
    if missing:
        advice = "the driver names none; see nvidia-smi, or leave --devices out to work on the CPU"
        there = f"there is: {', '.join(names)}" if found else advice
        raise HpoError(f"--devices {wanted}: no device {missing[0]} here ({there})")
    return [Device(name, found.get(name, 1.0)) for name in _names(wanted) or names] if found else []


def roomy(devices: list[Device]) -> tuple[list[Device], list[str]]:
    """The devices with memory to spare, and a line about each one that is skipped; all, where none has."""
    full = [device for device in devices if device.free < NEARLY_FULL]
    if len(full) == len(devices):
        return devices, []
    lines = [f"device {device.name} is skipped: only {device.free:.0%} of its memory is free" for device in full]
    return [device for device in devices if device not in full], lines


def crowded(devices: list[Device], workers: int, mps: Path | None) -> str | None:
    """What workers of one device lack that are to compute at the same time; None where nothing.

    Without NVIDIA's Multi-Process Service, whose control daemon listens in the folder `mps`, they take turns.
    """
    if not devices or workers <= len({device.name for device in devices}) or ((mps or MPS) / "control").exists():
        return None
    return "workers that share a device take turns on it; with nvidia-cuda-mps-control -d, run before, they need not"


def used(visible: str | None) -> str:
    """What a worker with this CUDA_VISIBLE_DEVICES computes on: the first device's name, or `cpu`; no torch."""
    if (visible is not None and not visible.strip()) or shutil.which("nvidia-smi") is None:
        return "cpu"
    first = (_names(visible) or ["0"])[0]
    query = ["nvidia-smi", "-i", first, "--query-gpu=name", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        return first
    lines = said.stdout.strip().splitlines() if said.returncode == 0 else []
    return lines[0] if lines else "cpu" if visible is None else first


def _names(listed: str | None) -> list[str]:
    return [name.strip() for name in (listed or "").split(",") if name.strip()]


def _installed() -> dict[str, float]:
    """Index of each device to the free share of its memory, as the driver says it."""
    if shutil.which("nvidia-smi") is None:
        return {}
    query = ["nvidia-smi", "--query-gpu=index,memory.free,memory.total", "--format=csv,noheader,nounits"]
    said = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
    if said.returncode != 0:
        return {}
    rows = [line.split(",") for line in said.stdout.splitlines() if line.count(",") == 2]
    return {index.strip(): _share(free, total) for index, free, total in rows}


def _share(free: str, total: str) -> float:
    try:
        return float(free) / float(total)
    except (ValueError, ZeroDivisionError):
        return 1.0
