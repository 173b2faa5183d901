"""Convolution along time."""

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


class Conv1d(Layer):
    """y[t] = activation(bias + sum_k weight[:, :, k] x[t + offset(k)]), with zeros outside the sequence.

    Sequences keep their lengths. The tap offsets are (k - (kernel_size - 1)) * dilation if causal, else
    (k - (kernel_size - 1) / 2) * dilation.

    Parameters
    ----------
    channels : int
        Columns of the output.
    kernel_size : int
        Number of taps; odd unless causal.
    dilation : int
        Frames from one tap to the next.
    causal : bool
        Look at the present and the past only; else at both sides alike.
    activation : {"relu", "tanh"} or None
        Elementwise function of the result.

    Notes
    -----
    Parameters: `weight` (channels, n_features, kernel_size), `bias` (channels,). Weights begin
    He-uniform before "relu", else Glorot-uniform; biases begin at 0.

    Examples
    --------
    >>> from pyseq.layers import Conv1d
    >>> Conv1d(8, kernel_size=3).build(4, random_state=0).parameters_["weight"].shape
    (8, 4, 3)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "channels": [Interval(Integral, 1, None, closed="left")],
        "kernel_size": [Interval(Integral, 1, None, closed="left")],
        "dilation": [Interval(Integral, 1, None, closed="left")],
        "causal": ["boolean"],
        "activation": [StrOptions({"relu", "tanh"}), None],
    }

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        dilation: int = 1,
        causal: bool = True,
        activation: str | None = "relu",
    ) -> None:
        self.channels = channels
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.causal = causal
        self.activation = activation

    def _initial_parameters(
        self, n_features: int, rng: np.random.Generator
    ) -> tuple[int, dict[str, NDArray[np.float64]]]:
        if not self.causal and self.kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size of Conv1d must be odd when causal=False (a middle tap on every frame), "
                f"got {self.kernel_size}"
            )
        shape = (self.channels, n_features, self.kernel_size)
        weight = initial(initialiser_before(self.activation), rng, shape)
        return self.channels, {"weight": weight, "bias": initial("zeros", rng, (self.channels,))}

    def forward(
        self, x: Ragged, *, training: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Ragged, Any]:
        parameters = self._built("parameters_")
        y = ops.conv1d(
            x, parameters["weight"], parameters["bias"], dilation=self.dilation, causal=self.causal
        )
        ACTIVATIONS[self.activation].apply(y.values)
        return y, ((x, y) if training else None)

    def backward(self, tape: Any, grad: Ragged, *, need_grad_x: bool = True) -> Ragged | None:
        x, y = tape
        grad_y = grad.with_values(ACTIVATIONS[self.activation].backward(y.values, grad.values))
        grad_x, grad_weight, grad_bias = ops.conv1d_backward(
            x,
            self.parameters_["weight"],
            grad_y,
            dilation=self.dilation,
            causal=self.causal,
            need_grad_x=need_grad_x,
        )
        self._add_gradient("weight", grad_weight)
        self._add_gradient("bias", grad_bias)
        result: Ragged | None = grad_x
        return result

    def add_stages(self, stream: ops.Stream, frame: int) -> int:
        """Add the convolution and the activation; the layer must be causal."""
        if not self.causal:
            raise ValueError(f"{self!r} cannot run frame by frame: with causal=False it sees frames to come")
        parameters = self._built("parameters_")
        frame = stream.convolution(frame, parameters["weight"], parameters["bias"], dilation=self.dilation)
        return frame if self.activation is None else stream.elementwise(frame, self.activation)
