"""The best class of every frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyseq.decoding.base import Decoder
from pyseq.decoding.labels import ClassLabels
from pyseq.ops._frames import FloatArray, Frames, as_frames
from pyseq.ops.ctc_decode import MOST_PREFIXES, Hypothesis, check_count, decode_greedy, read_chunk

__all__ = ["GreedySearch"]


class GreedySearch(Decoder):
    """Take the most probable class of each frame, merge repeats, drop blanks.

    The fastest way, and for a model that is sure of itself as good as any. It finds the most probable path,
    not the most probable labels: those may have many paths.

    Examples
    --------
    >>> import numpy as np
    >>> from pyseq.decoding import GreedySearch
    >>> logits = np.log([[[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]]])
    >>> GreedySearch().decode(logits)[0].labels
    array([1, 1])
    """

    def _decode(
        self, frames: Frames, classes: ClassLabels, n: int, timestamps: bool
    ) -> list[list[Hypothesis]]:
        return [[hypothesis] for hypothesis in decode_greedy(frames, classes.blank, timestamps)]

    def _start(self, classes: ClassLabels, dtype: str, timestamps: bool) -> GreedyStream:
        return GreedyStream(classes, dtype, timestamps)


class GreedyStream:
    """Greedy decoding of a sequence that comes in pieces, which are kept: its score is one product."""

    def __init__(self, classes: ClassLabels, dtype: str, timestamps: bool) -> None:
        self._classes, self._dtype, self._timestamps = classes, np.dtype(dtype), timestamps
        self._chunks: list[FloatArray] = []
        self._n_frames = 0
        self._last = classes.blank
        self._so_far: Hypothesis | None = None

    def push(self, logits: ArrayLike) -> Hypothesis:
        """See :class:`pyseq.decoding.Stream`."""
        chunk = read_chunk(logits, len(self._classes), self._dtype)
        read: Any = decode_greedy(as_frames(chunk[np.newaxis]), self._classes.blank)[0]
        self._chunks.append(chunk)
        self._so_far = read if self._so_far is None else self._joined(self._so_far, read)
        self._n_frames += len(chunk)
        if len(chunk):
            goes_on = len(read.ends) > 0 and int(read.ends[-1]) == len(chunk)
            self._last = int(read.labels[-1]) if goes_on else self._classes.blank
        return self._so_far

    def finish(self, n_best: int | None = None) -> Any:
        """See :class:`pyseq.decoding.Stream`."""
        if n_best is not None:
            check_count(n_best, "n_best", MOST_PREFIXES)
        whole = np.concatenate([np.empty((0, len(self._classes)), dtype=self._dtype), *self._chunks])
        (read,) = decode_greedy(as_frames(whole[np.newaxis]), self._classes.blank, self._timestamps)
        return read if n_best is None else [read]

    def _joined(self, before: Any, read: Any) -> Hypothesis:
        frames, ends = read.frames + self._n_frames, read.ends + self._n_frames
        score = before.score + read.score
        if len(read.labels) and read.frames[0] == 0 and read.labels[0] == self._last != self._classes.blank:
            left, right = before.ends[-1] - before.frames[-1], read.ends[0]
            both = before.confidences[-1] ** (left / (left + right)) * read.confidences[0] ** (
                right / (left + right)
            )
            return Hypothesis(
                np.concatenate([before.labels, read.labels[1:]]),
                score,
                np.concatenate([before.frames, frames[1:]]),
                np.concatenate([before.ends[:-1], ends]),
                np.concatenate([before.confidences[:-1], [both], read.confidences[1:]]).astype(np.float32),
            )
        return Hypothesis(
            np.concatenate([before.labels, read.labels]),
            score,
            np.concatenate([before.frames, frames]),
            np.concatenate([before.ends, ends]),
            np.concatenate([before.confidences, read.confidences]),
        )
