"""Where frames and sequences lie: lengths, start rows, and views of padded arrays as rows.

The level below :mod:`pyseq.ragged`: everything here takes arrays of plain numbers.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray


def allocate(shape: tuple[int, ...], dtype: np.dtype[Any], name: str = "values") -> NDArray[Any]:
    """An empty array, or a MemoryError that says for what and how much."""
    try:
        return np.empty(shape, dtype)
    except (MemoryError, ValueError) as error:
        size = math.prod(shape) * dtype.itemsize
        raise MemoryError(
            f"{name} as {dtype} of shape {shape} takes {size} bytes ({size / 2**30:.3g} GiB), "
            "more than can be allocated"
        ) from error


def check_counts(counts: Any, *, name: str = "lengths", size: int | None = None) -> NDArray[np.int64]:
    """A copy of lengths or starts as a 1-D, non-negative, read-only int64 array."""
    array = np.asarray(counts)
    if array.size == 0 and array.ndim == 1:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {array.dtype}, expected integers")
    if array.ndim != 1 or (size is not None and len(array) != size):
        raise ValueError(f"{name} has shape {array.shape}, expected ({'B' if size is None else size},)")
    wrong = array < 0 if array.dtype.kind == "i" else array > np.iinfo(np.int64).max
    if wrong.any():
        b = int(np.argmax(wrong))
        expected = "at least 0" if array[b] < 0 else "a number that fits int64"
        raise ValueError(f"{name}[{b}] is {array[b]}, expected {expected}")
    return read_only(array.astype(np.int64))


def read_only(array: NDArray[np.int64]) -> NDArray[np.int64]:
    """The array, C-contiguous, with its writeable flag off: kernels trust starts and lengths."""
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array


def total(lengths: NDArray[np.int64]) -> int:
    """The sum of lengths, exact also where an int64 would wrap."""
    if len(lengths) and int(lengths.max()) > np.iinfo(np.int64).max // len(lengths):
        return sum(lengths.tolist())
    return int(lengths.sum())


def packed_starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The start row of each sequence in the packed form."""
    starts = np.zeros(len(lengths), dtype=np.int64)
    np.cumsum(lengths[:-1], out=starts[1:])
    return read_only(starts)


def check_inside(starts: Any, lengths: Any, n_rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Checked starts and lengths of sequences that lie inside `n_rows` rows."""
    lengths = check_counts(lengths)
    starts = check_counts(starts, name="starts", size=len(lengths))
    outside = (starts > n_rows) | (lengths > n_rows - starts)
    if outside.any():
        b = int(np.argmax(outside))
        raise ValueError(
            f"starts[{b}] is {starts[b]} and lengths[{b}] is {lengths[b]}, "
            f"expected a sequence inside the {n_rows} rows of buffer"
        )
    return starts, lengths


def padded_lengths(lengths: Any, shape: tuple[int, ...], name: str) -> NDArray[np.int64]:
    """Checked lengths of the sequences of a padded (B, T, ...) array; all T if `lengths` is None."""
    n_sequences, n_frames = shape[:2]
    if lengths is None:
        return read_only(np.full(n_sequences, n_frames, dtype=np.int64))
    checked = check_counts(lengths, size=n_sequences)
    if (checked > n_frames).any():
        b = int(np.argmax(checked > n_frames))
        raise ValueError(f"lengths[{b}] is {checked[b]}, expected at most {n_frames}, the frames of {name}")
    return checked


def as_frames(array: NDArray[Any], name: str = "values") -> NDArray[Any]:
    """A buffer of frames: (N, F) float32 or float64 with contiguous rows, or (N,) int64 tokens.

    Copies only what has another dtype or another layout.
    """
    if array.ndim == 1 and array.dtype.kind in "iu":
        return np.ascontiguousarray(array, dtype=np.int64)
    if array.dtype.kind != "f":
        array = array.astype(np.float32)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise ValueError(f"{name} has shape {array.shape}, expected (N, n_features), or (N,) tokens")
    if array.strides == (array.shape[1] * array.itemsize, array.itemsize):
        return array
    viewed = _rows(array[None])
    return np.ascontiguousarray(array) if viewed is None else viewed[0]


def _rows(x: NDArray[Any]) -> tuple[NDArray[Any], int] | None:
    """A (B, T, F) array as a view of rows, and the rows from one sequence to the next; None if no view fits.

    It fits where features are contiguous, frames do not overlap, and sequences are a whole number of frames
    apart: slices of time, of features and of sequences, and windows that slide over one long sequence.
    """
    n_sequences, n_frames, n_features = x.shape
    by_sequence, by_frame, by_feature = x.strides
    if x.size == 0:
        return None
    if n_frames == 1:
        by_frame = by_sequence if n_sequences > 1 else n_features * x.itemsize
    if n_sequences == 1:
        by_sequence = n_frames * by_frame
    if n_features > 1 and by_feature != x.itemsize:
        return None
    if by_frame < n_features * x.itemsize or by_frame % x.itemsize:
        return None
    if by_sequence < 0 or by_sequence % by_frame:
        return None
    step = by_sequence // by_frame
    n_rows = (n_sequences - 1) * step + n_frames
    return as_strided(x[0], (n_rows, n_features), (by_frame, x.itemsize)), step


def padded_frames(x: NDArray[Any], name: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The buffer of frames and the start rows of a (B, T, F), (B, T) float or (B, T) token array.

    A view of `x` where :func:`_rows` finds one, else a packed copy.
    """
    if x.ndim not in (2, 3):
        raise ValueError(f"{name} has shape {x.shape}, expected (B, T, n_features) or (B, T)")
    tokens = x.ndim == 2 and x.dtype.kind in "iu"
    dtype = x.dtype if x.dtype.kind == "f" else np.dtype(np.int64 if tokens else np.float32)
    frames = x.astype(dtype, copy=False)
    frames = frames[:, :, None] if x.ndim == 2 else frames
    viewed = None if tokens and not x.flags.c_contiguous else _rows(frames)
    if viewed is None:
        n_sequences, n_frames, n_features = frames.shape
        viewed = np.ascontiguousarray(frames).reshape(n_sequences * n_frames, n_features), n_frames
    buffer, step = viewed
    starts = allocate((len(x),), np.dtype(np.int64), f"the start rows of {name}")
    starts[:] = np.arange(len(x)) * step
    return buffer[:, 0] if tokens else buffer, read_only(starts)


def check_index(index: Any, size: int) -> NDArray[Any]:
    """An integer array or a boolean mask that chooses among `size` sequences."""
    array = np.asarray(index)
    if array.size == 0 and not isinstance(index, np.ndarray):
        array = array.astype(np.int64)
    if isinstance(index, tuple) or array.ndim != 1 or array.dtype.kind not in "iub":
        raise TypeError(f"index is {index!r}, expected an int, a slice, integers or a mask of booleans")
    if array.dtype.kind == "b":
        if len(array) != size:
            raise IndexError(f"the mask has {len(array)} entries, expected {size}, one for each sequence")
    elif array.size and not (-size <= int(array.min()) and int(array.max()) < size):
        worst = array.max() if array.max() >= size else array.min()
        raise IndexError(f"sequence {worst} is out of range for {size} sequences")
    return array
