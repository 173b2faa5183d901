"""LSTM whose output is a projection of P numbers, gates in the order i f g o   (Sak et al. 2014).

    m = o * tanh(c')        as in the LSTM of H units, but its recurrent product reads h (P)
    h' = weight_hr m        weight_hr (P, H)

The state is (h, c): h (P,), c (H,).
"""

import numpy as np

from reference import lstm
from reference.cell import Cell


def shapes(n_features, n_units, n_outputs):
    return {
        "weight_ih": (4 * n_units, n_features),
        "weight_hh": (4 * n_units, n_outputs),
        "bias_ih": (4 * n_units,),
        "bias_hh": (4 * n_units,),
        "weight_hr": (n_outputs, n_units),
    }


def step(x, state, mask, weights):
    w_ih, w_hh, b_ih, b_hh, w_hr = weights
    h, c = state
    operand = mask * h
    gx, gh = (w_ih @ x + b_ih).reshape(4, -1), (w_hh @ operand + b_hh).reshape(4, -1)
    (m, c_new), lstm_tape = lstm.step(gx, gh, (h, c))
    return (w_hr @ m, c_new), (x, operand, mask, m, lstm_tape)


def step_backward(tape, grad_state, weights):
    x, operand, mask, m, lstm_tape = tape
    w_ih, w_hh, _, _, w_hr = weights
    grad_h_new, grad_c_new = grad_state
    grad_m = w_hr.T @ grad_h_new
    grad_gx, _, (_, grad_c) = lstm.step_backward(lstm_tape, (grad_m, grad_c_new))
    a = grad_gx.ravel()
    grad_weights = (np.outer(a, x), np.outer(a, operand), a, a, np.outer(grad_h_new, m))
    return w_ih.T @ a, (mask * (w_hh.T @ a), grad_c), grad_weights


LSTM_PROJECTED = Cell(n_states=2, shapes=shapes, step=step, step_backward=step_backward)
