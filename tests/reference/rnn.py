"""The recurrence over time around a cell. A new cell is one file with its `Cell`, and one line in `CELLS`."""

from collections import namedtuple

import numpy as np

from reference.elman import ELMAN_RELU, ELMAN_TANH
from reference.gru import GRU
from reference.lstm import LSTM
from reference.sequences import as_float64, frame_order, full_lengths

CELLS = {
    "elman": ELMAN_TANH,
    "elman_relu": ELMAN_RELU,
    "lstm": LSTM,
    "gru": GRU,
}

# (G*H, I), (G*H, H), (G*H,), (G*H,)
RNNWeights = namedtuple("RNNWeights", ["weight_ih", "weight_hh", "bias_ih", "bias_hh"])


def rnn_forward(cell, x, weights, initial_state=None, lengths=None, reverse=False):
    """Run a cell over (B, T, I).

    Returns the output (B, T, H) and the state after the last visited frame: h (B, H), or (h, c) for an LSTM.
    A sequence without frames ends in its initial state.
    """
    x, weights = as_float64(x), _as_weights(weights)
    states = _states_before(cell, x, weights, initial_state)
    output = np.zeros((*x.shape[:2], weights.weight_hh.shape[1]))
    for b, length in enumerate(full_lengths(x, lengths)):
        state, _ = _run_sequence(cell, x[b], weights, _row(states, b), length, reverse, output[b])
        _set_row(states, b, state)
    return output, _for_caller(states)


def rnn_backward(
    cell,
    x,
    weights,
    grad_output=None,
    grad_final_state=None,
    initial_state=None,
    lengths=None,
    reverse=False,
):
    """Gradients of a loss whose gradients by output (B, T, H) and final state are given; None means zero.

    Returns grad_x (B, T, I), grad_weights (RNNWeights) and the gradient of the initial state.
    """
    x, weights = as_float64(x), _as_weights(weights)
    states = _states_before(cell, x, weights, initial_state)
    grad_states = _states_before(cell, x, weights, grad_final_state)
    scratch = np.zeros((*x.shape[:2], weights.weight_hh.shape[1]))
    grad_output = np.zeros_like(scratch) if grad_output is None else as_float64(grad_output)

    grad_x = np.zeros_like(x)
    grad_weights = RNNWeights(*[np.zeros_like(w) for w in weights])
    for b, length in enumerate(full_lengths(x, lengths)):
        _, tapes = _run_sequence(cell, x[b], weights, _row(states, b), length, reverse, scratch[b])
        grad_state = _row(grad_states, b)
        for t in reversed(frame_order(length, reverse)):
            h_before, step_tape = tapes[t]
            grad_h = grad_state[0] + grad_output[b, t]
            grad_gx, grad_gh, grad_state = CELLS[cell].step_backward(step_tape, (grad_h, *grad_state[1:]))

            # the two products of the step, gx = weight_ih x + bias_ih and gh = weight_hh h + bias_hh
            grad_gx, grad_gh = grad_gx.ravel(), grad_gh.ravel()
            grad_weights.weight_ih[...] += np.outer(grad_gx, x[b, t])
            grad_weights.weight_hh[...] += np.outer(grad_gh, h_before)
            grad_weights.bias_ih[...] += grad_gx
            grad_weights.bias_hh[...] += grad_gh
            grad_x[b, t] = weights.weight_ih.T @ grad_gx
            grad_state = (grad_state[0] + weights.weight_hh.T @ grad_gh, *grad_state[1:])
        _set_row(grad_states, b, grad_state)
    return grad_x, grad_weights, _for_caller(grad_states)


def _run_sequence(cell, x, weights, state, length, reverse, output):
    """One sequence (T, I): fill its output (T, H); return the final state and, by frame, (h before, tape)."""
    tapes = {}
    shape = (CELLS[cell].n_gates, weights.weight_hh.shape[1])
    for t in frame_order(length, reverse):
        gx = (weights.weight_ih @ x[t] + weights.bias_ih).reshape(shape)
        gh = (weights.weight_hh @ state[0] + weights.bias_hh).reshape(shape)
        h_before = state[0]
        state, step_tape = CELLS[cell].step(gx, gh, state)
        output[t] = state[0]
        tapes[t] = (h_before, step_tape)
    return state, tapes


def _as_weights(weights):
    return RNNWeights(*[as_float64(w) for w in weights])


def _states_before(cell, x, weights, given):
    """Fresh arrays (B, H), one for each part of the state: copies of those given, else zeros."""
    n_states, shape = CELLS[cell].n_states, (x.shape[0], weights.weight_hh.shape[1])
    if given is None:
        return tuple(np.zeros(shape) for _ in range(n_states))
    parts = given if n_states > 1 else (given,)
    return tuple(np.zeros(shape) if part is None else as_float64(part).copy() for part in parts)


def _row(states, b):
    return tuple(part[b].copy() for part in states)


def _set_row(states, b, row):
    for part, value in zip(states, row, strict=True):
        part[b] = value


def _for_caller(states):
    return states[0] if len(states) == 1 else states
