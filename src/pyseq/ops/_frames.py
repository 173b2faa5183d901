"""A batch as kernels see it: rows of numbers, and where each sequence starts and how long it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseq import _core
from pyseq.ragged import Ragged

FloatArray = NDArray[Any]
IntArray = NDArray[np.int64]

MAX_BYTES = 2**62  # sizes beyond this cannot be memory, whatever the machine


@dataclass(frozen=True)
class Frames:
    """Rows of a 2-D array, grouped into sequences: frame t of sequence b is `rows[starts[b] + t]`.

    `padded` is (B, T) for a batch that came as a padded array, else None.
    """

    rows: FloatArray
    starts: IntArray
    lengths: IntArray
    padded: tuple[int, int] | None

    @property
    def width(self) -> int:
        return int(self.rows.shape[1])

    def like(self, width: int, *, zero: bool = False) -> Frames:
        """New rows of `width` numbers for the same sequences; packed, or zero-padded as this batch is."""
        check_size("output", (len(self.lengths), int(self.lengths.max(initial=0)), width), self.rows.dtype)
        if self.padded is None:
            total = int(self.lengths.sum())
            starts = np.cumsum(self.lengths) - self.lengths
        else:
            batch, steps = self.padded
            total = batch * steps
            starts = self.starts
            zero = zero or bool((self.lengths < steps).any())
        if zero:
            rows = np.zeros((total, width), dtype=self.rows.dtype)
        else:
            rows = empty_rows(total, width, self.rows.dtype)
        return Frames(rows, starts, self.lengths, self.padded)

    def result(self) -> Any:
        """The rows in the kind the batch came in: `(B, T, width)` array or `Ragged`."""
        if self.padded is None:
            return Ragged._make(self.rows, self.starts, self.lengths)  # known to fit: nothing to check again
        return self.rows.reshape(*self.padded, self.rows.shape[1])


def empty_rows(n: int, width: int, dtype: Any) -> FloatArray:
    """New rows of float32 or float64, in memory that is used again: fresh pages cost as much as a product."""
    return _core.empty_rows(n, width, dtype == np.float32)


def check_size(name: str, shape: tuple[int, ...], dtype: Any) -> None:
    """Raises MemoryError, naming the array, where a product of sizes cannot be memory."""
    bytes_ = np.dtype(dtype).itemsize
    for size in shape:
        bytes_ *= int(size)
    if bytes_ > MAX_BYTES:
        raise MemoryError(f"{name} of shape {shape} would need {bytes_} bytes: check the sizes and lengths")


def check_float(array: Any, name: str) -> FloatArray:
    """A float32 or float64 array; integers become float32, anything else is an error."""
    a = np.asarray(array)
    if a.dtype == np.float32 or a.dtype == np.float64:
        return a
    if a.dtype.kind in "bui" or a.dtype == np.float16:
        return a.astype(np.float32)
    raise TypeError(f"{name} has dtype {a.dtype}, expected float32 or float64 (integers are cast)")


def check_lengths(lengths: Any, batch: int, steps: int, name: str = "lengths") -> IntArray:
    """Lengths of `batch` sequences within `steps` frames, as int64."""
    if lengths is None:
        return np.full(batch, steps, dtype=np.int64)
    a = np.asarray(lengths)
    if a.dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {a.dtype}, expected integers")
    if a.shape != (batch,):
        raise ValueError(f"{name} has shape {a.shape}, expected ({batch},): one length for each sequence")
    a = np.ascontiguousarray(a, dtype=np.int64)
    for wrong, what in ((a < 0, "negative"), (a > steps, f"more than the {steps} frames there are")):
        if wrong.any():
            b = int(np.argmax(wrong))
            raise ValueError(f"{name}[{b}] is {a[b]}, which is {what}")
    return a


def as_frames(x: Any, lengths: Any = None, *, name: str = "x", lengths_name: str = "lengths") -> Frames:
    """The frames of a `(B, T, F)` array with optional lengths, or of a `Ragged`."""
    if isinstance(x, Ragged):
        if lengths is not None:
            raise ValueError(f"{lengths_name} must be None when {name} is a Ragged, which has its own")
        rows = check_float(x.buffer, name)
        if rows.ndim != 2:
            raise ValueError(f"{name} holds tokens (one integer a frame), expected frames of features")
        return Frames(rows, x.starts, x.lengths, None)
    a = check_float(x, name)
    if a.ndim != 3:
        raise ValueError(f"{name} has shape {a.shape}, expected (batch, steps, features) or a Ragged")
    batch, steps, width = a.shape
    own = check_lengths(lengths, batch, steps, lengths_name)
    starts = np.arange(batch, dtype=np.int64) * steps
    return Frames(np.ascontiguousarray(a).reshape(batch * steps, width), starts, own, (batch, steps))


def as_parameter(array: Any, shape: tuple[int, ...], dtype: Any, name: str) -> FloatArray:
    """A C-contiguous array of this shape and dtype; a dtype that differs is an error, never a silent copy."""
    a = check_float(array, name)
    if a.shape != shape:
        raise ValueError(f"{name} has shape {a.shape}, expected {shape}")
    if a.dtype != dtype:
        raise TypeError(f"{name} has dtype {a.dtype}, but x has {dtype}: give both the same")
    return np.ascontiguousarray(a)


def rows_beside(values: Frames, y: Frames, width: int, name: str) -> FloatArray:
    """Rows of `width` numbers, one beside each row of the output `y`; an error names what does not fit."""
    if values.width != width or (values.padded is None) != (y.padded is None):
        raise ValueError(
            f"{name} does not have the shape of the output: {values.width} features, expected {width}"
        )
    if values.rows.dtype != y.rows.dtype:
        raise TypeError(f"{name} has dtype {values.rows.dtype}, expected {y.rows.dtype} as the output")
    if values.padded != y.padded or (y.padded is None and not np.array_equal(values.lengths, y.lengths)):
        raise ValueError(f"{name} does not have the shape of the output: other sequences or lengths")
    if len(values.rows) == len(y.rows) and np.array_equal(values.starts, y.starts):
        return values.rows
    # Kernels read it where they wrote the output: lay it out alike.
    return values.rows[np.repeat(values.starts - y.starts, y.lengths) + np.arange(len(y.rows))]
