"""What the kernels run on: instruction-set tier and threads, and what the machine can do at most."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyseq import _core
from pyseq._core import active_tier, available_tiers, compiled_tiers, compiler, get_num_threads

__all__ = [
    "MachinePeaks",
    "ThreadCosts",
    "active_tier",
    "available_tiers",
    "compiled_tiers",
    "compiler",
    "get_num_threads",
    "machine_peaks",
    "native_precisions",
    "region_seconds",
    "release_memory",
    "thread_costs",
]

_L2_BYTES = 384 << 10  # of each thread: past any first-level cache, within any second-level one
_MEMORY_BYTES = 256 << 20  # of all threads: past the last-level cache
_SAMPLE_SECONDS = 2e-3  # long beside a clock's resolution and a barrier, short beside a time slice
_BARRIERS = 1000
_ASLEEP_SECONDS = 0.01  # after which waiting threads have stopped spinning


class MachinePeaks(NamedTuple):
    """The most that `threads` threads together get from this machine with the tier in use."""

    threads: int
    float32_gflops: float
    """Multiply-adds in registers, two operations each."""
    bfloat16_gflops: float | None
    """Dot products of bfloat16 pairs summed in float32; None where CPU or tier lack the instruction."""
    tile_gflops: float | None
    """The same in tile registers (AMX); None where CPU or tier have none."""
    l2_gbytes: float
    """Gigabytes a second read from the second-level cache."""
    memory_gbytes: float
    """Gigabytes a second read from memory."""


class ThreadCosts(NamedTuple):
    """What it costs to use `threads` threads, in microseconds; medians."""

    threads: int
    region_us: float
    """An empty parallel region right after another one, while the threads still wait for work."""
    wake_us: float
    """An empty parallel region after a pause, when the threads have gone to sleep."""
    barrier_us: float
    """A barrier within a region."""


def native_precisions() -> tuple[str, ...]:
    """The precisions of `pyseq.set_config` that have kernels of their own here, most exact first.

    That is, in the tier in use and on this CPU. The others mean "highest".

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> from pyseq.ops import runtime
    >>> runtime.native_precisions()[0]
    'highest'
    """
    return tuple(name for code, name in enumerate(_core.PRECISIONS) if _core.is_native(code))


def _checked_threads(threads: int | None) -> int:
    most = get_num_threads()
    if threads is None:
        return most
    if not 1 <= threads <= most:
        raise ValueError(f"threads is {threads}, expected 1 to {most}, the threads a kernel may use now")
    return threads


def _peak(name: str, threads: int, seconds: float, data: NDArray[Any] | None = None) -> float:
    """The best of many short samples, in billions a second: disturbance only slows."""

    def shortest(rounds: int) -> float:
        seconds = []
        for _ in range(3):
            begun = time.perf_counter()
            _core.probe_rates(name, threads, rounds, data, 1)
            seconds.append(time.perf_counter() - begun)
        return min(seconds)

    rounds = 1
    while (spent := shortest(rounds)) < _SAMPLE_SECONDS:
        rounds *= 2
    samples = max(3, int(seconds / spent))
    return float(_core.probe_rates(name, threads, rounds, data, samples).max()) / 1e9


def machine_peaks(threads: int | None = None, *, seconds: float = 0.1) -> MachinePeaks:
    """Measure the most that this machine does: what a kernel's speed can be divided by.

    Parameters
    ----------
    threads : int, optional
        Threads that work at once; all that a kernel may use now if None.
    seconds : float
        Time to spend on each of the figures; the best of its samples is taken.

    Returns
    -------
    MachinePeaks

    Raises
    ------
    ValueError
        If `threads` is more than a kernel may use now, or less than 1.

    Examples
    --------
    >>> from pyseq.ops import runtime
    >>> peaks = runtime.machine_peaks(threads=1, seconds=0.01)
    >>> peaks.float32_gflops > 0 and peaks.l2_gbytes > 0
    True
    """
    threads = _checked_threads(threads)
    near = np.zeros(threads * _L2_BYTES // 4, dtype=np.float32)
    far = np.zeros(_MEMORY_BYTES // 4, dtype=np.float32)
    far[::1024] = 1  # every page gets memory of its own
    return MachinePeaks(
        threads,
        float32_gflops=_peak("multiply_add", threads, seconds),
        bfloat16_gflops=_peak("bfloat16_dot", threads, seconds) if _core.has_probe("bfloat16_dot") else None,
        tile_gflops=_peak("tile_dot", threads, seconds) if _core.has_probe("tile_dot") else None,
        l2_gbytes=_peak("read", threads, seconds, near),
        memory_gbytes=_peak("read", threads, seconds, far),
    )


def release_memory() -> int:
    """Give memory that is kept for the next calls back to the system.

    Outputs, gradients and tapes from 64 KB on are kept when nothing refers to them any more, up to 256 MB or
    a sixteenth of the machine's memory, and the next batch gets them: new pages would cost more than some
    kernels. What has not been wanted for ten seconds goes back by itself when a later call's arrays are
    dropped; a process that stops calling keeps the rest until this is called. Scratch memory (up to 64 MB for
    each thread that calls) is given back for the calling thread.

    Returns
    -------
    int
        Bytes that were kept.

    Examples
    --------
    >>> import numpy as np
    >>> from pyseq import ops
    >>> from pyseq.ops import runtime
    >>> y = ops.causal_conv1d(np.ones((1, 20000, 8), "f4"), np.ones((8, 8, 2), "f4"))
    >>> del y
    >>> runtime.release_memory() >= 20000 * 8 * 4
    True
    """
    return int(_core.release_memory())


def region_seconds(threads: int, steps: int, operations: float, *, samples: int = 100) -> NDArray[np.float64]:
    """Time parallel regions of `steps` steps with a barrier after each.

    Parameters
    ----------
    threads : int
        Threads that share the work.
    steps : int
        Barriers in a region; 0 leaves the bare price of starting and ending it.
    operations : float
        Float32 operations of a step (multiply-adds in registers), divided among the threads.
    samples : int
        Regions, one straight after the other.

    Returns
    -------
    (samples,) float64 array of seconds

    Raises
    ------
    ValueError
        If `threads` is more than a kernel may use now, or less than 1, or another argument is negative.
    """
    threads = _checked_threads(threads)
    for name, value in (("steps", steps), ("operations", operations), ("samples", samples)):
        if value < 0:
            raise ValueError(f"{name} is {value}, expected 0 or more")
    return _core.probe_regions(threads, steps, operations, samples)


def thread_costs(threads: int | None = None) -> ThreadCosts:
    """Measure what threads cost: by this, kernels decide how much work is worth another thread.

    Parameters
    ----------
    threads : int, optional
        All that a kernel may use now if None.

    Returns
    -------
    ThreadCosts

    Raises
    ------
    ValueError
        If `threads` is more than a kernel may use now, or less than 1.
    """
    threads = _checked_threads(threads)
    region = float(np.median(region_seconds(threads, 0, 0, samples=1000)))
    woken = []
    for _ in range(20):
        time.sleep(_ASLEEP_SECONDS)
        woken.append(region_seconds(threads, 0, 0, samples=1)[0])
    barriers = float(np.median(region_seconds(threads, _BARRIERS, 0, samples=20))) - region
    return ThreadCosts(
        threads, 1e6 * region, 1e6 * float(np.median(woken)), 1e6 * max(0.0, barriers) / _BARRIERS
    )
