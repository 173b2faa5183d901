"""What recurrent layers share: stacks of scans in one or both directions of time, their weights and masks."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from pyseq import ops
from pyseq.layers.arrays import get_namespace
from pyseq.layers.base import Layer
from pyseq.layers.dropout import RATE, dropout, dropout_backward, needs_generator
from pyseq.layers.initialisers import initial, initial_gates
from pyseq.ops.cells import Weights
from pyseq.ragged import Ragged


class Direction(NamedTuple):
    """One scan of a layer: suffix of its parameters, whether time runs backwards, its output columns."""

    suffix: str
    reverse: bool
    columns: slice


# How further weights of a cell begin, by name (`ops.CELLS`).
EXTRA_INITIALISERS = {
    "peephole": "zeros",
    "weight_hr": "glorot_uniform",
    "gain_ih": "ones",
    "gain_hh": "ones",
    "gain_c": "ones",
    "bias_c": "zeros",
    "leak": "ones",
}


class RecurrentLayer(Layer):
    """What the recurrent layers share. A subclass names its cell and, where it likes, how its biases begin.

    Parameters of layer l: `weight_ih_l{l}` (G*H, n_in), `weight_hh_l{l}` (G*H, H), `bias_ih_l{l}` and
    `bias_hh_l{l}` (G*H,), what else the cell has, and the same with the suffix `_reverse` where
    bidirectional. Both directions write into one output of 2H columns: the first H run forwards in time, the
    others backwards.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "hidden_size": [Interval(Integral, 1, None, closed="left")],
        "num_layers": [Interval(Integral, 1, None, closed="left")],
        "bidirectional": ["boolean"],
        "dropout": [RATE],
        "recurrent_dropout": [RATE],
        "zoneout": [RATE],
        "zoneout_cell": [RATE],
    }

    hidden_size: int
    num_layers: int
    bidirectional: bool
    dropout: float
    recurrent_dropout: float = 0.0
    zoneout: float = 0.0
    zoneout_cell: float = 0.0

    def _cell(self) -> str:
        """Name of the cell in `pyseq.ops.rnn_forward`."""
        raise NotImplementedError

    def _output_size(self) -> int:
        """Columns of one direction."""
        return self.hidden_size

    def _initial_bias(self, bias_ih: NDArray[np.float64]) -> None:
        """Change `bias_ih` (G*H,), which is 0, to what it begins with."""

    def forward(
        self, x: Ragged, *, training: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Ragged, Any]:
        y, tape, _ = self._forward(x, None, training, rng)
        return y, tape

    def forward_carrying(
        self, x: Ragged, state: Any, *, training: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Ragged, Any, Any]:
        if self.bidirectional:
            raise ValueError(
                f"{self!r} has no state to go on from: bidirectional, it begins at the last frame"
            )
        return self._forward(x, state, training, rng)

    def _forward(
        self, x: Ragged, state: Any, training: bool, rng: np.random.Generator | None
    ) -> tuple[Ragged, Any, Any]:
        tapes, states = [], []
        for level, before in enumerate(state or [None] * self.num_layers):
            mask = None
            if training and level > 0 and self.dropout > 0:
                x, mask = dropout(x, self.dropout, rng)
            x, scan_tapes, after = self._forward_level(level, x, before, training, rng)
            tapes.append((mask, scan_tapes))
            states.append(after)
        return x, (tapes if training else None), states

    def backward(self, tape: Any, grad: Ragged, *, need_grad_x: bool = True) -> Ragged | None:
        grad_x: Ragged | None = grad
        for level in reversed(range(self.num_layers)):
            assert grad_x is not None
            mask, scan_tapes = tape[level]
            grad_x = self._backward_level(level, scan_tapes, grad_x, need_grad_x or level > 0)
            if mask is not None and grad_x is not None:
                grad_x = dropout_backward(mask, grad_x)
        return grad_x

    def add_stages(self, stream: ops.Stream, frame: int) -> int:
        """Add a stage a level; the layer must not be bidirectional."""
        if self.bidirectional:
            raise ValueError(
                f"{self!r} cannot run frame by frame: bidirectional, it begins at the last frame"
            )
        rates = {name: np.full(columns, rate) for name, _, rate, columns in self._zoneouts() if rate > 0}
        for level in range(self.num_layers):
            frame = stream.recurrent(frame, self._cell(), self._weights(level, ""), **rates)
        return frame

    def _forward_level(
        self, level: int, x: Ragged, state: Any, training: bool, rng: np.random.Generator | None
    ) -> tuple[Ragged, list[Any], Any]:
        out = get_namespace(x.buffer).empty((x.n_frames, self._n_columns()), dtype=x.dtype)
        tapes = []
        for suffix, reverse, columns in self._directions():
            weights = self._weights(level, suffix)
            _, after, tape = ops.rnn_forward(
                self._cell(),
                x,
                weights,
                initial_state=state,
                reverse=reverse,
                keep_tape=training,
                out=out[:, columns],
                **self._masks(x, training, rng),
            )
            tapes.append(tape)
        return x.with_values(out), tapes, after

    def _masks(self, x: Ragged, training: bool, rng: np.random.Generator | None) -> dict[str, Any]:
        """Arguments of `rnn_forward` for one scan. Zoneout has an expectation at inference: its rate."""
        xp = get_namespace(x.buffer)
        masks: dict[str, Any] = {}
        if training and self.recurrent_dropout > 0:
            shape, rate = (len(x), self._output_size()), self.recurrent_dropout
            mask = needs_generator(rng, "recurrent_dropout", rate).random(shape) >= rate
            masks["recurrent_mask"] = xp.asarray((mask / (1.0 - rate)).astype(x.dtype))
        for name, setting, rate, columns in self._zoneouts():
            if rate > 0 and training:
                draws = needs_generator(rng, setting, rate).random((x.n_frames, columns), dtype="float32")
                masks[name] = x.with_values(xp.asarray((draws < rate).astype(x.dtype)))
            elif rate > 0:
                masks[name] = xp.full(columns, rate, dtype=x.dtype)
        return masks

    def _zoneouts(self) -> list[tuple[str, str, float, int]]:
        """Argument of `rnn_forward`, setting, rate and columns of the zoneout of h and of the cell state."""
        return [
            ("zoneout_h", "zoneout", self.zoneout, self._output_size()),
            ("zoneout_c", "zoneout_cell", self.zoneout_cell, self.hidden_size),
        ]

    def _backward_level(self, level: int, tapes: list[Any], grad: Ragged, need_grad_x: bool) -> Ragged | None:
        grad_x: Ragged | None = None
        grad_frames = grad.values
        for (suffix, _, columns), tape in zip(self._directions(), tapes, strict=True):
            grad_x, grad_weights, _ = ops.rnn_backward(
                tape, grad.with_values(grad_frames[:, columns]), need_grad_x=need_grad_x, add_to=grad_x
            )
            for name, gradient in grad_weights._asdict().items():
                self._add_gradient(f"{name}_l{level}{suffix}", gradient)
        return grad_x

    def _directions(self) -> list[Direction]:
        h = self._output_size()
        forwards = Direction("", False, slice(0, h))
        backwards = Direction("_reverse", True, slice(h, 2 * h))
        return [forwards, backwards] if self.bidirectional else [forwards]

    def _n_columns(self) -> int:
        return self._output_size() * len(self._directions())

    def _reversed_columns(self) -> slice:
        return self._directions()[1].columns if self.bidirectional else slice(0, 0)

    def _weights(self, level: int, suffix: str) -> Weights:
        parameters, make = self._built("parameters_"), ops.CELLS[self._cell()].weights
        return make(*[parameters[f"{name}_l{level}{suffix}"] for name in make._fields])

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
                parameters.update({f"{name}_l{level}{suffix}": w for name, w in weights.items()})
        return n_columns, parameters

    def _initial_weights(self, n_in: int, rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
        info, h, p = ops.CELLS[self._cell()], self.hidden_size, self._output_size()
        weights = {
            "weight_ih": initial_gates("glorot_uniform", rng, info.gates, (h, n_in)),
            "weight_hh": initial_gates("orthogonal", rng, info.recurrent_gates, (h, p)),
            "bias_ih": initial("zeros", rng, (info.gates * h,)),
            "bias_hh": initial("zeros", rng, (info.recurrent_gates * h,)),
        }
        self._initial_bias(weights["bias_ih"])
        for name, shape in info.shapes(n_in, h, p).items():
            if name not in weights:
                weights[name] = initial(EXTRA_INITIALISERS[name], rng, shape)
        return weights
