"""LSTM with coupled input and forget gates, gates in the order i g o   (Greff et al. 2017).

    i = sigmoid(a_i)   g = tanh(a_g)   o = sigmoid(a_o),   a = gx + gh
    c' = (1 - i) * c + i * g
    h' = o * tanh(c')

The state is (h, c).
"""

import numpy as np

from reference.cell import gated_cell, sigmoid


def gates(gx, gh, state):
    _, c = state
    a_i, a_g, a_o = gx + gh
    i, g, o = sigmoid(a_i), np.tanh(a_g), sigmoid(a_o)
    c_new = (1.0 - i) * c + i * g
    h_new = o * np.tanh(c_new)
    return (h_new, c_new), (i, g, o, c, c_new)


def gates_backward(tape, grad_state):
    i, g, o, c, c_new = tape
    grad_h_new, grad_c_new = grad_state
    tanh_c = np.tanh(c_new)

    grad_c_new = grad_c_new + grad_h_new * o * (1.0 - tanh_c**2)
    grad_i = grad_c_new * (g - c)
    grad_g = grad_c_new * i
    grad_o = grad_h_new * tanh_c

    grad_gates = np.stack([grad_i * i * (1.0 - i), grad_g * (1.0 - g**2), grad_o * o * (1.0 - o)])
    return grad_gates, grad_gates, (np.zeros_like(c), grad_c_new * (1.0 - i))


LSTM_COUPLED = gated_cell(3, 2, gates, gates_backward)
