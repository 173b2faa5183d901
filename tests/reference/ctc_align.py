"""The most probable CTC alignment, frame by frame   (Viterbi over the states of reference/ctc.py).

Scores of alignments are sums of logits in the order of the frames. Ties, from the last frame backwards: end
in the blank; stay; come from the state before; skip the blank.
"""

import itertools

import numpy as np

from reference.ctc import _collapse, _log_softmax, _predecessors
from reference.sequences import as_float64


def ctc_align(logits, target, blank=0):
    """Of one sequence (T, C): class of every frame and log-probability; (None, -inf) without alignment."""
    logits = as_float64(logits)
    states = [blank]
    for label in target:
        states += [label, blank]
    n_frames, n_states = len(logits), len(states)
    if n_frames == 0:
        return ([], 0.0) if n_states == 1 else (None, -np.inf)
    score = np.full(n_states, -np.inf)
    score[:2] = logits[0, states[:2]]
    came_from = np.zeros((n_frames, n_states), dtype=int)
    for t in range(1, n_frames):
        before = score.copy()
        for s in range(n_states):
            sources = _predecessors(states, s)  # in the order in which ties are decided
            came_from[t, s] = sources[int(np.argmax([before[source] for source in sources]))]
            score[s] = before[came_from[t, s]] + logits[t, states[s]]
    at = n_states - 2 if n_states > 1 and score[-2] > score[-1] else n_states - 1
    if score[at] == -np.inf:
        return None, -np.inf
    path = [at]
    for t in range(n_frames - 1, 0, -1):
        path.append(came_from[t, path[-1]])
    classes = [states[s] for s in path[::-1]]
    return classes, float(_log_softmax(logits)[np.arange(n_frames), classes].sum())


def ctc_align_brute_force(logits, target, blank=0):
    """Log-probability of the best of all C**T labellings that spell the target."""
    log_probs = _log_softmax(as_float64(logits))
    best = -np.inf
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        if _collapse(path, blank)[0] == list(target):
            best = max(best, sum(log_probs[t, k] for t, k in enumerate(path)))
    return best
