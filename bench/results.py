"""What follows from a record: who is compared with whom, ratios, rates."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from bench.contest import PRECISIONS
from bench.measure import Record


def ours(record: Record, precision: str) -> Record | None:
    """pyseq in this precision, if it was measured."""
    found = [s for s in record["systems"] if s["ours"] and s["precision"] == precision]
    return found[0] if found else None


def peers(record: Record, precision: str) -> list[Record]:
    """Systems at least as exact as this precision asks."""
    allowed = PRECISIONS[: PRECISIONS.index(precision) + 1]
    return [s for s in record["systems"] if not s["ours"] and s["precision"] in allowed]


def disagreement(record: Record, precision: str) -> str:
    """Who computes something else, in words; empty if nobody does. Then there is no ratio to speak of."""
    system = ours(record, precision)
    present = ([system] if system else []) + peers(record, precision)
    wrong = [s for s in present if not s["agrees"]]
    return "; ".join(f"{s['name']} differs in {s['error_in']} by {s['error']:.1e}" for s in wrong)


def ratio(record: Record, precision: str) -> float | None:
    """Time of the best peer over ours; None without a peer or where values differ.

    The median over rounds: a machine that others use has fast and slow phases, and a round lies in one.
    """
    system, others = ours(record, precision), peers(record, precision)
    if system is None or not others or disagreement(record, precision):
        return None
    best = min(others, key=lambda s: s["median"])
    return statistics.median(a / b for a, b in zip(best["rounds"], system["rounds"], strict=True))


def gflops(record: Record, precision: str) -> float | None:
    system = ours(record, precision)
    return record["operations"] / system["median"] / 1e9 if system and system["agrees"] else None


def speedup(record: Record, records: Iterable[Record], precision: str) -> float | None:
    """Ours on one thread over ours here, where both were measured."""
    for other in records:
        if other["workload"] == record["workload"] and other["threads"] == 1 < record["threads"]:
            one, here = ours(other, precision), ours(record, precision)
            if one and here and one["agrees"] and here["agrees"]:
                return one["median"] / here["median"]
    return None
