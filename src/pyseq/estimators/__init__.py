"""Estimators: the scikit-learn face of sequence models."""

from pyseq.estimators._transcripts import LabelSpan, Transcript
from pyseq.estimators.classifier import SequenceClassifier
from pyseq.estimators.generator import SequenceGenerator
from pyseq.estimators.tagger import SequenceTagger
from pyseq.estimators.transcriber import CTCTranscriber

__all__ = [
    "CTCTranscriber",
    "LabelSpan",
    "SequenceClassifier",
    "SequenceGenerator",
    "SequenceTagger",
    "Transcript",
]
