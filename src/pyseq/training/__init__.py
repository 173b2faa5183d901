"""Training: the one fit loop, and what it is made of."""

from pyseq.training.batching import batches_of_frames, split_validation, training_batches
from pyseq.training.callbacks import Callback, CallbackList, EpochInfo, FitInfo, History, StopTraining
from pyseq.training.examples import Examples, distinct_examples
from pyseq.training.loop import FitSettings, TrainingDivergedError, clipping_scale, fit_network
from pyseq.training.losses import (
    LOSSES,
    CTCLoss,
    LossValue,
    binary_cross_entropy,
    ctc,
    frames_needed,
    make_loss,
    sigmoid,
    softmax,
    softmax_cross_entropy,
)
from pyseq.training.network import SequenceNetwork
from pyseq.training.optimizers import OPTIMIZERS, SGD, Adam, AdamW, Optimizer, make_optimizer
from pyseq.training.progress import ProgressBar
from pyseq.training.schedules import SCHEDULES, resolve_schedule

__all__ = [
    "LOSSES",
    "OPTIMIZERS",
    "SCHEDULES",
    "SGD",
    "Adam",
    "AdamW",
    "CTCLoss",
    "Callback",
    "CallbackList",
    "EpochInfo",
    "Examples",
    "FitInfo",
    "FitSettings",
    "History",
    "LossValue",
    "Optimizer",
    "ProgressBar",
    "SequenceNetwork",
    "StopTraining",
    "TrainingDivergedError",
    "batches_of_frames",
    "binary_cross_entropy",
    "clipping_scale",
    "ctc",
    "distinct_examples",
    "fit_network",
    "frames_needed",
    "make_loss",
    "make_optimizer",
    "resolve_schedule",
    "sigmoid",
    "softmax",
    "softmax_cross_entropy",
    "split_validation",
    "training_batches",
]
