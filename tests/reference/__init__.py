"""The mathematics of pyseq once more: plain NumPy in float64, one sequence and one frame at a time.

These twins exist to be read and to be trusted, not to be fast. They import nothing from pyseq. The native
kernels are compared with them; `test_reference.py` checks them by central differences, brute force and
PyTorch.

Shapes are those of `pyseq.ops`: `x` is (B, T, F) with optional `lengths` (B,). Frames beyond a sequence's
length are never read, and are zero in every result.
"""

from reference.convolution import conv1d, conv1d_backward
from reference.ctc import ctc_brute_force, ctc_greedy_decode, ctc_loss, ctc_loss_and_grad
from reference.dense import dense, dense_backward, embedding, embedding_backward
from reference.losses import softmax_cross_entropy
from reference.optimizers import adam_update, sgd_update, squared_norm
from reference.pooling import POOLINGS, pool, pool_backward
from reference.rnn import CELLS, Masks, rnn_backward, rnn_forward

__all__ = [
    "CELLS",
    "POOLINGS",
    "Masks",
    "adam_update",
    "conv1d",
    "conv1d_backward",
    "ctc_brute_force",
    "ctc_greedy_decode",
    "ctc_loss",
    "ctc_loss_and_grad",
    "dense",
    "dense_backward",
    "embedding",
    "embedding_backward",
    "pool",
    "pool_backward",
    "rnn_backward",
    "rnn_forward",
    "sgd_update",
    "softmax_cross_entropy",
    "squared_norm",
]
