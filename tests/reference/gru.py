"""Gated recurrent unit, gates in the order r z n, reset after the matrix product   (Cho et al. 2014).

    r = sigmoid(gx_r + gh_r)   z = sigmoid(gx_z + gh_z)   n = tanh(gx_n + r * gh_n)
    h' = (1 - z) * n + z * h

The reset gate scales the recurrent product, bias_hh included, and not h itself.
"""

import numpy as np

from reference.cell import gated_cell, sigmoid


def step(gx, gh, state):
    (h,) = state
    r = sigmoid(gx[0] + gh[0])
    z = sigmoid(gx[1] + gh[1])
    n = np.tanh(gx[2] + r * gh[2])
    h_new = (1.0 - z) * n + z * h
    return (h_new,), (r, z, n, gh[2], h)


def step_backward(tape, grad_state):
    r, z, n, gh_n, h = tape
    (grad_h_new,) = grad_state

    grad_z = grad_h_new * (h - n)
    grad_n = grad_h_new * (1.0 - z)
    grad_a_n = grad_n * (1.0 - n**2)
    grad_r = grad_a_n * gh_n

    grad_a_r = grad_r * r * (1.0 - r)
    grad_a_z = grad_z * z * (1.0 - z)
    grad_gx = np.stack([grad_a_r, grad_a_z, grad_a_n])
    grad_gh = np.stack([grad_a_r, grad_a_z, grad_a_n * r])
    return grad_gx, grad_gh, (grad_h_new * z,)


GRU = gated_cell(n_gates=3, n_states=1, gates=step, gates_backward=step_backward)
