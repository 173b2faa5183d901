"""Gated convolutions with skip connections   (van den Oord et al. 2016)."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from pyseq import ops
from pyseq.layers.arrays import get_namespace
from pyseq.layers.base import Layer
from pyseq.layers.conv_unit import ConvUnit
from pyseq.ragged import Ragged


class GatedLayer(NamedTuple):
    """A gated convolution, what it gives to the skip sum, and what it adds to its own input."""

    gated: ConvUnit
    skip: ConvUnit
    residual: ConvUnit | None  # none in the last layer: nobody would read it


class WaveNet(Layer):
    """Cycles of dilated, gated, causal convolutions; the output is the rectified sum of all layers' skips.

        x_0 = conv(x),   z_l = tanh(filter_l(x_l)) * sigmoid(gate_l(x_l)),   x_{l+1} = x_l + residual_l(z_l)
        y = relu(sum_l skip_l(z_l))

    conv, filter_l and gate_l are causal convolutions of `kernel_size` taps, conv of dilation 1, layer l of
    dilation ``2**(l % dilation_cycle)``; residual_l and skip_l are 1x1. The last layer has no residual_l, as
    nothing reads it. What the published network does to y, two more 1x1 convolutions with a ReLU between them
    and a softmax, is not part of it: y has `skip_channels` columns, to be followed by `Dense` layers or by an
    estimator's head   (van den Oord et al. 2016, "WaveNet: A Generative Model for Raw Audio", figure 4).

    Parameters
    ----------
    residual_channels : int
        Width of x_l and z_l.
    skip_channels : int
        Columns of the output.
    dilation_cycle : int
        Layers of a cycle, of dilations 1, 2, 4, ...
    num_cycles : int
        Cycles one after the other.
    kernel_size : int
        Taps of each convolution along time.

    Notes
    -----
    Parameters: `input.weight` (residual_channels, n_features, kernel_size) and, of layer l,
    `layer{l}.gated.weight` (2 * residual_channels, residual_channels, kernel_size), filters above gates,
    `layer{l}.skip.weight` (skip_channels, residual_channels, 1), `layer{l}.residual.weight`
    (residual_channels, residual_channels, 1); a `.bias` beside each. Weights begin Glorot-uniform, biases
    at 0.

    Examples
    --------
    >>> from pyseq.layers import WaveNet
    >>> WaveNet(64, 64, dilation_cycle=10, num_cycles=3).receptive_field
    3071
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "residual_channels": [Interval(Integral, 1, None, closed="left")],
        "skip_channels": [Interval(Integral, 1, None, closed="left")],
        "dilation_cycle": [Interval(Integral, 1, None, closed="left")],
        "num_cycles": [Interval(Integral, 1, None, closed="left")],
        "kernel_size": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        residual_channels: int,
        skip_channels: int,
        dilation_cycle: int,
        num_cycles: int,
        kernel_size: int = 2,
    ) -> None:
        self.residual_channels = residual_channels
        self.skip_channels = skip_channels
        self.dilation_cycle = dilation_cycle
        self.num_cycles = num_cycles
        self.kernel_size = kernel_size

    @property
    def dilations(self) -> list[int]:
        """Of each gated layer."""
        return [2**level for level in range(self.dilation_cycle)] * self.num_cycles

    @property
    def receptive_field(self) -> int:
        """Frames from the first to the last that a frame of the output sees."""
        return 1 + (self.kernel_size - 1) * (1 + sum(self.dilations))

    def _input(self, n_features: int) -> ConvUnit:
        return ConvUnit("input.", n_features, self.residual_channels, self.kernel_size)

    def _layers(self) -> list[GatedLayer]:
        width, layers = self.residual_channels, []
        for n, dilation in enumerate(self.dilations):
            name, last = f"layer{n}.", n == len(self.dilations) - 1
            gated = ConvUnit(name + "gated.", width, width, self.kernel_size, dilation, activation="gated")
            skip = ConvUnit(name + "skip.", width, self.skip_channels)
            layers.append(
                GatedLayer(gated, skip, None if last else ConvUnit(name + "residual.", width, width))
            )
        return layers

    def _initial_parameters(
        self, n_features: int, rng: np.random.Generator
    ) -> tuple[int, dict[str, NDArray[np.float64]]]:
        parameters = self._input(n_features).initial_parameters(rng)
        for layer in self._layers():
            for unit in layer:
                parameters.update({} if unit is None else unit.initial_parameters(rng))
        return self.skip_channels, parameters

    def forward(
        self, x: Ragged, *, training: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Ragged, Any]:
        parameters = self._built("parameters_")
        x, input_tape = self._input(self.n_features_in_).forward(parameters, x, training=training)
        total: Ragged | None = None
        tapes = []
        for layer in self._layers():
            z, gated_tape = layer.gated.forward(parameters, x, training=training)
            total, skip_tape = layer.skip.forward(parameters, z, residual=total, training=training)
            residual_tape = None
            if layer.residual is not None:
                x, residual_tape = layer.residual.forward(parameters, z, residual=x, training=training)
            tapes.append((gated_tape, skip_tape, residual_tape))
        assert total is not None
        y = total.values
        get_namespace(y).maximum(y, 0, out=y)
        return total, ((input_tape, tapes, y) if training else None)

    def add_stages(self, stream: ops.Stream, frame: int) -> int:
        """Add all layers, the skip sum and its ReLU."""
        parameters = self._built("parameters_")
        frame = self._input(self.n_features_in_).add_stages(stream, frame, parameters)
        total: int | None = None
        for layer in self._layers():
            z = layer.gated.add_stages(stream, frame, parameters)
            total = layer.skip.add_stages(stream, z, parameters, total)
            if layer.residual is not None:
                frame = layer.residual.add_stages(stream, z, parameters, frame)
        assert total is not None
        return stream.elementwise(total, "relu")

    def backward(self, tape: Any, grad: Ragged, *, need_grad_x: bool = True) -> Ragged | None:
        def through(unit: ConvUnit, tape: Any, grad: Ragged, add: Any = None, needed: bool = True) -> Any:
            grad_x, gradients = unit.backward(self.parameters_, tape, grad, need_grad_x=needed, add=add)
            self._add_gradients(gradients)
            return grad_x

        input_tape, tapes, y = tape
        grad_total = grad.with_values(grad.values * (y > 0))
        grad_x: Any = None
        for layer, (gated_tape, skip_tape, residual_tape) in zip(
            reversed(self._layers()), reversed(tapes), strict=True
        ):
            grad_z = through(layer.skip, skip_tape, grad_total)
            if layer.residual is not None:
                grad_z = through(layer.residual, residual_tape, grad_x, add=grad_z)
            grad_x = through(layer.gated, gated_tape, grad_z, add=grad_x)
        result: Ragged | None = through(
            self._input(self.n_features_in_), input_tape, grad_x, needed=need_grad_x
        )
        return result
