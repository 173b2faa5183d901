"""The contract of a recurrent cell: what happens to one sequence in one frame, forwards and backwards."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Cell(NamedTuple):
    """The elementwise part of one step. The two matrix products around it are the same for all (see `rnn`).

    With G gates, H units, gx = weight_ih x + bias_ih and gh = weight_hh h + bias_hh, both (G, H), and `state`
    a tuple of arrays (H,) whose first is h:

        step(gx, gh, state)              -> new state, tape
        step_backward(tape, grad_state)  -> grad_gx, grad_gh, grad of the previous state

    The last leaves out what flows through gh: the caller adds weight_hh^T grad_gh to the gradient of h.
    """

    n_gates: int
    n_states: int
    step: Callable
    step_backward: Callable


def sigmoid(a):
    return 0.5 * (1.0 + np.tanh(0.5 * a))
