"""Convolution along time, over padded batches or ragged ones: nothing is computed beyond a sequence's end."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from pyseq import _core
from pyseq.ops._frames import FloatArray, Frames, as_frames, as_parameter, check_float
from pyseq.ragged import Ragged

__all__ = ["causal_conv1d", "causal_conv1d_backward", "conv1d", "conv1d_backward"]

MAX_REACH = 2**40  # frames between the outermost taps


def conv1d(
    x: Any, weight: Any, bias: Any = None, *, dilation: int = 1, causal: bool = True, lengths: Any = None
) -> Any:
    """Convolve sequences along time: ``y[t] = bias + sum_k weight[:, :, k] @ x[t + offset(k)]``.

    Causal, ``offset(k) = (k - (K - 1)) * dilation``: a frame sees the present and the past. Centred,
    ``offset(k) = (k - (K - 1) / 2) * dilation``: it sees as far ahead as back. Outside a sequence there are
    zeros, so the output has the length of the input. As in PyTorch, the kernel is not flipped.

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

    Returns
    -------
    y : array of shape (B, T, C_out), or Ragged of C_out features
        Of the kind of `x`; zero beyond a sequence's length.
        A sequence gets the same bits whatever is beside it.

    Raises
    ------
    ValueError
        If shapes do not fit, `dilation` or `K` is below 1, `K` is even and not `causal`, or a length is
        outside 0..T.
    TypeError
        If dtypes differ or are not numbers.
    MemoryError
        If the output cannot be.

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
    """
    frames = as_frames(x, lengths)
    weight = _check_weight(weight, frames)
    dilation, left = _check_taps(weight, dilation, causal)
    if bias is not None:
        bias = as_parameter(bias, (weight.shape[0],), frames.rows.dtype, "bias")
    y = frames.like(weight.shape[0])
    _core.conv1d_forward(
        frames.rows, frames.starts, frames.lengths, weight, bias, y.rows, y.starts, dilation, left
    )
    return y.result()


def conv1d_backward(
    x: Any,
    weight: Any,
    grad_y: Any,
    *,
    dilation: int = 1,
    causal: bool = True,
    lengths: Any = None,
    need_grad_x: bool = True,
) -> tuple[Any, FloatArray, FloatArray]:
    """Gradients of :func:`conv1d`.

    Parameters
    ----------
    x, weight, dilation, causal, lengths
        As given to :func:`conv1d`.
    grad_y : array of shape (B, T, C_out), or Ragged of C_out features
        Gradient by `y`, of the kind, lengths and dtype of `x`; never read beyond a sequence's length.
    need_grad_x : bool
        Whether the gradient by `x` is wanted.

    Returns
    -------
    grad_x : array of shape (B, T, C_in), Ragged of C_in features, or None
        Zero beyond a sequence's length; None unless `need_grad_x`.
    grad_weight : array of shape (C_out, C_in, K)
    grad_bias : array of shape (C_out,)

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`conv1d`, and if `grad_y` does not fit.
    """
    frames = as_frames(x, lengths)
    weight = _check_weight(weight, frames)
    dilation, left = _check_taps(weight, dilation, causal)
    grad = _check_grad(grad_y, frames, weight.shape[0])
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
    )
    return None if grad_x is None else grad_x.result(), grad_weight, grad_bias


def causal_conv1d(x: Any, weight: Any, bias: Any = None, *, dilation: int = 1, lengths: Any = None) -> Any:
    """:func:`conv1d` with ``causal=True``: no frame depends on a later one.

    Examples
    --------
    >>> import numpy as np
    >>> from pyseq.ops.conv import causal_conv1d
    >>> causal_conv1d(np.ones((1, 4, 1)), np.ones((1, 1, 3)), np.array([0.5]))[0, :, 0]
    array([1.5, 2.5, 3.5, 3.5])
    """
    return conv1d(x, weight, bias, dilation=dilation, lengths=lengths)


def causal_conv1d_backward(
    x: Any, weight: Any, grad_y: Any, *, dilation: int = 1, lengths: Any = None
) -> tuple[Any, FloatArray, FloatArray]:
    """``grad_x, grad_weight, grad_bias`` of :func:`causal_conv1d`, as :func:`conv1d_backward` gives them."""
    return conv1d_backward(x, weight, grad_y, dilation=dilation, lengths=lengths)


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


def _check_grad(grad_y: Any, frames: Frames, out_channels: int) -> Frames:
    """Frames of `grad_y`, which must be of the kind, lengths and dtype of `x`."""
    if frames.padded is None:
        grad = as_frames(grad_y, name="grad_y")
        if grad.padded is not None:
            raise ValueError("grad_y is an array, expected a Ragged as x is")
        if not np.array_equal(grad.lengths, frames.lengths):
            raise ValueError("grad_y has other lengths than x, expected the same")
        if grad.width != out_channels:
            raise ValueError(
                f"grad_y has {grad.width} features, expected {out_channels}, the output channels of weight"
            )
    else:
        expected = (*frames.padded, out_channels)
        if isinstance(grad_y, Ragged):
            raise ValueError("grad_y is a Ragged, expected an array as x is")
        if np.shape(grad_y) != expected:
            raise ValueError(f"grad_y has shape {np.shape(grad_y)}, expected {expected}, the shape of y")
        grad = as_frames(grad_y, frames.lengths, name="grad_y")
    if grad.rows.dtype != frames.rows.dtype:
        raise TypeError(
            f"grad_y has dtype {grad.rows.dtype}, but x has {frames.rows.dtype}: give both the same"
        )
    return grad
