"""Causal convolutions with as many channels in as out.

    operations of a forward pass = 2 K C^2 a frame    (K taps, C channels; products only)
    operations of training       = 3 times that: forward, gradients by the input, gradients by the weights

The products with zeros before a sequence's start count as well, although pyseq leaves them out.
Training is the forward pass and all gradients: of the weight, the bias and x.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from bench import conv_pyseq
from bench.contest import Contest
from bench.conv_problem import ConvProblem
from bench.threads import installed


@dataclass(frozen=True)
class ConvWorkload:
    """One convolution."""

    steps: int
    batch: int
    channels: int
    kernel_size: int
    dilation: int
    training: bool
    targets: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For instance `conv training 400/16/64 k3 d1`: steps, batch, channels, taps, dilation."""
        sizes = f"{self.steps}/{self.batch}/{self.channels} k{self.kernel_size} d{self.dilation}"
        return f"conv {'training' if self.training else 'inference'} {sizes}"

    @property
    def labels(self) -> dict[str, object]:
        return {
            "steps": self.steps, "batch": self.batch, "channels": self.channels,
            "kernel_size": self.kernel_size, "dilation": self.dilation, "training": self.training,
        }  # fmt: skip

    @property
    def step_operations(self) -> float:
        """Of a forward pass: threads meet at its end only."""
        return 2.0 * self.kernel_size * self.channels**2 * self.steps * self.batch

    @property
    def operations(self) -> float:
        return self.step_operations * (3 if self.training else 1)

    def problem(self) -> ConvProblem:
        """Random data: x and the gradient standard normal, weights normal with variance 1 / (K C)."""
        rng = np.random.default_rng(0)
        shape = (self.batch, self.steps, self.channels)
        x, grad = (rng.standard_normal(shape, dtype=np.float32) for _ in range(2))
        weight = rng.standard_normal((self.channels, self.channels, self.kernel_size))
        weight = (weight / np.sqrt(self.channels * self.kernel_size)).astype(np.float32)
        bias = rng.standard_normal(self.channels, dtype=np.float32)
        return ConvProblem(x, grad, weight, bias, self.dilation, self.training)

    def prepare(self, threads: int, precisions: Iterable[str]) -> Contest:
        problem = self.problem()
        contestants = [conv_pyseq.contestant(problem, precision) for precision in precisions]
        if installed("torch"):
            from bench import conv_torch

            contestants.append(conv_torch.contestant(problem))
        return Contest(contestants, conv_pyseq.reference(problem))


def _table() -> list[ConvWorkload]:
    rows = []
    for sizes, forward, training in (
        ((400, 16, 64, 3, 1), 1.7, 1.65),
        ((400, 16, 64, 3, 64), 2.1, 2.4),
        ((1000, 8, 128, 7, 16), 1.3, 1.5),
        ((600, 32, 30, 7, 8), 1.9, 2.6),
        ((16000, 1, 64, 2, 512), 2.0, 2.5),
    ):
        rows += [ConvWorkload(*sizes, training=False, targets={"highest": forward})]
        rows += [ConvWorkload(*sizes, training=True, targets={"highest": training})]
    return rows


WORKLOADS = _table()
