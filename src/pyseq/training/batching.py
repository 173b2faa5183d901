"""Which sequences go together: training batches, prediction batches and the validation part."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["batches_of_frames", "split_validation", "training_batches"]

Indices = NDArray[np.int64]

# A shuffled pool of this many batches is sorted by length before it is cut. Large enough that the sequences
# of a batch are nearly as long as each other, small enough that a batch is still a random draw from many.
POOL_BATCHES = 8


def training_batches(
    lengths: Indices, batch_size: int, rng: np.random.Generator, *, shuffle: bool = True
) -> list[Indices]:
    """Cut one epoch into batches of sequences of similar length, in random order.

    The sequences are shuffled, each pool of `POOL_BATCHES` batches is sorted by length and cut, and the
    batches are shuffled again. Every sequence is in exactly one batch.

    Parameters
    ----------
    lengths : ndarray of shape (n_sequences,)
    batch_size : int
        Sequences in a batch; one batch may hold fewer.
    rng : numpy.random.Generator
        The only source of randomness.
    shuffle : bool, default=True
        False: batches of consecutive sequences, in the order given.

    Returns
    -------
    batches : list of ndarray, int64
        Indices of the sequences of each batch.
    """
    n = len(lengths)
    order = np.arange(n)
    cuts = np.arange(batch_size, n, batch_size)
    if not shuffle:
        return np.split(order, cuts)
    pool = order // (batch_size * POOL_BATCHES)
    shuffled = rng.permutation(n)
    # lexsort is stable, so sequences of equal length stay in random order.
    batches = np.split(shuffled[np.lexsort((lengths[shuffled], pool))], cuts)
    return [batches[i] for i in rng.permutation(len(batches))]


def batches_of_frames(lengths: Indices, max_frames: int) -> list[Indices]:
    """Cut a collection, sorted by length, into batches of at most `max_frames` frames.

    Predicting batch by batch bounds the memory of the activations whatever the size of the collection. A
    sequence longer than `max_frames` is a batch by itself.

    Parameters
    ----------
    lengths : ndarray of shape (n_sequences,)
    max_frames : int

    Returns
    -------
    batches : list of ndarray, int64
    """
    order = np.argsort(lengths, kind="stable")
    ends = np.cumsum(lengths[order])
    batches, first, done = [], 0, 0
    while first < len(order):
        last = max(first + 1, int(np.searchsorted(ends, done + max_frames, side="right")))
        batches.append(order[first:last])
        first, done = last, int(ends[last - 1])
    return batches


def split_validation(
    keys: NDArray[Any], fraction: float, rng: np.random.Generator
) -> tuple[Indices, Indices]:
    """Divide sequences into a training and a validation part, both with the same distribution of a key.

    The sequences are put in order of their key, at random among equal keys, and every k-th is taken
    (systematic sampling). With classes as keys this is a stratified split, and it also works where a class
    has a single member; with lengths as keys both parts have short and long sequences.

    Parameters
    ----------
    keys : ndarray of shape (n_sequences,)
    fraction : float in (0, 1)
        Part of the sequences that is for validation; at least one sequence is.
    rng : numpy.random.Generator

    Returns
    -------
    training, validation : ndarray, int64
        Sorted indices.

    Raises
    ------
    ValueError
        If nothing would be left to train on.
    """
    n = len(keys)
    n_validation = max(1, round(fraction * n))
    if n_validation >= n:
        raise ValueError(
            f"validation_fraction={fraction} of {n} sequences leaves none to train on; "
            "give more sequences, or X_val and y_val"
        )
    shuffled = rng.permutation(n)
    by_key = shuffled[np.argsort(keys[shuffled], kind="stable")]
    taken = ((np.arange(n_validation) + rng.random()) * (n / n_validation)).astype(np.int64)
    held_out = np.zeros(n, dtype=bool)
    held_out[by_key[taken]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)
