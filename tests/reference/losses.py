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


def gaussian_mixture(outputs, values, n_components, least_scale):
    """Mean over the rows of -log sum_k w_k prod_d N(values[b, d]; m[k, d], s[k, d]^2).

    The scales are s = exp(u) + least_scale.

    outputs (B, K + 2 K D): logits of the w, which are missing for K = 1, then m and u; values (B, D)
    -> loss, grad_outputs.
    """
    outputs, values = as_float64(outputs), as_float64(values)
    n, d = values.shape
    first = n_components if n_components > 1 else 0
    loss, grad = 0.0, np.zeros_like(outputs)
    for b in range(n):
        logits = outputs[b, :first] if first else np.zeros(1)
        weights = np.exp(logits - logits.max())
        weights /= weights.sum()
        m = outputs[b, first : first + n_components * d].reshape(n_components, d)
        u = outputs[b, first + n_components * d :].reshape(n_components, d)
        s = np.exp(u) + least_scale
        e = (values[b] - m) / s
        logs = np.log(weights) - np.sum(np.log(s) + e**2 / 2 + np.log(2 * np.pi) / 2, axis=1)
        shares = np.exp(logs - logs.max())
        loss -= (logs.max() + np.log(shares.sum())) / n
        shares /= shares.sum()
        by_m = -shares[:, None] * e / s
        by_u = shares[:, None] * (1 - e**2) * np.exp(u) / s
        grad[b] = np.concatenate([(weights - shares)[:first], by_m.ravel(), by_u.ravel()]) / n
    return loss, grad
