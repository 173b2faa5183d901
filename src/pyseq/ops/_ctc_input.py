"""What all CTC functions read: logits as frames, targets as labels one after the other."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyseq import _core
from pyseq.ops._frames import Frames, IntArray, as_frames, check_size
from pyseq.ragged import Ragged

Targets = ArrayLike | Sequence[ArrayLike] | Ragged


class Labels(NamedTuple):
    """All targets one after the other; sequence b is `flat[starts[b] : starts[b] + lengths[b]]`."""

    flat: IntArray
    starts: IntArray
    lengths: IntArray


def read_problem(
    logits: ArrayLike | Ragged,
    targets: Targets,
    input_lengths: ArrayLike | None,
    target_lengths: ArrayLike | None,
    blank: int,
) -> tuple[Frames, Labels, int]:
    frames = read_logits(logits, input_lengths, "input_lengths")
    blank = check_blank(blank, frames.width)
    labels = read_labels(targets, target_lengths, len(frames.lengths))
    at = _core.ctc_first_bad_label(*labels, frames.width, blank)
    if at >= 0:
        # the sequence that holds this place; empty ones may share a start
        inside = (labels.starts <= at) & (at < labels.starts + labels.lengths)
        b = int(np.argmax(inside))
        label = int(labels.flat[at])
        what = "which is the blank" if label == blank else f"expected a class from 0 to {frames.width - 1}"
        raise ValueError(f"targets[{b}][{at - int(labels.starts[b])}] is {label}, {what}")
    return frames, labels, blank


def gradient_frames(logits: Frames, out: Any) -> Frames:
    """Where the gradient goes: new rows, or those of `out`. Padding is zero, all else is to be written."""
    if out is None:
        packed = logits.padded is None
        count = int(logits.lengths.sum()) if packed else len(logits.rows)
        check_size("gradient", (count, logits.width), logits.rows.dtype)
        starts = np.cumsum(logits.lengths) - logits.lengths if packed else logits.starts
        grad = Frames(_core.ctc_gradient(logits.rows, count), starts, logits.lengths, logits.padded)
    else:
        grad = _given_frames(logits, out)
    if grad.padded is not None:
        batch, steps = grad.padded
        blocks = grad.rows.reshape(batch, steps, grad.width)
        for b in np.flatnonzero(grad.lengths < steps):
            blocks[b, grad.lengths[b] :] = 0
    return grad


def _given_frames(logits: Frames, out: Any) -> Frames:
    kind = "a Ragged" if logits.padded is None else "an array"
    if isinstance(out, Ragged) != (logits.padded is None) or not isinstance(out, (Ragged, np.ndarray)):
        raise TypeError(f"out is a {type(out).__name__}, expected {kind} as logits is")
    array = out.buffer if isinstance(out, Ragged) else out
    if array.dtype != logits.rows.dtype:
        raise TypeError(f"out has dtype {array.dtype}, expected {logits.rows.dtype} as logits has")
    if isinstance(out, Ragged):
        if array.shape[1:] != (logits.width,) or not np.array_equal(out.lengths, logits.lengths):
            raise ValueError("out has other lengths or another number of classes than logits")
        if not out.is_packed:
            raise ValueError("out is a view of some sequences, expected a packed Ragged: use out.packed()")
        grad = Frames(array, out.starts, logits.lengths, None)
    else:
        assert logits.padded is not None
        if array.shape != (*logits.padded, logits.width):
            raise ValueError(
                f"out has shape {array.shape}, expected {(*logits.padded, logits.width)} as logits"
            )
        if not array.flags.c_contiguous:
            raise ValueError("out is not C-contiguous, expected an array as np.empty_like(logits) makes it")
        grad = Frames(array.reshape(-1, logits.width), logits.starts, logits.lengths, logits.padded)
    if not array.flags.writeable:
        raise ValueError("out is read-only, expected a writeable array")
    same = grad.rows.ctypes.data == logits.rows.ctypes.data and np.array_equal(grad.starts, logits.starts)
    if not same and np.may_share_memory(grad.rows, logits.rows):
        raise ValueError("out overlaps logits, expected logits themselves or memory of its own")
    return grad


def read_logits(logits: ArrayLike | Ragged, lengths: ArrayLike | None, lengths_name: str) -> Frames:
    frames = as_frames(logits, lengths, name="logits", lengths_name=lengths_name)
    if frames.rows.ndim != 2:
        raise ValueError(
            "logits is a Ragged of single numbers, expected frames with one number for each class"
        )
    return frames


def check_blank(blank: Any, classes: int) -> int:
    try:
        index = operator.index(blank)
    except TypeError:
        raise TypeError(f"blank is {blank!r}, expected an int") from None
    if not 0 <= index < classes:
        raise ValueError(f"blank is {index}, expected one of the {classes} classes of logits, counted from 0")
    return index


def read_labels(targets: Targets, target_lengths: ArrayLike | None, batch: int) -> Labels:
    if isinstance(targets, Ragged):
        labels = _ragged_labels(targets, target_lengths)
    elif target_lengths is None and _is_list(targets):
        labels = _listed_labels(targets)
    else:
        labels = _padded_labels(targets, target_lengths)
    if len(labels.lengths) != batch:
        raise ValueError(f"targets has {len(labels.lengths)} sequences, expected {batch} as in logits")
    return labels


def _is_list(targets: Any) -> bool:
    return isinstance(targets, (list, tuple)) or (isinstance(targets, np.ndarray) and targets.dtype == object)


def _ragged_labels(targets: Ragged, target_lengths: ArrayLike | None) -> Labels:
    if target_lengths is not None:
        raise ValueError("target_lengths must be None when targets is a Ragged, which has its own")
    flat = targets.buffer
    if flat.ndim == 2 and flat.shape[1] == 1:
        flat = flat[:, 0]
    if flat.ndim != 1:
        raise ValueError(f"targets has {flat.shape[1]} features, expected a Ragged of single labels")
    return Labels(_check_integers(flat, "targets"), targets.starts, targets.lengths)


def _listed_labels(targets: Any) -> Labels:
    arrays = [np.asarray(target) for target in targets]
    for b, array in enumerate(arrays):
        if array.ndim != 1:
            raise ValueError(f"targets[{b}] has shape {array.shape}, expected one dimension")
        if array.dtype.kind not in "iu":
            if array.size:
                raise TypeError(f"targets[{b}] has dtype {array.dtype}, expected integers")
            arrays[b] = array.astype(np.int64)  # an empty list has no dtype of its own
    lengths = np.array([len(array) for array in arrays], dtype=np.int64)
    flat = np.concatenate(arrays) if arrays else np.zeros(0, dtype=np.int64)
    return Labels(_check_integers(flat, "targets"), np.cumsum(lengths) - lengths, lengths)


def _padded_labels(targets: Any, target_lengths: ArrayLike | None) -> Labels:
    array = np.asarray(targets)
    if array.ndim != 2:
        raise ValueError(
            f"targets has shape {array.shape}, expected (batch, labels) or a list of label sequences"
        )
    batch, room = array.shape
    flat = _check_integers(array, "targets").reshape(batch * room)
    starts = np.arange(batch, dtype=np.int64) * room
    if target_lengths is None:
        return Labels(flat, starts, np.full(batch, room, dtype=np.int64))
    lengths = _check_integers(np.asarray(target_lengths), "target_lengths").astype(np.int64, copy=False)
    if lengths.shape != (batch,):
        raise ValueError(
            f"target_lengths has shape {lengths.shape}, expected ({batch},): one for each target"
        )
    wrong = (lengths < 0) | (lengths > room)
    if wrong.any():
        b = int(np.argmax(wrong))
        what = "which is negative" if lengths[b] < 0 else f"but targets has room for {room} labels"
        raise ValueError(f"target_lengths[{b}] is {lengths[b]}, {what}")
    return Labels(flat, starts, lengths)


def _check_integers(array: NDArray[Any], name: str) -> IntArray:
    """Contiguous int32 or int64; wider unsigned numbers wrap to negative ones, which are then refused."""
    if array.dtype.kind not in "iu":
        if array.size:
            raise TypeError(f"{name} has dtype {array.dtype}, expected integers")
        array = array.astype(np.int64)
    if array.dtype != np.int32 and array.dtype != np.int64:
        array = array.astype(np.int64)
    return np.ascontiguousarray(array)
