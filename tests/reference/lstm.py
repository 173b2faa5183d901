"""Long short-term memory, gates in the order i f g o   (Hochreiter & Schmidhuber 1997; f: Gers et al. 2000).

    i = sigmoid(a_i)   f = sigmoid(a_f)   g = tanh(a_g)   o = sigmoid(a_o),   a = gx + gh
    c' = f * c + i * g
    h' = o * tanh(c')

The state is (h, c).
"""

import numpy as np

from reference.cell import gated_cell, sigmoid


def step(gx, gh, state):
    _, c = state
    a_i, a_f, a_g, a_o = gx + gh
    i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
    c_new = f * c + i * g
    h_new = o * np.tanh(c_new)
    return (h_new, c_new), (i, f, g, o, c, c_new)


def step_backward(tape, grad_state):
    i, f, g, o, c, c_new = tape
    grad_h_new, grad_c_new = grad_state
    tanh_c = np.tanh(c_new)

    # c' reaches the loss by itself and through h' = o * tanh(c')
    grad_c_new = grad_c_new + grad_h_new * o * (1.0 - tanh_c**2)
    grad_i = grad_c_new * g
    grad_f = grad_c_new * c
    grad_g = grad_c_new * i
    grad_o = grad_h_new * tanh_c

    grad_gates = np.stack(
        [
            grad_i * i * (1.0 - i),
            grad_f * f * (1.0 - f),
            grad_g * (1.0 - g**2),
            grad_o * o * (1.0 - o),
        ]
    )
    grad_c = grad_c_new * f
    return grad_gates, grad_gates, (np.zeros_like(c), grad_c)


LSTM = gated_cell(n_gates=4, n_states=2, gates=step, gates_backward=step_backward)
