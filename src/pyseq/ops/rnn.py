"""Recurrent layers as functions: one call runs the whole time loop of one layer and direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pyseq import _core
from pyseq.ops._frames import FloatArray, Frames, as_frames, as_parameter


class RNNWeights(NamedTuple):
    """Weights of one layer and direction in PyTorch's layout; G gates of H units, I inputs.

    Gate order: LSTM i f g o, GRU r z n. `weight_ih` (G*H, I), `weight_hh` (G*H, H), both biases (G*H,).
    """

    weight_ih: FloatArray
    weight_hh: FloatArray
    bias_ih: FloatArray
    bias_hh: FloatArray


class CellInfo(NamedTuple):
    """What callers must know of a cell: its code in the kernels, its gates, whether it has a cell state."""

    code: int
    gates: int
    has_cell: bool


CELLS: dict[str, CellInfo] = {name: CellInfo(code, gates, has) for name, code, gates, has in _core.CELLS}

State = Any  # (B, H) array, or a pair of them for cells with a cell state


@dataclass(slots=True)
class Tape:
    """What `rnn_backward` needs of a forward pass. Good for one backward pass, which consumes it.

    `x`, the weights and the output are held by reference: leave them unchanged in between.
    `x` and `y` are Frames, or both plain (B, T, features) arrays.
    """

    cell: CellInfo
    reverse: bool
    x: Any
    y: Any
    weights: RNNWeights
    state: State
    memory: Any | None


def cell_info(cell: str) -> CellInfo:
    """The cell of this name; ValueError lists the names there are."""
    try:
        return CELLS[cell]
    except (KeyError, TypeError):
        raise ValueError(f"cell is {cell!r}, expected one of {', '.join(map(repr, CELLS))}") from None


def _check_weights(weights: Any, info: CellInfo, inputs: int, dtype: Any) -> RNNWeights:
    if len(weights) != 4:
        raise ValueError(
            f"weights has {len(weights)} arrays, expected 4: weight_ih, weight_hh, bias_ih, bias_hh"
        )
    hidden_shape = np.shape(weights[1])
    if len(hidden_shape) != 2 or hidden_shape[1] < 1 or hidden_shape[0] != info.gates * hidden_shape[1]:
        raise ValueError(
            f"weight_hh has shape {hidden_shape}, expected ({info.gates} * hidden_size, hidden_size)"
        )
    hidden = hidden_shape[1]
    shapes = (
        (info.gates * hidden, inputs),
        (info.gates * hidden, hidden),
        (info.gates * hidden,),
        (info.gates * hidden,),
    )
    checked = (
        as_parameter(w, s, dtype, n) for w, s, n in zip(weights, shapes, RNNWeights._fields, strict=True)
    )
    return RNNWeights(*checked)


def _check_state(
    state: State, info: CellInfo, shape: tuple[int, int], dtype: Any, name: str
) -> tuple[Any, Any]:
    """A state as (h, c); None stays None. `name` is the argument, for messages."""
    if state is None:
        return None, None
    if not info.has_cell:
        if isinstance(state, tuple | list):
            raise TypeError(
                f"{name} is a {type(state).__name__}, expected one (batch, hidden_size) array for this cell"
            )
        return as_parameter(state, shape, dtype, name), None
    if not isinstance(state, tuple | list) or len(state) != 2:
        raise TypeError(f"{name} must be a pair (h, c) for this cell, got {type(state).__name__}")
    h, c = state
    return (
        None if h is None else as_parameter(h, shape, dtype, f"{name}[0]"),
        None if c is None else as_parameter(c, shape, dtype, f"{name}[1]"),
    )


def rnn_forward(
    cell: str,
    x: Any,
    weights: RNNWeights,
    *,
    initial_state: State = None,
    lengths: Any = None,
    reverse: bool = False,
    keep_tape: bool = True,
    out: FloatArray | None = None,
) -> tuple[Any, State, Tape | None]:
    """One recurrent layer over a batch of sequences, in one direction.

    Parameters
    ----------
    cell : "elman", "elman_relu", "lstm" or "gru"
    x : (B, T, I) array or Ragged, float32 or float64
    weights : RNNWeights of the same dtype
    initial_state : (B, H) array, or a pair (h0, c0) for "lstm"; zeros if None
    lengths : (B,) integers, optional
        Frames of each sequence in a padded `x`; frames beyond are never read. 0 is allowed.
    reverse : bool
        Run from each sequence's last frame to its first. The output stays in the order of `x`.
    keep_tape : bool
        False where no backward pass follows: saves its memory.
    out : (N, H) array whose rows may have a stride, for a Ragged `x` of N frames in all
        Where the output goes, for instance half the columns of a bidirectional layer's buffer.

    Returns
    -------
    output : (B, T, H) array with zeros beyond `lengths`, or Ragged
    final_state : like `initial_state`; after the last frame that was run. For length 0, the initial state.
    tape : Tape for `rnn_backward`, or None

    Raises
    ------
    ValueError, TypeError
        For shapes, lengths or dtypes that do not fit; the message names the argument.

    Notes
    -----
    Every row is summed in one order, so results do not depend on the batch, padding or threads. Formulas:
    Elman 1990; Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000; Cho et al. 2014 with
    the reset gate after the matrix product.

    Examples
    --------
    >>> import numpy as np
    >>> from pyseq import ops
    >>> rng = np.random.default_rng(0)
    >>> shapes = [(4 * 3, 2), (4 * 3, 3), (4 * 3,), (4 * 3,)]  # an LSTM of 3 units on 2 features
    >>> weights = ops.RNNWeights(*(rng.standard_normal(shape) for shape in shapes))
    >>> x = rng.standard_normal((5, 7, 2))
    >>> output, (h, c), tape = ops.rnn_forward("lstm", x, weights, lengths=[7, 3, 1, 7, 2])
    >>> output.shape, h.shape
    ((5, 7, 3), (5, 3))
    >>> grad_x, grad_weights, grad_initial_state = ops.rnn_backward(tape, np.ones_like(output))
    >>> grad_weights.weight_ih.shape
    (12, 2)
    """
    info = cell_info(cell)
    if lengths is None and out is None:
        done = _core.rnn_forward_whole(info.code, reverse, x, weights, initial_state, keep_tape)
        if done is not None:
            output, final, memory = done
            tape = Tape(info, reverse, x, output, weights, initial_state, memory) if keep_tape else None
            return output, final, tape
    frames = as_frames(x, lengths)
    dtype = frames.rows.dtype
    w = _check_weights(weights, info, frames.width, dtype)
    hidden = int(w.weight_hh.shape[1])
    h0, c0 = _check_state(initial_state, info, (len(frames.lengths), hidden), dtype, "initial_state")
    y = frames.like(hidden) if out is None else _output_rows(out, frames, hidden)
    h_last, c_last, memory = _core.rnn_forward(
        info.code,
        reverse,
        frames.rows,
        frames.starts,
        frames.lengths,
        *w,
        h0,
        c0,
        y.rows,
        y.starts,
        keep_tape,
    )
    tape = Tape(info, reverse, frames, y, w, (h0, c0), memory) if keep_tape else None
    return y.result(), (h_last, c_last) if info.has_cell else h_last, tape


def _output_rows(out: FloatArray, frames: Frames, hidden: int) -> Frames:
    if frames.padded is not None:
        raise ValueError("out is only for a Ragged x")
    total = int(frames.lengths.sum())
    if out.shape != (total, hidden) or out.dtype != frames.rows.dtype:
        expected = f"{(total, hidden)} of {frames.rows.dtype}"
        raise ValueError(f"out has shape {out.shape} and dtype {out.dtype}, expected {expected}")
    return Frames(out, np.cumsum(frames.lengths) - frames.lengths, frames.lengths, None)


def rnn_backward(
    tape: Tape, grad_output: Any, grad_final_state: State = None, *, need_grad_x: bool = True
) -> tuple[Any, RNNWeights, State]:
    """Gradients of a recurrent layer by backpropagation through time.

    Parameters
    ----------
    tape : Tape from `rnn_forward`; consumed
    grad_output : gradient of the output, in its kind and shape; None for zeros
    grad_final_state : gradient of the final state, like it; None for zeros
    need_grad_x : bool
        False where `x` is data: saves its product.

    Returns
    -------
    grad_x : like `x` (zeros beyond the lengths), or None
    grad_weights : RNNWeights
    grad_initial_state : (B, H) array, or a pair for "lstm"

    Raises
    ------
    ValueError
        If the tape was used before, or a gradient's shape does not fit.
    """
    if tape.memory is None:
        raise ValueError("tape was consumed by an earlier rnn_backward: run rnn_forward again")
    if not isinstance(tape.x, Frames):
        done = _core.rnn_backward_whole(
            tape.cell.code, tape.reverse, tape.x, tape.weights, tape.state,
            tape.y, tape.memory, grad_output, grad_final_state, need_grad_x,
        )  # fmt: skip
        if done is not None:
            tape.memory = None
            return done[0], RNNWeights(*done[1][:4]), _state_of(tape.cell, done[1][4:])
        tape.x, tape.y = as_frames(tape.x), as_frames(tape.y)
        hidden = tape.y.width
        shape = (len(tape.x.lengths), hidden)
        tape.state = _check_state(tape.state, tape.cell, shape, tape.x.rows.dtype, "initial_state")
    dtype = tape.x.rows.dtype
    hidden = tape.y.width
    gh, gc = _check_state(
        grad_final_state, tape.cell, (len(tape.x.lengths), hidden), dtype, "grad_final_state"
    )
    grad_y = None if grad_output is None else _gradient_rows(grad_output, tape)
    grad_x = tape.x.like(tape.x.width) if need_grad_x else None
    h0, c0 = tape.state
    memory, tape.memory = tape.memory, None
    g = _core.rnn_backward(
        tape.cell.code, tape.reverse,
        tape.x.rows, tape.x.starts, tape.x.lengths, *tape.weights, h0, c0,
        tape.y.rows, tape.y.starts, memory, grad_y, gh, gc,
        *((None, None) if grad_x is None else (grad_x.rows, grad_x.starts)),
    )  # fmt: skip
    grad_x = None if grad_x is None else grad_x.result()
    return grad_x, RNNWeights(*g[:4]), _state_of(tape.cell, g[4:])


def _state_of(cell: CellInfo, arrays: list[FloatArray]) -> State:
    return tuple(arrays) if cell.has_cell else arrays[0]


def _gradient_rows(grad: Any, tape: Tape) -> FloatArray:
    frames = as_frames(grad, None, name="grad_output")
    y = tape.y
    if frames.width != y.width or (frames.padded is None) != (y.padded is None):
        raise ValueError(
            f"grad_output does not have the shape of the output: {frames.width} features, expected {y.width}"
        )
    if frames.rows.dtype != y.rows.dtype:
        raise TypeError(f"grad_output has dtype {frames.rows.dtype}, expected {y.rows.dtype} as the output")
    if frames.padded != y.padded or (y.padded is None and not np.array_equal(frames.lengths, y.lengths)):
        raise ValueError("grad_output does not have the shape of the output: other sequences or lengths")
    if len(frames.rows) == len(y.rows) and np.array_equal(frames.starts, y.starts):
        return frames.rows
    # The kernel reads the gradient where it read the output: lay it out alike.
    return frames.rows[np.repeat(frames.starts - y.starts, y.lengths) + np.arange(len(y.rows))]
