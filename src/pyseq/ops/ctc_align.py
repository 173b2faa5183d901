"""Forced alignment: which frames the labels of a known target lie on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyseq import _core
from pyseq.ops._ctc_input import Targets, read_problem
from pyseq.ragged import Ragged

__all__ = ["Alignment", "ctc_align"]


class Alignment(NamedTuple):
    """The most probable alignment of one target.

    Attributes
    ----------
    classes : int64 array of shape (T,)
        The class of every frame, blanks too; -1 throughout if there is no alignment.
    spans : int64 array of shape (L, 2)
        First frame of each label, and the frame after its last: ``classes[start:end]`` is the label. -1 if
        there is no alignment.
    confidences : array of shape (L,), in the dtype of the logits
        Mean probability of each label over its frames; 0 if there is no alignment.
    score : float
        Log-probability: the sum over frames of the log-softmax of their classes. -inf if there is no
        alignment, NaN where logits are NaN.
    """

    classes: NDArray[np.int64]
    spans: NDArray[np.int64]
    confidences: NDArray[Any]
    score: float


def ctc_align(
    logits: ArrayLike | Ragged,
    targets: Targets,
    *,
    input_lengths: ArrayLike | None = None,
    target_lengths: ArrayLike | None = None,
    blank: int = 0,
) -> list[Alignment]:
    """The most probable alignment of each target, by Viterbi's algorithm over the states of CTC [1]_, [2]_.

    Scores of alignments are compared in float64. Of equal ones, that one is taken which, from the last frame
    backwards, ends in a blank, stays where it is, and comes to a label from the blank before it: so the
    result is the same for any batch, padding and number of threads. Memory is bounded: hours of frames with
    thousands of labels take some 100 MB.

    Parameters
    ----------
    logits, targets, input_lengths, target_lengths, blank
        As for :func:`pyseq.ops.ctc_loss`.

    Returns
    -------
    alignments : list of B Alignment
        Each with the `classes` of the frames, `spans` and `confidences` of the labels, and the `score`.

    Raises
    ------
    TypeError, ValueError
        As :func:`pyseq.ops.ctc_loss`.

    References
    ----------
    .. [1] Graves, Fernandez, Gomez, Schmidhuber: Connectionist temporal classification, ICML 2006.
    .. [2] Kuerzinger et al.: CTC-segmentation of large corpora for German end-to-end speech recognition,
    SPECOM
       2020.

    Examples
    --------
    >>> import numpy as np
    >>> from pyseq.ops import ctc_align
    >>> best = np.array([0, 2, 2, 0, 2, 1])
    >>> alignment = ctc_align(3 * np.eye(3)[best][np.newaxis], [[2, 2, 1]])[0]
    >>> alignment.classes
    array([0, 2, 2, 0, 2, 1])
    >>> alignment.spans.tolist()
    [[1, 3], [4, 5], [5, 6]]
    """
    frames, labels, blank = read_problem(logits, targets, input_lengths, target_lengths, blank)
    path_starts = np.cumsum(frames.lengths) - frames.lengths
    span_starts = np.cumsum(labels.lengths) - labels.lengths
    path, begins, ends, confidences, scores = _core.ctc_align(
        frames.rows,
        frames.starts,
        frames.lengths,
        labels.flat.astype(np.int32, copy=False),
        labels.starts,
        labels.lengths,
        blank,
        path_starts,
        span_starts,
    )
    path, spans = path.astype(np.int64), np.stack([begins, ends], axis=1)
    return [
        Alignment(
            path[first : first + n_frames],
            spans[start : start + n_labels],
            confidences[start : start + n_labels],
            score,
        )
        for first, n_frames, start, n_labels, score in zip(
            path_starts.tolist(),
            frames.lengths.tolist(),
            span_starts.tolist(),
            labels.lengths.tolist(),
            scores.tolist(),
            strict=True,
        )
    ]
