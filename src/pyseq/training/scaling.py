"""Features of mean 0 and variance 1, whatever the units they come in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseq.ragged import Ragged
from pyseq.training.examples import Examples

__all__ = ["Standardisation", "measure_standardisation"]

# Frames converted to float64 at once.
BLOCK_FRAMES = 1 << 16


@dataclass(frozen=True)
class Standardisation:
    """``(x - mean) * scale``, feature by feature."""

    mean: NDArray[Any]
    scale: NDArray[Any]

    def apply(self, x: Ragged) -> Ragged:
        """New sequences of the same lengths and dtype."""
        frames = x.values - self.mean
        frames *= self.scale
        return x.with_values(frames)


def measure_standardisation(examples: Examples) -> Standardisation:
    """Mean and inverse standard deviation of each feature over all frames.

    Parameters
    ----------
    examples : Examples
        Sequences of (T_i, n_features) frames; a frame has the weight of its sequence.

    Returns
    -------
    Standardisation
        In the dtype of the frames, summed in float64. A feature that is constant keeps its scale.
    """
    x = examples.x
    weights = np.ones(len(x)) if examples.weights is None else examples.weights
    frame_weights = np.repeat(weights, x.lengths)
    total = frame_weights.sum()
    blocks = _Blocks(x.values, frame_weights)

    mean = sum((frames * w).sum(axis=0) for frames, w in blocks) / total
    # Squares of deviations, not of values, and relative to the largest: neither cancels nor overflows.
    largest = np.max([np.abs(frames - mean).max(axis=0) for frames, _ in blocks], axis=0)
    constant = largest <= np.finfo(x.dtype).eps * np.abs(mean)
    largest[constant] = 1.0
    variance = sum((((frames - mean) / largest) ** 2 * w).sum(axis=0) for frames, w in blocks) / total
    variance = np.where(constant, 1.0, variance)
    return Standardisation(mean.astype(x.dtype), (1.0 / (largest * np.sqrt(variance))).astype(x.dtype))


@dataclass(frozen=True)
class _Blocks:
    """Frames in float64 and their weights (N, 1), a bounded number at a time; can be gone through again."""

    frames: NDArray[Any]
    weights: NDArray[np.float64]

    def __iter__(self) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        for first in range(0, len(self.frames), BLOCK_FRAMES):
            block = slice(first, first + BLOCK_FRAMES)
            yield self.frames[block].astype(np.float64), self.weights[block, np.newaxis]
