"""Losses: pure functions from network outputs and targets to one number and its gradient."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyseq import ops
from pyseq.layers.arrays import get_namespace
from pyseq.ragged import Ragged
from pyseq.training._options import name_and_options

__all__ = [
    "LOSSES",
    "ROW_LOSSES",
    "CTCLoss",
    "LossValue",
    "binary_cross_entropy",
    "binary_log_likelihoods",
    "ctc",
    "frames_needed",
    "log_likelihoods",
    "make_loss",
    "sigmoid",
    "softmax",
    "softmax_cross_entropy",
]

LEAST_PRIOR = 1e-6  # of a class that the network never gives

Array = NDArray[Any]


class LossValue(NamedTuple):
    """What a loss function says of one batch."""

    loss: float
    """Weighted mean over the sequences that count, or over the rows."""
    gradient: Any
    """Of `loss` with respect to the logits; an array or a `Ragged`, as the logits are."""
    n_counted: int
    """How many sequences, or rows, the mean is over."""
    n_infeasible: int = 0
    """How many sequences were left out because no alignment reaches their target."""


def softmax(logits: Array) -> Array:
    """exp(x_c) / sum_k exp(x_k) in each row of (..., n_classes), in the dtype given."""
    powers: Array = get_namespace(logits).exp(logits - logits.max(axis=-1, keepdims=True))
    powers /= powers.sum(axis=-1, keepdims=True)
    return powers


def log_likelihoods(logits: Array, targets: NDArray[np.int64]) -> NDArray[np.float64]:
    """log softmax(x_b)_t_b for each row b of (B, n_classes), summed and given in float64."""
    xp = get_namespace(logits)
    shifted = logits - logits.max(axis=1, keepdims=True)
    chosen = shifted[xp.arange(len(shifted)), targets].astype(np.float64)
    result: NDArray[np.float64] = chosen - xp.log(xp.exp(shifted).sum(axis=1, dtype=np.float64))
    return result


def softmax_cross_entropy(
    logits: Array,
    targets: NDArray[np.int64],
    sample_weight: Array | None = None,
    *,
    overwrite: bool = False,
) -> LossValue:
    """Negative log-likelihood of the true classes under the softmax of the logits.

    ``loss = 1/B sum_b w_b (log sum_c exp(x_bc) - x_b,t_b)``, and ``dloss/dx = w/B (softmax(x) - onehot(t))``
    (Bridle 1990).

    Parameters
    ----------
    logits : ndarray of shape (B, n_classes), float32 or float64
    targets : ndarray of shape (B,), int64
        Class of each row, a sequence or a frame: 0 to n_classes - 1.
    sample_weight : ndarray of shape (B,), optional
        Factor of each row's loss, with mean 1 over the training set. The mean is over B whatever the
        weights: that of a batch is then an unbiased estimate of that of the whole set.
    overwrite : bool, default=False
        Whether the gradient may take the place of the logits; it does not.

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


def sigmoid(logits: Array) -> Array:
    """1 / (1 + exp(-x)) of every number, in the dtype given; no power overflows."""
    powers: Array = get_namespace(logits).exp(-abs(logits))
    powers[...] = (powers * (logits < 0) + (logits >= 0)) / (1 + powers)
    return powers


def binary_log_likelihoods(logits: Array, targets: Array) -> NDArray[np.float64]:
    """sum_k log P(t_bk) for each row b of (B, n_labels), where ``P(1) = sigmoid(x)``, summed in float64.

    log P(t) is ``t x - max(x, 0) - log(1 + exp(-|x|))``, which neither overflows nor cancels.
    """
    xp = get_namespace(logits)
    terms = targets * logits - xp.maximum(logits, 0) - xp.log1p(xp.exp(-abs(logits)))
    result: NDArray[np.float64] = terms.sum(axis=1, dtype=np.float64)
    return result


def binary_cross_entropy(
    logits: Array,
    targets: Array,
    sample_weight: Array | None = None,
    *,
    overwrite: bool = False,
) -> LossValue:
    """Negative log-likelihood of labels that are each there or not, whatever the others are.

    ``loss = 1/B sum_b w_b sum_k (log(1 + exp(x_bk)) - t_bk x_bk)``, and ``dloss/dx = w/B (sigmoid(x) - t)``.

    Parameters
    ----------
    logits : ndarray of shape (B, n_labels), float32 or float64
    targets : ndarray of shape (B, n_labels)
        1 where a label is there, else 0.
    sample_weight : ndarray of shape (B,), optional
        Factor of each row's loss, as in :func:`softmax_cross_entropy`.
    overwrite : bool, default=False
        Whether the gradient may take the place of the logits; it does not.

    Returns
    -------
    LossValue
        Summed over the labels, averaged over the rows, in float64; the gradient in the logits' dtype.

    Examples
    --------
    >>> round(float(binary_cross_entropy(np.zeros((2, 3)), np.ones((2, 3))).loss / np.log(2)), 6)
    3.0
    """
    xp = get_namespace(logits)
    n = logits.shape[0]
    losses = -binary_log_likelihoods(logits, targets)
    gradient = sigmoid(logits)
    gradient -= targets
    if sample_weight is None:
        gradient *= 1.0 / n
    else:
        losses *= sample_weight
        gradient *= (xp.asarray(sample_weight) / n).astype(gradient.dtype)[:, np.newaxis]
    return LossValue(float(losses.sum()) / n, gradient, n)


