"""Connectionist temporal classification in log space   (Graves et al. 2006, ICML).

A target l_1 .. l_L becomes the states  blank l_1 blank l_2 ... l_L blank  (S = 2L + 1). A path gives every
frame one state: it starts in state 0 or 1, ends in state S-1 or S-2, and from frame to frame stays, moves to
the next state, or skips the blank between two different labels.

    alpha[t, s]  log-probability of all path beginnings that are in s at frame t, with the emission of frame t
    beta[t, s]   log-probability of all path endings after frame t, given s at frame t, without its emission
    loss         -logsumexp(alpha[T-1, S-1], alpha[T-1, S-2])
    d loss / d logits[t, k] = softmax(logits[t])[k] - sum over states s of class k of exp(alpha + beta + loss)
"""

import itertools

import numpy as np

from reference.sequences import as_float64, full_lengths


def ctc_loss(logits, targets, input_lengths=None, target_lengths=None, blank=0):
    """Losses (B,) of logits (B, T, C); targets (B, L) with lengths, or a list of 1-D integer arrays."""
    return ctc_loss_and_grad(logits, targets, input_lengths, target_lengths, blank)[0]


def ctc_loss_and_grad(logits, targets, input_lengths=None, target_lengths=None, blank=0):
    """Losses (B,) and gradients (B, T, C); a target that no path can spell has loss inf and gradient 0."""
    logits = as_float64(logits)
    losses, grad = np.zeros(len(logits)), np.zeros_like(logits)
    labels = _target_list(targets, target_lengths)
    for b, length in enumerate(full_lengths(logits, input_lengths)):
        losses[b], grad[b, :length] = _sequence_loss_and_grad(logits[b, :length], labels[b], blank)
    return losses, grad


def ctc_brute_force(logits, target, blank=0):
    """Loss of one short sequence (T, C): add up the probability of every one of its C**T labellings."""
    log_probs = _log_softmax(as_float64(logits))
    total = -np.inf
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        if _collapse(path, blank)[0] == list(target):
            total = np.logaddexp(total, sum(log_probs[t, k] for t, k in enumerate(path)))
    return -total


def ctc_greedy_decode(logits, lengths=None, blank=0):
    """Best class of every frame, repeats merged, blanks dropped: a list of (labels, first frame of each)."""
    logits = as_float64(logits)
    return [
        _collapse(logits[b, :length].argmax(axis=1), blank)
        for b, length in enumerate(full_lengths(logits, lengths))
    ]


def _sequence_loss_and_grad(logits, labels, blank):
    log_probs = _log_softmax(logits)
    states = [blank]
    for label in labels:
        states += [label, blank]
    n_frames, n_states = len(logits), len(states)
    if n_frames == 0:
        return (0.0 if n_states == 1 else np.inf), np.zeros_like(logits)

    alpha = np.full((n_frames, n_states), -np.inf)
    alpha[0, :2] = log_probs[0, states[:2]]
    for t in range(1, n_frames):
        for s in range(n_states):
            before = [alpha[t - 1, source] for source in _predecessors(states, s)]
            alpha[t, s] = np.logaddexp.reduce(before) + log_probs[t, states[s]]
    loss = -np.logaddexp.reduce(alpha[-1, -2:])
    if not np.isfinite(loss):
        return np.inf, np.zeros_like(logits)

    beta = np.full((n_frames, n_states), -np.inf)
    beta[-1, -2:] = 0.0
    for t in range(n_frames - 2, -1, -1):
        for s in range(n_states):
            through = beta[t + 1, s] + log_probs[t + 1, states[s]]
            for source in _predecessors(states, s):
                beta[t, source] = np.logaddexp(beta[t, source], through)

    grad = np.exp(log_probs)
    posterior = np.exp(alpha + beta + loss)
    for s, label in enumerate(states):
        grad[:, label] -= posterior[:, s]
    return loss, grad


def _predecessors(states, s):
    sources = [s]
    if s >= 1:
        sources.append(s - 1)
    # odd states are labels; the blank before one may be skipped unless both its neighbours are the same label
    if s >= 3 and s % 2 == 1 and states[s] != states[s - 2]:
        sources.append(s - 2)
    return sources


def _collapse(path, blank):
    labels, frames, previous = [], [], blank
    for t, label in enumerate(path):
        if label != previous and label != blank:
            labels.append(int(label))
            frames.append(t)
        previous = label
    return labels, frames


def _log_softmax(logits):
    shifted = logits - logits.max(axis=1, keepdims=True, initial=-np.inf)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _target_list(targets, target_lengths):
    if target_lengths is None:
        return [[int(label) for label in row] for row in targets]
    return [[int(label) for label in row[:n]] for row, n in zip(targets, target_lengths, strict=True)]
