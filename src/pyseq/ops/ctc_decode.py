"""Connectionist temporal classification: from logits to labels."""

from __future__ import annotations

import math
import operator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyseq import _core
from pyseq.ops._ctc_input import check_blank, read_logits
from pyseq.ops._frames import FloatArray, Frames
from pyseq.ragged import Ragged

__all__ = ["Hypothesis", "ctc_best_path", "ctc_decode"]

MOST_PREFIXES = 1 << 20  # a beam wider than this is a mistake: a search keeps half a kilobyte for each


class Hypothesis(NamedTuple):
    """What a decoder reads in one sequence.

    Attributes
    ----------
    labels : int64 array of shape (n_labels,)
        Classes, blanks dropped and repeats merged.
    score : float
        Log-probability. Of greedy decoding, that of the best path: the sum over frames of the log-softmax
        of the chosen class. Of a beam search, that of the labels, summed over all their alignments in the
        beam, with what language models and the like add.
    frames : int64 array of shape (n_labels,)
        Frame on which each label begins, on the best path.
    ends : int64 array of shape (n_labels,)
        Frame after the last one of each label; the blanks that follow are nobody's.
    confidences : float32 array of shape (n_labels,)
        Of each label the geometric mean of its probability over its frames, from 0 to 1.

    The last three are None where no timestamps were asked for.
    """

    labels: NDArray[np.int64]
    score: float
    frames: NDArray[np.int64] | None
    ends: NDArray[np.int64] | None
    confidences: NDArray[np.float32] | None


def ctc_decode(
    logits: ArrayLike | Ragged,
    *,
    lengths: ArrayLike | None = None,
    blank: int = 0,
    beam_width: int = 1,
    n_best: int | None = None,
    min_log_prob: float | None = None,
    timestamps: bool = True,
) -> list[Any]:
    """Read labels: greedily, or by a prefix beam search that sums over alignments [1]_.

    Parameters
    ----------
    logits : array of shape (B, T, C), or Ragged of B sequences of C features
        Unnormalised scores, float32 or float64; the softmax is part of decoding. Frames beyond a sequence's
        length are not read. A frame with NaN counts as blank and makes the score NaN.
    lengths : array of shape (B,), optional
        Frames of each sequence; all T if not given. Must be None for a Ragged.
    blank : int
        The class that separates labels and is dropped.
    beam_width : int
        1: greedy, the best class of every frame, repeats merged, blanks dropped; equal scores go to the
        lower class. More: after each frame so many of the most probable prefixes are kept. With a beam as
        wide as there are prefixes the result is exact. Of equal scores, prefixes that were in the beam
        before go before new ones, these in the order of the prefix that they extend, then of their labels.
    n_best : int, optional
        Give so many hypotheses for each sequence, best first, or fewer where there are fewer. Needs a beam.
    min_log_prob : float, optional
        A label whose log-probability in a frame is below this extends no prefix there, unless no class of
        the frame has a larger one. None: every label may. -7, for instance, saves time where classes are
        many.

    timestamps : bool
        Whether to tell `frames`, `ends` and `confidences`, for which a beam search follows the best
        alignment of each prefix. Without them decoding takes a third less time, greedily half.

    Returns
    -------
    hypotheses : list of B Hypothesis, or with `n_best` list of B lists of them
        Where no labels are possible (every path needs a class whose logit is -inf): no labels and a score
        of -inf, or an empty list.

    Raises
    ------
    TypeError
        If `logits` are not real numbers, or counts are not integers.
    ValueError
        If shapes or lengths do not fit, or an option is out of range.

    References
    ----------
    .. [1] Graves, Jaitly: Towards end-to-end speech recognition with recurrent neural networks, ICML 2014;
       Hannun et al.: First-pass large vocabulary continuous speech recognition using bi-directional
       recurrent DNNs, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from pyseq.ops import ctc_decode
    >>> best = np.array([0, 2, 2, 0, 2, 1])
    >>> hypothesis = ctc_decode(np.eye(3)[best][np.newaxis])[0]
    >>> hypothesis.labels, hypothesis.frames, hypothesis.ends
    (array([2, 2, 1]), array([1, 4, 5]), array([3, 5, 6]))

    Two frames in which the blank is the most probable class, but "1" by one path or another more probable
    than nothing at all:

    >>> logits = np.log([[[0.6, 0.4], [0.6, 0.4]]])
    >>> [ctc_decode(logits, beam_width=width)[0].labels.tolist() for width in (1, 2)]
    [[], [1]]
    """
    frames = read_logits(logits, lengths, "lengths")
    blank = check_blank(blank, frames.width)
    width = check_count(beam_width, "beam_width", MOST_PREFIXES)
    if width == 1:
        if n_best is not None or min_log_prob is not None:
            name = "n_best" if n_best is not None else "min_log_prob"
            raise ValueError(
                f"{name} is given, expected None with a beam_width of 1: greedy decoding has one result"
            )
        return decode_greedy(frames, blank, bool(timestamps))
    least = check_min_log_prob(min_log_prob)
    n = 1 if n_best is None else check_count(n_best, "n_best", MOST_PREFIXES)
    decoder = _core.BeamDecoder(frames.width, blank, width, least, bool(timestamps), [], False)
    found = decode_beam(decoder, frames, n)
    return [best_of(hypotheses) for hypotheses in found] if n_best is None else found


