"""Convolution along time."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from pyseq import ops
from pyseq.layers.base import Layer
from pyseq.layers.conv_unit import ConvUnit
from pyseq.ragged import Ragged


def check_taps(name: str, kernel_size: int, causal: bool) -> None:
    """Refuse a centred kernel without a middle."""
    if not causal and kernel_size % 2 == 0:
        raise ValueError(
            f"kernel_size of {name} must be odd when causal=False (a middle tap on every frame), "
            f"got {kernel_size}"
        )


def check_causal(layer: Layer, causal: bool) -> None:
    """Refuse to run a layer frame by frame that sees frames to come."""
    if not causal:
        raise ValueError(f"{layer!r} cannot run frame by frame: with causal=False it sees frames to come")


class OneConvolution(Layer):
    """A layer that is one convolution. A subclass says which."""

    def _unit(self, n_features: int) -> ConvUnit:
        raise NotImplementedError

    def _initial_parameters(
        self, n_features: int, rng: np.random.Generator
    ) -> tuple[int, dict[str, NDArray[np.float64]]]:
        unit = self._unit(n_features)
        check_taps(type(self).__name__, unit.kernel_size, unit.causal)
        return unit.outputs, unit.initial_parameters(rng)

    def forward(
        self, x: Ragged, *, training: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Ragged, Any]:
        parameters = self._built("parameters_")
        return self._unit(self.n_features_in_).forward(parameters, x, training=training)

    def backward(self, tape: Any, grad: Ragged, *, need_grad_x: bool = True) -> Ragged | None:
        unit = self._unit(self.n_features_in_)
        grad_x, gradients = unit.backward(self.parameters_, tape, grad, need_grad_x=need_grad_x)
        self._add_gradients(gradients)
        result: Ragged | None = grad_x
        return result

    def add_stages(self, stream: ops.Stream, frame: int) -> int:
        """Add the convolution and what follows it; the layer must be causal."""
        parameters = self._built("parameters_")
        unit = self._unit(self.n_features_in_)
        check_causal(self, unit.causal)
        return unit.add_stages(stream, frame, parameters)


class Conv1d(OneConvolution):
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
    activation : {"relu", "tanh", "gated"} or None
        Function of the result. "gated" makes twice the channels and multiplies the tanh of the first half
        with the sigmoid of the second (van den Oord et al. 2016).
    weight_norm : bool
        Whether direction and length of each output channel's weight are parameters of their own
        (Salimans & Kingma 2016).

    Notes
    -----
    Parameters: `weight` (channels, n_features, kernel_size), `bias` (channels,); twice the rows if gated.
    With `weight_norm`, `weight_v` of that shape and `weight_g` (channels,) in place of `weight`, which is
    ``weight_g * weight_v / |weight_v|``. Weights begin He-uniform before "relu", else Glorot-uniform; biases
    begin at 0.

    Examples
    --------
    >>> from pyseq.layers import Conv1d
    >>> Conv1d(8, kernel_size=3).build(4, random_state=0).parameters_["weight"].shape
    (8, 4, 3)
    >>> Conv1d(8, kernel_size=3, dilation=4).receptive_field
    9
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "channels": [Interval(Integral, 1, None, closed="left")],
        "kernel_size": [Interval(Integral, 1, None, closed="left")],
        "dilation": [Interval(Integral, 1, None, closed="left")],
        "causal": ["boolean"],
        "activation": [StrOptions({"relu", "tanh", "gated"}), None],
        "weight_norm": ["boolean"],
    }

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        dilation: int = 1,
        causal: bool = True,
        activation: str | None = "relu",
        weight_norm: bool = False,
    ) -> None:
        self.channels = channels
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.causal = causal
        self.activation = activation
        self.weight_norm = weight_norm

    @property
    def receptive_field(self) -> int:
        """Frames from the first to the last that a frame of the output sees."""
        return 1 + (self.kernel_size - 1) * self.dilation

    def _unit(self, n_features: int) -> ConvUnit:
        return ConvUnit(
            "",
            n_features,
            self.channels,
            self.kernel_size,
            self.dilation,
            self.causal,
            self.activation,
            self.weight_norm,
        )


class Memoryless(OneConvolution):
    """The network of a fixed window: a dense hidden layer on the last `window` frames and nothing before.

    h[t] = activation(bias + sum_k weight[:, :, k] x[t - (window - 1) + k]), with zeros before the sequence.
    On the embeddings of words it is the hidden layer of the neural language model (Bengio et al. 2003,
    without the direct connections); on numbers, autoregression on a window. The head that every estimator
    puts behind its encoder completes it. It remembers nothing beyond its window: what a model with memory
    gains over it is what memory is worth.

    Parameters
    ----------
    window : int
        Frames that are seen, the present one among them.
    hidden_size : int
        Columns of the output.
    activation : {"tanh", "relu"} or None
        Function of the result.

    Notes
    -----
    Parameters: `weight` (hidden_size, n_features, window), `bias` (hidden_size,). Weights begin
    Glorot-uniform, He-uniform before "relu"; biases begin at 0.

    Examples
    --------
    >>> from pyseq.layers import Chain, Embedding, Memoryless
    >>> language_model = Chain([Embedding(1000, 30), Memoryless(5, hidden_size=100)])
    >>> language_model.receptive_field
    5
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "window": [Interval(Integral, 1, None, closed="left")],
        "hidden_size": [Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"relu", "tanh"}), None],
    }

    def __init__(self, window: int, hidden_size: int = 64, activation: str | None = "tanh") -> None:
        self.window = window
        self.hidden_size = hidden_size
        self.activation = activation

    @property
    def receptive_field(self) -> int:
        """Frames that a frame of the output sees."""
        return self.window

    def _unit(self, n_features: int) -> ConvUnit:
        return ConvUnit("", n_features, self.hidden_size, self.window, activation=self.activation)
