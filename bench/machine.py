"""The machine and the versions of everything that is measured, in words."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.threads import installed
from pyseq.ops import runtime

PACKAGES = ("pyseq", "numpy", "torch", "onnxruntime")


def _cpu_model() -> str:
    names = {}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            names.setdefault(key.strip(), value.strip())
    except OSError:
        pass
    if "model name" not in names:
        return platform.processor() or platform.machine()
    return f"{names['model name']} (family {names.get('cpu family')}, model {names.get('model')})"


def _caches() -> str:
    found = []
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((index / part).read_text().strip() for part in ("level", "type", "size"))
        if kind != "Instruction":
            found.append(f"L{level} {size}")
    return ", ".join(found) or "unknown"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return __import__(package).__version__ if installed(package) else "absent"


def describe() -> dict[str, str]:
    """By line of the header."""
    return {
        "CPU": f"{_cpu_model()}, {os.cpu_count()} cores",
        "caches": _caches(),
        "tier": f"{runtime.active_tier()} of {', '.join(runtime.available_tiers())}",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}, "
        f"pyseq compiled by {runtime.compiler()}",
        "versions": ", ".join(f"{package} {_version(package)}" for package in PACKAGES),
    }


def _cpu_seconds() -> float | None:
    """Of all processes since boot, in user and system mode."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    except OSError:
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def busy_elsewhere(seconds: float = 0.3) -> float | None:
    """Cores that other processes use at this moment; above a few percent, times mean little."""
    begun, own, total = time.perf_counter(), time.process_time(), _cpu_seconds()
    time.sleep(seconds)
    later = _cpu_seconds()
    if total is None or later is None:
        return None
    return max(0.0, later - total - (time.process_time() - own)) / (time.perf_counter() - begun)


def threads_in_words(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"


def busy_in_words(cores: Sequence[float | None]) -> str:
    words = " and ".join("unknown" if busy is None else f"{busy:.2f}" for busy in cores)
    return f"Cores busy with other work before and after: {words}."


def best_peaks(one: runtime.MachinePeaks, other: runtime.MachinePeaks) -> runtime.MachinePeaks:
    """The better of two measurements, figure by figure."""
    return runtime.MachinePeaks(*[a if b is None else max(a, b) for a, b in zip(one, other, strict=True)])


def peaks_in_words(peaks: dict[str, float | None]) -> str:
    bfloat16 = peaks["bfloat16_gflops"]
    dots = "no bfloat16 dot products" if bfloat16 is None else f"{bfloat16:.0f} GF/s bfloat16 dot products"
    tiles = peaks["tile_gflops"]
    if tiles is not None:
        dots += f", {tiles:.0f} GF/s bfloat16 products of AMX tiles"
    return (
        f"{peaks['float32_gflops']:.0f} GF/s float32 multiply-adds, {dots}, "
        f"{peaks['l2_gbytes']:.0f} GB/s from L2, {peaks['memory_gbytes']:.0f} GB/s from memory"
    )
