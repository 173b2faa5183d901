"""Learning-rate schedules: pure functions of the step that give a factor of `learning_rate_init`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pyseq.training._options import name_and_options

__all__ = ["SCHEDULES", "Schedule", "constant", "cosine", "one_cycle", "resolve_schedule", "step"]

Schedule = Callable[[int, int], float]


def constant(i: int, n_steps: int, *, warmup: float = 0.0) -> float:
    """The full rate throughout, after a linear rise over the first `warmup` part of the steps.

    Parameters
    ----------
    i : int
        Number of updates made so far, from 0.
    n_steps : int
        Number of updates the fit makes if nothing stops it early.
    warmup : float in [0, 1), default=0.0
        Part of the steps over which the factor rises linearly to 1.

    Examples
    --------
    >>> [constant(i, 8, warmup=0.5) for i in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """
    return _rise(i, n_steps, warmup)


def cosine(i: int, n_steps: int, *, warmup: float = 0.0, final: float = 0.0) -> float:
    """From 1 down to `final` along half a cosine (Loshchilov & Hutter 2017), after an optional warm-up.

    Parameters
    ----------
    i, n_steps, warmup
        As in :func:`constant`.
    final : float, default=0.0
        Factor at the last step.
    """
    n_warmup = warmup * n_steps
    if i < n_warmup:
        return _rise(i, n_steps, warmup)
    return final + (1.0 - final) * _half_cosine((i - n_warmup) / max(1.0, n_steps - 1 - n_warmup))


def step(
    i: int,
    n_steps: int,
    *,
    milestones: tuple[float, ...] = (0.5, 0.75),
    gamma: float = 0.1,
    warmup: float = 0.0,
) -> float:
    """Multiplied by `gamma` at each milestone.

    Parameters
    ----------
    i, n_steps, warmup
        As in :func:`constant`.
    milestones : tuple of float in (0, 1), default=(0.5, 0.75)
        Parts of the steps after which the factor drops.
    gamma : float, default=0.1
        What it is multiplied by.

    Examples
    --------
    >>> [step(i, 4, milestones=(0.5,), gamma=0.5) for i in range(4)]
    [1.0, 1.0, 0.5, 0.5]
    """
    n_drops = sum(i >= milestone * n_steps for milestone in milestones)
    return _rise(i, n_steps, warmup) * gamma**n_drops


def one_cycle(
    i: int, n_steps: int, *, warmup: float = 0.3, initial: float = 0.04, final: float = 1e-4
) -> float:
    """From `initial` up to 1 over the `warmup` part, then down to `final`, along two half cosines.

    After Smith & Topin 2018, "Super-Convergence". `learning_rate_init` is the peak; it can be several times
    what a constant rate could be.

    Parameters
    ----------
    i, n_steps
        As in :func:`constant`.
    warmup : float in [0, 1), default=0.3
        Part of the steps on the way up.
    initial, final : float
        Factors at the first and at the last step.
    """
    n_warmup = warmup * n_steps
    if i < n_warmup:
        return 1.0 + (initial - 1.0) * _half_cosine(i / n_warmup)
    return final + (1.0 - final) * _half_cosine((i - n_warmup) / max(1.0, n_steps - 1 - n_warmup))


SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": constant,
    "cosine": cosine,
    "step": step,
    "one_cycle": one_cycle,
}


def resolve_schedule(learning_rate: str | tuple[str, Mapping[str, Any]] | Schedule) -> Schedule:
    """The function of (step, total_steps) that a `learning_rate` parameter means.

    Parameters
    ----------
    learning_rate : str, (str, dict) or callable
        A name in `SCHEDULES`; a name and its options; or a function of (step, total_steps).

    Raises
    ------
    ValueError
        If the name or an option is unknown, or a part of the steps is not in [0, 1).
    """
    if callable(learning_rate):
        return learning_rate
    name, options = name_and_options(learning_rate, "learning_rate")
    if name not in SCHEDULES:
        raise ValueError(f"learning_rate is {name!r}, expected one of {sorted(SCHEDULES)} or a callable")
    known = [
        p.name for p in inspect.signature(SCHEDULES[name]).parameters.values() if p.kind is p.KEYWORD_ONLY
    ]
    for option, value in options.items():
        if option not in known:
            raise ValueError(f"learning_rate={name!r} has no option {option!r}, expected some of {known}")
        if option == "warmup" and not (isinstance(value, int | float) and 0 <= value < 1):
            raise ValueError(f"learning_rate={name!r} got warmup={value!r}, expected a part in [0, 1)")
    return partial(SCHEDULES[name], **options)


def _rise(i: int, n_steps: int, warmup: float) -> float:
    return min(1.0, (i + 1) / max(1.0, warmup * n_steps))


def _half_cosine(part: float) -> float:
    # Partial fits may go on beyond the steps that were planned: they stay at the end of the curve.
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, part)))
