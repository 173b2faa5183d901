"""One workload, checked and timed: a record of plain numbers, which is what tables and JSON are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.contest import Contestant, Values, Workload, agrees, furthest
from bench.timing import Blocks, take_turns

Record = dict[str, Any]


def measure(
    workload: Workload, threads: int, precisions: Sequence[str], seconds: float, rounds: int
) -> Record:
    """Compare the values of all contestants with the reference, then time those that agree."""
    contest = workload.prepare(threads, precisions)
    systems = [_checked(contestant, contest.reference) for contestant in contest.contestants]
    agreeing = [i for i, system in enumerate(systems) if system["agrees"]]
    times = take_turns([contest.contestants[i] for i in agreeing], seconds, rounds)
    for i, blocks in zip(agreeing, times, strict=True):
        systems[i].update(_summary(blocks))
    return {
        "workload": workload.name,
        "labels": dict(workload.labels),
        "threads": threads,
        "operations": workload.operations,
        "step_operations": workload.step_operations,
        "targets": dict(workload.targets),
        "systems": systems,
    }


def _summary(blocks: Blocks) -> Record:
    samples = [sample for block in blocks for sample in block]
    low, median, high = np.quantile(samples, [0.25, 0.5, 0.75])
    return {
        "median": float(median),
        "quartiles": [float(low), float(high)],
        "best": min(samples),
        "samples": len(samples),
        "rounds": [float(np.median(block)) for block in blocks],
    }


def _checked(contestant: Contestant, reference: Values) -> Record:
    with contestant.around():
        values = contestant.values(contestant.call())
        error = furthest(values, reference)
    return {
        "name": contestant.name,
        "precision": contestant.precision,
        "ours": contestant.ours,
        "error": error.size,
        "error_in": error.array,
        "agrees": agrees(contestant, values, reference),
    }
