"""Recurrent layers: stacks of Elman, LSTM or GRU scans in one or both directions of time."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from pyseq import ops
from pyseq.layers.arrays import get_namespace
from pyseq.layers.base import Layer
from pyseq.layers.dropout import RATE, dropout, dropout_backward
from pyseq.layers.initialisers import initial, initial_gates
from pyseq.ragged import Ragged


class Direction(NamedTuple):
    """One scan of a layer: suffix of its parameters, whether time runs backwards, its output columns."""

    suffix: str
    reverse: bool
    columns: slice


class RecurrentLayer(Layer):
    """What the recurrent layers share. A subclass names its cell and its number of gates.

    Parameters of layer l: `weight_ih_l{l}` (G*H, n_in), `weight_hh_l{l}` (G*H, H), `bias_ih_l{l}` and
    `bias_hh_l{l}` (G*H,), and the same with the suffix `_reverse` where bidirectional. Both directions
    write into one output of 2H columns: the first H run forwards in time, the others backwards.
    """

    n_gates: ClassVar[int]

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "hidden_size": [Interval(Integral, 1, None, closed="left")],
        "num_layers": [Interval(Integral, 1, None, closed="left")],
        "bidirectional": ["boolean"],
        "dropout": [RATE],
    }

    hidden_size: int
    num_layers: int
    bidirectional: bool
    dropout: float

    def _cell(self) -> str:
        """Name of the cell in `pyseq.ops.rnn_forward`."""
        raise NotImplementedError

    def forward(
        self, x: Ragged, *, training: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Ragged, Any]:
        tapes = []
        for level in range(self.num_layers):
            mask = None
            if training and level > 0 and self.dropout > 0:
                x, mask = dropout(x, self.dropout, rng)
            x, scan_tapes = self._forward_level(level, x, training)
            tapes.append((mask, scan_tapes))
        return x, (tapes if training else None)

    def backward(self, tape: Any, grad: Ragged, *, need_grad_x: bool = True) -> Ragged | None:
        grad_x: Ragged | None = grad
        for level in reversed(range(self.num_layers)):
            assert grad_x is not None
            mask, scan_tapes = tape[level]
            grad_x = self._backward_level(level, scan_tapes, grad_x, need_grad_x or level > 0)
            if mask is not None and grad_x is not None:
                grad_x = dropout_backward(mask, grad_x)
        return grad_x

    def _forward_level(self, level: int, x: Ragged, training: bool) -> tuple[Ragged, list[Any]]:
        out = get_namespace(x.buffer).empty((x.n_frames, self._n_columns()), dtype=x.dtype)
        tapes = []
        for suffix, reverse, columns in self._directions():
            weights = self._weights(level, suffix)
            _, _, tape = ops.rnn_forward(
                self._cell(), x, weights, reverse=reverse, keep_tape=training, out=out[:, columns]
            )
            tapes.append(tape)
        return x.with_values(out), tapes

    def _backward_level(self, level: int, tapes: list[Any], grad: Ragged, need_grad_x: bool) -> Ragged | None:
        grad_x: Ragged | None = None
        grad_frames = grad.values
        for (suffix, _, columns), tape in zip(self._directions(), tapes, strict=True):
            grad_x_part, grad_weights, _ = ops.rnn_backward(
                tape, grad.with_values(grad_frames[:, columns]), need_grad_x=need_grad_x
            )
            for name, gradient in grad_weights._asdict().items():
                self._add_gradient(f"{name}_l{level}{suffix}", gradient)
            if grad_x is None:
                grad_x = grad_x_part
            else:
                frames = grad_x.values
                frames += grad_x_part.values
        return grad_x

    def _directions(self) -> list[Direction]:
        h = self.hidden_size
        forwards = Direction("", False, slice(0, h))
        backwards = Direction("_reverse", True, slice(h, 2 * h))
        return [forwards, backwards] if self.bidirectional else [forwards]

    def _n_columns(self) -> int:
        return self.hidden_size * len(self._directions())

    def _reversed_columns(self) -> slice:
        return self._directions()[1].columns if self.bidirectional else slice(0, 0)

    def _weights(self, level: int, suffix: str) -> ops.RNNWeights:
        parameters = self._built("parameters_")
        return ops.RNNWeights(*[parameters[f"{name}_l{level}{suffix}"] for name in ops.RNNWeights._fields])

    def _initial_parameters(
        self, n_features: int, rng: np.random.Generator
    ) -> tuple[int, dict[str, NDArray[np.float64]]]:
        if self.dropout > 0 and self.num_layers == 1:
            warnings.warn(
                f"dropout={self.dropout} of {type(self).__name__} acts between stacked layers: with "
                f"num_layers=1 it does nothing; put a Dropout layer behind it instead",
                stacklevel=4,
            )
        parameters: dict[str, NDArray[np.float64]] = {}
        n_columns = self._n_columns()
        for level in range(self.num_layers):
            n_in = n_features if level == 0 else n_columns
            for suffix, _, _ in self._directions():
                weights = self._initial_weights(n_in, rng)
                parameters.update({f"{name}_l{level}{suffix}": w for name, w in weights._asdict().items()})
        return n_columns, parameters

    def _initial_weights(self, n_in: int, rng: np.random.Generator) -> ops.RNNWeights:
        h, g = self.hidden_size, self.n_gates
        return ops.RNNWeights(
            weight_ih=initial_gates("glorot_uniform", rng, g, (h, n_in)),
            weight_hh=initial_gates("orthogonal", rng, g, (h, h)),
            bias_ih=initial("zeros", rng, (g * h,)),
            bias_hh=initial("zeros", rng, (g * h,)),
        )


class Elman(RecurrentLayer):
    """Elman's simple recurrent network: h' = f(weight_ih x + bias_ih + weight_hh h + bias_hh)   (Elman 1990).

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

    Notes
    -----
    Input weights begin Glorot-uniform, recurrent weights orthogonal, biases 0.

    Examples
    --------
    >>> from pyseq.layers import Elman
    >>> Elman(8).build(3, random_state=0).parameters_["weight_ih_l0"].shape
    (8, 3)
    """

    n_gates: ClassVar[int] = 1

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **RecurrentLayer._parameter_constraints,
        "nonlinearity": [StrOptions({"tanh", "relu"})],
    }

    def __init__(
        self,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        nonlinearity: str = "tanh",
    ) -> None:
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.nonlinearity = nonlinearity

    def _cell(self) -> str:
        return "elman_relu" if self.nonlinearity == "relu" else "elman"


class LSTM(RecurrentLayer):
    """Long short-term memory   (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

    Gates in the order i f g o:  c' = f * c + i * g,  h' = o * tanh(c').

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

    Notes
    -----
    Input weights begin Glorot-uniform and recurrent weights orthogonal, gate by gate; biases 0, but 1
    for the forget gate (in `bias_ih`).

    Examples
    --------
    >>> from pyseq.layers import LSTM
    >>> LSTM(64, bidirectional=True)
    LSTM(bidirectional=True, hidden_size=64)
    >>> LSTM(64, bidirectional=True).build(12, random_state=0).n_features_out_
    128
    """

    n_gates: ClassVar[int] = 4

    def __init__(
        self, hidden_size: int, num_layers: int = 1, bidirectional: bool = False, dropout: float = 0.0
    ) -> None:
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.dropout = dropout

    def _cell(self) -> str:
        return "lstm"

    def _initial_weights(self, n_in: int, rng: np.random.Generator) -> ops.RNNWeights:
        weights = super()._initial_weights(n_in, rng)
        weights.bias_ih[self.hidden_size : 2 * self.hidden_size] = 1.0
        return weights


class GRU(RecurrentLayer):
    """Gated recurrent unit, reset gate after the matrix product   (Cho et al. 2014).

    Gates in the order r z n:  h' = (1 - z) * n + z * h.

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

    Notes
    -----
    Input weights begin Glorot-uniform and recurrent weights orthogonal, gate by gate; biases 0.

    Examples
    --------
    >>> from pyseq.layers import GRU
    >>> GRU(16, num_layers=2).build(5, random_state=0).n_parameters
    2736
    """

    n_gates: ClassVar[int] = 3

    def __init__(
        self, hidden_size: int, num_layers: int = 1, bidirectional: bool = False, dropout: float = 0.0
    ) -> None:
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.dropout = dropout

    def _cell(self) -> str:
        return "gru"
