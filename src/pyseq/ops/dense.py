"""Dense layers and embeddings as functions of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyseq import _core
from pyseq.ops._frames import FloatArray, as_parameter, check_float, check_size


def _check_dense(x: Any, weight: Any) -> tuple[FloatArray, FloatArray]:
    a = check_float(x, "x")
    if a.ndim != 2:
        raise ValueError(f"x has shape {a.shape}, expected (rows, features)")
    shape = np.shape(weight)
    if len(shape) != 2 or shape[1] != a.shape[1]:
        raise ValueError(
            f"weight has shape {shape}, expected (outputs, {a.shape[1]}) for x of shape {a.shape}"
        )
    if a.strides[1] != a.itemsize:
        a = np.ascontiguousarray(a)
    check_size("output", (a.shape[0], shape[0]), a.dtype)
    return a, as_parameter(weight, shape, a.dtype, "weight")


def dense(x: Any, weight: Any, bias: Any = None) -> FloatArray:
    """``y = x @ weight.T + bias``, each row summed in one order whatever the number of rows.

    Parameters
    ----------
    x : (N, I) array, float32 or float64; rows may have a stride
    weight : (O, I) array
    bias : (O,) array, optional

    Returns
    -------
    y : (N, O) array

    Examples
    --------
    >>> from pyseq import ops
    >>> ops.dense([[1, 2]], [[3, 4], [5, 6]], [0, 1])
    array([[11., 18.]], dtype=float32)
    """
    a, w = _check_dense(x, weight)
    b = None if bias is None else as_parameter(bias, (w.shape[0],), a.dtype, "bias")
    return _core.dense_forward(a, w, b)  # type: ignore[no-any-return]


def dense_backward(
    x: Any, weight: Any, grad_y: Any, *, need_grad_x: bool = True
) -> tuple[FloatArray | None, FloatArray, FloatArray]:
    """Gradients of `dense`: ``grad_x`` (N, I) or None, ``grad_weight`` (O, I), ``grad_bias`` (O,)."""
    a, w = _check_dense(x, weight)
    g = check_float(grad_y, "grad_y")
    if g.shape != (a.shape[0], w.shape[0]) or g.dtype != a.dtype:
        expected = f"{(a.shape[0], w.shape[0])} of {a.dtype}"
        raise ValueError(f"grad_y has shape {g.shape} and dtype {g.dtype}, expected {expected}")
    if g.strides[1] != g.itemsize:
        g = np.ascontiguousarray(g)
    return _core.dense_backward(a, w, g, need_grad_x)  # type: ignore[no-any-return]


def _check_tokens(tokens: Any, vocabulary: int) -> Any:
    t = np.asarray(tokens)
    if t.ndim != 1 or t.dtype.kind not in "iu":
        raise TypeError(f"tokens has shape {t.shape} and dtype {t.dtype}, expected a 1-D array of integers")
    wrong = (t < 0) | (t >= vocabulary)
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ValueError(
            f"tokens[{i}] is {t[i]}, expected an id from 0 to {vocabulary - 1} (num_embeddings - 1)"
        )
    return np.ascontiguousarray(t, dtype=np.int64)


def embedding(tokens: Any, weight: Any) -> FloatArray:
    """Rows of `weight` (V, D) for `tokens` (N,) integers in [0, V): (N, D)."""
    w = np.ascontiguousarray(check_float(weight, "weight"))
    if w.ndim != 2:
        raise ValueError(f"weight has shape {w.shape}, expected (num_embeddings, dim)")
    return _core.embedding_forward(_check_tokens(tokens, w.shape[0]), w)  # type: ignore[no-any-return]


def embedding_backward(tokens: Any, grad_y: Any, num_embeddings: int) -> FloatArray:
    """Gradient of `embedding` with respect to its weight: (num_embeddings, D) for grad_y (N, D)."""
    t = _check_tokens(tokens, num_embeddings)
    g = np.ascontiguousarray(check_float(grad_y, "grad_y"))
    if g.ndim != 2 or g.shape[0] != t.shape[0]:
        raise ValueError(f"grad_y has shape {g.shape}, expected ({t.shape[0]}, dim)")
    return _core.embedding_backward(t, g, num_embeddings)  # type: ignore[no-any-return]
