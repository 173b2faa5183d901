"""Connectionist temporal classification: loss and gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyseq import _core
from pyseq.ops._ctc_input import (
    Labels,
    Targets,
    gradient_frames,
    read_problem,
)
from pyseq.ops._ctc_options import CtcOptions, asks_nothing, read_options
from pyseq.ops._frames import FloatArray, Frames
from pyseq.ragged import Ragged

__all__ = ["ctc_loss", "ctc_loss_and_grad"]


def ctc_loss(
    logits: ArrayLike | Ragged,
    targets: Targets,
    *,
    input_lengths: ArrayLike | None = None,
    target_lengths: ArrayLike | None = None,
    blank: int = 0,
    sample_weight: ArrayLike | None = None,
    class_weight: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
    label_priors: ArrayLike | None = None,
    prior_scale: float = 1.0,
    reduction: str = "none",
    zero_infinity: bool = False,
) -> Any:
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
    sample_weight : array of shape (B,), optional
        Factor of each sequence's loss, not negative.
    class_weight : array of shape (C,), optional
        Weights of the classes, not negative: a loss counts by the mean weight of its target's labels, that of
        an empty target by the weight of the blank.
    label_smoothing : float, default=0.0
        Part of the loss, from 0 to below 1, that asks for the uniform distribution in every frame [2]_, [3]_.
    focal_gamma : float, default=0.0
        Above 0, sequences that are already probable count less [4]_; 2 is usual.
    label_priors : array of shape (C,), optional
        Probabilities of the classes over all frames, by which alignments are divided: with those of the model
        itself, the blank loses its lead and labels last as long as they are heard [5]_.
    prior_scale : float, default=1.0
        Power of the priors; [5]_ used 0.2 to 0.3.
    reduction : {"none", "sum", "mean", "mean_per_label"}, default="none"
        The losses, their sum, their sum over B, or the mean over B of losses over their numbers of labels, at
        least 1 (what PyTorch calls "mean").
    zero_infinity : bool, default=False
        Count a target without alignment as a loss of 0.

    Returns
    -------
    losses : array of shape (B,), or float
        In the dtype of `logits`. inf where no alignment exists: too few frames (each label needs one, and a
        repeated label one more), or a class that is needed has a logit of -inf. NaN where a logit is NaN. A
        float unless `reduction` is "none".

    Raises
    ------
    TypeError
        If `logits` are not real numbers, or targets or lengths are not integers.
    ValueError
        If shapes or lengths do not fit, a target holds the blank or no class, or an option is out of range.

    Notes
    -----
    With p_t = softmax(logits_t), priors q to the power a, and u_t uniform over the classes of frame t whose
    logits are not -inf::

        n    = -log sum over alignments of prod_t p_t[k_t] / q[k_t]**a
        l    = (1 - label_smoothing) n - label_smoothing sum_t sum_k u_t[k] log p_t[k]
        loss = sample_weight mean_i(class_weight[target_i]) (1 - exp(-l))**focal_gamma l

    References
    ----------
    .. [1] Graves, Fernandez, Gomez, Schmidhuber: Connectionist temporal classification, ICML 2006.
    .. [2] Szegedy et al.: Rethinking the Inception architecture for computer vision, CVPR 2016.
    .. [3] Kim, Seltzer, Li, Zhao: Improved training for online end-to-end speech recognition systems,
       Interspeech 2018.
    .. [4] Feng, Yao, Zhang: Focal CTC loss for Chinese optical character recognition on unbalanced datasets,
       Complexity 2019; Lin et al.: Focal loss for dense object detection, ICCV 2017.
    .. [5] Huang et al.: Less peaky and more accurate CTC forced alignment by label priors, ICASSP 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from pyseq.ops.ctc import ctc_loss
    >>> logits = np.zeros((1, 2, 3))  # two frames, three classes, all of probability 1/3
    >>> loss = ctc_loss(logits, [[1]])  # the paths "1 1", "1 -" and "- 1" spell the target
    >>> round(float(np.exp(-loss[0])), 6)
    0.333333
    """
    asked = (sample_weight, class_weight, label_smoothing, focal_gamma, label_priors, prior_scale)
    if input_lengths is target_lengths is None and asks_nothing(*asked, reduction, zero_infinity):
        done = _core.ctc_loss_whole(logits, targets, blank, False, None)
        if done is not None:
            return done
    frames, labels, blank = read_problem(logits, targets, input_lengths, target_lengths, blank)
    options = read_options(frames, labels, blank, *asked, reduction, zero_infinity)
    return options.losses(_loss(frames, labels, blank, None, options))


def ctc_loss_and_grad(
    logits: ArrayLike | Ragged,
    targets: Targets,
    *,
    input_lengths: ArrayLike | None = None,
    target_lengths: ArrayLike | None = None,
    blank: int = 0,
    out: Any = None,
    sample_weight: ArrayLike | None = None,
    class_weight: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
    label_priors: ArrayLike | None = None,
    prior_scale: float = 1.0,
    reduction: str = "none",
    zero_infinity: bool = False,
) -> tuple[Any, Any]:
    """Losses as :func:`ctc_loss` and the gradient of each, or of their reduction, with respect to the logits.

    Parameters
    ----------
    logits, targets, input_lengths, target_lengths, blank
        As for :func:`ctc_loss`.
    out : array of shape (B, T, C), or packed Ragged of the lengths of `logits`, optional
        Where the gradient goes, of the dtype of `logits` and C-contiguous: memory used again costs no time to
        get. It may be `logits` itself, which are then overwritten.
    sample_weight, class_weight, label_smoothing, focal_gamma, label_priors, prior_scale, reduction, \
    zero_infinity
        As for :func:`ctc_loss`.

    Returns
    -------
    losses : array of shape (B,), or float
    grad_logits : array of shape (B, T, C), or Ragged, as `logits` is
        `out` if that is given. Softmax minus the posterior of each class, where no option asks for more. 0
        beyond a sequence's length and where the loss is inf, NaN where it is NaN.

    Raises
    ------
    TypeError, ValueError
        As :func:`ctc_loss`, and where `out` has not the type, dtype, shape or layout that is expected.

    Examples
    --------
    >>> import numpy as np
    >>> from pyseq.ops.ctc import ctc_loss_and_grad
    >>> losses, grad = ctc_loss_and_grad(np.zeros((1, 2, 3)), [[1]])
    >>> grad.shape, abs(float(grad.sum())) < 1e-9
    ((1, 2, 3), True)
    """
    asked = (sample_weight, class_weight, label_smoothing, focal_gamma, label_priors, prior_scale)
    if input_lengths is target_lengths is None and asks_nothing(*asked, reduction, zero_infinity):
        done = _core.ctc_loss_whole(logits, targets, blank, True, out)
        if done is not None:
            losses, gradient = done
            return losses, gradient
    frames, labels, blank = read_problem(logits, targets, input_lengths, target_lengths, blank)
    options = read_options(frames, labels, blank, *asked, reduction, zero_infinity)
    grad = gradient_frames(frames, out)
    losses = _loss(frames, labels, blank, grad, options)
    options.focus(losses, grad)
    return options.losses(losses), grad.result() if out is None else out


def _loss(frames: Frames, labels: Labels, blank: int, grad: Frames | None, options: CtcOptions) -> FloatArray:
    """The kernel's losses; gradients are scaled already, but for focal weighting."""
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
        options.class_bias,
        None if options.factors is None else options.factors.astype(frames.rows.dtype),
        options.label_smoothing,
    )
    return losses
