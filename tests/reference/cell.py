"""The contract of a recurrent cell: what happens to one sequence in one frame, forwards and backwards."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Cell(NamedTuple):
    """One step of a recurrent cell of H units, whose state is h, or (h, c), and whose output is h.

        step(x, state, mask, weights)                -> new state, tape
        step_backward(tape, grad_state, weights)     -> grad_x, grad of the previous state, grad_weights

    `state` is a tuple of vectors whose first is h. `mask` multiplies h where it enters a recurrent product,
    and nowhere else. `weights` is a tuple in the order of `shapes`, and so is `grad_weights`.

    `shapes(n_features, H)` says what the weights are: a dict from names to shapes, in order. A cell whose h
    is not as long as its c takes a third argument, the length of h.
    """

    n_states: int
    shapes: Callable
    step: Callable
    step_backward: Callable


def pytorch_shapes(n_gates, **extra):
    """Weights as PyTorch lays them out; then more of them, as functions of H."""

    def shapes(n_features, n_units):
        rows = n_gates * n_units
        four = {
            "weight_ih": (rows, n_features),
            "weight_hh": (rows, n_units),
            "bias_ih": (rows,),
            "bias_hh": (rows,),
        }
        return four | {name: shape(n_units) for name, shape in extra.items()}

    return shapes


def gated_cell(n_gates, n_states, gates, gates_backward, **extra):
    """A cell whose two products come first, and all else is elementwise, given the elementwise part.

    With G gates, gx = weight_ih x + bias_ih and gh = weight_hh (mask * h) + bias_hh, both (G, H):

        gates(gx, gh, state, *extra)               -> new state, tape
        gates_backward(tape, grad_state, *extra)   -> grad_gx, grad_gh, grad of the old state, *grad_extra

    The gradient of the previous state leaves out what flows through gh. `extra` names further weights.
    """

    def step(x, state, mask, weights):
        w_ih, w_hh, b_ih, b_hh, *more = weights
        n_units = len(state[0])
        operand = mask * state[0]
        gx = (w_ih @ x + b_ih).reshape(n_gates, n_units)
        gh = (w_hh @ operand + b_hh).reshape(-1, n_units)
        new_state, tape = gates(gx, gh, state, *more)
        return new_state, (x, operand, mask, tape)

    def step_backward(tape, grad_state, weights):
        x, operand, mask, gates_tape = tape
        w_ih, w_hh, _, _, *more = weights
        grad_gx, grad_gh, grad_state, *grad_more = gates_backward(gates_tape, grad_state, *more)
        grad_gx, grad_gh = grad_gx.ravel(), grad_gh.ravel()
        grad_h = grad_state[0] + mask * (w_hh.T @ grad_gh)
        grad_weights = (np.outer(grad_gx, x), np.outer(grad_gh, operand), grad_gx, grad_gh, *grad_more)
        return w_ih.T @ grad_gx, (grad_h, *grad_state[1:]), grad_weights

    return Cell(n_states, pytorch_shapes(n_gates, **extra), step, step_backward)


def sigmoid(a):
    return 0.5 * (1.0 + np.tanh(0.5 * a))
