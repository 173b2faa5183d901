"""Recurrent layers as functions: one call runs the whole time loop of one layer and direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pyseq import _core
from pyseq._config import precision_code
from pyseq.ops._frames import FloatArray, Frames, as_frames, rows_beside
from pyseq.ops._masks import NO_MASKS, Masks, check_masks
from pyseq.ops.cells import (
    CellInfo,
    RNNWeights,
    State,
    Weights,
    cell_info,
    check_state,
    check_weights,
    extra_rows,
    weights_from,
)
from pyseq.ragged import Ragged


class RNNMemory(NamedTuple):
    """Bytes that a training step of one layer and direction needs beside its arguments and results."""

    tape: int
    forward_workspace: int
    backward_workspace: int


def rnn_memory(
    cell: str,
    batch: int,
    steps: int,
    n_features: int,
    hidden_size: int,
    *,
    output_size: int | None = None,
    dtype: Any = "float32",
) -> RNNMemory:
    """What `rnn_forward` and `rnn_backward` will allocate for a batch: the tape, and scratch while each runs.

    In the precision that `pyseq.set_config` has set.

    Parameters
    ----------
    cell : name of a cell
    batch, steps : int
        Sequences, and frames of each.
    n_features, hidden_size : int
    output_size : int, optional
        Numbers of h where a projection makes them fewer than `hidden_size`.
    dtype : "float32" or "float64"

    Returns
    -------
    RNNMemory : bytes of the tape (what backward needs), and of the scratch of each pass, which is kept by the
        thread and used again

    Examples
    --------
    >>> from pyseq import ops
    >>> memory = ops.rnn_memory("lstm", 32, 100, 64, 128)
    >>> memory.backward_workspace < memory.tape / 4
    True
    """
    codes = cell_info(cell).code, precision_code()
    single = np.dtype(dtype) == np.float32
    output = hidden_size if output_size is None else output_size
    return RNNMemory(*_core.rnn_memory(*codes, single, batch, steps, n_features, hidden_size, output))


@dataclass(slots=True)
class Tape:
    """What `rnn_backward` needs of a forward pass. Good for one backward pass, which consumes it.

    `x`, the weights and the output are held by reference: leave them unchanged in between.
    `x` and `y` are Frames, or both plain (B, T, features) arrays.
    """

    cell: CellInfo
    precision: int
    reverse: bool
    x: Any
    y: Any
    weights: Weights
    extra: FloatArray | None
    state: State
    masks: Masks
    memory: Any | None


def rnn_forward(
    cell: str,
    x: Any,
    weights: Weights,
    *,
    initial_state: State = None,
    lengths: Any = None,
    reverse: bool = False,
    recurrent_mask: Any = None,
    zoneout_h: Any = None,
    zoneout_c: Any = None,
    keep_tape: bool = True,
    out: FloatArray | None = None,
) -> tuple[Any, State, Tape | None]:
    """One recurrent layer over a batch of sequences, in one direction.

    Parameters
    ----------
    cell : str
        "elman", "lstm", "gru" or another name in `ops.CELLS`
    x : (B, T, I) array or Ragged, float32 or float64
    weights : RNNWeights of the same dtype, or the type that `ops.CELLS[cell].weights` names
    initial_state : (B, H) array, or a pair (h0, c0) for cells with a cell state; zeros if None
    lengths : (B,) integers, optional
        Frames of each sequence in a padded `x`; frames beyond are never read. 0 is allowed.
    reverse : bool
        Run from each sequence's last frame to its first. The output stays in the order of `x`.
    recurrent_mask : (B, H) array, optional
        Multiplies h wherever it enters a recurrent product, at every step of a sequence: recurrent dropout,
        scaled by 1 / (1 - rate) by the caller (Gal & Ghahramani 2016).
    zoneout_h, zoneout_c : arrays or Ragged like the output, or (H,) arrays for all frames, optional
        How much of the old h, or c, stays in place of the new one: 0 and 1 drawn at random in training, the
        rate itself at inference (Krueger et al. 2017).
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
    Every row is summed in one order, so results do not depend on the batch, padding or threads. Products
    are as exact as `pyseq.set_config(precision=...)` asks; the tape remembers what held then. Formulas:
    Elman 1990; Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000; Cho et al. 2014
    with the reset gate after the matrix product.

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
    info, precision = cell_info(cell), precision_code()
    masked = recurrent_mask is not None or zoneout_h is not None or zoneout_c is not None
    usual = type(weights) is info.weights or len(weights) == len(info.weights._fields)
    if lengths is None and out is None and not masked and usual:
        extra = None if info.weights is RNNWeights else extra_rows(weights, info)
        done = _core.rnn_forward_whole(
            info.code, precision, reverse, x, weights, extra, initial_state, keep_tape
        )
        if done is not None:
            output, final, memory = done
            rest = (weights, extra, initial_state, NO_MASKS, memory)
            return output, final, Tape(info, precision, reverse, x, output, *rest) if keep_tape else None
    frames = as_frames(x, lengths)
    dtype, batch = frames.rows.dtype, len(frames.lengths)
    weights, hidden, width = check_weights(weights, info, frames.width, dtype)
    extra = extra_rows(weights, info)
    state = check_state(initial_state, info, batch, hidden, width, dtype, "initial_state")
    y = frames.like(width) if out is None else _output_rows(out, frames, width)
    masks = check_masks(info, y, hidden, recurrent_mask, zoneout_h, zoneout_c)
    h_last, c_last, memory = _core.rnn_forward(
        info.code, precision, reverse, frames.rows, frames.starts, frames.lengths, *weights[:4], extra,
        *state, *masks, y.rows, y.starts, keep_tape,
    )  # fmt: skip
    tape = None
    if keep_tape:
        tape = Tape(info, precision, reverse, frames, y, weights, extra, state, masks, memory)
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
    tape: Tape,
    grad_output: Any,
    grad_final_state: State = None,
    *,
    need_grad_x: bool = True,
    add_to: Any = None,
) -> tuple[Any, Weights, State]:
    """Gradients of a recurrent layer by backpropagation through time.

    Parameters
    ----------
    tape : Tape from `rnn_forward`; consumed
    grad_output : gradient of the output, in its kind and shape; None for zeros
    grad_final_state : gradient of the final state, like it; None for zeros
    need_grad_x : bool
        False where `x` is data: saves its product.
    add_to : Ragged like `x`, optional
        What the gradient of `x` is added to, in place: for instance that of another direction over the same
        `x`. It is what `grad_x` then is.

    Returns
    -------
    grad_x : like `x` (zeros beyond the lengths), or None
    grad_weights : as the weights given to `rnn_forward`
    grad_initial_state : (B, H) array, or a pair for cells with a cell state

    Raises
    ------
    ValueError
        If the tape was used before, or a gradient's shape does not fit.
    TypeError
        If `add_to` is given for an `x` that is no Ragged, or is none itself.
    """
    if tape.memory is None:
        raise ValueError("tape was consumed by an earlier rnn_backward: run rnn_forward again")
    info = tape.cell
    if not isinstance(tape.x, Frames) and add_to is None:
        done = _core.rnn_backward_whole(
            info.code, tape.precision, tape.reverse, tape.x, tape.weights, tape.extra, tape.state,
            tape.y, tape.memory, grad_output, grad_final_state, need_grad_x,
        )  # fmt: skip
        if done is not None:
            tape.memory = None
            return done[0], *_unpacked(info, done[1])
    if not isinstance(tape.x, Frames):
        _take_the_general_way(tape)
    dtype, batch, width = tape.x.rows.dtype, len(tape.x.lengths), tape.y.width
    hidden = int(tape.weights.weight_ih.shape[0]) // info.gates
    gh, gc = check_state(grad_final_state, info, batch, hidden, width, dtype, "grad_final_state")
    grad_y = None if grad_output is None else _gradient_rows(grad_output, tape)
    grad_x = _gradient_of_x(tape, need_grad_x, add_to)
    memory, tape.memory = tape.memory, None
    h0, c0 = tape.state
    to_x = (None, None) if grad_x is None else (grad_x.rows, grad_x.starts)
    gradients = _core.rnn_backward(
        info.code, tape.precision, tape.reverse, tape.x.rows, tape.x.starts, tape.x.lengths,
        *tape.weights[:4], tape.extra, h0, c0, *tape.masks,
        tape.y.rows, tape.y.starts, memory, grad_y, gh, gc, to_x[0], to_x[1], add_to is not None,
    )  # fmt: skip
    return None if grad_x is None else grad_x.result(), *_unpacked(info, gradients)


