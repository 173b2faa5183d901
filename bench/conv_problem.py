"""One causal convolution with its data, as every system gets it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ConvProblem:
    """Float32 throughout."""

    x: np.ndarray  # (B, T, C)
    grad: np.ndarray  # (B, T, C), by the output
    weight: np.ndarray  # (C, C, K)
    bias: np.ndarray  # (C,)
    dilation: int
    training: bool
