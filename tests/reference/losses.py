"""Losses of whole batches, with their gradients. The CTC loss has a file of its own."""

import numpy as np

from reference.sequences import as_float64


def softmax_cross_entropy(logits, targets, sample_weight=None):
    """Weighted mean of -log softmax(logits[b])[targets[b]] over the rows of a batch.

    logits (B, C), targets (B,) integers, sample_weight (B,) or None -> loss, grad_logits (B, C).
    """
    logits = as_float64(logits)
    weight = np.ones(len(logits)) if sample_weight is None else as_float64(sample_weight)
    weight = weight / weight.sum()
    loss, grad = 0.0, np.zeros_like(logits)
    for b, target in enumerate(targets):
        shifted = logits[b] - logits[b].max()
        log_probs = shifted - np.log(np.exp(shifted).sum())
        loss -= weight[b] * log_probs[target]
        grad[b] = weight[b] * np.exp(log_probs)
        grad[b, target] -= weight[b]
    return loss, grad


def binary_cross_entropy(logits, targets, sample_weight=None):
    """Mean over the rows of -sum_k log P(targets[b, k]) with P(1) = 1 / (1 + exp(-logits[b, k])), weighted.

    logits, targets (B, K), sample_weight (B,) or None -> loss, grad_logits (B, K).
    """
    logits, targets = as_float64(logits), as_float64(targets)
    n = len(logits)
    weight = np.ones(n) if sample_weight is None else as_float64(sample_weight)
    loss, grad = 0.0, np.zeros_like(logits)
    for b in range(n):
        for k, t in enumerate(targets[b]):
            sign = 1.0 if t else -1.0
            loss += weight[b] / n * np.logaddexp(0.0, -sign * logits[b, k])
            grad[b, k] = -weight[b] / n * sign * np.exp(-np.logaddexp(0.0, sign * logits[b, k]))
    return loss, grad
