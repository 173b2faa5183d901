"""Layer-normalised LSTM, gates in the order i f g o   (Ba et al. 2016).

    a = gain_ih * N(weight_ih x) + gain_hh * N(weight_hh h) + bias_ih + bias_hh
    i = sigmoid(a_i)   f = sigmoid(a_f)   g = tanh(a_g)   o = sigmoid(a_o)
    c' = f * c + i * g
    h' = o * tanh(gain_c * N(c') + bias_c)

    N(v) = (v - mean(v)) / sqrt(mean((v - mean(v))^2) + 1e-5),   over all entries of v: 4H, 4H and H

The state is (h, c).
"""

import numpy as np

from reference.cell import Cell, pytorch_shapes, sigmoid

EPS = 1e-5


def normalise(v):
    scale = 1.0 / np.sqrt(np.var(v) + EPS)
    return (v - np.mean(v)) * scale, scale


def normalise_backward(n, scale, grad_n):
    """Gradient of v, given N(v) and 1 / sqrt(...): the mean of v, and its size, do not matter."""
    return scale * (grad_n - np.mean(grad_n) - n * np.mean(grad_n * n))


def step(x, state, mask, weights):
    w_ih, w_hh, b_ih, b_hh, gain_ih, gain_hh, gain_c, bias_c = weights
    h, c = state
    operand = mask * h
    nx, scale_x = normalise(w_ih @ x)
    nh, scale_h = normalise(w_hh @ operand)
    a_i, a_f, a_g, a_o = (gain_ih * nx + gain_hh * nh + b_ih + b_hh).reshape(4, -1)
    i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
    c_new = f * c + i * g
    nc, scale_c = normalise(c_new)
    tanh_c = np.tanh(gain_c * nc + bias_c)
    return (o * tanh_c, c_new), (
        x,
        operand,
        mask,
        nx,
        scale_x,
        nh,
        scale_h,
        i,
        f,
        g,
        o,
        c,
        nc,
        scale_c,
        tanh_c,
    )


def step_backward(tape, grad_state, weights):
    x, operand, mask, nx, scale_x, nh, scale_h, i, f, g, o, c, nc, scale_c, tanh_c = tape
    w_ih, w_hh, _, _, gain_ih, gain_hh, gain_c, _ = weights
    grad_h_new, grad_c_new = grad_state

    grad_bias_c = grad_h_new * o * (1.0 - tanh_c**2)
    grad_c_new = grad_c_new + normalise_backward(nc, scale_c, gain_c * grad_bias_c)
    grad_i, grad_f, grad_g = grad_c_new * g, grad_c_new * c, grad_c_new * i
    grad_o = grad_h_new * tanh_c
    a = np.concatenate(
        [grad_i * i * (1.0 - i), grad_f * f * (1.0 - f), grad_g * (1.0 - g**2), grad_o * o * (1.0 - o)]
    )
    grad_sx = normalise_backward(nx, scale_x, gain_ih * a)
    grad_sh = normalise_backward(nh, scale_h, gain_hh * a)
    products = (np.outer(grad_sx, x), np.outer(grad_sh, operand))
    grad_weights = (*products, a, a, a * nx, a * nh, grad_bias_c * nc, grad_bias_c)
    return w_ih.T @ grad_sx, (mask * (w_hh.T @ grad_sh), grad_c_new * f), grad_weights


LSTM_LAYER_NORM = Cell(
    n_states=2,
    shapes=pytorch_shapes(
        4,
        gain_ih=lambda n_units: (4 * n_units,),
        gain_hh=lambda n_units: (4 * n_units,),
        gain_c=lambda n_units: (n_units,),
        bias_c=lambda n_units: (n_units,),
    ),
    step=step,
    step_backward=step_backward,
)
