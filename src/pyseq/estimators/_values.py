"""Real numbers as a generator takes them: standardised, each frame to be predicted from those before it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseq.ragged import Ragged, as_ragged
from pyseq.training.examples import Examples
from pyseq.training.scaling import Standardisation, measure_standardisation

__all__ = ["RealValues", "read_and_wanted_values"]


class RealValues:
    """Frames of real numbers in units of their own mean and standard deviation.

    Parameters
    ----------
    x : Ragged of float64
        What is measured.
    dtype : str
        Of the network.
    """

    def __init__(self, x: Ragged, dtype: str) -> None:
        self.n_values, self.dtype = x.n_features, dtype
        self._units = measure_standardisation(Examples(x, x))
        self.standardisation = Standardisation(
            self._units.mean.astype(dtype), self._units.scale.astype(dtype)
        )
        frames = self._units.apply(x).values
        low, high = frames.min(axis=0), frames.max(axis=0)
        # What a network draws it reads again: this keeps it from running away.
        self.limits = low - (high - low), high + (high - low)

    def encode(self, x: Ragged) -> Ragged:
        """Standardised frames in the dtype of the network."""
        return self._units.apply(x).astype(self.dtype)

    def decode(self, frames: NDArray[Any]) -> NDArray[np.float64]:
        """Frames (..., n_values) as users have them; (...) where a frame is one number."""
        values: NDArray[np.float64] = frames.astype(np.float64) / self._units.scale + self._units.mean
        return values[..., 0] if self.n_values == 1 else values

    def prompt(self, prompt: Any) -> NDArray[Any]:
        """The frames that a sequence begins with, behind the frame of means that all begin after."""
        if prompt is None or (isinstance(prompt, str) and not prompt) or not np.size(prompt):
            return np.zeros((1, self.n_values), dtype=self.dtype)
        frames = self.encode(as_ragged([prompt], dtype="float64", name="prompt", n_features=self.n_values))
        return np.concatenate([np.zeros((1, self.n_values), dtype=self.dtype), frames.values])


def read_and_wanted_values(frames: Ragged) -> tuple[Ragged, Ragged]:
    """Each sequence behind a frame of zeros and without its last frame, and the sequence itself.

    Examples
    --------
    >>> read, wanted = read_and_wanted_values(Ragged(np.array([1.0, 2.0, 3.0]), [2, 1]))
    >>> [frames.ravel().tolist() for frames in read]
    [[0.0, 1.0], [0.0]]
    """
    values = frames.values
    read = np.empty_like(values)
    read[1:] = values[:-1]
    begins = np.cumsum(frames.lengths) - frames.lengths
    read[begins] = 0
    return Ragged(read, frames.lengths), frames
