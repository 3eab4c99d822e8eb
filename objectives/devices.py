"""Where a trial runs and in which numbers."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from objectives import gain, memory, products
from objectives.errors import ObjectiveError
from objectives.switches import Piece

_DTYPES = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Machine:
    """A device, a precision, and the pieces of a lean step that are switched `off`.

    Weights and optimizers are in fp32 always; tf32 is what a GPU multiplies matrices in, bf16 and fp16 what layers
    compute in.
    """

    device: torch.device
    precision: str
    off: Collection[str] = ()

    @property
    def dtype(self) -> torch.dtype | None:
        """What layers compute in; None where that is what weights are in."""
        return _DTYPES[self.precision]

    def does(self, piece: Piece) -> bool:
        """Whether this piece of a lean step is not switched off."""
        return piece not in self.off

    def autocast(self) -> AbstractContextManager[Any]:
        """Compute in the machine's precision within this block."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None)

    def evaluating(self) -> AbstractContextManager[Any]:
        """Compute what nothing learns from within this block."""
        return torch.inference_mode() if self.does("inference_mode") else torch.no_grad()

    def scaler(self) -> torch.amp.GradScaler:
        """What keeps fp16's gradients from vanishing; does nothing for the others."""
        return torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")

    def seed(self, number: int) -> None:
        """Let what is drawn at random on this device follow from this number."""
        if self.device.type == "cpu":
            torch.default_generator.manual_seed(number)  # torch's own function tells devices that are not there, too
        else:
            torch.manual_seed(number)

    def peak_memory_bytes(self) -> int:
        """The most memory in use so far: a GPU's allocations in this trial, else the process's resident memory."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        unit = 1 if platform.system() == "Darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    def free_memory_bytes(self) -> int | None:
        """The memory that this process may still come to use, with what it has; None where the system does not say."""
        if self.device.type == "cuda":
            return int(torch.cuda.mem_get_info(self.device)[0]) + torch.cuda.memory_allocated(self.device)
        free = memory.free_bytes()
        return None if free is None else free + self.peak_memory_bytes()

    def finish(self) -> None:
        """Wait until the device has done what it was told, so that a clock can be read."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def facts(self) -> dict[str, Any]:
        """Device, threads, precision, what is switched off, and versions, ready for JSON."""
        name = platform.machine() if self.device.type == "cpu" else torch.cuda.get_device_name(self.device)
        return {
            "device": str(self.device),
            "device_name": name,
            "threads": torch.get_num_threads(),
            "precision": self.precision,
            **({"lean_off": list(self.off)} if self.off else {}),
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "transformers": transformers.__version__,
            },
        }


@contextmanager
def threaded(number: int | None) -> Iterator[None]:
    """Compute with so many threads of the CPU within this block; None leaves them as they are."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def machine(
    device: str,
    precision: str,
    before: object = None,
    measured: Path | None = None,
    off: Collection[str] = (),
) -> Machine:
    """The machine to run on, made ready; `auto` is a GPU where there is one. Raises ObjectiveError.

    `auto` precision is the one that a trial had `before`, where this device has it, too. Otherwise it is what the
    device gains by (see `automatic`), as it stands in the folder `measured`.
    """
    chosen = _device(device)
    if chosen.type == "cuda":  # cuBLAS must know before it first runs, which measuring does
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if precision == "auto":
        precision = str(before) if before in _possible(chosen) else automatic(chosen, measured)
    elif precision not in (*_possible(chosen), "bf16"):  # which older GPUs emulate
        raise ObjectiveError(_lacks(chosen, precision))
    if chosen.type == "cuda":
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = precision == "tf32"  # of convolutions
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.cuda.reset_peak_memory_stats(chosen)
    return Machine(chosen, precision, tuple(off))


def by_onednn(machine: Machine, before: object = None, measured: Path | None = None) -> bool:
    """Whether layers are to be by oneDNN: as a trial had it among the pieces of `before`, else where that gains."""
    if machine.device.type != "cpu" or machine.precision != "fp32" or not machine.does("onednn_products"):
        return False
    if isinstance(before, list):
        return "onednn_products" in before and products.there_are()
    return gain.products(measured) >= gain.ENOUGH


def automatic(device: torch.device, measured: Path | None = None) -> str:
    """The precision that `auto` means here: bf16 where it is enough faster; fp16 on a GPU that has no bf16; else fp32,
    on a GPU whose matrix products are quicker in tf32 that."""
    half, times = _half(device, measured)
    if times >= gain.ENOUGH:
        return half
    return "tf32" if "tf32" in _possible(device) else "fp32"


def explained(measured: Path | None = None) -> str:
    """What `auto` means on this machine, and why."""
    device = _device("auto")
    half, times = _half(device, measured)
    name = automatic(device, measured)
    said = f"auto is {name} on {gain.named(device)}: {half} is {times:.2f} times as fast as fp32"
    quick = gain.products(measured) if device.type == "cpu" else 0.0
    return said + (f", whose layers are oneDNN's, {quick:.2f} times as fast as torch's" if quick >= gain.ENOUGH else "")


def _half(device: torch.device, measured: Path | None) -> tuple[str, float]:
    """The 16 bits to choose here, and what is gained by them."""
    if "bf16" in _possible(device):
        return "bf16", gain.gain(device, torch.bfloat16, measured)
    return "fp16", gain.gain(device, torch.float16, measured)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ObjectiveError(f"device: {name!r} is unknown; right is auto, cpu, cuda or cuda:0") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ObjectiveError(f"device: {name} is not there; this machine has {torch.cuda.device_count()} GPUs")
    return device


def _possible(device: torch.device) -> tuple[str, ...]:
    """The precisions that a device has; bf16 that a GPU emulates is none."""
    if device.type == "cpu":
        return ("fp32", "bf16")
    newer = torch.cuda.get_device_capability(device) >= (8, 0)
    return ("fp32", "tf32", "bf16", "fp16") if newer else ("fp32", "fp16")


def _lacks(device: torch.device, precision: str) -> str:
    right = f"auto, {', '.join(_possible(device)[:-1])} or {_possible(device)[-1]}"
    if device.type == "cpu":
        return f"training.precision: {precision} needs a GPU; right on a CPU is {right}"
    return f"training.precision: {torch.cuda.get_device_name(device)} has no {precision}; right is {right}"
