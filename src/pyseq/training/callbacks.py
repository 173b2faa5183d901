"""Callbacks: what is told of the course of a fit, and may stop it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Callback", "CallbackList", "EpochInfo", "FitInfo", "History", "StopTraining"]


class StopTraining(Exception):
    """Raise it from a callback to end the fit after this epoch, as if `max_iter` were reached."""


@dataclass(frozen=True)
class FitInfo:
    """What is known before the first epoch."""

    network: Any
    """The network that is trained."""
    max_iter: int
    n_sequences: int
    """Training sequences in an epoch."""
    n_batches: int
    """Updates in an epoch."""


@dataclass(frozen=True)
class EpochInfo:
    """What is known after an epoch."""

    epoch: int
    """1 for the first epoch of this fit."""
    loss: float
    """Mean training loss over the epoch, measured before each update."""
    validation_score: float | None
    """None where there is no validation part."""
    learning_rate: float
    """Of the last update."""
    gradient_norm: float
    """Largest global gradient norm of the epoch, before clipping."""
    sequences_per_second: float
    """Training speed, without the validation."""
    network: Any


@dataclass
class History:
    """What a fit leaves behind beside the weights."""

    loss_curve: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    n_iter: int = 0
    """Completed epochs."""
    best_epoch: int | None = None
    """Epoch whose weights were kept by early stopping; None without early stopping."""
    n_infeasible: int = 0
    """Sequences of the first epoch whose target no alignment reaches."""
    stopped_by: str = "max_iter"
    """"max_iter", "no_change", "callback", "interrupt" or "divergence"."""


class Callback:
    """Base of callbacks with state; a plain function of `EpochInfo` is a callback too.

    Override what is needed. `on_fit_end` is called however the fit ends.
    """

    def on_fit_begin(self, info: FitInfo) -> None:
        """Called before the first epoch."""

    def on_epoch_end(self, info: EpochInfo) -> bool | None:
        """Called after each epoch; return True to stop."""

    def on_fit_end(self, history: History) -> None:
        """Called after the last epoch, when the final weights are in place."""


class CallbackList:
    """Several callbacks as one.

    Parameters
    ----------
    callbacks : iterable of Callback or callable, or None

    Raises
    ------
    TypeError
        If an entry is neither.
    """

    def __init__(self, callbacks: Iterable[Callback | Callable[[EpochInfo], Any]] | None) -> None:
        self.callbacks = [_as_callback(i, callback) for i, callback in enumerate(callbacks or ())]

    def on_fit_begin(self, info: FitInfo) -> None:
        for callback in self.callbacks:
            callback.on_fit_begin(info)

    def on_epoch_end(self, info: EpochInfo) -> bool:
        """True if any callback wants to stop; all are called first."""
        stop = False
        for callback in self.callbacks:
            try:
                stop = callback.on_epoch_end(info) is True or stop
            except StopTraining:
                stop = True
        return stop

    def on_fit_end(self, history: History) -> None:
        for callback in self.callbacks:
            callback.on_fit_end(history)


class _PlainFunction(Callback):
    def __init__(self, function: Callable[[EpochInfo], Any]) -> None:
        self.function = function

    def on_epoch_end(self, info: EpochInfo) -> bool | None:
        return self.function(info) is True


def _as_callback(i: int, callback: Any) -> Callback:
    if isinstance(callback, type):
        raise TypeError(f"callbacks[{i}] is the class {callback.__name__}, expected an instance of it")
    if isinstance(callback, Callback):
        return callback
    if callable(callback):
        return _PlainFunction(callback)
    raise TypeError(f"callbacks[{i}] is {callback!r}, expected a Callback or a function of EpochInfo")
