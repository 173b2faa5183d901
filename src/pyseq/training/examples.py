"""Sequences with their targets and weights, as the fit loop takes them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyseq.ragged import Ragged
from pyseq.training.batching import training_batches

__all__ = ["Examples", "distinct_examples"]

Targets: TypeAlias = NDArray[np.int64] | Ragged


@dataclass(frozen=True)
class Examples:
    """Sequences, what they mean, and how much each of them counts.

    Parameters
    ----------
    x : Ragged of n_sequences
    targets : int64 ndarray of shape (n_sequences,), or Ragged of n_sequences
        A class, labels, or a target for every frame, for each sequence.
    weights : ndarray of shape (n_sequences,), float64, or None
        None: all count the same.
    """

    x: Ragged
    targets: Targets
    weights: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.x)

    def batches(self, batch_size: int, rng: np.random.Generator, *, shuffle: bool) -> Sequence[Any]:
        """One epoch: what `take` makes a batch of, time after time."""
        return training_batches(self.x.lengths, batch_size, rng, shuffle=shuffle)

    def n_batches(self, batch_size: int) -> int:
        """How many batches an epoch has."""
        return -(-len(self) // batch_size)

    def take(self, indices: NDArray[np.int64]) -> Examples:
        """The examples at `indices`; their frames are not copied."""
        weights = None if self.weights is None else self.weights[indices]
        return Examples(self.x[indices], self.targets[indices], weights)

    def with_x(self, x: Ragged) -> Examples:
        """The same targets and weights with other frames."""
        return Examples(x, self.targets, self.weights)

    def with_mean_weight_one(self) -> Examples:
        """The same with weights scaled to mean 1; without them if they are all equal."""
        if self.weights is None or np.all(self.weights == self.weights[0]):
            return Examples(self.x, self.targets)
        return Examples(self.x, self.targets, self.weights / self.weights.mean())


def distinct_examples(examples: Examples) -> Examples:
    """Merge equal examples into one with the sum of their weights, drop weight zero, and fix the order.

    Examples are equal if their frames and targets are equal bit by bit. The result does not depend on the
    order they came in. So what is trained on it depends on a set of weighted examples alone: a weight of k is
    the same as k copies, a weight of 0 the same as absence.

    Parameters
    ----------
    examples : Examples
        Weights not negative.

    Returns
    -------
    Examples
        In an arbitrary fixed order, with weights.
    """
    weights = np.ones(len(examples)) if examples.weights is None else examples.weights
    kept = np.flatnonzero(weights > 0)
    keys = _digests(examples.take(kept))
    # 128 bits: that two different examples share a digest does not happen.
    _, first, owner = np.unique(keys, return_index=True, return_inverse=True)
    merged = examples.take(kept[first])
    totals = np.zeros(len(first))
    np.add.at(totals, owner.ravel(), weights[kept])
    return Examples(merged.x, merged.targets, totals)


def _digests(examples: Examples) -> NDArray[Any]:
    digests = np.empty((len(examples), 2), dtype=np.uint64)
    targets = examples.targets
    for i, frames in enumerate(examples.x):
        digest = hashlib.blake2b(frames.tobytes(), digest_size=16)
        digest.update(np.int64(len(frames)).tobytes())
        digest.update(targets[i].tobytes())
        digests[i] = np.frombuffer(digest.digest(), dtype=np.uint64)
    return digests.view([("high", np.uint64), ("low", np.uint64)])[:, 0]
