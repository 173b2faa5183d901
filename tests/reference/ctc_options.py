"""What options make of a CTC loss: priors, smoothing, focal weighting, weights; in the order of formulas."""

import numpy as np

from reference.ctc import _log_softmax, ctc_loss
from reference.sequences import as_float64


def ctc_loss_with_options(
    logits,
    targets,
    blank=0,
    *,
    sample_weight=None,
    class_weight=None,
    label_smoothing=0.0,
    focal_gamma=0.0,
    label_priors=None,
    prior_scale=1.0,
):
    """Losses (B,) of logits, a list of (T_b, C), and targets, a list of lists."""
    losses = np.zeros(len(logits))
    for b, (x, target) in enumerate(zip(logits, targets, strict=True)):
        x = as_float64(x)
        log_probs = _log_softmax(x)
        emissions = log_probs
        if label_priors is not None:
            emissions = log_probs - prior_scale * np.log(label_priors)
        # ctc_loss normalises emissions once more; its denominators are taken back
        with np.errstate(invalid="ignore"):
            loss = ctc_loss(emissions[None], [target], blank=blank)[0] - _log_sums(emissions).sum()
        if label_smoothing:
            uniform = sum(-row[np.isfinite(row)].mean() for row in log_probs)
            loss = (1 - label_smoothing) * loss + label_smoothing * uniform
        if focal_gamma:
            loss *= (1 - np.exp(-max(loss, 0.0))) ** focal_gamma
        if class_weight is not None:
            loss *= np.mean([class_weight[label] for label in target]) if len(target) else class_weight[blank]
        losses[b] = loss if sample_weight is None else sample_weight[b] * loss
    return losses


def _log_sums(rows):
    top = rows.max(axis=1, initial=-np.inf)
    return top + np.log(np.exp(rows - top[:, None]).sum(axis=1))
