"""Elman's simple recurrent network, also with leaky units."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from pyseq.layers.recurrent import RecurrentLayer


class Elman(RecurrentLayer):
    """Elman's simple recurrent network: h' = f(weight_ih x + bias_ih + weight_hh h + bias_hh)   (Elman 1990).

    With a leak rate a below 1, units are leaky: h' = (1 - a) * h + a * f(...)   (Jaeger et al. 2007).

    Parameters
    ----------
    hidden_size : int
        Units H of each direction; the output has H columns, or 2H where bidirectional.
    num_layers : int
        Layers stacked on each other.
    bidirectional : bool
        Scan time in both directions, side by side.
    dropout : float
        Rate of dropout between stacked layers, in [0, 1).
    nonlinearity : {"tanh", "relu"}
        The function f.
    recurrent_dropout : float
        Rate of dropout of h in the recurrent product, one mask for all frames of a sequence, in [0, 1)
        (Gal & Ghahramani 2016).
    zoneout : float
        Probability of a unit of h to stay as it was for a frame, in [0, 1); its expectation at inference
        (Krueger et al. 2017).
    leak_rate : float
        Where a begins, in (0, 1]. Below 1, every unit has an a of its own, the parameter `leak`, which is
        trained as well; for tanh only.

    Notes
    -----
    Input weights begin Glorot-uniform, recurrent weights orthogonal, biases 0.

    Examples
    --------
    >>> from pyseq.layers import Elman
    >>> Elman(8).build(3, random_state=0).parameters_["weight_ih_l0"].shape
    (8, 3)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **RecurrentLayer._parameter_constraints,
        "nonlinearity": [StrOptions({"tanh", "relu"})],
        "leak_rate": [Interval(Real, 0, 1, closed="right")],
    }

    def __init__(
        self,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        nonlinearity: str = "tanh",
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        leak_rate: float = 1.0,
    ) -> None:
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.nonlinearity = nonlinearity
        self.recurrent_dropout = recurrent_dropout
        self.zoneout = zoneout
        self.leak_rate = leak_rate

    def _cell(self) -> str:
        if self.leak_rate != 1.0:
            return "elman_leaky"
        return "elman_relu" if self.nonlinearity == "relu" else "elman"

    def _initial_weights(self, n_in: int, rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
        weights = super()._initial_weights(n_in, rng)
        if "leak" in weights:
            if self.nonlinearity != "tanh":
                raise ValueError(
                    f"leak_rate of Elman must be 1 where nonlinearity is {self.nonlinearity!r}, "
                    f"got {self.leak_rate}"
                )
            weights["leak"][...] = self.leak_rate
        return weights
