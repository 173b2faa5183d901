"""What every twin over sequences shares: lengths, and the order in which frames are visited."""

import numpy as np


def as_float64(array):
    return np.asarray(array, dtype=np.float64)


def full_lengths(x, lengths):
    """`lengths` as Python integers; every sequence fills the padded array when none are given."""
    if lengths is None:
        return [x.shape[1]] * x.shape[0]
    return [int(length) for length in lengths]


def frame_order(length, reverse):
    """Frame numbers in the order in which a recurrence visits them."""
    return range(length - 1, -1, -1) if reverse else range(length)
