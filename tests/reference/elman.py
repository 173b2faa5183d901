"""Elman's simple recurrent network: h' = f(weight_ih x + bias_ih + weight_hh h + bias_hh)   (Elman 1990)."""

import numpy as np

from reference.cell import gated_cell


def tanh_step(gx, gh, state):
    h_new = np.tanh(gx[0] + gh[0])
    return (h_new,), h_new


def tanh_step_backward(h_new, grad_state):
    # tanh'(a) = 1 - tanh(a)^2
    grad_gates = (grad_state[0] * (1.0 - h_new**2))[np.newaxis]
    return grad_gates, grad_gates, (np.zeros_like(h_new),)


def relu_step(gx, gh, state):
    h_new = np.maximum(gx[0] + gh[0], 0.0)
    return (h_new,), h_new


def relu_step_backward(h_new, grad_state):
    # the derivative at 0 is taken as 0
    grad_gates = (grad_state[0] * (h_new > 0.0))[np.newaxis]
    return grad_gates, grad_gates, (np.zeros_like(h_new),)


ELMAN_TANH = gated_cell(n_gates=1, n_states=1, gates=tanh_step, gates_backward=tanh_step_backward)
ELMAN_RELU = gated_cell(n_gates=1, n_states=1, gates=relu_step, gates_backward=relu_step_backward)
