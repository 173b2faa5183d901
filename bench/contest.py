"""What takes part in a comparison: workloads, and systems that run them. Knows no library.

A family of workloads is a module with a list `WORKLOADS`; it is entered in `FAMILIES`, and that is all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

import numpy as np

FAMILIES = ("bench.workloads_rnn", "bench.workloads_ctc")

# Precisions, most exact first. A peer is measured against ours of its own precision and of lower ones.
PRECISIONS = ("highest", "high", "medium")

# How far a system may be from the float64 reference and still compute the same, relative to the largest entry
# of each array. Far above rounding (bench/accuracy.py measures that), far below a wrong formula.
SAME_VALUES = {"highest": 5e-5, "high": 5e-4, "medium": 0.1}

Values = dict[str, np.ndarray]


@dataclass(frozen=True)
class Contestant:
    """One system, ready to run one workload.

    `call` is what is timed; `values` turns what it returned into named arrays, to be compared with the
    reference. `around` makes a context to be entered around a series of calls, for settings outside the call.
    `limits` are, by array, what stands in place of `SAME_VALUES` for a system that is known to be less exact.
    """

    name: str
    call: Callable[[], Any]
    values: Callable[[Any], Values]
    precision: str = "highest"
    ours: bool = False
    around: Callable[[], AbstractContextManager[Any]] = nullcontext
    limits: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Contest:
    """The contestants on one workload, and what all must compute (in float64)."""

    contestants: list[Contestant]
    reference: Values


class Workload(Protocol):
    """Something to compute.

    `operations` are those of its matrix products, `step_operations` those between two points where threads
    must meet: the formulas stand in the family's module. `targets` are ratios to reach (time of the best peer
    over ours) by precision of ours; it may be empty. `labels` say what it is, for tables by size.
    """

    @property
    def name(self) -> str: ...
    @property
    def operations(self) -> float: ...
    @property
    def step_operations(self) -> float: ...
    @property
    def targets(self) -> Mapping[str, float]: ...
    @property
    def labels(self) -> Mapping[str, object]: ...
    def prepare(self, threads: int, precisions: Iterable[str]) -> Contest: ...


@dataclass(frozen=True)
class Error:
    """The array in which a contestant is furthest from the reference: distance over its largest entry."""

    array: str
    size: float


def furthest(values: Values, reference: Values) -> Error:
    """The largest relative error of all arrays; infinite where a name or shape differs or a value is NaN."""
    if values.keys() != reference.keys():
        return Error(f"names {sorted(values.keys() ^ reference.keys())}", float("inf"))
    worst = Error("", 0.0)
    for name, expected in reference.items():
        if values[name].shape != expected.shape:
            return Error(f"{name} of shape {values[name].shape}", float("inf"))
        scale = float(np.abs(expected).max(initial=0.0)) or 1.0
        size = float(np.abs(values[name] - expected).max(initial=0.0)) / scale
        if not size <= worst.size:
            worst = Error(name, size if size == size else float("inf"))
    return worst


def agrees(contestant: Contestant, values: Values, reference: Values) -> bool:
    """Whether every array is as near to the reference as it has to be."""
    if values.keys() != reference.keys():
        return False
    usual = SAME_VALUES[contestant.precision]
    return all(
        furthest({name: values[name]}, {name: reference[name]}).size <= contestant.limits.get(name, usual)
        for name in reference
    )


def select(names: str | None, workloads: Iterable[Workload] | None = None) -> list[Workload]:
    """Workloads whose name contains one of these comma-separated parts, in any case; all for None."""
    if workloads is None:
        workloads = [w for family in FAMILIES for w in import_module(family).WORKLOADS]
    if names is None:
        return list(workloads)
    parts = [part.strip().lower() for part in names.split(",")]
    return [w for w in workloads if any(part in w.name.lower() for part in parts)]
