"""The recurrent cells there are, and the arrays that each takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pyseq import _core
from pyseq.ops._frames import FloatArray, as_parameter


class RNNWeights(NamedTuple):
    """Weights of one layer and direction in PyTorch's layout; G gates of H units, I inputs.

    Gate order: LSTM i f g o, GRU r z n. `weight_ih` (G*H, I), `weight_hh` (G*H, H), both biases (G*H,).
    "lstm_coupled" has the gates i g o. "mingru" has z v and no recurrent product: `weight_hh` (0, H) and
    `bias_hh` (0,).
    """

    weight_ih: FloatArray
    weight_hh: FloatArray
    bias_ih: FloatArray
    bias_hh: FloatArray


class LeakyWeights(NamedTuple):
    """`RNNWeights` of "elman_leaky", and `leak` (H,): how much of the new state is new."""

    weight_ih: FloatArray
    weight_hh: FloatArray
    bias_ih: FloatArray
    bias_hh: FloatArray
    leak: FloatArray


class PeepholeWeights(NamedTuple):
    """`RNNWeights` of "lstm_peephole", and `peephole` (3, H): what the gates i, f and o see of c."""

    weight_ih: FloatArray
    weight_hh: FloatArray
    bias_ih: FloatArray
    bias_hh: FloatArray
    peephole: FloatArray


class ProjectedWeights(NamedTuple):
    """`RNNWeights` of "lstm_projected" with `weight_hh` (4*H, P), and `weight_hr` (P, H): h = weight_hr m."""

    weight_ih: FloatArray
    weight_hh: FloatArray
    bias_ih: FloatArray
    bias_hh: FloatArray
    weight_hr: FloatArray


class LayerNormWeights(NamedTuple):
    """`RNNWeights` of "lstm_layer_norm", and the gains of what it normalises.

    `gain_ih` and `gain_hh` (4*H,) scale the products of x and h, gates i f g o; `gain_c` and `bias_c` (H,)
    follow the normalised c.
    """

    weight_ih: FloatArray
    weight_hh: FloatArray
    bias_ih: FloatArray
    bias_hh: FloatArray
    gain_ih: FloatArray
    gain_hh: FloatArray
    gain_c: FloatArray
    bias_c: FloatArray


Weights = RNNWeights | LeakyWeights | PeepholeWeights | ProjectedWeights | LayerNormWeights
State = Any  # (B, H) array, or a pair of them for cells with a cell state

# What a cell takes besides `RNNWeights`: its type, and the shapes of the further fields by H and by the
# length P of h. To the kernels they are the rows of one array of H columns, in this order.
_MORE: dict[str, tuple[type[Weights], tuple[Callable[[int, int], tuple[int, ...]], ...]]] = {
    "elman_leaky": (LeakyWeights, (lambda h, p: (h,),)),
    "lstm_peephole": (PeepholeWeights, (lambda h, p: (3, h),)),
    "lstm_projected": (ProjectedWeights, (lambda h, p: (p, h),)),
    "lstm_layer_norm": (
        LayerNormWeights,
        (lambda h, p: (4 * h,), lambda h, p: (4 * h,), lambda h, p: (h,), lambda h, p: (h,)),
    ),
}


class CellInfo(NamedTuple):
    """What callers must know of a cell.

    Attributes
    ----------
    name : str
    code : int
        Its number in the kernels.
    gates, recurrent_gates : int
        Blocks of H rows in `weight_ih` and in `weight_hh`.
    has_cell : bool
        Whether the state is a pair (h, c).
    weights : type
        Named tuple of its weights; the first four fields are those of `RNNWeights`.
    """

    name: str
    code: int
    gates: int
    recurrent_gates: int
    has_cell: bool
    weights: type[Weights]

    @property
    def projects(self) -> bool:
        """Whether h has a length of its own."""
        return self.weights is ProjectedWeights

    def shapes(
        self, n_features: int, hidden_size: int, output_size: int | None = None
    ) -> dict[str, tuple[int, ...]]:
        """Shapes of the weights, by name; `output_size` is the length of h, for a cell that projects."""
        h, p = hidden_size, hidden_size if output_size is None else output_size
        rows, recurrent_rows = self.gates * h, self.recurrent_gates * h
        four = ((rows, n_features), (recurrent_rows, p), (rows,), (recurrent_rows,))
        more = (shape(h, p) for shape in _MORE[self.name][1]) if self.name in _MORE else ()
        return dict(zip(self.weights._fields, (*four, *more), strict=True))


CELLS: dict[str, CellInfo] = {
    name: CellInfo(name, code, gates, recurrent, has, _MORE[name][0] if name in _MORE else RNNWeights)
    for name, code, gates, recurrent, has in _core.CELLS
}


def cell_info(cell: str) -> CellInfo:
    """The cell of this name; ValueError lists the names there are."""
    try:
        return CELLS[cell]
    except (KeyError, TypeError):
        raise ValueError(f"cell is {cell!r}, expected one of {', '.join(map(repr, CELLS))}") from None


def check_weights(weights: Any, info: CellInfo, inputs: int, dtype: Any) -> tuple[Weights, int, int]:
    """The weights as the cell's named tuple of C-contiguous arrays; H; and the length of h."""
    names = info.weights._fields
    if len(weights) != len(names):
        raise ValueError(f"weights has {len(weights)} arrays, expected {len(names)}: {', '.join(names)}")
    hidden, output = _sizes(weights, info)
    shapes = info.shapes(inputs, hidden, output)
    checked = (as_parameter(w, s, dtype, n) for w, (n, s) in zip(weights, shapes.items(), strict=True))
    return info.weights(*checked), hidden, output


