"""From the frames of a sequence to one vector.

`reversed_columns` are the columns that a bidirectional layer computed backwards in time: their last visited
frame is frame 0. A sequence without frames gives zeros.
"""

import numpy as np

from reference.sequences import as_float64, full_lengths


def _last(frames, reversed_columns):
    pooled = frames[-1].copy()
    pooled[reversed_columns] = frames[0, reversed_columns]
    return pooled


def _last_backward(frames, grad, reversed_columns):
    grad_frames = np.zeros_like(frames)
    grad_frames[-1] = grad
    grad_frames[-1, reversed_columns] = 0.0
    grad_frames[0, reversed_columns] += grad[reversed_columns]
    return grad_frames


def _mean(frames, reversed_columns):
    return frames.sum(axis=0) / len(frames)


def _mean_backward(frames, grad, reversed_columns):
    return np.tile(grad / len(frames), (len(frames), 1))


def _max(frames, reversed_columns):
    return frames.max(axis=0)


def _max_backward(frames, grad, reversed_columns):
    # among equal maxima the first frame takes the whole gradient
    grad_frames = np.zeros_like(frames)
    grad_frames[frames.argmax(axis=0), np.arange(frames.shape[1])] = grad
    return grad_frames


POOLINGS = {"last": (_last, _last_backward), "mean": (_mean, _mean_backward), "max": (_max, _max_backward)}


def pool(kind, x, lengths=None, reversed_columns=slice(0, 0)):
    """x (B, T, F) -> (B, F)."""
    x = as_float64(x)
    pooled = np.zeros((x.shape[0], x.shape[2]))
    for b, length in enumerate(full_lengths(x, lengths)):
        if length > 0:
            pooled[b] = POOLINGS[kind][0](x[b, :length], reversed_columns)
    return pooled


def pool_backward(kind, x, grad_pooled, lengths=None, reversed_columns=slice(0, 0)):
    """grad_pooled (B, F) -> grad_x (B, T, F)."""
    x, grad_pooled = as_float64(x), as_float64(grad_pooled)
    grad_x = np.zeros_like(x)
    for b, length in enumerate(full_lengths(x, lengths)):
        if length > 0:
            grad_x[b, :length] = POOLINGS[kind][1](x[b, :length], grad_pooled[b], reversed_columns)
    return grad_x
