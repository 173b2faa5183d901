"""Convolution along time, as neural networks mean it: a correlation, with zeros outside the sequence.

    z[t] = bias + sum_k weight[:, :, k] x[t + offset(k)]
    causal:   offset(k) = (k - (K - 1)) * dilation          sees the present and the past
    centred:  offset(k) = (k - (K - 1) / 2) * dilation      K odd
    y[t] = activation(z[t]) + residual[t]
    gated:    tanh(first half of z) * sigmoid(second half)

A row of z has one entry for each output channel.
"""

import numpy as np

from reference.sequences import as_float64, full_lengths


def conv1d(x, weight, bias=None, dilation=1, causal=True, lengths=None, activation=None, residual=None):
    """x (B, T, Cin), weight (Cout, Cin, K), bias (Cout,), residual (B, T, Cy) -> y (B, T, Cy)."""
    z = _products(x, weight, bias, dilation, causal, lengths)
    y = _activate(z, activation)
    for b, length in enumerate(full_lengths(as_float64(x), lengths)):
        y[b, length:] = 0
        if residual is not None:
            y[b, :length] += as_float64(residual)[b, :length]
    return y


def conv1d_backward(
    x, weight, grad_y, dilation=1, causal=True, lengths=None, bias=None, activation=None, add=None
):
    """Returns grad_x (B, T, Cin), grad_weight (Cout, Cin, K), grad_bias (Cout,)."""
    z = _products(x, weight, bias, dilation, causal, lengths)
    grad_z = _activate_backward(z, activation, as_float64(grad_y))
    x, weight = as_float64(x), as_float64(weight)
    grad_x, grad_weight, grad_bias = np.zeros_like(x), np.zeros_like(weight), np.zeros(weight.shape[0])
    for b, length in enumerate(full_lengths(x, lengths)):
        grad_bias += grad_z[b, :length].sum(axis=0)
        if add is not None:
            grad_x[b, :length] += as_float64(add)[b, :length]
        for t, k, source in _taps(length, weight.shape[2], dilation, causal):
            grad_x[b, source] += weight[:, :, k].T @ grad_z[b, t]
            grad_weight[:, :, k] += np.outer(grad_z[b, t], x[b, source])
    return grad_x, grad_weight, grad_bias


def _products(x, weight, bias, dilation, causal, lengths):
    x, weight = as_float64(x), as_float64(weight)
    bias = np.zeros(weight.shape[0]) if bias is None else as_float64(bias)
    z = np.zeros((*x.shape[:2], weight.shape[0]))
    for b, length in enumerate(full_lengths(x, lengths)):
        z[b, :length] = bias
        for t, k, source in _taps(length, weight.shape[2], dilation, causal):
            z[b, t] += weight[:, :, k] @ x[b, source]
    return z


def _activate(z, activation):
    if activation == "gated":
        filters, gates = np.split(z, 2, axis=-1)
        return np.tanh(filters) * _sigmoid(gates)
    return {None: lambda: z.copy(), "relu": lambda: np.maximum(z, 0), "tanh": lambda: np.tanh(z)}[
        activation
    ]()


def _activate_backward(z, activation, grad_y):
    if activation == "gated":
        filters, gates = np.split(z, 2, axis=-1)
        a, s = np.tanh(filters), _sigmoid(gates)
        return np.concatenate([grad_y * s * (1 - a**2), grad_y * a * s * (1 - s)], axis=-1)
    if activation == "relu":
        return np.where(z > 0, grad_y, 0)
    return grad_y * (1 - np.tanh(z) ** 2) if activation == "tanh" else grad_y


def _sigmoid(z):
    return 0.5 * (1 + np.tanh(0.5 * z))


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
