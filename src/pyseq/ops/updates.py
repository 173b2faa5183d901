"""Optimizer steps over flat parameter buffers: one pass over memory each, in place."""

from __future__ import annotations

from pyseq import _core
from pyseq.ops._frames import FloatArray


def _check_flat(reference: FloatArray, **arrays: FloatArray) -> None:
    if reference.ndim != 1:
        raise ValueError(f"params has shape {reference.shape}, expected one dimension")
    for name, a in arrays.items():
        if a.shape != reference.shape or a.dtype != reference.dtype:
            expected = f"{reference.shape} of {reference.dtype} as params"
            raise ValueError(f"{name} has shape {a.shape} and dtype {a.dtype}, expected {expected}")


def adam_update(
    params: FloatArray,
    grads: FloatArray,
    m: FloatArray,
    v: FloatArray,
    *,
    step: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    scale: float = 1.0,
) -> None:
    """One Adam step (Kingma & Ba 2015), or AdamW with `decoupled` (Loshchilov & Hutter 2019), in place.

    `step` counts from 1; `scale` multiplies the gradient first (clipping); all arrays are flat (P,).
    """
    _check_flat(params, grads=grads, m=m, v=v)
    if step < 1:
        raise ValueError(f"step is {step}, expected 1 or more")
    correction1, correction2 = 1.0 - beta1**step, 1.0 - beta2**step
    _core.adam_update(
        params, grads, m, v, lr, beta1, beta2, eps, weight_decay, decoupled, scale, correction1, correction2
    )


def sgd_update(
    params: FloatArray,
    grads: FloatArray,
    velocity: FloatArray,
    *,
    lr: float,
    momentum: float = 0.9,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    scale: float = 1.0,
) -> None:
    """One step of gradient descent with momentum, in place: ``velocity = momentum * velocity + grad``."""
    _check_flat(params, grads=grads, velocity=velocity)
    _core.sgd_update(params, grads, velocity, lr, momentum, nesterov, weight_decay, scale)


def squared_norm(flat: FloatArray) -> float:
    """Sum of squares of a flat array, in float64 and a fixed order."""
    return _core.squared_norm(flat)  # type: ignore[no-any-return]
