"""One batch for the CTC loss with its data, as every system gets it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.contest import Values
from pyseq import ops

# Gradients of more numbers than these are compared in some sequences only: float64 copies of all would
# take longer than the measurement.
_COMPARED = 20_000_000


@dataclass(frozen=True)
class CtcProblem:
    """Blank is class 0; all sequences have all frames and all labels, which is what peers are best at."""

    logits: np.ndarray  # (B, T, C), float32
    targets: np.ndarray  # (B, L), int64

    @property
    def compared(self) -> np.ndarray:
        """Sequences whose gradients are compared."""
        batch, steps, classes = self.logits.shape
        return np.unique(np.linspace(0, batch - 1, max(1, _COMPARED // (steps * classes))).astype(int))

    def values(self, losses: np.ndarray, gradients: np.ndarray) -> Values:
        """Results (B,) and (B, T, C) as they are compared."""
        return {"losses": losses, "gradient": gradients[self.compared]}


def reference(problem: CtcProblem) -> Values:
    """By the float64 kernels, which the tests hold against twins in NumPy: one sequence at a time."""
    losses, gradients = [], []
    for b, (x, target) in enumerate(zip(problem.logits, problem.targets, strict=True)):
        x64 = x[np.newaxis].astype(np.float64)
        if b in problem.compared:
            loss, gradient = ops.ctc_loss_and_grad(x64, target[np.newaxis])
            gradients.append(gradient)
        else:
            loss = ops.ctc_loss(x64, target[np.newaxis])
        losses.append(loss)
    return {"losses": np.concatenate(losses), "gradient": np.concatenate(gradients)}
