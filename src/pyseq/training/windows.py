"""Long sequences cut for truncated backpropagation through time."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyseq.ragged import Ragged
from pyseq.training.batching import split_validation
from pyseq.training.examples import Examples

__all__ = ["WindowBatch", "Windows"]

Indices = NDArray[np.int64]

FEWEST_TO_SPLIT = 10  # fewer sequences: the end of each is held out, not some of them


@dataclass(frozen=True)
class WindowBatch(Examples):
    """Windows that are trained on together.

    Parameters
    ----------
    x : Ragged of n windows
        Each behind the frames before it.
    targets : Ragged of n windows
        Of a window's own frames.
    carried : ndarray of shape (n,), int64
        Row of the batch before that a window goes on from; -1 where it begins from nothing.
    context : ndarray of shape (n, n_context), optional
        Condition of each window's sequence.
    before : ndarray of shape (n,), int64, optional
        How many frames of x stand before the window; None: none.
    """

    carried: Indices | None = None
    context: NDArray[Any] | None = None
    before: Indices | None = None


@dataclass(frozen=True)
class _Plan:
    """Where the windows of a batch lie."""

    owner: Indices
    begin: Indices  # within the owner
    lengths: Indices
    carried: Indices


class _Window(NamedTuple):
    owner: int
    first: int
    length: int
    goes_on: bool


@dataclass(frozen=True)
class Windows(Examples):
    """Sequences with a target a frame, in windows of at most `steps` frames.

    An epoch runs through `batch_size` lanes side by side. A sequence is in one lane, unless it is longer than
    a lane: then it is cut, at other places in every epoch. Windows follow each other in a lane, so that a
    state can be carried from one to the next (Williams & Peng 1990).

    Parameters
    ----------
    x, targets : Ragged of n sequences, alike in lengths
    steps : int
        Frames of a window.
    context : ndarray of shape (n, n_context), optional
        Condition of each sequence.
    reach : int
        A window comes with so many of the frames before it, where its sequence has them: an encoder that
        sees so far back then says of the window what it says of the whole sequence.
    """

    steps: int = 128
    context: NDArray[Any] | None = None
    reach: int = 0

    def n_batches(self, batch_size: int) -> int:
        """About as many as an epoch has; sequences do not fill the lanes evenly."""
        return -(-int(self.x.lengths.sum()) // (batch_size * self.steps))

    def batches(self, batch_size: int, rng: np.random.Generator, *, shuffle: bool) -> Sequence[_Plan]:
        """One epoch of windows, in the order of time."""
        lengths = np.asarray(self.x.lengths)
        lane = max(self.steps, -(-int(lengths.sum()) // batch_size))
        owner, begin, end = _pieces(lengths, lane, rng if shuffle else None)
        lanes = _balanced(end - begin, batch_size, rng if shuffle else None)
        return _batches_of_lanes([self._windows_of(owner, begin, end, pieces) for pieces in lanes])

    def _windows_of(self, owner: Indices, begin: Indices, end: Indices, pieces: list[int]) -> list[_Window]:
        """Of the pieces of a lane, one after the other."""
        return [
            _Window(int(owner[i]), first, min(self.steps, int(end[i]) - first), first > begin[i])
            for i in pieces
            for first in range(int(begin[i]), int(end[i]), self.steps)
        ]

    def take(self, plan: Any) -> WindowBatch:
        """The windows of a batch; their frames are not copied."""
        owners = self.sequences(plan.owner)
        targets = owners.part(plan.begin, plan.lengths).targets
        before = np.minimum(plan.begin, self.reach)
        x = owners.part(plan.begin - before, plan.lengths + before).x
        return WindowBatch(x, targets, None, plan.carried, owners.context, before if self.reach else None)

    def split(self, fraction: float, rng: np.random.Generator) -> tuple[Windows, Windows]:
        """A training and a validation part: some sequences, or the end of each where there are few."""
        if len(self) >= FEWEST_TO_SPLIT:
            kept, held_out = split_validation(self.x.lengths, fraction, rng)
            return self.sequences(kept), self.sequences(held_out)
        n_held_out = np.maximum(1, (self.x.lengths * fraction).astype(np.int64))
        n_kept = self.x.lengths - n_held_out
        if (n_kept < 1).any():
            raise ValueError("early_stopping holds out the end of each sequence: give longer ones, or X_val")
        return self.part(0, n_kept), self.part(n_kept, n_held_out)

    def sequences(self, indices: Indices) -> Windows:
        """Some of the sequences."""
        context = None if self.context is None else self.context[indices]
        return replace(self, x=self.x[indices], targets=self.targets[indices], context=context)

    def part(self, first: Any, n: Indices) -> Windows:
        """`n` frames of each sequence, from `first` on."""
        assert isinstance(self.targets, Ragged)
        x, targets = (Ragged._make(r.buffer, r.starts + first, n) for r in (self.x, self.targets))
        return replace(self, x=x, targets=targets)


def _pieces(
    lengths: Indices, longest: int, rng: np.random.Generator | None
) -> tuple[Indices, Indices, Indices]:
    """Owner, begin and end of parts of at most `longest` frames; sequences of no more are whole."""
    owner, begin, end = [], [], []
    for i, length in enumerate(lengths.tolist()):
        first = 0 if rng is None or length <= longest else int(rng.integers(longest))
        cuts = sorted({0, *range(first, length, longest), length})
        for a, b in pairwise(cuts):
            owner.append(i)
            begin.append(a)
            end.append(b)
    return np.array(owner, np.int64), np.array(begin, np.int64), np.array(end, np.int64)


def _balanced(lengths: Indices, n_lanes: int, rng: np.random.Generator | None) -> list[list[int]]:
    """Pieces of each lane: the longest first go to the lane that has least, so that all end nearly together.

    A lane that went on alone would train on few windows at a time. Within a lane the order is random.
    """
    drawn = np.arange(len(lengths)) if rng is None else rng.permutation(len(lengths))
    order = drawn[np.argsort(-lengths[drawn], kind="stable")]
    lanes: list[list[int]] = [[] for _ in range(min(n_lanes, len(lengths)))]
    loads = [(0, lane) for lane in range(len(lanes))]
    for i in order.tolist():
        load, lane = heapq.heappop(loads)
        lanes[lane].append(i)
        heapq.heappush(loads, (load + int(lengths[i]), lane))
    for pieces in lanes:
        if rng is None:
            pieces.sort()
        else:
            rng.shuffle(pieces)
    return lanes


def _batches_of_lanes(lanes: list[list[_Window]]) -> list[_Plan]:
    """Batch k holds window k of every lane that has so many."""
    plans: list[_Plan] = []
    before: dict[int, int] = {}
    for k in range(max(map(len, lanes), default=0)):
        rows = [(lane, windows[k]) for lane, windows in enumerate(lanes) if k < len(windows)]
        carried = [before[lane] if window.goes_on else -1 for lane, window in rows]
        columns = ([getattr(w, name) for _, w in rows] for name in ("owner", "first", "length"))
        plans.append(_Plan(*(np.array(column, dtype=np.int64) for column in (*columns, carried))))
        before = {lane: row for row, (lane, _) in enumerate(rows)}
    return plans
