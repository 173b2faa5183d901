"""Connectionist temporal classification: loss and gradient."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyseq import _core
from pyseq.ops._frames import FloatArray, Frames, IntArray, as_frames
from pyseq.ragged import Ragged

__all__ = ["ctc_loss", "ctc_loss_and_grad"]

Targets = ArrayLike | Sequence[ArrayLike] | Ragged


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
    frames, labels, blank = _problem(logits, targets, input_lengths, target_lengths, blank)
    return _loss(frames, labels, blank, None)


def ctc_loss_and_grad(
    logits: ArrayLike | Ragged,
    targets: Targets,
    *,
    input_lengths: ArrayLike | None = None,
    target_lengths: ArrayLike | None = None,
    blank: int = 0,
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
    frames, labels, blank = _problem(logits, targets, input_lengths, target_lengths, blank)
    grad = frames.like(frames.width)
    return _loss(frames, labels, blank, grad), grad.result()


class _Labels(NamedTuple):
    """All targets one after the other; sequence b is `flat[starts[b] : starts[b] + lengths[b]]`."""

    flat: IntArray
    starts: IntArray
    lengths: IntArray


def _loss(frames: Frames, labels: _Labels, blank: int, grad: Frames | None) -> FloatArray:
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
    )
    return losses


def _problem(
    logits: ArrayLike | Ragged,
    targets: Targets,
    input_lengths: ArrayLike | None,
    target_lengths: ArrayLike | None,
    blank: int,
) -> tuple[Frames, _Labels, int]:
    frames = _logits(logits, input_lengths, "input_lengths")
    blank = _check_blank(blank, frames.width)
    labels = _labels(targets, target_lengths, len(frames.lengths))
    at = _core.ctc_first_bad_label(*labels, frames.width, blank)
    if at >= 0:
        # the sequence that holds this place; empty ones may share a start
        inside = (labels.starts <= at) & (at < labels.starts + labels.lengths)
        b = int(np.argmax(inside))
        label = int(labels.flat[at])
        what = "which is the blank" if label == blank else f"expected a class from 0 to {frames.width - 1}"
        raise ValueError(f"targets[{b}][{at - int(labels.starts[b])}] is {label}, {what}")
    return frames, labels, blank


def _logits(logits: ArrayLike | Ragged, lengths: ArrayLike | None, lengths_name: str) -> Frames:
    frames = as_frames(logits, lengths, name="logits", lengths_name=lengths_name)
    if frames.rows.ndim != 2:
        raise ValueError(
            "logits is a Ragged of single numbers, expected frames with one number for each class"
        )
    return frames


def _check_blank(blank: Any, classes: int) -> int:
    try:
        index = operator.index(blank)
    except TypeError:
        raise TypeError(f"blank is {blank!r}, expected an int") from None
    if not 0 <= index < classes:
        raise ValueError(f"blank is {index}, expected one of the {classes} classes of logits, counted from 0")
    return index


def _labels(targets: Targets, target_lengths: ArrayLike | None, batch: int) -> _Labels:
    if isinstance(targets, Ragged):
        labels = _ragged_labels(targets, target_lengths)
    elif target_lengths is None and _is_list(targets):
        labels = _listed_labels(targets)
    else:
        labels = _padded_labels(targets, target_lengths)
    if len(labels.lengths) != batch:
        raise ValueError(f"targets has {len(labels.lengths)} sequences, expected {batch} as in logits")
    return labels


def _is_list(targets: Any) -> bool:
    return isinstance(targets, (list, tuple)) or (isinstance(targets, np.ndarray) and targets.dtype == object)


def _ragged_labels(targets: Ragged, target_lengths: ArrayLike | None) -> _Labels:
    if target_lengths is not None:
        raise ValueError("target_lengths must be None when targets is a Ragged, which has its own")
    flat = targets.buffer
    if flat.ndim == 2 and flat.shape[1] == 1:
        flat = flat[:, 0]
    if flat.ndim != 1:
        raise ValueError(f"targets has {flat.shape[1]} features, expected a Ragged of single labels")
    return _Labels(_check_integers(flat, "targets"), targets.starts, targets.lengths)


def _listed_labels(targets: Any) -> _Labels:
    arrays = [np.asarray(target) for target in targets]
    for b, array in enumerate(arrays):
        if array.ndim != 1:
            raise ValueError(f"targets[{b}] has shape {array.shape}, expected one dimension")
        if array.dtype.kind not in "iu":
            if array.size:
                raise TypeError(f"targets[{b}] has dtype {array.dtype}, expected integers")
            arrays[b] = array.astype(np.int64)  # an empty list has no dtype of its own
    lengths = np.array([len(array) for array in arrays], dtype=np.int64)
    flat = np.concatenate(arrays) if arrays else np.zeros(0, dtype=np.int64)
    return _Labels(_check_integers(flat, "targets"), np.cumsum(lengths) - lengths, lengths)


def _padded_labels(targets: Any, target_lengths: ArrayLike | None) -> _Labels:
    array = np.asarray(targets)
    if array.ndim != 2:
        raise ValueError(
            f"targets has shape {array.shape}, expected (batch, labels) or a list of label sequences"
        )
    batch, room = array.shape
    flat = _check_integers(array, "targets").reshape(batch * room)
    starts = np.arange(batch, dtype=np.int64) * room
    if target_lengths is None:
        return _Labels(flat, starts, np.full(batch, room, dtype=np.int64))
    lengths = _check_integers(np.asarray(target_lengths), "target_lengths").astype(np.int64, copy=False)
    if lengths.shape != (batch,):
        raise ValueError(
            f"target_lengths has shape {lengths.shape}, expected ({batch},): one for each target"
        )
    wrong = (lengths < 0) | (lengths > room)
    if wrong.any():
        b = int(np.argmax(wrong))
        what = "which is negative" if lengths[b] < 0 else f"but targets has room for {room} labels"
        raise ValueError(f"target_lengths[{b}] is {lengths[b]}, {what}")
    return _Labels(flat, starts, lengths)


def _check_integers(array: NDArray[Any], name: str) -> IntArray:
    """Contiguous int32 or int64; wider unsigned numbers wrap to negative ones, which are then refused."""
    if array.dtype.kind not in "iu":
        if array.size:
            raise TypeError(f"{name} has dtype {array.dtype}, expected integers")
        array = array.astype(np.int64)
    if array.dtype != np.int32 and array.dtype != np.int64:
        array = array.astype(np.int64)
    return np.ascontiguousarray(array)
