"""CTC in log space for a batch at once: reference/ctc.py with all sequences and states side by side.

For long sequences and thousands of cases, where loops over states would take minutes. The recursions and
their names are the same.
"""

import numpy as np

from reference.sequences import as_float64


def ctc_loss_and_grad(logits, targets, input_lengths, target_lengths, blank=0):
    """Losses (B,) and gradients (B, T, C) of logits (B, T, C); targets (B, L), both with lengths (B,).

    Logits are finite within the lengths. Without an alignment the loss is inf and the gradient 0.
    """
    lengths, target_lengths = np.asarray(input_lengths), np.asarray(target_lengths)
    batch, n_frames, _ = np.shape(logits)
    exists = np.arange(n_frames) < lengths[:, None]
    log_probs = _log_softmax(np.where(exists[..., None], as_float64(logits), 0.0))
    states, skips = _states(np.asarray(targets), target_lengths, blank)
    emission = np.take_along_axis(log_probs, states[:, None, :].repeat(n_frames, axis=1), axis=2)
    valid = np.arange(states.shape[1]) <= 2 * target_lengths[:, None]

    alpha = np.full((n_frames + 1, *states.shape), -np.inf)
    alpha[0, :, 0] = 0.0  # the empty path; it may go on to states 0 and 1
    for t in range(n_frames):
        stay, move, skip = alpha[t], _shifted(alpha[t], 1), np.where(skips, _shifted(alpha[t], 2), -np.inf)
        if t == 0:
            skip = np.full_like(skip, -np.inf)
        reached = np.where(valid, _log_sum(stay, move, skip) + emission[:, t], -np.inf)
        alpha[t + 1] = np.where(exists[:, t, None], reached, alpha[t])
    rows = np.arange(batch)
    last = 2 * target_lengths
    ends = np.stack([alpha[-1, rows, last], np.where(last > 0, alpha[-1, rows, last - 1], -np.inf)])
    losses = -_log_sum(*ends, np.full(batch, -np.inf))

    beta = np.full(states.shape, -np.inf)
    beta[rows, last] = 0.0
    beta[rows[last > 0], last[last > 0] - 1] = 0.0
    grad = np.exp(log_probs) * exists[..., None]
    feasible = np.isfinite(losses)
    for t in range(n_frames - 1, -1, -1):
        with np.errstate(invalid="ignore"):
            posterior = np.exp(alpha[t + 1] + beta + losses[:, None])
        posterior = np.where(feasible[:, None] & exists[:, t, None], posterior, 0.0)
        for s in range(states.shape[1]):
            grad[rows, t, states[:, s]] -= posterior[:, s]
        through = beta + emission[:, t]
        skip = _shifted(np.where(skips, through, -np.inf), -2)
        beta = np.where(exists[:, t, None], _log_sum(through, _shifted(through, -1), skip), beta)
    grad[~feasible] = 0.0
    return losses, grad


def _states(targets, target_lengths, blank):
    """Classes of the states (B, S), and whether a state can be entered from the one before the one before."""
    batch, room = targets.shape
    states = np.full((batch, 2 * room + 1), blank)
    states[:, 1::2] = np.where(np.arange(room) < target_lengths[:, None], targets, blank)
    skips = np.zeros(states.shape, dtype=bool)
    skips[:, 3::2] = states[:, 3::2] != states[:, 1:-2:2]
    return states, skips


def _shifted(array, places):
    moved = np.full_like(array, -np.inf)
    if places > 0:
        moved[:, places:] = array[:, :-places]
    else:
        moved[:, :places] = array[:, -places:]
    return moved


def _log_sum(a, b, c):
    top = np.maximum(np.maximum(a, b), c)
    base = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return base + np.log(np.exp(a - base) + np.exp(b - base) + np.exp(c - base))


def _log_softmax(logits):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
