"""Connectionist temporal classification: loss, gradient and greedy decoding."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyseq import _core
from pyseq.ops._ctc_input import (
    Labels,
    Targets,
    check_blank,
    gradient_frames,
    read_logits,
    read_problem,
)
from pyseq.ops._frames import FloatArray, Frames
from pyseq.ragged import Ragged

__all__ = ["Hypothesis", "ctc_decode", "ctc_loss", "ctc_loss_and_grad"]


class Hypothesis(NamedTuple):
    """What a decoder reads in one sequence.

    Attributes
    ----------
    labels : int64 array of shape (n_labels,)
        Classes, blanks dropped and repeats merged.
    score : float
        Log-probability of the best path: the sum over frames of the log-softmax of the chosen class.
    frames : int64 array of shape (n_labels,)
        Frame on which each label begins.
    """

    labels: NDArray[np.int64]
    score: float
    frames: NDArray[np.int64]


def ctc_loss(
    logits: ArrayLike | Ragged,
    targets: Targets,
    *,
    input_lengths: ArrayLike | None = None,
    target_lengths: ArrayLike | None = None,
    blank: int = 0,
) -> FloatArray:
    """Negative log-probability of each target, summed over its alignments [1]_.

    Parameters
    ----------
    logits : array of shape (B, T, C), or Ragged of B sequences of C features
        Unnormalised scores of C classes in every frame, float32 or float64; the softmax is part of the loss.
        Frames beyond a sequence's length are not read.
    targets : array of shape (B, L), or list of B one-dimensional sequences of ints, or Ragged of tokens
        Classes other than `blank`. May be empty.
    input_lengths : array of shape (B,), optional
        Frames of each sequence; all T if not given. Must be None for a Ragged.
    target_lengths : array of shape (B,), optional
        Labels of each target; all L if not given. Only with a (B, L) array.
    blank : int
        The class that separates labels and is dropped.

    Returns
    -------
    losses : array of shape (B,)
        In the dtype of `logits`. inf where no alignment exists: too few frames (each label needs one, and a
        repeated label one more), or a class that is needed has a logit of -inf. NaN where a logit is NaN.

    Raises
    ------
    TypeError
        If `logits` are not real numbers, or targets or lengths are not integers.
    ValueError
        If shapes or lengths do not fit, or a target holds the blank or no class.

    References
    ----------
    .. [1] Graves, Fernandez, Gomez, Schmidhuber: Connectionist temporal classification, ICML 2006.

    Examples
    --------
    >>> import numpy as np
    >>> from pyseq.ops.ctc import ctc_loss
    >>> logits = np.zeros((1, 2, 3))  # two frames, three classes, all of probability 1/3
    >>> loss = ctc_loss(logits, [[1]])  # the paths "1 1", "1 -" and "- 1" spell the target
    >>> round(float(np.exp(-loss[0])), 6)
    0.333333
    """
    frames, labels, blank = read_problem(logits, targets, input_lengths, target_lengths, blank)
    return _loss(frames, labels, blank, None)


def ctc_loss_and_grad(
    logits: ArrayLike | Ragged,
    targets: Targets,
    *,
    input_lengths: ArrayLike | None = None,
    target_lengths: ArrayLike | None = None,
    blank: int = 0,
    out: Any = None,
) -> tuple[FloatArray, Any]:
    """Losses as :func:`ctc_loss` and the gradient of each with respect to its logits.

    Parameters
    ----------
    logits, targets, input_lengths, target_lengths, blank
        As for :func:`ctc_loss`.

    Returns
    -------
    losses : array of shape (B,)
    grad_logits : array of shape (B, T, C), or Ragged, as `logits` is
        Softmax minus the posterior of each class. 0 beyond a sequence's length and where the loss is inf, NaN
        where it is NaN.

    Raises
    ------
    TypeError, ValueError
        As :func:`ctc_loss`.

    Examples
    --------
    >>> import numpy as np
    >>> from pyseq.ops.ctc import ctc_loss_and_grad
    >>> losses, grad = ctc_loss_and_grad(np.zeros((1, 2, 3)), [[1]])
    >>> grad.shape, abs(float(grad.sum())) < 1e-9
    ((1, 2, 3), True)
    """
    frames, labels, blank = read_problem(logits, targets, input_lengths, target_lengths, blank)
    grad = gradient_frames(frames, out)
    return _loss(frames, labels, blank, grad), grad.result()


def ctc_decode(
    logits: ArrayLike | Ragged,
    *,
    lengths: ArrayLike | None = None,
    blank: int = 0,
    beam_width: int = 1,
) -> list[Hypothesis]:
    """Greedy decoding: the best class of every frame, repeats merged, blanks dropped.

    Parameters
    ----------
    logits : array of shape (B, T, C), or Ragged of B sequences of C features
        Unnormalised scores, float32 or float64. Equal scores go to the lower class; a frame with NaN counts
        as blank and makes the score NaN.
    lengths : array of shape (B,), optional
        Frames of each sequence; all T if not given. Must be None for a Ragged.
    blank : int
        The class that separates labels and is dropped.
    beam_width : int
        1: greedy, the only decoder there is.

    Returns
    -------
    hypotheses : list of B Hypothesis
        Each with `labels`, `score` and the `frames` on which the labels begin.

    Raises
    ------
    TypeError, ValueError
        As :func:`ctc_loss`; ValueError for another `beam_width`.

    Examples
    --------
    >>> import numpy as np
    >>> from pyseq.ops.ctc import ctc_decode
    >>> best = np.array([0, 2, 2, 0, 2, 1])
    >>> hypothesis = ctc_decode(np.eye(3)[best][np.newaxis])[0]
    >>> hypothesis.labels, hypothesis.frames
    (array([2, 2, 1]), array([1, 4, 5]))
    """
    if beam_width != 1:
        raise ValueError(f"beam_width is {beam_width!r}, expected 1: only greedy decoding is available")
    frames = read_logits(logits, lengths, "lengths")
    blank = check_blank(blank, frames.width)
    starts = np.cumsum(frames.lengths) - frames.lengths
    labels, begins, counts, scores = _core.ctc_greedy(
        frames.rows, frames.starts, frames.lengths, starts, blank
    )
    labels = labels.astype(np.int64)
    return [
        Hypothesis(labels[start : start + count], score, begins[start : start + count])
        for start, count, score in zip(starts.tolist(), counts.tolist(), scores.tolist(), strict=True)
    ]


def _loss(frames: Frames, labels: Labels, blank: int, grad: Frames | None) -> FloatArray:
    losses: FloatArray = _core.ctc_loss(
        frames.rows,
        frames.starts,
        frames.lengths,
        labels.flat.astype(np.int32, copy=False),
        labels.starts,
        labels.lengths,
        blank,
        None if grad is None else grad.rows,
        None if grad is None else grad.starts,
        None,
        None,
        0.0,
    )
    return losses
