"""Layers: parameters with a forward and a backward pass over ragged sequences, and their composition.

A layer is a parameter object in scikit-learn's sense (`get_params`, `set_params`, `clone`):
constructing one only stores its settings, and `build` makes its weights once the number of features is
known.
"""

from pyseq.layers.base import FlatParameters, Layer
from pyseq.layers.chain import Chain
from pyseq.layers.convolution import Conv1d, Memoryless
from pyseq.layers.dense import Dense
from pyseq.layers.dropout import Dropout
from pyseq.layers.elman import Elman
from pyseq.layers.embedding import Embedding
from pyseq.layers.gru import GRU, MinGRU
from pyseq.layers.lstm import LSTM, CoupledLSTM, LayerNormLSTM, PeepholeLSTM, ProjectedLSTM
from pyseq.layers.pooling import POOLINGS
from pyseq.layers.streaming import LayerStream
from pyseq.layers.tcn import TCN
from pyseq.layers.wavenet import WaveNet

__all__ = [
    "GRU",
    "LSTM",
    "POOLINGS",
    "TCN",
    "Chain",
    "Conv1d",
    "CoupledLSTM",
    "Dense",
    "Dropout",
    "Elman",
    "Embedding",
    "FlatParameters",
    "Layer",
    "LayerNormLSTM",
    "LayerStream",
    "Memoryless",
    "MinGRU",
    "PeepholeLSTM",
    "ProjectedLSTM",
    "WaveNet",
]
