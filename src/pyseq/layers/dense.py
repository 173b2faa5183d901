"""The affine layer, applied to every frame by itself."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from pyseq import ops
from pyseq.layers.activations import ACTIVATIONS, initialiser_before
from pyseq.layers.base import Layer
from pyseq.layers.initialisers import initial
from pyseq.ragged import Ragged


class Dense(Layer):
    """y = activation(weight x + bias) in every frame.

    Parameters
    ----------
    units : int
        Columns of the output.
    activation : {"relu", "tanh"} or None
        Elementwise function of the result.

    Notes
    -----
    Parameters: `weight` (units, n_features), `bias` (units,). Weights begin Glorot-uniform, He-uniform before
    "relu"; biases begin at 0.

    Examples
    --------
    >>> from pyseq.layers import Dense
    >>> Dense(3).build(2, random_state=0).n_parameters
    9
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "units": [Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"relu", "tanh"}), None],
    }

    def __init__(self, units: int, activation: str | None = None) -> None:
        self.units = units
        self.activation = activation

    @property
    def receptive_field(self) -> int:
        """One: a frame sees itself."""
        return 1

    def _initial_parameters(
        self, n_features: int, rng: np.random.Generator
    ) -> tuple[int, dict[str, NDArray[np.float64]]]:
        weight = initial(initialiser_before(self.activation), rng, (self.units, n_features))
        return self.units, {"weight": weight, "bias": initial("zeros", rng, (self.units,))}

    def forward(
        self, x: Ragged, *, training: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Ragged, Any]:
        parameters = self._built("parameters_")
        frames = x.values
        y = ops.dense(frames, parameters["weight"], parameters["bias"])
        ACTIVATIONS[self.activation].apply(y)
        return x.with_values(y), ((frames, y) if training else None)

    def backward(self, tape: Any, grad: Ragged, *, need_grad_x: bool = True) -> Ragged | None:
        frames, y = tape
        grad_y = ACTIVATIONS[self.activation].backward(y, grad.values)
        grad_x, grad_weight, grad_bias = ops.dense_backward(
            frames, self.parameters_["weight"], grad_y, need_grad_x=need_grad_x
        )
        self._add_gradient("weight", grad_weight)
        self._add_gradient("bias", grad_bias)
        return None if grad_x is None else grad.with_values(grad_x)

    def add_stages(self, stream: ops.Stream, frame: int) -> int:
        """Add the product and the activation."""
        frame = stream.dense(frame, self._built("parameters_")["weight"], self.parameters_["bias"])
        return frame if self.activation is None else stream.elementwise(frame, self.activation)
