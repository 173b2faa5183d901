"""Every size: no point may be slower than the best peer.

Steps are 100, fewer where that would be more than LARGEST operations; a point takes about a second, and large
ones as long as three rounds take.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.contest import Workload
from bench.rnn_problem import CELLS
from bench.workloads_rnn import RnnWorkload

HIDDEN = (8, 16, 32, 64, 96, 128, 200, 256, 384, 512, 1024)
BATCH = (1, 4, 32, 128)
INPUTS = 64
MOST_STEPS, FEWEST_STEPS = 100, 10
LARGEST = 2e10  # operations of a training step, 0.1 to 0.2 s on one core
SECONDS, ROUNDS = 1.0, 3


def _point(cell: str, batch: int, hidden: int, training: bool) -> RnnWorkload:
    one = RnnWorkload(cell, 1, batch, INPUTS, hidden, training=True)
    steps = min(MOST_STEPS, max(FEWEST_STEPS, int(LARGEST / one.operations)))
    return RnnWorkload(cell, steps, batch, INPUTS, hidden, training)


def workloads(hidden: Sequence[int] | None = None, batch: Sequence[int] | None = None) -> list[RnnWorkload]:
    return [
        _point(cell, b, h, training)
        for cell in CELLS
        for training in (False, True)
        for h in hidden or HIDDEN
        for b in batch or BATCH
    ]


def time_of(seconds: float | None) -> Callable[[Workload], tuple[float, int]]:
    return lambda _: (seconds or SECONDS, ROUNDS)
