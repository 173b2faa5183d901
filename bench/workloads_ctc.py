"""CTC loss and gradient with respect to the logits: the workloads, and what all systems must compute.

    operations a frame = 3 C + 8 (2 L + 1)

A difference, an exponential and a factor for each class; for each state of the lattice two sums and a product
in either direction, and the posterior.

Sequences are random: logits standard normal, targets uniform. Times of pyseq do not depend on the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from bench import ctc_systems
from bench.contest import Contest
from bench.ctc_problem import CtcProblem, reference
from bench.threads import installed


@dataclass(frozen=True)
class CtcWorkload:
    """`reuse`: pyseq's gradient goes into the same array every time; peers have no such thing."""

    steps: int
    batch: int
    classes: int
    target: int
    reuse: bool = False
    targets: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For instance `CTC 500/32/30/50`: steps, batch, classes, labels of a target."""
        sizes = f"{self.steps}/{self.batch}/{self.classes}/{self.target}"
        return f"CTC {sizes}, out=" if self.reuse else f"CTC {sizes}"

    @property
    def labels(self) -> dict[str, object]:
        return {
            "steps": self.steps, "batch": self.batch, "classes": self.classes, "target": self.target,
            "reuse": self.reuse,
        }  # fmt: skip

    @property
    def operations(self) -> float:
        return float(self.batch * self.steps * (3 * self.classes + 8 * (2 * self.target + 1)))

    @property
    def step_operations(self) -> float:
        """All: threads share out sequences and their two directions, and meet once or twice."""
        return self.operations

    def problem(self) -> CtcProblem:
        rng = np.random.default_rng(0)
        logits = rng.standard_normal((self.batch, self.steps, self.classes), dtype=np.float32)
        return CtcProblem(logits, rng.integers(1, self.classes, (self.batch, self.target)))

    def prepare(self, threads: int, precisions: Iterable[str]) -> Contest:
        problem = self.problem()
        contestants = [ctc_systems.pyseq(problem, reuse=self.reuse)]
        if installed("torch"):
            contestants.append(ctc_systems.pytorch(problem))
            if installed("warpctc_pytorch"):
                contestants.append(ctc_systems.warp_ctc(problem))
        return Contest(contestants, reference(problem))


WORKLOADS = [
    CtcWorkload(150, 16, 30, 20, targets={"highest": 28}),
    CtcWorkload(500, 32, 30, 50, targets={"highest": 45}),
    CtcWorkload(1000, 32, 100, 100, targets={"highest": 35}),
    CtcWorkload(100, 256, 80, 20, targets={"highest": 22}),
    CtcWorkload(2000, 16, 5000, 100, targets={"highest": 12}),
    CtcWorkload(2000, 16, 5000, 100, reuse=True, targets={"highest": 22}),
    CtcWorkload(20_000, 1, 30, 2000),
]
