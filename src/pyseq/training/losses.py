"""Losses: pure functions from network outputs and targets to one number and its gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyseq import ops
from pyseq.layers.arrays import get_namespace
from pyseq.ragged import Ragged

__all__ = ["LOSSES", "LossValue", "ctc", "frames_needed", "softmax", "softmax_cross_entropy"]

Array = NDArray[Any]


class LossValue(NamedTuple):
    """What a loss function says of one batch."""

    loss: float
    """Weighted mean over the sequences that count."""
    gradient: Any
    """Of `loss` with respect to the logits; an array or a `Ragged`, as the logits are."""
    n_counted: int
    """How many sequences the mean is over."""
    n_infeasible: int = 0
    """How many sequences were left out because no alignment reaches their target."""


def softmax(logits: Array) -> Array:
    """exp(x_c) / sum_k exp(x_k) in each row of (..., n_classes), in the dtype given."""
    powers: Array = get_namespace(logits).exp(logits - logits.max(axis=-1, keepdims=True))
    powers /= powers.sum(axis=-1, keepdims=True)
    return powers


def softmax_cross_entropy(
    logits: Array, targets: NDArray[np.int64], sample_weight: Array | None = None
) -> LossValue:
    """Negative log-likelihood of the true classes under the softmax of the logits.

    ``loss = 1/B sum_b w_b (log sum_c exp(x_bc) - x_b,t_b)``, and ``dloss/dx = w/B (softmax(x) - onehot(t))``
    (Bridle 1990).

    Parameters
    ----------
    logits : ndarray of shape (B, n_classes), float32 or float64
    targets : ndarray of shape (B,), int64
        Class of each sequence, 0 to n_classes - 1.
    sample_weight : ndarray of shape (B,), optional
        Factor of each sequence's loss, with mean 1 over the training set. The mean is over B whatever the
        weights: that of a batch is then an unbiased estimate of that of the whole set.

    Returns
    -------
    LossValue
        The loss summed in float64; the gradient in the logits' dtype.
    """
    xp = get_namespace(logits)
    n = logits.shape[0]
    rows = xp.arange(n)
    shifted = logits - logits.max(axis=1, keepdims=True)
    gradient = xp.exp(shifted)
    total = gradient.sum(axis=1, keepdims=True)
    losses = (xp.log(total[:, 0]) - shifted[rows, targets]).astype(np.float64)
    gradient /= total
    gradient[rows, targets] -= 1
    if sample_weight is None:
        gradient *= 1.0 / n
    else:
        losses *= sample_weight
        gradient *= (xp.asarray(sample_weight) / n).astype(gradient.dtype)[:, np.newaxis]
    return LossValue(float(losses.sum()) / n, gradient, n)


def ctc(logits: Ragged, targets: Ragged, sample_weight: Array | None = None) -> LossValue:
    """Connectionist temporal classification: negative log-probability of all alignments of each target.

    Mean over the sequences that can be aligned; the others get gradient zero and are counted. Class 0 is the
    blank. After Graves et al. 2006, "Connectionist Temporal Classification".

    Parameters
    ----------
    logits : Ragged of B sequences (T_b, n_classes)
    targets : Ragged of B sequences of tokens
        Labels 1 to n_classes - 1.
    sample_weight : ndarray of shape (B,), optional
        Factor of each sequence's loss.

    Returns
    -------
    LossValue
        Its gradient is a Ragged of the logits' lengths. The loss is NaN if no sequence can be aligned.
    """
    losses, gradient = ops.ctc_loss_and_grad(logits, list(targets))
    losses = losses.astype(np.float64)
    # Only +inf says "no alignment": NaN is a diverged network and has to reach the training loop.
    feasible = losses != np.inf
    n_counted = int(np.count_nonzero(feasible))
    n_infeasible = len(losses) - n_counted
    if n_counted == 0:
        return LossValue(float("nan"), gradient, 0, n_infeasible)
    frames = gradient.values
    xp = get_namespace(frames)
    if sample_weight is None:
        frames *= 1.0 / n_counted
    else:
        factors = (xp.asarray(sample_weight) / n_counted).astype(frames.dtype)
        frames *= xp.repeat(factors, gradient.lengths)[:, np.newaxis]
        losses = losses * sample_weight
    loss = float(losses[feasible].sum()) / n_counted
    return LossValue(loss, gradient.with_values(frames), n_counted, n_infeasible)


def frames_needed(targets: Ragged) -> NDArray[np.int64]:
    """The fewest frames a CTC alignment of each target can have: a label a frame, and a blank between equals.

    Parameters
    ----------
    targets : Ragged of n sequences of tokens

    Returns
    -------
    ndarray of shape (n,), int64

    Examples
    --------
    >>> frames_needed(Ragged(np.array([3, 3, 1]), [3, 0]))
    array([4, 0])
    """
    labels, lengths = targets.values, targets.lengths
    owner = np.repeat(np.arange(len(targets)), lengths)
    repeated = (labels[1:] == labels[:-1]) & (owner[1:] == owner[:-1])
    return lengths + np.bincount(owner[1:][repeated], minlength=len(targets))


LossFunction = Callable[..., LossValue]

LOSSES: dict[str, LossFunction] = {"softmax_cross_entropy": softmax_cross_entropy, "ctc": ctc}