def _unpacked(info: CellInfo, arrays: list[FloatArray]) -> tuple[Weights, State]:
    """Gradients of the weights and of the initial state, which comes last."""
    first = len(arrays) - (2 if info.has_cell else 1)
    return weights_from(info, arrays[:first]), tuple(arrays[first:]) if info.has_cell else arrays[-1]


def _take_the_general_way(tape: Tape) -> None:
    tape.x, tape.y = as_frames(tape.x), as_frames(tape.y)
    dtype, batch = tape.x.rows.dtype, len(tape.x.lengths)
    hidden = int(tape.weights.weight_ih.shape[0]) // tape.cell.gates
    tape.state = check_state(tape.state, tape.cell, batch, hidden, tape.y.width, dtype, "initial_state")


def _gradient_of_x(tape: Tape, needed: bool, add_to: Any) -> Frames | None:
    """Where the gradient of x goes."""
    if not needed:
        return None
    if add_to is None:
        new: Frames = tape.x.like(tape.x.width)
        return new
    x = tape.x
    if not isinstance(add_to, Ragged) or x.padded is not None:
        raise TypeError(f"add_to is for a Ragged x and must be a Ragged itself, got {type(add_to).__name__}")
    fits = add_to.buffer.shape[1:] == (x.width,) and np.array_equal(add_to.lengths, x.lengths)
    if not fits or add_to.dtype != x.rows.dtype:
        raise ValueError(
            f"add_to must have the lengths of x, its {x.width} features and dtype {x.rows.dtype}"
        )
    return Frames(add_to.buffer, add_to.starts, add_to.lengths, None)


def _gradient_rows(grad: Any, tape: Tape) -> FloatArray:
    return rows_beside(as_frames(grad, None, name="grad_output"), tape.y, tape.y.width, "grad_output")
