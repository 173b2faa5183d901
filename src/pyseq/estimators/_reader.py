"""What a fitted transcriber does with sequences: read them, say where, and align them with what is known."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseq import ops
from pyseq.decoding import GreedySearch
from pyseq.estimators._alignment import aligned
from pyseq.estimators._base import SequenceEstimator
from pyseq.estimators._input import is_rectangular
from pyseq.estimators._labels import LabelKind
from pyseq.estimators._transcripts import (
    BLANK,
    Transcript,
    as_text,
    as_transcript,
    decoded,
    most_probable_single,
    read_greedily,
)
from pyseq.ops import Alignment
from pyseq.ragged import Ragged
from pyseq.training.losses import softmax

__all__ = ["TranscriptReader"]


class TranscriptReader(SequenceEstimator):
    """An estimator whose network says in each frame how probable the blank and each label are.

    A subclass trains it, and sets `decoder`, `classes_`, `_vocabulary` (label to output of the network, the
    blank not among them) and `_label_kind`.
    """

    decoder: Any
    classes_: NDArray[Any]
    _vocabulary: dict[Any, int]
    _label_kind: LabelKind

    def predict(self, X: Any) -> NDArray[Any]:
        """Transcribe, by the decoder.

        Parameters
        ----------
        X : as for `fit`

        Returns
        -------
        transcriptions : object ndarray of shape (n,)
            Strings if fitted on strings, else lists of labels. Fitted on single labels: an ndarray of shape
            (n,) of them.
        """
        x = self._read_new(X)
        if self._label_kind == "single":
            return self.classes_[most_probable_single(self.network_, x)]
        symbols = self._symbols()
        transcriptions = np.empty(len(x), dtype=object)
        greedy = self.decoder is None or type(self.decoder) is GreedySearch  # whose scores nobody asks for
        if greedy:
            read = read_greedily(self.network_, x)
        else:
            read = [best.labels for [best] in self._decoded(x, 1, timestamps=False)]
        for i, labels in enumerate(read):
            text = [symbols[k] for k in labels.tolist()]
            transcriptions[i] = as_text(text, self._label_kind == "string")
        return transcriptions

    def predict_nbest(self, X: Any, n: int = 5, *, timestamps: bool = False) -> NDArray[Any]:
        """The most probable transcriptions of each sequence.

        Parameters
        ----------
        X : as for `fit`
        n : int, default=5
            How many at most. A decoder may find fewer; greedy decoding has one.
        timestamps : bool, default=False
            Whether to tell where the labels are.

        Returns
        -------
        transcripts : object ndarray of shape (n_sequences,)
            Lists of transcripts as `transcribe` gives them, best first.
        """
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
            raise ValueError(f"n is {n!r}, expected a positive int")
        x = self._read_new(X)
        transcripts = np.empty(len(x), dtype=object)
        for i, found in enumerate(self._decoded(x, int(n), timestamps)):
            transcripts[i] = [self._transcript(hypothesis, timestamps) for hypothesis in found]
        return transcripts

    def transcribe(self, X: Any, *, timestamps: bool = False) -> list[Transcript]:
        """Transcribe, with scores and perhaps places.

        Parameters
        ----------
        X : as for `fit`
        timestamps : bool, default=False
            Whether to tell in which frames each label is, and how sure it is.

        Returns
        -------
        transcripts : list of n Transcript
            Each with `text`, the `score`, which is a logarithm of a probability, and `spans`: for each label
            (label, start, end, confidence), frames counted from 0, `end` being the one after the last. None
            without `timestamps`.

        Examples
        --------
        >>> import numpy as np
        >>> from pyseq import LSTM, CTCTranscriber
        >>> X = [np.repeat([0.0, 1.0, 0.0, -1.0, 0.0], 3), np.repeat([0.0, -1.0, 0.0], 3)] * 10
        >>> model = CTCTranscriber(LSTM(8), max_iter=80, learning_rate_init=0.05, random_state=0)
        >>> [up_down, down] = model.fit(X, ["ud", "d"] * 10).transcribe(X[:2], timestamps=True)
        >>> up_down.text, [span.label for span in up_down.spans], down.spans[0].start < down.spans[0].end
        ('ud', ['u', 'd'], True)
        """
        x = self._read_new(X)
        return [self._transcript(best, timestamps) for [best] in self._decoded(x, 1, timestamps)]

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Posterior probabilities of blank and labels in each frame.

        Parameters
        ----------
        X : as for `fit`

        Returns
        -------
        posteriors : object ndarray of shape (n,), or ndarray of shape (n, T, 1 + n_labels)
            For each sequence an array (T_i, 1 + n_labels): the blank, then the labels in the order of
            `classes_`. One array if X is one.
        """
        rectangular = is_rectangular(X)
        x = self._read_new(X)
        posteriors = np.empty(len(x), dtype=object)
        for indices, logits in self.network_.predict(x):
            for i, frames in zip(indices, logits.with_values(softmax(logits.values)), strict=True):
                posteriors[i] = frames
        return np.stack(posteriors.tolist()) if rectangular else posteriors

    def align(self, X: Any, y: Any) -> list[Alignment]:
        """Where in each sequence the labels of its known transcription lie.

        Parameters
        ----------
        X, y : as for `fit`

        Returns
        -------
        alignments : list of n :class:`pyseq.ops.Alignment`
            With `spans`, first frame and the one after the last of each label; `confidences`, the mean
            probability of each label over its frames; `score`, the log-probability; and `classes` of all
            frames, 0 for the blank and i + 1 for ``classes_[i]``. A sequence with too few frames for its
            labels has spans of -1 and a score of -inf. :func:`pyseq.plotting.plot_alignment` draws them.

        Raises
        ------
        ValueError
            If y has other labels than `fit` saw, or there is not one target for each sequence.
        """
        x = self._read_new(X)
        targets = self._read_targets(y, len(x), "y", learn=False)
        assert isinstance(targets, Ragged)
        return aligned(self.network_, x, targets, BLANK)

    def _decoded(self, x: Ragged, n: int, timestamps: bool) -> list[list[ops.Hypothesis]]:
        return decoded(self.decoder, self.network_, self._symbols(), x, n, timestamps)

    def _transcript(self, hypothesis: ops.Hypothesis, timestamps: bool) -> Transcript:
        return as_transcript(hypothesis, self._symbols(), self._label_kind == "string", timestamps)

    def _symbols(self) -> list[Any]:
        """The label of each output of the network; the first is the blank."""
        return [None, *self._vocabulary]
