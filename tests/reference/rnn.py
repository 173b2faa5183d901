"""The recurrence over time around a cell. A new cell is one file with its `Cell`, and one line in `CELLS`."""

from collections import namedtuple

import numpy as np

from reference.elman import ELMAN_RELU, ELMAN_TANH
from reference.elman_leaky import ELMAN_LEAKY
from reference.gru import GRU
from reference.gru_reset_before import GRU_RESET_BEFORE
from reference.lstm import LSTM
from reference.lstm_coupled import LSTM_COUPLED
from reference.lstm_layer_norm import LSTM_LAYER_NORM
from reference.lstm_peephole import LSTM_PEEPHOLE
from reference.lstm_projected import LSTM_PROJECTED
from reference.mingru import MINGRU
from reference.sequences import as_float64, frame_order, full_lengths

CELLS = {
    "elman": ELMAN_TANH,
    "elman_relu": ELMAN_RELU,
    "elman_leaky": ELMAN_LEAKY,
    "lstm": LSTM,
    "lstm_peephole": LSTM_PEEPHOLE,
    "lstm_coupled": LSTM_COUPLED,
    "lstm_projected": LSTM_PROJECTED,
    "lstm_layer_norm": LSTM_LAYER_NORM,
    "gru": GRU,
    "gru_reset_before": GRU_RESET_BEFORE,
    "mingru": MINGRU,
}

# Masks of h in the recurrent products (B, H); rates of zoneout of h and c, each (B, T, H) or (H,).
Masks = namedtuple("Masks", ["recurrent", "zoneout_h", "zoneout_c"], defaults=[None, None, None])
NO_MASKS = Masks()


def rnn_forward(cell, x, weights, initial_state=None, lengths=None, reverse=False, masks=NO_MASKS):
    """Run a cell over (B, T, I).

    Returns the output (B, T, H) and the state after the last visited frame: h (B, H), or (h, c) for an LSTM.
    A sequence without frames ends in its initial state.
    """
    x, weights = as_float64(x), tuple(as_float64(w) for w in weights)
    states = _states_before(cell, x, weights, initial_state)
    output = np.zeros((*x.shape[:2], states[0].shape[1]))
    for b, length in enumerate(full_lengths(x, lengths)):
        state, _ = _run_sequence(cell, x, b, weights, _row(states, b), length, reverse, masks, output[b])
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
    masks=NO_MASKS,
):
    """Gradients of a loss whose gradients by output (B, T, H) and final state are given; None means zero.

    Returns grad_x (B, T, I), grad_weights (in the type of `weights`) and the gradient of the initial state.
    """
    as_given = type(weights)
    x, weights = as_float64(x), tuple(as_float64(w) for w in weights)
    states = _states_before(cell, x, weights, initial_state)
    grad_states = _states_before(cell, x, weights, grad_final_state)
    scratch = np.zeros((*x.shape[:2], states[0].shape[1]))
    grad_output = np.zeros_like(scratch) if grad_output is None else as_float64(grad_output)

    grad_x = np.zeros_like(x)
    grad_weights = [np.zeros_like(w) for w in weights]
    for b, length in enumerate(full_lengths(x, lengths)):
        _, tapes = _run_sequence(cell, x, b, weights, _row(states, b), length, reverse, masks, scratch[b])
        grad_state = _row(grad_states, b)
        for t in reversed(frame_order(length, reverse)):
            grad_state = (grad_state[0] + grad_output[b, t], *grad_state[1:])
            zones = _zones(masks, b, t, len(grad_state))
            grad_new = tuple((1.0 - z) * g for z, g in zip(zones, grad_state, strict=True))
            grad_x[b, t], grad_old, grads = CELLS[cell].step_backward(tapes[t], grad_new, weights)
            grad_state = tuple(z * g + old for z, g, old in zip(zones, grad_state, grad_old, strict=True))
            for total, gradient in zip(grad_weights, grads, strict=True):
                total += gradient
        _set_row(grad_states, b, grad_state)
    return grad_x, _like(as_given, grad_weights), _for_caller(grad_states)


def _run_sequence(cell, x, b, weights, state, length, reverse, masks, output):
    """Sequence b of (B, T, I): fill its output (T, H); return the final state and the tape of every frame.

    Zoneout: a part of the old state stays in place of the new one   (Krueger et al. 2017). The recurrent mask
    is the same in all frames of a sequence   (Gal & Ghahramani 2016).
    """
    tapes = {}
    mask = 1.0 if masks.recurrent is None else as_float64(masks.recurrent)[b]
    for t in frame_order(length, reverse):
        new_state, tapes[t] = CELLS[cell].step(x[b, t], state, mask, weights)
        zones = _zones(masks, b, t, len(state))
        state = tuple(z * old + (1.0 - z) * new for z, old, new in zip(zones, state, new_state, strict=True))
        output[t] = state[0]
    return state, tapes


def _zones(masks, b, t, n_states):
    """What stays of each part of the state in one frame."""
    parts = (masks.zoneout_h, masks.zoneout_c)[:n_states]
    return [0.0 if z is None else as_float64(z)[b, t] if np.ndim(z) == 3 else as_float64(z) for z in parts]


def _like(as_given, weights):
    return as_given(*weights) if hasattr(as_given, "_fields") else as_given(weights)


def _states_before(cell, x, weights, given):
    """Fresh arrays (B, H), one for each part of the state: copies of those given, else zeros."""
    n_outputs = weights[1].shape[1]
    n_units = weights[-1].shape[1] if cell == "lstm_projected" else n_outputs
    shapes = [(x.shape[0], n_outputs), (x.shape[0], n_units)][: CELLS[cell].n_states]
    parts = (given,) if given is None or len(shapes) == 1 else given
    parts = parts * len(shapes) if given is None else parts
    return tuple(
        np.zeros(shape) if part is None else as_float64(part).copy()
        for part, shape in zip(parts, shapes, strict=True)
    )


def _row(states, b):
    return tuple(part[b].copy() for part in states)


def _set_row(states, b, row):
    for part, value in zip(states, row, strict=True):
        part[b] = value


def _for_caller(states):
    return states[0] if len(states) == 1 else states
