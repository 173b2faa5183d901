"""Convolution along time, as neural networks mean it: a correlation, with zeros outside the sequence.

    y[t] = bias + sum_k weight[:, :, k] x[t + offset(k)]
    causal:   offset(k) = (k - (K - 1)) * dilation          sees the present and the past
    centred:  offset(k) = (k - (K - 1) / 2) * dilation      K odd

A row of y has one entry for each output channel.
"""

import numpy as np

from reference.sequences import as_float64, full_lengths


def conv1d(x, weight, bias=None, dilation=1, causal=True, lengths=None):
    """x (B, T, Cin), weight (Cout, Cin, K), bias (Cout,) -> y (B, T, Cout)."""
    x, weight = as_float64(x), as_float64(weight)
    bias = np.zeros(weight.shape[0]) if bias is None else as_float64(bias)
    y = np.zeros((*x.shape[:2], weight.shape[0]))
    for b, length in enumerate(full_lengths(x, lengths)):
        y[b, :length] = bias
        for t, k, source in _taps(length, weight.shape[2], dilation, causal):
            y[b, t] += weight[:, :, k] @ x[b, source]
    return y


def conv1d_backward(x, weight, grad_y, dilation=1, causal=True, lengths=None):
    """Returns grad_x (B, T, Cin), grad_weight (Cout, Cin, K), grad_bias (Cout,)."""
    x, weight, grad_y = as_float64(x), as_float64(weight), as_float64(grad_y)
    grad_x, grad_weight, grad_bias = np.zeros_like(x), np.zeros_like(weight), np.zeros(weight.shape[0])
    for b, length in enumerate(full_lengths(x, lengths)):
        grad_bias += grad_y[b, :length].sum(axis=0)
        for t, k, source in _taps(length, weight.shape[2], dilation, causal):
            grad_x[b, source] += weight[:, :, k].T @ grad_y[b, t]
            grad_weight[:, :, k] += np.outer(grad_y[b, t], x[b, source])
    return grad_x, grad_weight, grad_bias


def _taps(length, kernel_size, dilation, causal):
    """All (t, k, source frame) whose source lies inside the sequence."""
    if not causal and kernel_size % 2 == 0:
        raise ValueError(f"a centred convolution needs an odd kernel size, got {kernel_size}")
    anchor = kernel_size - 1 if causal else (kernel_size - 1) // 2
    for t in range(length):
        for k in range(kernel_size):
            source = t + (k - anchor) * dilation
            if 0 <= source < length:
                yield t, k, source
