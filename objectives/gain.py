"""Whether a device computes faster in 16 bits, or by oneDNN: measured once, kept for all."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path

import torch
from filelock import FileLock
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear, scaled_dot_product_attention

from objectives.products import product, there_are

ENOUGH = 1.2
"""Times as fast as in 32 bits, at the least: what gains less is not worth other last digits."""
HOPELESS = 4.0
"""Times as slow at the first go, which also sets things up: a CPU that has to emulate these numbers."""
TIMES = 4
FILE = "precision.json"
_SHAPES = {"cpu": (8, 32, 384), "cuda": (32, 128, 768)}  # rows, tokens, size
_HEAD = 64
_LAYER = (256, 384, 1536)  # tokens, columns, rows
_ONEDNN = "products by oneDNN"
Layer = Callable[[Tensor, Tensor], Tensor]


def gain(device: torch.device, dtype: torch.dtype, folder: Path | None) -> float:
    """How many times as fast as in fp32 a block of a transformer is computed in this type, forward and backward.

    The first answer stays, so that all trials on a machine compute alike: in a file of this folder, where there is one
    that can be written, and in the process.
    """
    return _kept(str(device), named(device), str(dtype).removeprefix("torch."), folder)


def named(device: torch.device) -> str:
    """The model of a GPU or CPU, the latter with the instructions that torch uses of it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    said: dict[str, str] = {}
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            name, _, value = line.partition(":")
            said.setdefault(name.strip(), value.strip())
    model = [said[name] for name in ("model name", "cpu family", "model", "stepping") if name in said]
    numbers = sorted(
        {"amx_bf16", "avx512_bf16", "bf16"} & {*said.get("flags", "").split(), *said.get("Features", "").split()}
    )
    return " ".join([*model, torch.backends.cpu.get_cpu_capability(), *numbers])


def products(folder: Path | None) -> float:
    """How many times as fast as torch's own the products of a layer in fp32 are by oneDNN, on one thread of the CPU.

    The answer is kept as that of `gain`.
    """
    return _kept("cpu", named(torch.device("cpu")), _ONEDNN, folder)


@lru_cache
def _kept(where: str, name: str, what: str, folder: Path | None) -> float:
    key = f"{name}, torch {torch.__version__}, {what}"
    measure = by_onednn if what == _ONEDNN else partial(measured, where, getattr(torch, what))
    if folder is None:
        return measure()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{FILE}.lock"):  # one measures, the others wait for its answer
            known = _read(folder / FILE)
            if key not in known:
                known[key] = measure()
                _write(folder / FILE, known)
            return known[key]
    except OSError:
        return measure()


def _read(path: Path) -> dict[str, float]:
    """What is known; nothing, where the file is missing or damaged."""
    try:
        found = json.loads(path.read_text("utf-8"))
        return {str(key): float(value) for key, value in found.items()}
    except (FileNotFoundError, ValueError, AttributeError, TypeError):
        return {}


def _write(path: Path, known: dict[str, float]) -> None:
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", "utf-8")
    part.replace(path)


def measured(where: str, dtype: torch.dtype) -> float:
    """The seconds in fp32 by those in this type, the least of a few, in turns.

    On a CPU one thread computes, and its own time counts: neither other processes nor the number of threads matter.
    """
    quick = where == "cpu" and by_onednn() >= ENOUGH  # as layers in fp32 would be
    with _alone(where):
        single, half = _seconds(where, None, product if quick else linear), _seconds(where, dtype)
        plain, other = single(), half()
        if other > HOPELESS * plain:
            return plain / other
        pairs = [(single(), half()) for _ in range(TIMES)]  # in turns: what slows one slows the other
        return min(plain for plain, _ in pairs) / min(other for _, other in pairs)


def by_onednn() -> float:
    """The seconds of a layer forward and backward by torch's own products by those by oneDNN's, the least of a few."""
    if not there_are():
        return 0.0
    with _alone("cpu"):
        plain, other = (_seconds_by(which) for which in (linear, product))
        pairs = [(plain(), other()) for _ in range(1 + TIMES)]
        return min(one for one, _ in pairs[1:]) / min(two for _, two in pairs[1:])


def _seconds_by(layer: Layer) -> Callable[[], float]:
    source, (tokens, columns, rows) = torch.Generator().manual_seed(0), _LAYER
    states, weight = (torch.randn(n, columns, generator=source).requires_grad_() for n in (tokens, rows))

    def run() -> float:
        began = time.thread_time()
        with torch.enable_grad():
            torch.autograd.grad(layer(states, weight).sum(), [states, weight])
        return time.thread_time() - began

    return run


@contextmanager
def _alone(where: str) -> Iterator[None]:
    """Compute with one thread, and leave the threads and torch's generators as they were."""
    before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[] if where == "cpu" else [where]):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def _seconds(where: str, dtype: torch.dtype | None, layer: Layer = linear) -> Callable[[], float]:
    """What takes the time of a block forward and backward, its weights and gradients in fp32."""
    kind = where.partition(":")[0]
    rows, tokens, size = _SHAPES[kind]
    clock = time.thread_time if kind == "cpu" else partial(_gpu_clock, where)
    source = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=source).mul_(0.05).to(where).requires_grad_()

    states, weights = random(rows, tokens, size), [random(width * size, size) for width in (3, 1, 4)]
    weights.append(random(size, 4 * size))

    def run() -> float:
        began = clock()
        with torch.enable_grad(), torch.autocast(kind, dtype, enabled=dtype is not None):
            answer = _block(layer, states, *weights)
        torch.autograd.grad(answer.sum(), [states, *weights])
        return clock() - began

    return run


def _block(layer: Layer, states: Tensor, joint: Tensor, out: Tensor, wide: Tensor, narrow: Tensor) -> Tensor:
    """A layer of an encoder, [rows, tokens, size] to the same."""
    rows, tokens, size = states.shape
    query, key, value = layer(states, joint).view(rows, tokens, 3, -1, _HEAD).permute(2, 0, 3, 1, 4)
    seen = scaled_dot_product_attention(query, key, value, dropout_p=0.1).transpose(1, 2).flatten(2)
    states = layer_norm(states + layer(seen, out), (size,))
    return layer_norm(states + layer(gelu(layer(states, wide)), narrow), (size,))


def _gpu_clock(where: str) -> float:
    torch.cuda.synchronize(where)
    return time.perf_counter()
