"""What threads cost on this machine, and from how much work on they pay: for the kernels' cost model.

    python -m bench.calibrate [--threads 2] [--seconds 0.3]

The model that these figures are for, with n threads, R operations a second of one thread, and a barrier a
step where units are split:

    time on one thread  = operations / R
    time on n threads   = region + barriers * barrier + operations / (n R)

A region costs little while the threads of the one before still wait for work, and much when they have gone to
sleep; how long they wait is bounded by the runtime. Both are measured. The last table holds what the kernels
chose against the truth: the same calls limited to one thread and to n.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np

from bench import rnn_pyseq
from bench.machine import busy_elsewhere, describe
from bench.tables import as_text, milliseconds
from bench.threads import limited_to
from bench.timing import take_turns
from bench.workloads_rnn import RnnWorkload
from pyseq.ops import runtime

GAIN = 1.1  # a split pays when it is faster by this factor
ASLEEP_SECONDS = 0.005
STEPS = 100
SMALL = [
    RnnWorkload(cell, STEPS, batch, hidden, hidden, training)
    for cell in ("lstm", "gru", "elman")
    for hidden, batch in (
        (16, 8),
        (32, 8),
        (32, 32),
        (64, 8),
        (64, 32),
        (128, 1),
        (128, 8),
        (256, 1),
        (256, 4),
    )
    for training in (False, True)
]


def awake(threads: int, steps: int, operations: float) -> float:
    """Median seconds of a region straight after another."""
    return float(np.median(runtime.region_seconds(threads, steps, operations, samples=51)))


def asleep(threads: int, steps: int, operations: float) -> float:
    """Median seconds of a region after a pause."""
    seconds = []
    for _ in range(15):
        time.sleep(ASLEEP_SECONDS)
        seconds.append(runtime.region_seconds(threads, steps, operations, samples=1)[0])
    return float(np.median(seconds))


Region = Callable[[int, int, float], float]


def doublings(smallest: float, largest: float) -> Iterator[float]:
    size = smallest
    while size <= largest:
        yield size
        size *= 2**0.5


def break_even(region: Region, threads: int, steps: int) -> tuple[float, float] | None:
    """Operations of a step from which on `threads` threads pay, and the seconds one thread takes for them."""
    found = None
    for operations in doublings(2e3, 2e8 / steps):
        one, many = region(1, steps, operations), region(threads, steps, operations)
        if one < GAIN * many:
            found = None
        elif found is None:
            found = operations, one / steps
    return found


def costs(threads: int) -> str:
    """Prices of a region and a barrier, and where they are paid back."""
    price = runtime.thread_costs(threads)
    lines = [
        f"region, threads awake    {price.region_us:8.2f} us",
        f"region, threads asleep   {price.wake_us:8.2f} us",
        f"barrier                  {price.barrier_us:8.3f} us",
        f"work from which {threads} threads are {GAIN:g} times as fast (multiply-adds in registers):",
    ]
    cases: list[tuple[str, Region, int]] = [
        ("one region, threads awake", awake, 1),
        ("one region, threads asleep", asleep, 1),
        (f"a step of {STEPS} with a barrier each", awake, STEPS),
    ]
    for what, region, steps in cases:
        point = break_even(region, threads, steps)
        text = (
            "never"
            if point is None
            else f"{point[0]:10.2e} operations, {1e6 * point[1]:.2f} us on one thread"
        )
        lines.append(f"  {what:34} {text}")
    return "\n".join(lines)


def small_work(threads: int, seconds: float) -> tuple[str, float]:
    """The kernels on small workloads with one thread and with `threads`, and their median rate on one."""
    rows, rates = [], []
    for workload in SMALL:
        contestant = rnn_pyseq.contestant(workload.problem(), "highest")
        medians = []
        for n in (1, threads):
            with limited_to(n):
                (blocks,) = take_turns([contestant], seconds, rounds=3)
            medians.append(float(np.median([sample for block in blocks for sample in block])))
        one, many = medians
        rates.append(workload.operations / one / 1e9)
        gain = f"{one / many:.2f}{'' if one > 0.97 * many else ' slower'}"
        sizes = f"{workload.operations:.1e}", f"{workload.step_operations:.1e}"
        rows.append([workload.name, *sizes, f"{rates[-1]:.0f}", milliseconds(one), milliseconds(many), gain])
    headers = ["workload", "operations", "of a step", "GF/s", "1 thread ms", f"{threads} threads ms", "gain"]
    return as_text(headers, rows), float(np.median(rates))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.calibrate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--threads", type=int, default=runtime.get_num_threads())
    parser.add_argument("--seconds", type=float, default=0.1, help="for each call of the last table")
    options = parser.parse_args()
    n = options.threads
    for key, text in describe().items():
        print(f"{key}: {text}")
    print(f"cores busy with other work: {busy_elsewhere()}")
    with limited_to(n):
        peak = runtime.machine_peaks(1).float32_gflops
        print(f"float32 peak of one thread {peak:.0f} GF/s\n\n{costs(n)}\n", flush=True)
        price = runtime.thread_costs(n)
    table, rate = small_work(n, options.seconds)
    print(table)
    print(f"\nFor the cost model, at the median rate of these kernels on one thread, R = {rate:.0f} GF/s:")
    for name, microseconds in (
        ("region awake", price.region_us), ("region asleep", price.wake_us), ("barrier", price.barrier_us)
    ):  # fmt: skip
        # one thread = GAIN * n threads:  W / R = GAIN * (cost + W / (n R))
        pays = 1e3 * rate * microseconds * GAIN / (1 - GAIN / n) if n > GAIN else float("inf")
        print(f"  {name:14} = {1e3 * rate * microseconds:9.2e} operations; {n} threads pay from {pays:9.2e}")


if __name__ == "__main__":
    main()
