"""Products without time: the dense layer, and the embedding as the dense layer of one-hot rows."""

import numpy as np

from reference.sequences import as_float64


def dense(x, weight, bias=None):
    """y = x weight^T + bias: x (N, I), weight (O, I), bias (O,) -> (N, O)."""
    y = as_float64(x) @ as_float64(weight).T
    return y if bias is None else y + as_float64(bias)


def dense_backward(x, weight, grad_y):
    """Returns grad_x (N, I), grad_weight (O, I), grad_bias (O,)."""
    x, weight, grad_y = as_float64(x), as_float64(weight), as_float64(grad_y)
    return grad_y @ weight, grad_y.T @ x, grad_y.sum(axis=0)


def embedding(tokens, weight):
    """y[n] = weight[tokens[n]]: tokens (N,), weight (V, D) -> (N, D)."""
    return as_float64(weight)[np.asarray(tokens)]


def embedding_backward(tokens, grad_y, num_embeddings):
    """Every row of the table collects the gradients of the places where its token stood: (V, D)."""
    grad_y = as_float64(grad_y)
    grad_weight = np.zeros((num_embeddings, grad_y.shape[1]))
    for token, grad_row in zip(tokens, grad_y, strict=True):
        grad_weight[token] += grad_row
    return grad_weight
