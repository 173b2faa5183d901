"""From the logits of a CTC model to labels: searches, language models, lexica, hot words."""

from pyseq.decoding.base import Decoder, Stream
from pyseq.decoding.beam import BeamSearch
from pyseq.decoding.greedy import GreedySearch
from pyseq.decoding.language_model import NGramLanguageModel
from pyseq.decoding.lexicon import Lexicon
from pyseq.decoding.scorers import Scorer

__all__ = [
    "BeamSearch",
    "Decoder",
    "GreedySearch",
    "Lexicon",
    "NGramLanguageModel",
    "Scorer",
    "Stream",
]
