"""Convolution along time, over padded batches or ragged ones: nothing is computed beyond a sequence's end."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyseq import _core
from pyseq._config import precision_code
from pyseq.ops._frames import (
    FloatArray,
    Frames,
    as_frames,
    as_parameter,
    check_float,
    empty_rows,
    rows_beside,
)
from pyseq.ragged import Ragged

__all__ = ["ConvTape", "causal_conv1d", "causal_conv1d_backward", "conv1d", "conv1d_backward"]

MAX_REACH = 2**40  # frames between the outermost taps

_ACTIVATIONS = {None if name == "none" else name: code for code, name in enumerate(_core.CONV_ACTIVATIONS)}

_IN_PLACE = (None, "relu", "tanh")  # y is as wide as z


@dataclass(frozen=True)
class ConvTape:
    """What :func:`conv1d_backward` needs of the forward pass; nothing in it is public."""

    _activation: int
    _activated: Frames | None
    _precision: int


def conv1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    dilation: int = 1,
    causal: bool = True,
    lengths: Any = None,
    activation: str | None = None,
    residual: Any = None,
    keep_tape: bool = False,
) -> Any:
    """Convolve sequences along time: ``z[t] = bias + sum_k weight[:, :, k] @ x[t + offset(k)]``.

    Causal, ``offset(k) = (k - (K - 1)) * dilation``: a frame sees the present and the past. Centred,
    ``offset(k) = (k - (K - 1) / 2) * dilation``: it sees as far ahead as back. Outside a sequence there are
    zeros, so the output has the length of the input. As in PyTorch, the kernel is not flipped.

    The output is ``y = activation(z) + residual``.

    Parameters
    ----------
    x : array of shape (B, T, C_in), or Ragged of C_in features
        float32 or float64; integers become float32.
    weight : array of shape (C_out, C_in, K)
        Of the dtype of `x`.
    bias : array of shape (C_out,), optional
    dilation : int
        Frames from one tap to the next, at least 1.
    causal : bool
        Whether the last tap, or else the middle one, is on the frame itself; `K` must be odd if not causal.
    lengths : integer array of shape (B,), optional
        Frames of each sequence of an array `x`. Those beyond are never read.
    activation : {"relu", "tanh", "gated"}, optional
        Function of z. "gated" is ``tanh(z[:C]) * sigmoid(z[C:])`` with ``C = C_out / 2``: the first half of
        the channels are filters, the second half their gates (van den Oord et al. 2016, "Conditional Image
        Generation with PixelCNN Decoders", equation 2).
    residual : array of shape (B, T, C_y), or Ragged of C_y features, optional
        Added to the result; of the kind, lengths and dtype of `x`.
    keep_tape : bool
        Whether to return, beside y, what :func:`conv1d_backward` needs after an activation.

    Returns
    -------
    y : array of shape (B, T, C_y), or Ragged of C_y features
        Of the kind of `x`; zero beyond a sequence's length. C_y is C_out, or half of it if gated.
        A sequence gets the same bits whatever is beside it.
    tape : ConvTape
        With `keep_tape` only. It may refer to the memory of `y`, which must then stay as it is.

    Raises
    ------
    ValueError
        If shapes do not fit, `dilation` or `K` is below 1, `K` is even and not `causal`, a length is
        outside 0..T, `activation` is unknown, or "gated" finds an odd number of channels.
    TypeError
        If dtypes differ or are not numbers.
    MemoryError
        If the output cannot be.

    Notes
    -----
    With 40 channels or more on both sides, groups of three taps are summed two frames at a time by minimal
    filtering, F(2, 3) (Winograd, "Arithmetic complexity of computations", 1980), except at the ends of a
    sequence and in lower precisions. Errors are those of float32 all the same. An infinite number makes the
    frames whose taps reach it NaN there, where it could have made them infinite.

    Examples
    --------
    >>> import numpy as np
    >>> from pyseq.ops.conv import conv1d
    >>> x = np.array([[[1.0], [2.0], [4.0]]])
    >>> sum_of_two = np.ones((1, 1, 2))
    >>> conv1d(x, sum_of_two)[0, :, 0]
    array([1., 3., 6.])
    >>> conv1d(x, sum_of_two, dilation=2)[0, :, 0]
    array([1., 2., 5.])
    >>> conv1d(x, -sum_of_two, activation="relu", residual=x)[0, :, 0]
    array([1., 2., 4.])
    """
    if lengths is None and residual is None and not keep_tape and activation in _IN_PLACE:
        code = _ACTIVATIONS[activation]
        done = _core.conv1d_forward_whole(x, weight, bias, dilation, bool(causal), code, precision_code())
        if done is not None:
            return done
    frames = as_frames(x, lengths)
    weight = _check_weight(weight, frames)
    dilation, left = _check_taps(weight, dilation, causal)
    code, columns = _check_activation(activation, weight)
    if bias is not None:
        bias = as_parameter(bias, (weight.shape[0],), frames.rows.dtype, "bias")
    beside = None if residual is None else _check_beside(residual, frames, columns, "residual")
    y = frames.like(columns)
    activated, precision = None, precision_code()
    if keep_tape and activation is not None:
        # without a residual, y itself holds what was activated
        apart = activation == "gated" or beside is not None
        rows = empty_rows(len(y.rows), weight.shape[0], y.rows.dtype) if apart else y.rows
        activated = Frames(rows, y.starts, y.lengths, y.padded)
    _core.conv1d_forward(
        frames.rows,
        frames.starts,
        frames.lengths,
        weight,
        bias,
        y.rows,
        y.starts,
        dilation,
        left,
        code,
        None if beside is None else beside.rows,
        None if beside is None else beside.starts,
        None if activated is None else activated.rows,
        precision,
    )
    return (y.result(), ConvTape(code, activated, precision)) if keep_tape else y.result()


def conv1d_backward(
    x: Any,
    weight: Any,
    grad_y: Any,
    *,
    dilation: int = 1,
    causal: bool = True,
    lengths: Any = None,
    need_grad_x: bool = True,
    tape: ConvTape | None = None,
    add: Any = None,
) -> tuple[Any, FloatArray, FloatArray]:
    """Gradients of :func:`conv1d`. That of `residual` is `grad_y` itself.

    Parameters
    ----------
    x, weight, dilation, causal, lengths
        As given to :func:`conv1d`.
    grad_y : array of shape (B, T, C_y), or Ragged of C_y features
        Gradient by `y`, of the kind, lengths and dtype of `x`; never read beyond a sequence's length.
    need_grad_x : bool
        Whether the gradient by `x` is wanted.
    tape : ConvTape, optional
        From ``conv1d(..., keep_tape=True)``; needed if there was an activation.
    add : array of shape (B, T, C_in), or Ragged of C_in features, optional
        Added to `grad_x`: what reaches `x` by another way. Of the kind, lengths and dtype of `x`.

    Returns
    -------
    grad_x : array of shape (B, T, C_in), Ragged of C_in features, or None
        Zero beyond a sequence's length; None unless `need_grad_x`.
    grad_weight : array of shape (C_out, C_in, K)
    grad_bias : array of shape (C_out,)

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`conv1d`, and if `grad_y`, `add` or `tape` does not fit.
    """
    if lengths is None and tape is None and add is None:
        need = bool(need_grad_x)
        done = _core.conv1d_backward_whole(x, weight, grad_y, dilation, bool(causal), need, precision_code())
        if done is not None:
            return done
    frames = as_frames(x, lengths)
    weight = _check_weight(weight, frames)
    dilation, left = _check_taps(weight, dilation, causal)
    code, activated, precision = _check_tape(tape, frames, weight)
    columns = weight.shape[0] // 2 if code == _ACTIVATIONS["gated"] else weight.shape[0]
    grad = _check_beside(grad_y, frames, columns, "grad_y")
    if activated is not None:
        rows = rows_beside(grad, activated, columns, "grad_y")
        grad = Frames(rows, activated.starts, activated.lengths, activated.padded)
    if add is not None and not need_grad_x:
        raise ValueError("add is given, but need_grad_x is False: there is nothing to add it to")
    added = None if add is None else _check_beside(add, frames, frames.width, "add")
    grad_x = frames.like(frames.width) if need_grad_x else None
    grad_weight, grad_bias = _core.conv1d_backward(
        frames.rows,
        frames.starts,
        frames.lengths,
        weight,
        grad.rows,
        grad.starts,
        None if grad_x is None else grad_x.rows,
        frames.starts if grad_x is None else grad_x.starts,
        dilation,
        left,
        code,
        None if activated is None else activated.rows,
        None if added is None else added.rows,
        None if added is None else added.starts,
        precision,
    )
    return None if grad_x is None else grad_x.result(), grad_weight, grad_bias


def causal_conv1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    dilation: int = 1,
    lengths: Any = None,
    activation: str | None = None,
    residual: Any = None,
    keep_tape: bool = False,
) -> Any:
    """:func:`conv1d` with ``causal=True``: no frame depends on a later one.

    Examples
    --------
    >>> import numpy as np
    >>> from pyseq.ops.conv import causal_conv1d
    >>> causal_conv1d(np.ones((1, 4, 1)), np.ones((1, 1, 3)), np.array([0.5]))[0, :, 0]
    array([1.5, 2.5, 3.5, 3.5])
    """
    return conv1d(
        x,
        weight,
        bias,
        dilation=dilation,
        lengths=lengths,
        activation=activation,
        residual=residual,
        keep_tape=keep_tape,
    )


def causal_conv1d_backward(
    x: Any,
    weight: Any,
    grad_y: Any,
    *,
    dilation: int = 1,
    lengths: Any = None,
    tape: ConvTape | None = None,
    add: Any = None,
) -> tuple[Any, FloatArray, FloatArray]:
    """``grad_x, grad_weight, grad_bias`` of :func:`causal_conv1d`, as :func:`conv1d_backward` gives them."""
    return conv1d_backward(x, weight, grad_y, dilation=dilation, lengths=lengths, tape=tape, add=add)


def _check_activation(activation: str | None, weight: FloatArray) -> tuple[int, int]:
    """Its code, and the columns of y."""
    if not (activation is None or isinstance(activation, str)) or activation not in _ACTIVATIONS:
        names = ", ".join(repr(name) for name in _ACTIVATIONS)
        raise ValueError(f"activation is {activation!r}, expected one of {names}")
    channels = weight.shape[0]
    if activation != "gated":
        return _ACTIVATIONS[activation], channels
    if channels % 2:
        raise ValueError(
            f"weight has shape {weight.shape}, expected an even number of output channels: "
            "gated, the second half are the gates of the first"
        )
    return _ACTIVATIONS[activation], channels // 2


def _check_tape(tape: ConvTape | None, frames: Frames, weight: FloatArray) -> tuple[int, Frames | None, int]:
    """Code of the activation, what was activated, and precision of the forward pass."""
    if tape is None:
        return _ACTIVATIONS[None], None, precision_code()
    if not isinstance(tape, ConvTape):
        raise TypeError(f"tape is {tape!r}, expected what conv1d(..., keep_tape=True) returned, or None")
    kept = tape._activated
    if kept is not None and (
        kept.width != weight.shape[0]
        or kept.rows.dtype != frames.rows.dtype
        or kept.padded != frames.padded
        or not np.array_equal(kept.lengths, frames.lengths)
    ):
        raise ValueError(
            "tape is of another convolution: x or weight has other sizes, expected those of its own"
        )
    return tape._activation, kept, tape._precision


def _check_weight(weight: Any, frames: Frames) -> FloatArray:
    a = check_float(weight, "weight")
    if a.ndim != 3:
        raise ValueError(f"weight has shape {a.shape}, expected (out_channels, in_channels, kernel_size)")
    out_channels, in_channels, kernel_size = a.shape
    if kernel_size < 1:
        raise ValueError(f"weight has shape {a.shape}: its kernel size is 0, expected at least 1")
    if min(out_channels, in_channels) < 1:
        raise ValueError(f"weight has shape {a.shape}: it has no channels, expected at least 1 in and 1 out")
    if in_channels != frames.width:
        raise ValueError(
            f"weight has shape {a.shape}, expected (out_channels, {frames.width}, kernel_size): "
            f"x has {frames.width} features"
        )
    return as_parameter(a, a.shape, frames.rows.dtype, "weight")


def _check_taps(weight: FloatArray, dilation: int, causal: bool) -> tuple[int, int]:
    """Dilation, and frames from the oldest tap to the frame itself."""
    try:
        dilation = operator.index(dilation)
    except TypeError:
        raise TypeError(f"dilation is {dilation!r}, expected an integer of at least 1") from None
    kernel_size = weight.shape[2]
    if dilation < 1:
        raise ValueError(f"dilation is {dilation}, expected at least 1")
    if dilation * kernel_size > MAX_REACH:
        raise ValueError(
            f"dilation is {dilation}, which with a kernel size of {kernel_size} reaches over "
            f"{dilation * kernel_size} frames, expected at most 2**40"
        )
    if not causal and kernel_size % 2 == 0:
        raise ValueError(
            f"weight has kernel size {kernel_size}, expected an odd one: centred, it has a middle tap"
        )
    reach = (kernel_size - 1) * dilation
    return dilation, reach if causal else reach // 2


def _check_beside(values: Any, frames: Frames, width: int, name: str) -> Frames:
    """Frames of `width` features which must be of the kind, lengths and dtype of `x`."""
    whose = {"grad_y": "the output channels of weight", "residual": "those of the output"}.get(
        name, "those of x"
    )
    if frames.padded is None:
        found = as_frames(values, name=name)
        if found.padded is not None:
            raise ValueError(f"{name} is an array, expected a Ragged as x is")
        if not np.array_equal(found.lengths, frames.lengths):
            raise ValueError(f"{name} has other lengths than x, expected the same")
        if found.width != width:
            raise ValueError(f"{name} has {found.width} features, expected {width}, {whose}")
    else:
        expected = (*frames.padded, width)
        if isinstance(values, Ragged):
            raise ValueError(f"{name} is a Ragged, expected an array as x is")
        if np.shape(values) != expected:
            of = "x" if name == "add" else "y"
            raise ValueError(f"{name} has shape {np.shape(values)}, expected {expected}, the shape of {of}")
        found = as_frames(values, frames.lengths, name=name)
    if found.rows.dtype != frames.rows.dtype:
        raise TypeError(
            f"{name} has dtype {found.rows.dtype}, but x has {frames.rows.dtype}: give both the same"
        )
    return found
