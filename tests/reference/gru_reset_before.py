"""Gated recurrent unit, gates in the order r z n, reset before the matrix product   (Cho et al. 2014).

    r = sigmoid(W_r x + b_r + U_r h + c_r)   z = sigmoid(W_z x + b_z + U_z h + c_z)
    n = tanh(W_n x + b_n + U_n (r * h) + c_n)
    h' = (1 - z) * n + z * h

W, U, b, c are the gates' rows of weight_ih, weight_hh, bias_ih, bias_hh.
"""

import numpy as np

from reference.cell import Cell, pytorch_shapes, sigmoid


def step(x, state, mask, weights):
    w_ih, w_hh, b_ih, b_hh = weights
    (h,) = state
    operand = mask * h
    gx = w_ih @ x + b_ih + b_hh
    u_rz, u_n = w_hh[: 2 * len(h)], w_hh[2 * len(h) :]
    a_r, a_z, a_n = gx.reshape(3, -1)
    gh_r, gh_z = (u_rz @ operand).reshape(2, -1)
    r, z = sigmoid(a_r + gh_r), sigmoid(a_z + gh_z)
    n = np.tanh(a_n + u_n @ (r * operand))
    return ((1.0 - z) * n + z * h,), (x, h, mask, r, z, n)


def step_backward(tape, grad_state, weights):
    x, h, mask, r, z, n = tape
    w_ih, w_hh, _, _ = weights
    (grad_h_new,) = grad_state
    operand = mask * h
    u_rz, u_n = w_hh[: 2 * len(h)], w_hh[2 * len(h) :]

    grad_a_n = grad_h_new * (1.0 - z) * (1.0 - n**2)
    grad_reset = u_n.T @ grad_a_n  # of r * operand
    grad_a_r = grad_reset * operand * r * (1.0 - r)
    grad_a_z = grad_h_new * (h - n) * z * (1.0 - z)

    a_rz = np.concatenate([grad_a_r, grad_a_z])
    a = np.concatenate([a_rz, grad_a_n])
    grad_operand = grad_reset * r + u_rz.T @ a_rz
    grad_w_hh = np.concatenate([np.outer(a_rz, operand), np.outer(grad_a_n, r * operand)])
    return w_ih.T @ a, (grad_h_new * z + mask * grad_operand,), (np.outer(a, x), grad_w_hh, a, a)


GRU_RESET_BEFORE = Cell(n_states=1, shapes=pytorch_shapes(3), step=step, step_backward=step_backward)
