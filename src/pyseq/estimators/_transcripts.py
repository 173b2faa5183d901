"""What a transcriber says of a sequence: labels, how sure it is, and where they are."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyseq import ops
from pyseq.decoding import Decoder, GreedySearch
from pyseq.ops import Hypothesis
from pyseq.ragged import Ragged
from pyseq.training.network import SequenceNetwork

__all__ = [
    "BLANK",
    "LabelSpan",
    "Transcript",
    "as_text",
    "as_transcript",
    "decoded",
    "most_probable_single",
    "read_greedily",
]

BLANK = 0


class LabelSpan(NamedTuple):
    """Where a label stands in its sequence, on the best alignment.

    Attributes
    ----------
    label : hashable
    start, end : int
        First frame, and the one after the last. CTC places a label on few frames, mostly where it is surest
        of it.
    confidence : float
        Geometric mean of the label's probability over these frames, from 0 to 1.
    """

    label: Hashable
    start: int
    end: int
    confidence: float


class Transcript(NamedTuple):
    """What was read in one sequence.

    Attributes
    ----------
    text : str or list
        Its labels: a string if the estimator was fitted on strings.
    score : float
        Natural logarithm of its probability, with what a language model and the like add; -inf where the
        decoder may read nothing at all there.
    spans : list of LabelSpan or None
        One for each label, if asked for.
    """

    text: Any
    score: float
    spans: list[LabelSpan] | None


def as_text(labels: list[Any], is_string: bool) -> Any:
    """Labels as `predict` gives them."""
    return "".join(labels) if is_string else labels


def as_transcript(
    hypothesis: Hypothesis, symbols: Sequence[Any], is_string: bool, timestamps: bool
) -> Transcript:
    """A hypothesis in the labels of the classes, `symbols`."""
    labels = [symbols[k] for k in hypothesis.labels.tolist()]
    spans = None
    if timestamps:
        assert hypothesis.frames is not None
        assert hypothesis.ends is not None
        assert hypothesis.confidences is not None
        places = hypothesis.frames.tolist(), hypothesis.ends.tolist(), hypothesis.confidences.tolist()
        spans = [LabelSpan(*span) for span in zip(labels, *places, strict=True)]
    return Transcript(as_text(labels, is_string), float(hypothesis.score), spans)


def decoded(
    decoder: Any, network: SequenceNetwork, symbols: list[Any], x: Ragged, n: int, timestamps: bool
) -> list[list[Hypothesis]]:
    """Up to n hypotheses of each sequence; if n is 1 exactly one, empty where the decoder finds none."""
    if decoder is None:
        decoder = GreedySearch()
    if not isinstance(decoder, Decoder):
        raise TypeError(f"decoder is {decoder!r}, expected a Decoder such as BeamSearch(), or None")
    found: list[Any] = [None] * len(x)
    for indices, logits in network.predict(x):
        n_best = None if n == 1 else n
        read = decoder.decode(logits, symbols, blank=BLANK, n_best=n_best, timestamps=timestamps)
        for i, hypotheses in zip(indices, read, strict=True):
            found[i] = [hypotheses] if n == 1 else hypotheses
    return found


def read_greedily(network: SequenceNetwork, x: Ragged) -> list[NDArray[np.int64]]:
    """Label ids of each sequence, by greedy decoding."""
    found: list[Any] = [None] * len(x)
    for indices, logits in network.predict(x):
        for i, labels in zip(indices, ops.ctc_best_path(logits, blank=BLANK), strict=True):
            found[i] = labels
    return found


def most_probable_single(network: SequenceNetwork, x: Ragged) -> NDArray[np.int64]:
    """For each sequence the label k, from 0, for which the transcription "k" alone is most probable."""
    best = np.empty(len(x), dtype=np.int64)
    for indices, logits in network.predict(x):
        losses = [
            ops.ctc_loss(logits, [np.array([label])] * len(indices), blank=BLANK)
            for label in range(1, network.head.units)
        ]
        best[indices] = np.argmin(losses, axis=0)
    return best
