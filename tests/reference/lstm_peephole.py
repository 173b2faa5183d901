"""LSTM whose gates see the cell state, gates in the order i f g o   (Gers & Schmidhuber 2000).

    i = sigmoid(a_i + p_i * c)   f = sigmoid(a_f + p_f * c)   g = tanh(a_g),   a = gx + gh
    c' = f * c + i * g
    o = sigmoid(a_o + p_o * c')
    h' = o * tanh(c')

`peephole` is (3, H): p_i, p_f, p_o. The state is (h, c).
"""

import numpy as np

from reference.cell import gated_cell, sigmoid


def gates(gx, gh, state, peephole):
    _, c = state
    a_i, a_f, a_g, a_o = gx + gh
    p_i, p_f, p_o = peephole
    i, f, g = sigmoid(a_i + p_i * c), sigmoid(a_f + p_f * c), np.tanh(a_g)
    c_new = f * c + i * g
    o = sigmoid(a_o + p_o * c_new)
    h_new = o * np.tanh(c_new)
    return (h_new, c_new), (i, f, g, o, c, c_new)


def gates_backward(tape, grad_state, peephole):
    i, f, g, o, c, c_new = tape
    p_i, p_f, p_o = peephole
    grad_h_new, grad_c_new = grad_state
    tanh_c = np.tanh(c_new)

    grad_a_o = grad_h_new * tanh_c * o * (1.0 - o)
    # c' reaches the loss by itself, through h' = o * tanh(c'), and through the peephole of o
    grad_c_new = grad_c_new + grad_h_new * o * (1.0 - tanh_c**2) + grad_a_o * p_o
    grad_a_i = grad_c_new * g * i * (1.0 - i)
    grad_a_f = grad_c_new * c * f * (1.0 - f)
    grad_a_g = grad_c_new * i * (1.0 - g**2)

    grad_gates = np.stack([grad_a_i, grad_a_f, grad_a_g, grad_a_o])
    grad_c = grad_c_new * f + grad_a_i * p_i + grad_a_f * p_f
    grad_peephole = np.stack([grad_a_i * c, grad_a_f * c, grad_a_o * c_new])
    return grad_gates, grad_gates, (np.zeros_like(c), grad_c), grad_peephole


LSTM_PEEPHOLE = gated_cell(4, 2, gates, gates_backward, peephole=lambda n_units: (3, n_units))
