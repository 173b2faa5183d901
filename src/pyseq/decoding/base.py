"""What every decoder is."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Protocol

from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from pyseq.decoding.labels import ClassLabels
from pyseq.ops._ctc_input import read_logits
from pyseq.ops._frames import Frames
from pyseq.ops.ctc_decode import MOST_PREFIXES, Hypothesis, best_of, check_count
from pyseq.ragged import Ragged

__all__ = ["Decoder", "Stream"]


class Stream(Protocol):
    """One sequence that comes in pieces. Not for several threads at once."""

    def push(self, logits: ArrayLike) -> Hypothesis:
        """Read frames (T, C), T of any size, and say what the best reading is so far; it may change yet."""
        ...

    def finish(self, n_best: int | None = None) -> Any:
        """The best reading, or a list of the `n_best`: to the bit what `decode` says of the whole."""
        ...


class Decoder(BaseEstimator):
    """A way to read labels off logits: settings, as layers are; what it reads leaves no trace on it."""

    def decode(
        self,
        logits: ArrayLike | Ragged,
        labels: int | Sequence[Hashable] | None = None,
        *,
        lengths: ArrayLike | None = None,
        blank: int = 0,
        n_best: int | None = None,
        timestamps: bool = True,
    ) -> list[Any]:
        """Read a batch of sequences.

        Parameters
        ----------
        logits : array of shape (B, T, C), or Ragged of B sequences of C features
            Unnormalised scores of C classes in each frame, float32 or float64.
        labels : sequence of C hashable labels, default=None
            What the classes stand for, which language models, lexica and hot words speak of; that of the
            blank may be anything. None: the numbers of the classes.
        lengths : array of shape (B,), optional
            Frames of each sequence; all T if not given. Must be None for a Ragged.
        blank : int
            The class that separates labels and is dropped.
        n_best : int, optional
            Give so many hypotheses for each sequence, best first, or fewer where there are fewer.
        timestamps : bool
            Whether to tell where the labels are; without, it takes less time.

        Returns
        -------
        hypotheses : list of B :class:`pyseq.ops.Hypothesis`, or with `n_best` list of B lists of them
            Their `labels` are classes. Where nothing is possible: no labels and a score of -inf, or an
            empty list.

        Raises
        ------
        ValueError, TypeError
            If shapes, labels or settings do not fit.
        """
        frames = read_logits(logits, lengths, "lengths")
        classes = ClassLabels(frames.width if labels is None else labels, blank)
        if len(classes) != frames.width:
            raise ValueError(
                f"labels has {len(classes)} entries, expected {frames.width}: one for each class of logits"
            )
        n = 1 if n_best is None else check_count(n_best, "n_best", MOST_PREFIXES)
        found = self._decode(frames, classes, n, bool(timestamps))
        return [best_of(hypotheses) for hypotheses in found] if n_best is None else found

    def start(
        self,
        labels: int | Sequence[Hashable],
        *,
        blank: int = 0,
        dtype: str = "float32",
        timestamps: bool = True,
    ) -> Stream:
        """Begin to read a sequence that comes in pieces.

        Parameters
        ----------
        labels : sequence of C hashable labels, or int
            As in `decode`; an int is the number of classes.
        blank : int
            The class that separates labels and is dropped.
        dtype : {"float32", "float64"}
            In which to compute.
        timestamps : bool
            As in `decode`.

        Returns
        -------
        stream : Stream
            With `push(logits)` and `finish()`.
        """
        if dtype not in ("float32", "float64"):
            raise ValueError(f"dtype is {dtype!r}, expected 'float32' or 'float64'")
        return self._start(ClassLabels(labels, blank), dtype, bool(timestamps))

    # What a subclass answers

    def _decode(
        self, frames: Frames, classes: ClassLabels, n: int, timestamps: bool
    ) -> list[list[Hypothesis]]:
        raise NotImplementedError

    def _start(self, classes: ClassLabels, dtype: str, timestamps: bool) -> Stream:
        raise NotImplementedError