def ctc_best_path(
    logits: ArrayLike | Ragged, *, lengths: ArrayLike | None = None, blank: int = 0
) -> list[NDArray[np.int64]]:
    """The labels that greedy decoding reads, and nothing else: no softmax is taken.

    Parameters
    ----------
    logits, lengths, blank
        As for :func:`ctc_decode`.

    Returns
    -------
    labels : list of B int64 arrays
        Of each sequence the most probable class of every frame, repeats merged, blanks dropped.

    Raises
    ------
    TypeError, ValueError
        As :func:`ctc_decode`.

    Examples
    --------
    >>> import numpy as np
    >>> from pyseq.ops import ctc_best_path
    >>> ctc_best_path(np.eye(3)[[0, 2, 2, 0, 2, 1]][np.newaxis])
    [array([2, 2, 1])]
    """
    frames = read_logits(logits, lengths, "lengths")
    return best_path(frames, check_blank(blank, frames.width))


def best_path(frames: Frames, blank: int) -> list[NDArray[np.int64]]:
    starts = np.cumsum(frames.lengths) - frames.lengths
    labels, counts, *_ = _core.ctc_greedy(
        frames.rows, frames.starts, frames.lengths, starts, blank, False, False
    )
    return [labels[a:b] for a, b in zip(starts.tolist(), (starts + counts).tolist(), strict=True)]


def decode_greedy(frames: Frames, blank: int, timestamps: bool = True) -> list[Hypothesis]:
    """The best path of each sequence."""
    starts = np.cumsum(frames.lengths) - frames.lengths
    labels, counts, scores, begins, ends, log_probs = _core.ctc_greedy(
        frames.rows, frames.starts, frames.lengths, starts, blank, True, timestamps
    )
    assert scores is not None
    parts = [slice(a, b) for a, b in zip(starts.tolist(), (starts + counts).tolist(), strict=True)]
    return [
        _hypothesis(part, score, labels, begins, ends, log_probs)
        for part, score in zip(parts, scores.tolist(), strict=True)
    ]


def decode_beam(decoder: _core.BeamDecoder, frames: Frames, n: int) -> list[list[Hypothesis]]:
    """The n best readings of each sequence."""
    return as_hypotheses(decoder.decode(frames.rows, frames.starts, frames.lengths, n))


def as_hypotheses(found: tuple[Any, ...]) -> list[list[Hypothesis]]:
    """What the native search found, sequence by sequence."""
    labels, begins, ends, log_probs, sizes, scores, counts = found
    stops = np.cumsum(sizes).tolist()
    every = [
        _hypothesis(slice(stop - size, stop), score, labels, begins, ends, log_probs)
        for stop, size, score in zip(stops, sizes.tolist(), scores.tolist(), strict=True)
    ]
    ranges = np.cumsum(counts).tolist()
    return [every[stop - count : stop] for stop, count in zip(ranges, counts.tolist(), strict=True)]


def _hypothesis(
    part: slice,
    score: float,
    labels: NDArray[np.int64],
    begins: NDArray[np.int64] | None,
    ends: NDArray[np.int64] | None,
    log_probs: NDArray[np.float32] | None,
) -> Hypothesis:
    if begins is None or ends is None or log_probs is None or len(begins) < len(labels):
        return Hypothesis(labels[part], score, None, None, None)
    first, stop = begins[part], ends[part]
    # rounding may carry the mean of logarithms beyond 0
    confidences = np.exp(np.minimum(log_probs[part] / (stop - first), 0)).astype(np.float32)
    return Hypothesis(labels[part], score, first, stop, confidences)


def best_of(hypotheses: list[Hypothesis]) -> Hypothesis:
    """The first, or the empty one of probability 0."""
    if hypotheses:
        return hypotheses[0]
    nothing = np.zeros(0, dtype=np.int64)
    return Hypothesis(nothing, -math.inf, nothing, nothing, np.zeros(0, dtype=np.float32))


def read_chunk(chunk: ArrayLike, classes: int, dtype: Any) -> FloatArray:
    """Frames (T, C) of a stream, contiguous and in its dtype."""
    rows = np.asarray(chunk)
    if rows.dtype.kind not in "fiu":
        raise TypeError(f"logits has dtype {rows.dtype}, expected real numbers")
    if rows.ndim != 2 or rows.shape[1] != classes:
        raise ValueError(
            f"logits has shape {rows.shape}, expected (frames, {classes}): a column for each class"
        )
    return np.ascontiguousarray(rows, dtype=dtype)


def check_count(value: Any, name: str, most: int) -> int:
    """A number of things, of which there is at least one."""
    count = _index(value, name)
    if not 1 <= count <= most:
        raise ValueError(f"{name} is {count}, expected a number from 1 to {most}")
    return count


def check_min_log_prob(value: Any) -> float:
    """A log-probability; -inf for None."""
    if value is None:
        return -math.inf
    try:
        bound = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"min_log_prob is {value!r}, expected a number or None") from None
    if not bound <= 0:
        raise ValueError(f"min_log_prob is {value!r}, expected a logarithm of a probability: 0 or less")
    return bound


def _index(value: Any, name: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}, expected an int") from None
