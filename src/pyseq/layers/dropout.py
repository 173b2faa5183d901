"""Dropout: entries zeroed at random while training, the others scaled up   (Srivastava et al. 2014)."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from pyseq.layers.arrays import get_namespace
from pyseq.layers.base import Layer
from pyseq.ops import Stream
from pyseq.ragged import Ragged

RATE = Interval(Real, 0, 1, closed="left")


def needs_generator(rng: np.random.Generator | None, name: str, rate: float) -> np.random.Generator:
    """The generator that training with `name` draws from."""
    if rng is None:
        raise ValueError(f"training with {name} ({rate}) needs a random generator: rng is None")
    return rng


def dropout(x: Ragged, rate: float, rng: np.random.Generator | None) -> tuple[Ragged, Any]:
    """`x` times a mask of zeros, with probability `rate`, and 1 / (1 - rate); and the mask."""
    values = x.values
    mask = needs_generator(rng, "dropout", rate).random(values.shape, dtype=values.dtype) >= rate
    mask = mask * values.dtype.type(1.0 / (1.0 - rate))
    mask = get_namespace(values).asarray(mask)
    return x.with_values(values * mask), mask


def channel_dropout(x: Ragged, rate: float, rng: np.random.Generator | None) -> tuple[Ragged, Any]:
    """`dropout` of whole channels: one draw for each sequence and column, the same in all its frames.

    Known as spatial dropout (Tompson et al. 2015): neighbouring frames are alike, so that one zeroed alone
    would be known from the next.
    """
    values = x.values
    draws = needs_generator(rng, "dropout", rate).random((len(x), values.shape[1]), dtype=values.dtype)
    mask = (draws >= rate) * values.dtype.type(1.0 / (1.0 - rate))
    xp = get_namespace(values)
    mask = xp.repeat(xp.asarray(mask), x.lengths, axis=0)
    return x.with_values(values * mask), mask


def dropout_backward(mask: Any, grad: Ragged) -> Ragged:
    """Gradient of the input of `dropout` and of `channel_dropout`."""
    return grad.with_values(grad.values * mask)


class Dropout(Layer):
    """Zeroes entries at random while training; does nothing otherwise.

    Parameters
    ----------
    rate : float
        Probability of an entry to be zeroed, in [0, 1).

    Examples
    --------
    >>> from pyseq.layers import Dropout
    >>> Dropout(0.2).build(8).n_parameters
    0
    """

    keeps_columns: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict[str, Any]] = {"rate": [RATE]}

    def __init__(self, rate: float = 0.5) -> None:
        self.rate = rate

    @property
    def receptive_field(self) -> int:
        """One: a frame sees itself."""
        return 1

    def _initial_parameters(
        self, n_features: int, rng: np.random.Generator
    ) -> tuple[int, dict[str, NDArray[np.float64]]]:
        return n_features, {}

    def forward(
        self, x: Ragged, *, training: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Ragged, Any]:
        if not training or self.rate == 0:
            return x, None
        return dropout(x, self.rate, rng)

    def backward(self, tape: Any, grad: Ragged, *, need_grad_x: bool = True) -> Ragged | None:
        if not need_grad_x:
            return None
        return grad if tape is None else dropout_backward(tape, grad)

    def add_stages(self, stream: Stream, frame: int) -> int:
        """Nothing to add: outside training, dropout does nothing."""
        return frame
