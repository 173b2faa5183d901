"""The targets of a tagger: labels a frame, any number of labels a frame, or one label for all frames."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import column_or_1d

from pyseq.estimators._labels import LabelKind, label_sequences
from pyseq.ragged import Ragged

__all__ = ["FrameKind", "check_lengths", "frame_labels", "several_labels"]

FrameKind = LabelKind | Literal["several"]


def frame_labels(y: Any, name: str) -> tuple[Any, FrameKind]:
    """Targets, and what they were given as.

    Parameters
    ----------
    y : list of sequences of labels, list of (T_i, n_labels) arrays, (n, T, n_labels) array, or n numbers
        An (n, 1) array is n numbers, as scikit-learn has it.
    name : str
        What messages call y.

    Returns
    -------
    targets : list of sequences of labels; y as it is where a frame has several labels
    kind : {"string", "sequence", "single", "several"}
    """
    if _has_several(y):
        return y, "several"
    if hasattr(y, "__array__"):
        y = np.asarray(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
    return label_sequences(y, name)


def several_labels(y: Any, dtype: str, name: str) -> Ragged:
    """A column of 0 and 1 for each label.

    Raises
    ------
    ValueError
        If an entry is neither 0 nor 1, or sequences differ in their number of labels.
    """
    frames = Ragged.from_list(list(y), dtype=dtype, name=name)
    for i, target in enumerate(frames):
        wrong = (target != 0) & (target != 1)
        if wrong.any():
            t, k = (int(index) for index in np.argwhere(wrong)[0])
            raise ValueError(f"{name}[{i}] is {target[t, k]} at frame {t}, label {k}, expected 0 or 1")
    return frames


def check_lengths(targets: Ragged, lengths: NDArray[np.int64], name: str) -> None:
    """Raise a ValueError that names the first sequence with another number of targets than of frames."""
    wrong = np.flatnonzero(targets.lengths != lengths)
    if len(wrong):
        i = int(wrong[0])
        x = name.replace("y", "X", 1)
        raise ValueError(
            f"{name}[{i}] has {targets.lengths[i]} targets, expected {lengths[i]}, "
            f"one for each frame of {x}[{i}]"
        )


def _has_several(y: Any) -> bool:
    """Whether targets are tables of 0 and 1."""
    if isinstance(y, Ragged):
        return y.buffer.ndim == 2
    if isinstance(y, np.ndarray) and y.dtype != object:
        return y.ndim == 3
    first = y[0] if isinstance(y, list | tuple | np.ndarray) and len(y) else None
    if isinstance(first, list | tuple):
        return bool(first) and isinstance(first[0], list | np.ndarray)
    return isinstance(first, np.ndarray) and first.ndim == 2
