"""Leaky Elman network, each unit i with a rate a_i of its own   (Jaeger et al. 2007).

n = tanh(gx + gh)
h' = (1 - a) * h + a * n
"""

import numpy as np

from reference.cell import gated_cell


def gates(gx, gh, state, leak):
    (h,) = state
    n = np.tanh(gx[0] + gh[0])
    h_new = (1.0 - leak) * h + leak * n
    return (h_new,), (n, h)


def gates_backward(tape, grad_state, leak):
    n, h = tape
    (grad_h_new,) = grad_state
    grad_a = (grad_h_new * leak * (1.0 - n**2))[np.newaxis]
    grad_leak = grad_h_new * (n - h)
    return grad_a, grad_a, (grad_h_new * (1.0 - leak),), grad_leak


ELMAN_LEAKY = gated_cell(1, 1, gates, gates_backward, leak=lambda n_units: (n_units,))
