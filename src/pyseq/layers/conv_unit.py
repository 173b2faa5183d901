"""One convolution among the parameters of a layer: how it begins, its forward and its backward pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseq import ops
from pyseq.layers.activations import initialiser_before
from pyseq.layers.arrays import get_namespace
from pyseq.layers.initialisers import initial, initial_gates
from pyseq.ragged import Ragged

Parameters = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class ConvUnit:
    """y = activation(bias + sum_k weight[:, :, k] x[t + offset(k)]) + residual; see `pyseq.ops.conv1d`.

    Its parameters are `{prefix}weight` (R, inputs, kernel_size) and `{prefix}bias` (R,), with R = outputs, or
    twice that if gated. With `weight_norm` the weight is a direction and a length for each row r,

        weight[r] = weight_g[r] * weight_v[r] / |weight_v[r]|          (Salimans & Kingma 2016, equation 2)

    and `{prefix}weight_v`, of the shape of the weight, and `{prefix}weight_g` (R,) are the parameters. It
    begins as the weight does without: weight_g is |weight_v|.
    """

    prefix: str
    inputs: int
    outputs: int
    kernel_size: int = 1
    dilation: int = 1
    causal: bool = True
    activation: str | None = None
    weight_norm: bool = False

    @property
    def reach(self) -> int:
        """Frames from the first tap to the last."""
        return (self.kernel_size - 1) * self.dilation

    def initial_parameters(self, rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
        """He-uniform before "relu", else Glorot-uniform, for each half if gated; the bias is 0."""
        shape = (self.outputs, self.inputs, self.kernel_size)
        if self.activation == "gated":
            weight = initial_gates("glorot_uniform", rng, 2, shape)
        else:
            weight = initial(initialiser_before(self.activation), rng, shape)
        parameters = {self.prefix + "bias": np.zeros(len(weight))}
        if not self.weight_norm:
            return {self.prefix + "weight": weight, **parameters}
        lengths = np.sqrt((weight * weight).sum(axis=(1, 2)))
        return {self.prefix + "weight_v": weight, self.prefix + "weight_g": lengths, **parameters}

    def forward(
        self, parameters: Parameters, x: Ragged, *, residual: Ragged | None = None, training: bool = False
    ) -> tuple[Ragged, Any]:
        """y, and when training what `backward` needs."""
        weight = self._weight(parameters)
        result = ops.conv1d(
            x,
            weight,
            parameters[self.prefix + "bias"],
            dilation=self.dilation,
            causal=self.causal,
            activation=self.activation,
            residual=residual,
            keep_tape=training,
        )
        if not training:
            return result, None
        y, tape = result
        return y, (x, weight, tape)

    def backward(
        self,
        parameters: Parameters,
        tape: Any,
        grad: Ragged,
        *,
        need_grad_x: bool = True,
        add: Ragged | None = None,
    ) -> tuple[Any, dict[str, NDArray[Any]]]:
        """Gradient of x plus `add`, and those of the parameters. That of the residual is `grad`."""
        x, weight, activated = tape
        grad_x, grad_weight, grad_bias = ops.conv1d_backward(
            x,
            weight,
            grad,
            dilation=self.dilation,
            causal=self.causal,
            need_grad_x=need_grad_x,
            tape=activated,
            add=add if need_grad_x else None,
        )
        return grad_x, {**self._weight_gradients(parameters, grad_weight), self.prefix + "bias": grad_bias}

    def add_stages(
        self, stream: ops.Stream, frame: int, parameters: Parameters, residual: int | None = None
    ) -> int:
        """Add what `forward` does to a stream; the number of the frame that holds y."""
        weight, bias = self._weight(parameters), parameters[self.prefix + "bias"]
        frame = stream.convolution(frame, weight, bias, dilation=self.dilation)
        if self.activation == "gated":
            frame = stream.gate(frame)
        elif self.activation is not None:
            frame = stream.elementwise(frame, self.activation)
        return frame if residual is None else stream.add(frame, residual)

    def _weight(self, parameters: Parameters) -> NDArray[Any]:
        if not self.weight_norm:
            return parameters[self.prefix + "weight"]
        direction, length = parameters[self.prefix + "weight_v"], parameters[self.prefix + "weight_g"]
        weight: NDArray[Any] = direction * (length / _norms(direction))[:, np.newaxis, np.newaxis]
        return weight

    def _weight_gradients(self, parameters: Parameters, grad: NDArray[Any]) -> dict[str, NDArray[Any]]:
        #   grad g = grad w . v / |v|      grad v = g / |v| (grad w - grad g v / |v|)      (equation 3)
        if not self.weight_norm:
            return {self.prefix + "weight": grad}
        direction, length = parameters[self.prefix + "weight_v"], parameters[self.prefix + "weight_g"]
        norms = _norms(direction)
        unit = direction / norms[:, np.newaxis, np.newaxis]
        grad_length = (grad * unit).sum(axis=(1, 2))
        across = grad - grad_length[:, np.newaxis, np.newaxis] * unit
        scale = (length / norms)[:, np.newaxis, np.newaxis]
        return {self.prefix + "weight_v": scale * across, self.prefix + "weight_g": grad_length}


def _norms(direction: NDArray[Any]) -> NDArray[Any]:
    """Length of each row of a weight."""
    xp = get_namespace(direction)
    norms: NDArray[Any] = xp.sqrt((direction * direction).sum(axis=(1, 2)))
    return norms
