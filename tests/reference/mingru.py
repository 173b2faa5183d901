"""A GRU without recurrent products, gates in the order z v   (minGRU: Feng et al. 2024).

    z = sigmoid(gx_z)   v = gx_v
    h' = (1 - z) * h + z * v

Given the gates, h is a linear recurrence. weight_hh is (0, H) and bias_hh (0,).
"""

import numpy as np

from reference.cell import gated_cell, sigmoid


def shapes(n_features, n_units):
    return {
        "weight_ih": (2 * n_units, n_features),
        "weight_hh": (0, n_units),
        "bias_ih": (2 * n_units,),
        "bias_hh": (0,),
    }


def gates(gx, gh, state):
    (h,) = state
    z, v = sigmoid(gx[0]), gx[1]
    return ((1.0 - z) * h + z * v,), (z, v, h)


def gates_backward(tape, grad_state):
    z, v, h = tape
    (grad_h_new,) = grad_state
    grad_gx = np.stack([grad_h_new * (v - h) * z * (1.0 - z), grad_h_new * z])
    return grad_gx, np.zeros((0, len(h))), (grad_h_new * (1.0 - z),)


MINGRU = gated_cell(2, 1, gates, gates_backward)._replace(shapes=shapes)
