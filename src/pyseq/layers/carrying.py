"""Frames before the first: what a layer of bounded memory needs of a sequence that goes on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyseq.layers.arrays import get_namespace
from pyseq.ragged import Ragged

Counts = NDArray[np.int64]


class Past(NamedTuple):
    """The last input frames of each sequence, and how many there are."""

    frames: Any  # (B, reach, F), the last of them at the end
    counts: Counts  # (B,)


def behind_past(x: Ragged, past: Past | None) -> tuple[Ragged, Counts]:
    """Sequences with the frames before them in front, and how many those are."""
    if past is None:
        return x, np.zeros(len(x), dtype=np.int64)
    reach, rows = past.frames.shape[1], []
    for before, count, frames in zip(past.frames, past.counts.tolist(), x, strict=True):
        rows += [before[reach - count :], frames]
    return Ragged(get_namespace(x.buffer).concatenate(rows), x.lengths + past.counts), past.counts


def last_frames(x: Ragged, reach: int) -> Past:
    """What goes on from x: at most `reach` frames of each sequence."""
    counts = np.minimum(x.lengths, reach)
    kept = get_namespace(x.buffer).zeros((len(x), reach, x.n_features), dtype=x.dtype)
    for b, (frames, count) in enumerate(zip(x, counts.tolist(), strict=True)):
        kept[b, reach - count :] = frames[len(frames) - count :]
    return Past(kept, counts)


def without_frames_before(y: Ragged, before: Counts) -> Ragged:
    """The sequences from frame `before` on."""
    return Ragged._make(y.buffer, y.starts + before, y.lengths - before).packed()


def with_frames_before(grad: Ragged, before: Counts) -> Ragged:
    """The gradient of what `without_frames_before` took from: zero in the frames it left out."""
    lengths = grad.lengths + before
    owned = np.ones(int(lengths.sum()), dtype=bool)
    first = np.cumsum(lengths) - lengths
    for a, n in zip(first.tolist(), before.tolist(), strict=True):
        owned[a : a + n] = False
    frames = get_namespace(grad.buffer).zeros((len(owned), grad.n_features), dtype=grad.dtype)
    frames[owned] = grad.values
    return Ragged(frames, lengths)
