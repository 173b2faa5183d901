"""What can be asked of a CTC loss beyond the negative log-probability: formulas in `ops.ctc_loss`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyseq.ops._ctc_input import Labels
from pyseq.ops._frames import FloatArray, Frames

REDUCTIONS = ("none", "sum", "mean", "mean_per_label")

Array = NDArray[Any]


@dataclass(frozen=True)
class CtcOptions:
    """Checked, for one batch: `factors` are what each loss counts, without what focal weighting adds."""

    factors: Array | None  # (B,), float64
    label_smoothing: float
    focal_gamma: float
    class_bias: FloatArray | None  # (C,), what the alignments add to the logits
    reduction: str
    zero_infinity: bool

    def losses(self, losses: FloatArray) -> Any:
        """What the function returns, of the kernel's losses (B,)."""
        if self.focal_gamma > 0:
            missed = -np.expm1(-np.maximum(losses.astype(np.float64), 0.0))
            losses = (missed**self.focal_gamma * losses).astype(losses.dtype)
        if self.zero_infinity:
            losses = np.where(losses == np.inf, losses.dtype.type(0), losses)
        if self.factors is not None:
            with np.errstate(invalid="ignore"):
                losses = np.where(self.factors == 0, 0, losses * self.factors).astype(losses.dtype)
        return losses if self.reduction == "none" else float(losses.sum(dtype=np.float64))

    def focus(self, losses: FloatArray, grad: Frames) -> None:
        """Multiply gradients of the kernel's losses by the derivative of focal weighting.

        ``d/dl (1 - p)**g l = (1 - p)**g + g l p (1 - p)**(g - 1)`` with ``p = exp(-l)``.
        """
        if self.focal_gamma == 0:
            return
        loss = np.maximum(losses.astype(np.float64), 0.0)
        missed = -np.expm1(-loss)
        with np.errstate(divide="ignore", invalid="ignore"):
            steep = self.focal_gamma * loss * np.exp(-loss) * missed ** (self.focal_gamma - 1)
            factors = missed**self.focal_gamma + np.where(loss > 0, steep, 0.0)
        factors[losses == np.inf] = 0.0
        for start, length, factor in zip(grad.starts, grad.lengths, factors, strict=True):
            grad.rows[start : start + length] *= grad.rows.dtype.type(factor)


def asks_nothing(
    sample_weight: Any,
    class_weight: Any,
    label_smoothing: Any,
    focal_gamma: Any,
    label_priors: Any,
    prior_scale: Any,
    reduction: Any,
    zero_infinity: Any,
) -> bool:
    """Whether all options are the default, to the type: the result is then the kernel's losses."""
    return (
        sample_weight is None
        and class_weight is None
        and label_priors is None
        and type(label_smoothing) is type(focal_gamma) is type(prior_scale) is float
        and (label_smoothing, focal_gamma, prior_scale) == (0.0, 0.0, 1.0)
        and reduction == "none"
        and zero_infinity is False
    )


def read_options(
    frames: Frames,
    labels: Labels,
    blank: int,
    sample_weight: ArrayLike | None,
    class_weight: ArrayLike | None,
    label_smoothing: float,
    focal_gamma: float,
    label_priors: ArrayLike | None,
    prior_scale: float,
    reduction: str,
    zero_infinity: bool,
) -> CtcOptions:
    """Raises a ValueError that names what does not fit."""
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing is {label_smoothing!r}, expected a number from 0 to below 1")
    if not 0 <= focal_gamma < np.inf:
        raise ValueError(f"focal_gamma is {focal_gamma!r}, expected a finite number from 0 on")
    if not np.isfinite(prior_scale):
        raise ValueError(f"prior_scale is {prior_scale!r}, expected a finite number")
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}, expected one of {', '.join(map(repr, REDUCTIONS))}")
    bias = None
    if label_priors is not None:
        priors = _numbers(label_priors, "label_priors", frames.width, "one for each class of logits")
        if not (priors > 0).all():
            c = int(np.argmin(priors > 0))
            raise ValueError(f"label_priors[{c}] is {priors[c]:g}, expected a probability above 0")
        bias = np.ascontiguousarray(-prior_scale * np.log(priors), dtype=frames.rows.dtype)
    factors = _factors(frames, labels, blank, sample_weight, class_weight, reduction)
    return CtcOptions(factors, label_smoothing, focal_gamma, bias, reduction, zero_infinity)


def _factors(
    frames: Frames,
    labels: Labels,
    blank: int,
    sample_weight: ArrayLike | None,
    class_weight: ArrayLike | None,
    reduction: str,
) -> Array | None:
    batch = len(frames.lengths)
    factors = None
    if sample_weight is not None:
        factors = _numbers(sample_weight, "sample_weight", batch, "one for each sequence")
    if class_weight is not None:
        weights = _numbers(class_weight, "class_weight", frames.width, "one for each class of logits")
        own = np.array(
            [
                weights[labels.flat[start : start + length]].mean() if length else weights[blank]
                for start, length in zip(labels.starts, labels.lengths, strict=True)
            ]
        )
        factors = own if factors is None else factors * own
    if reduction in ("mean", "mean_per_label") and batch:
        share = np.full(batch, 1.0 / batch)
        if reduction == "mean_per_label":
            share /= np.maximum(labels.lengths, 1)
        factors = share if factors is None else factors * share
    return factors


def _numbers(array: ArrayLike, name: str, size: int, what: str) -> Array:
    a = np.asarray(array)
    if a.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {a.dtype}, expected real numbers")
    if a.shape != (size,):
        raise ValueError(f"{name} has shape {a.shape}, expected ({size},): {what}")
    a = a.astype(np.float64)
    wrong = ~np.isfinite(a) | (a < 0)
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ValueError(f"{name}[{i}] is {a[i]:g}, expected a finite number that is not negative")
    return a
