"""Recurrent layers: the workloads, their data, and what all systems must compute.

    operations of a forward pass = 2 G H (I + H) a frame and direction    (G gates; products only)
    operations of training       = 3 times that: forward, gradients by states and inputs, gradients by weights

Training is the forward pass and all gradients: of the weights, the biases and x.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from bench import rnn_pyseq
from bench.contest import Contest
from bench.rnn_problem import CELLS, RnnProblem
from bench.threads import installed

SHORTEST, LONGEST = 0.1, 1.0  # ragged lengths are uniform in this part of `steps`


@dataclass(frozen=True)
class RnnWorkload:
    """One layer. `ragged` is "" or how PyTorch runs sequences of different lengths: "packed" or "padded"."""

    cell: str
    steps: int
    batch: int
    inputs: int
    hidden: int
    training: bool
    bidirectional: bool = False
    ragged: str = ""
    targets: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For instance `LSTM training 100/32/64/128`: steps, batch, inputs, units."""
        kind = "ragged " if self.ragged else "bidirectional " if self.bidirectional else ""
        peer = f", peer {self.ragged}" if self.ragged else ""
        what = "training" if self.training else "inference"
        sizes = f"{self.steps}/{self.batch}/{self.inputs}/{self.hidden}"
        return f"{kind}{CELLS[self.cell].title} {what} {sizes}{peer}"

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    @cached_property
    def lengths(self) -> np.ndarray:
        """Frames of each sequence."""
        if not self.ragged:
            return np.full(self.batch, self.steps)
        rng = np.random.default_rng(1)
        return rng.integers(SHORTEST * self.steps, LONGEST * self.steps, self.batch, endpoint=True)

    @property
    def labels(self) -> dict[str, object]:
        return {
            "cell": self.cell, "steps": self.steps, "batch": self.batch, "inputs": self.inputs,
            "hidden": self.hidden, "training": self.training,
        }  # fmt: skip

    @property
    def step_operations(self) -> float:
        """Of a forward step of one direction, with all sequences running."""
        return 2.0 * CELLS[self.cell].gates * self.hidden * (self.inputs + self.hidden) * self.batch

    @property
    def operations(self) -> float:
        forward = self.step_operations / self.batch * float(self.lengths.sum()) * self.directions
        return 3 * forward if self.training else forward

    def problem(self) -> RnnProblem:
        """Random data: x standard normal, weights uniform in +-1/sqrt(H)."""
        rng = np.random.default_rng(0)

        def normal(n: int) -> np.ndarray:
            return rng.standard_normal((self.batch, self.steps, n)).astype(np.float32)

        gates, bound = CELLS[self.cell].gates * self.hidden, self.hidden**-0.5
        shapes = [(gates, self.inputs), (gates, self.hidden), (gates,), (gates,)]
        weights = [
            [rng.uniform(-bound, bound, shape).astype(np.float32) for shape in shapes]
            for _ in range(self.directions)
        ]
        x, grad = normal(self.inputs), normal(self.hidden * self.directions)
        return RnnProblem(self.cell, x, grad, weights, self.lengths, self.training, bool(self.ragged))

    def prepare(self, threads: int, precisions: Iterable[str]) -> Contest:
        problem = self.problem()
        contestants = [rnn_pyseq.contestant(problem, precision) for precision in precisions]
        if installed("torch"):
            from bench import rnn_torch

            contestants.append(rnn_torch.contestant(problem, "float32", packed=self.ragged == "packed"))
            if "medium" in precisions:
                contestants.append(rnn_torch.contestant(problem, "bfloat16", packed=self.ragged == "packed"))
        if installed("onnxruntime") and installed("onnx") and not self.training:
            from bench import rnn_onnx

            contestants.append(rnn_onnx.contestant(problem, threads))
        return Contest(contestants, rnn_pyseq.reference(problem))


def _table() -> list[RnnWorkload]:
    inference, training = False, True
    W = RnnWorkload
    rows = [
        W("lstm", 100, 1, 16, 32, inference, targets={"highest": 3.0}),
        W("gru", 100, 1, 16, 32, inference, targets={"highest": 3.0}),
        W("lstm", 100, 32, 64, 128, inference, targets={"highest": 1.2, "high": 2.2}),
        W("lstm", 100, 32, 16, 32, training, targets={"highest": 2.7}),
        W("gru", 100, 32, 16, 32, training, targets={"highest": 14}),
        W("elman", 100, 32, 16, 32, training, targets={"highest": 10}),
        W("lstm", 100, 32, 64, 128, training, targets={"highest": 1.4, "high": 2.7}),
        W("gru", 100, 32, 64, 128, training, targets={"highest": 2.9, "high": 4}),
        W("lstm", 100, 64, 256, 256, training, targets={"highest": 1.4, "high": 2.8}),
        W("lstm", 200, 64, 512, 512, training, targets={"highest": 1.2, "high": 3.0, "medium": 1.7}),
        W("lstm", 100, 32, 64, 128, training, bidirectional=True, targets={"highest": 1.5, "high": 2.7}),
    ]
    for ragged, targets in (("packed", {"highest": 11, "high": 18}), ("padded", {})):
        rows += [W(c, 100, 32, 64, 128, training, ragged=ragged, targets=targets) for c in ("lstm", "gru")]
    price_of_a_call = [W("lstm", 1, 1, 1, 1, inference), W("lstm", 1, 1, 1, 1, training)]
    return rows + price_of_a_call


WORKLOADS = _table()