class CTCLoss:
    """Connectionist temporal classification: negative log-probability of all alignments of each target.

    Calling it gives the mean over the sequences that can be aligned. Formulas and sources stand in
    :func:`pyseq.ops.ctc_loss`.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        Part of the loss, from 0 to below 1, that asks for the uniform distribution in every frame.
    focal_gamma : float, default=0.0
        Above 0, sequences that are already probable count less.
    prior_scale : float, default=0.0
        Power of the label priors that alignments are divided by, against peaky ones; 0.2 to 0.3 is usual.
    prior_decay : float, default=0.99
        The priors are the network's own mean probabilities: a running mean over batches, which keeps this
        part of itself at each.

    Attributes
    ----------
    priors_ : ndarray of shape (n_classes,) or None
        After the first call, with a `prior_scale`.
    """

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        focal_gamma: float = 0.0,
        prior_scale: float = 0.0,
        prior_decay: float = 0.99,
    ) -> None:
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing is {label_smoothing!r}, expected a number from 0 to below 1")
        if not 0 <= focal_gamma < np.inf:
            raise ValueError(f"focal_gamma is {focal_gamma!r}, expected a finite number from 0 on")
        if not 0 <= prior_scale < np.inf:
            raise ValueError(f"prior_scale is {prior_scale!r}, expected a finite number from 0 on")
        if not 0 <= prior_decay < 1:
            raise ValueError(f"prior_decay is {prior_decay!r}, expected a number from 0 to below 1")
        self.label_smoothing, self.focal_gamma = label_smoothing, focal_gamma
        self.prior_scale, self.prior_decay = prior_scale, prior_decay
        self.priors_: NDArray[np.float64] | None = None

    def __call__(
        self,
        logits: Ragged,
        targets: Ragged,
        sample_weight: Array | None = None,
        *,
        overwrite: bool = False,
    ) -> LossValue:
        """The loss of a batch; see :func:`ctc`."""
        possible = frames_needed(targets) <= logits.lengths
        weights = np.ones(len(logits)) if sample_weight is None else np.asarray(sample_weight, np.float64)
        share = 1.0 / max(1, int(np.count_nonzero(possible)))
        losses, gradient = ops.ctc_loss_and_grad(
            logits,
            targets.packed(),
            out=logits if overwrite and logits.is_packed else None,
            sample_weight=weights * share,
            label_smoothing=self.label_smoothing,
            focal_gamma=self.focal_gamma,
            label_priors=self._priors(logits),
            prior_scale=self.prior_scale,
        )
        losses = losses.astype(np.float64)
        # Only +inf says "no alignment": NaN is a diverged network and has to reach the training loop.
        feasible = possible & (losses != np.inf)
        n_counted = int(np.count_nonzero(feasible))
        n_infeasible = len(losses) - n_counted
        if n_counted == 0:
            return LossValue(float("nan"), gradient, 0, n_infeasible)
        loss, correction = float(losses[feasible].sum()), 1.0 / (share * n_counted)
        if n_counted != np.count_nonzero(possible):  # masked logits shut out more than lengths do
            frames = gradient.values
            frames *= correction
            loss, gradient = loss * correction, gradient.with_values(frames)
        return LossValue(loss, gradient, n_counted, n_infeasible)

    def _priors(self, logits: Ragged) -> NDArray[np.float64] | None:
        if self.prior_scale == 0 or not logits.n_frames:
            return None
        mean = softmax(logits.values).mean(axis=0, dtype=np.float64)
        known = self.priors_
        if np.isfinite(mean).all():
            known = mean if known is None else self.prior_decay * known + (1 - self.prior_decay) * mean
        self.priors_ = known
        return None if known is None else np.maximum(known, LEAST_PRIOR)


def ctc(
    logits: Ragged, targets: Ragged, sample_weight: Array | None = None, *, overwrite: bool = False
) -> LossValue:
    """Connectionist temporal classification: negative log-probability of all alignments of each target.

    Parameters
    ----------
    logits : Ragged of B sequences (T_b, n_classes)
    targets : Ragged of B sequences of tokens
        Labels 1 to n_classes - 1.
    sample_weight : ndarray of shape (B,), optional
        Factor of each sequence's loss.
    overwrite : bool, default=False
        Whether the gradient may take the place of the logits.

    Returns
    -------
    LossValue
        Its gradient is a Ragged of the logits' lengths. The loss is NaN if no sequence can be aligned.
    """
    return CTCLoss()(logits, targets, sample_weight, overwrite=overwrite)


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

LOSSES: dict[str, LossFunction] = {
    "softmax_cross_entropy": softmax_cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
    "ctc": ctc,
}
ROW_LOSSES = ("softmax_cross_entropy", "binary_cross_entropy")
"""Losses of arrays: a row is a frame, or a sequence where there is pooling. The others take sequences."""
WITH_OPTIONS: dict[str, Callable[..., LossFunction]] = {"ctc": CTCLoss}


def make_loss(loss: Any) -> LossFunction:
    """A loss function by its name in `LOSSES`, or by its name and a mapping of options.

    Raises
    ------
    ValueError
        If there is no such loss, or it has no such options.

    Examples
    --------
    >>> make_loss(("ctc", {"label_smoothing": 0.1})).label_smoothing
    0.1
    """
    name, options = name_and_options(loss, "loss")
    if name not in LOSSES:
        raise ValueError(f"loss is {name!r}, expected one of {', '.join(sorted(LOSSES))}")
    if not options:
        return LOSSES[name]
    if name not in WITH_OPTIONS:
        raise ValueError(f"loss {name!r} has options {sorted(options)}, expected none")
    make = WITH_OPTIONS[name]
    known = list(inspect.signature(make).parameters)
    unknown = [option for option in options if option not in known]
    if unknown:
        raise ValueError(f"loss {name!r} has no option {unknown[0]!r}, expected some of {', '.join(known)}")
    return make(**options)
