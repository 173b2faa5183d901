"""Random problems for the recurrent kernels, for every cell alike."""

import numpy as np
import reference
from helpers import random_lengths, random_padded, random_rnn_weights

from pyseq import ops

CELLS = sorted(ops.CELLS)
DTYPES = ("float32", "float64")
# Those with products of bfloat16 pairs, where the machine has them.
MEDIUM_CELLS = {"elman", "elman_relu", "elman_leaky", "lstm", "lstm_peephole", "lstm_coupled", "gru"}


def output_size(cell, hidden):
    """Length of h: a projection is a third shorter than c."""
    return max(1, 2 * hidden // 3) if ops.CELLS[cell].projects else hidden


def states(cell, rng, batch, hidden, dtype):
    h = rng.standard_normal((batch, output_size(cell, hidden))).astype(dtype)
    return (h, rng.standard_normal((batch, hidden)).astype(dtype)) if ops.CELLS[cell].has_cell else h


def as_list(value):
    """The arrays in nested tuples, without the Nones."""
    if value is None:
        return []
    return [a for v in value for a in as_list(v)] if isinstance(value, tuple) else [value]


def problem(cell, dtype, batch, steps, inputs, hidden, seed=0, shortest=0):
    """x, lengths, weights, initial state; gradients by the output and by the final state."""
    rng = np.random.default_rng(seed)
    lengths = random_lengths(rng, batch, steps, shortest)
    x = random_padded(rng, lengths, inputs, dtype)
    info, output = ops.CELLS[cell], output_size(cell, hidden)
    weights = info.weights(*random_rnn_weights(rng, info.shapes(inputs, hidden, output), dtype))
    grad_y = random_padded(rng, lengths, output, dtype)
    initial, grad_final = states(cell, rng, batch, hidden, dtype), states(cell, rng, batch, hidden, dtype)
    return x, lengths, weights, initial, grad_y, grad_final


def random_masks(cell, dtype, lengths, steps, hidden, values=(0.0, 1.0), seed=1):
    """Every mask that the cell takes, by the name of its argument."""
    rng = np.random.default_rng(seed)
    shape, output = (len(lengths), steps), output_size(cell, hidden)
    masks = {"zoneout_h": rng.choice(values, (*shape, output))}
    if ops.CELLS[cell].recurrent_gates:
        masks["recurrent_mask"] = rng.choice([0.0, 2.0], (len(lengths), output))
    if ops.CELLS[cell].has_cell:
        masks["zoneout_c"] = rng.choice(values, (*shape, hidden))
    return {name: mask.astype(dtype) for name, mask in masks.items()}


def twin_masks(masks):
    return reference.Masks(masks.get("recurrent_mask"), masks.get("zoneout_h"), masks.get("zoneout_c"))
