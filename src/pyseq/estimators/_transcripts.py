"""What a transcriber says of a sequence: labels, how sure it is, and where they are."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

from pyseq.ops import Hypothesis

__all__ = ["LabelSpan", "Transcript", "as_text", "as_transcript"]


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
