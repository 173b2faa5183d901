"""pyseq: scikit-learn for sequences, with native kernels.

Estimators take ragged lists of arrays and behave as scikit-learn's do::

    from pyseq import GRU, SequenceClassifier

    model = SequenceClassifier(encoder=GRU(64, bidirectional=True)).fit(X, y)
    model.predict(X_new)
"""

from pyseq import _openmp, ops  # noqa: F401  (_openmp first: it loads the kernels)
from pyseq._config import config_context, get_config, set_config
from pyseq.decoding import BeamSearch, GreedySearch, Lexicon, NGramLanguageModel
from pyseq.estimators import CTCTranscriber, SequenceClassifier, SequenceGenerator, SequenceTagger
from pyseq.layers import (
    GRU,
    LSTM,
    TCN,
    Chain,
    Conv1d,
    CoupledLSTM,
    Dense,
    Dropout,
    Elman,
    Embedding,
    LayerNormLSTM,
    Memoryless,
    MinGRU,
    PeepholeLSTM,
    ProjectedLSTM,
    WaveNet,
)
from pyseq.ragged import Ragged

__version__ = "0.1.0"

__all__ = [
    "GRU",
    "LSTM",
    "TCN",
    "BeamSearch",
    "CTCTranscriber",
    "Chain",
    "Conv1d",
    "CoupledLSTM",
    "Dense",
    "Dropout",
    "Elman",
    "Embedding",
    "GreedySearch",
    "LayerNormLSTM",
    "Lexicon",
    "Memoryless",
    "MinGRU",
    "NGramLanguageModel",
    "PeepholeLSTM",
    "ProjectedLSTM",
    "Ragged",
    "SequenceClassifier",
    "SequenceGenerator",
    "SequenceTagger",
    "WaveNet",
    "__version__",
    "config_context",
    "get_config",
    "ops",
    "set_config",
]