def _sizes(weights: Any, info: CellInfo) -> tuple[int, int]:
    if info.projects:
        shape = np.shape(weights[4])
        if len(shape) != 2 or min(shape) < 1:
            raise ValueError(f"weight_hr has shape {shape}, expected (projection_size, hidden_size)")
        return shape[1], shape[0]
    shape = np.shape(weights[1])
    if len(shape) != 2 or shape[1] < 1 or shape[0] != info.recurrent_gates * shape[1]:
        raise ValueError(
            f"weight_hh has shape {shape}, expected ({info.recurrent_gates} * hidden_size, hidden_size)"
        )
    return shape[1], shape[1]


def extra_rows(weights: Any, info: CellInfo) -> FloatArray | None:
    """All fields behind the first four, as rows of H numbers; None if there are none, or they do not fit."""
    if info.weights is RNNWeights:
        return None
    more = [np.asarray(array) for array in weights[4:]]
    hidden, output = _sizes_of_shapes(info, np.shape(weights[1]), more[0].shape)
    shapes = (shape(hidden, output) for shape in _MORE[info.name][1])
    if hidden == 0 or any(a.shape != shape for a, shape in zip(more, shapes, strict=True)):
        return None
    rows = [array.reshape(-1, hidden) for array in more]
    return rows[0] if len(rows) == 1 else np.concatenate(rows)


def _sizes_of_shapes(info: CellInfo, weight_hh: tuple[int, ...], extra: tuple[int, ...]) -> tuple[int, int]:
    """H and the length of h; zeros where the arrays that tell them have another number of dimensions."""
    by_shape = extra[::-1] if info.projects else weight_hh[1:] * 2
    return (by_shape[0], by_shape[1]) if len(by_shape) == 2 else (0, 0)


def weights_from(info: CellInfo, arrays: list[FloatArray]) -> Weights:
    """The named tuple from the kernels' arrays: four, and one of extra rows if the cell has any."""
    if info.weights is RNNWeights:
        return RNNWeights(*arrays)
    rows = arrays[4]
    begin, more = 0, []
    for shape in (shape(rows.shape[1], rows.shape[0]) for shape in _MORE[info.name][1]):
        end = begin + int(np.prod(shape)) // rows.shape[1]
        more.append(rows[begin:end].reshape(shape))
        begin = end
    return info.weights(*arrays[:4], *more)


def check_state(
    state: State, info: CellInfo, batch: int, hidden: int, output: int, dtype: Any, name: str
) -> tuple[Any, Any]:
    """A state as (h, c); None stays None. `name` is the argument, for messages."""
    if state is None:
        return None, None
    if not info.has_cell:
        if isinstance(state, tuple | list):
            raise TypeError(
                f"{name} is a {type(state).__name__}, expected one (batch, hidden_size) array for this cell"
            )
        return as_parameter(state, (batch, output), dtype, name), None
    if not isinstance(state, tuple | list) or len(state) != 2:
        raise TypeError(f"{name} must be a pair (h, c) for this cell, got {type(state).__name__}")
    h, c = state
    return (
        None if h is None else as_parameter(h, (batch, output), dtype, f"{name}[0]"),
        None if c is None else as_parameter(c, (batch, hidden), dtype, f"{name}[1]"),
    )
