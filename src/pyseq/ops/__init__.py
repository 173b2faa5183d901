"""Stateless functions on arrays and Ragged, for those who bring their own training loop."""

from pyseq.ops.cells import (
    CELLS,
    LayerNormWeights,
    LeakyWeights,
    PeepholeWeights,
    ProjectedWeights,
    RNNWeights,
)
from pyseq.ops.conv import ConvTape, causal_conv1d, causal_conv1d_backward, conv1d, conv1d_backward
from pyseq.ops.ctc import ctc_loss, ctc_loss_and_grad
from pyseq.ops.ctc_align import Alignment, ctc_align
from pyseq.ops.ctc_decode import Hypothesis, ctc_best_path, ctc_decode
from pyseq.ops.dense import dense, dense_backward, embedding, embedding_backward
from pyseq.ops.rnn import RNNMemory, rnn_backward, rnn_forward, rnn_memory
from pyseq.ops.stream import Stream
from pyseq.ops.updates import adam_update, sgd_update, squared_norm

__all__ = [
    "CELLS",
    "Alignment",
    "ConvTape",
    "Hypothesis",
    "LayerNormWeights",
    "LeakyWeights",
    "PeepholeWeights",
    "ProjectedWeights",
    "RNNMemory",
    "RNNWeights",
    "Stream",
    "adam_update",
    "causal_conv1d",
    "causal_conv1d_backward",
    "conv1d",
    "conv1d_backward",
    "ctc_align",
    "ctc_best_path",
    "ctc_decode",
    "ctc_loss",
    "ctc_loss_and_grad",
    "dense",
    "dense_backward",
    "embedding",
    "embedding_backward",
    "rnn_backward",
    "rnn_forward",
    "rnn_memory",
    "sgd_update",
    "squared_norm",
]
