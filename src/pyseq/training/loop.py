"""The one fit loop.

Each batch goes through the network and back; then, with its gradients complete, `clipping_scale` looks at all
of them at once, and the optimizer makes one fused update. Whatever has to happen between gradients and update
happens in that place.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pyseq import ops
from pyseq.training.callbacks import CallbackList, EpochInfo, FitInfo, History
from pyseq.training.examples import Examples
from pyseq.training.losses import LossValue
from pyseq.training.optimizers import Optimizer
from pyseq.training.schedules import Schedule, constant

__all__ = ["FitSettings", "TrainableNetwork", "TrainingDivergedError", "clipping_scale", "fit_network"]


class TrainableNetwork(Protocol):
    """What the loop asks of a network."""

    def loss_and_gradients(self, batch: Examples, rng: np.random.Generator) -> LossValue:
        """Forward and backward: the loss of a batch; gradients are added to the flat buffer."""


class TrainingDivergedError(FloatingPointError):
    """The loss or its gradient became NaN or infinite.

    Attributes
    ----------
    epoch : int
        The epoch it happened in, from 1.
    history : History
        The epochs before it.
    weights_kept : bool
        True if the network holds weights whose loss was finite: those at the start of the last epoch that
        began well, or the best so far with early stopping. False if the very first batch had no finite loss.
    """

    def __init__(self, message: str, epoch: int, history: History, weights_kept: bool) -> None:
        super().__init__(message)
        self.epoch, self.history, self.weights_kept = epoch, history, weights_kept


@dataclass(frozen=True)
class FitSettings:
    """What the loop is told; the names and meanings are those of the estimators' parameters."""

    batch_size: int = 32
    max_iter: int = 100
    learning_rate_init: float = 1e-3
    schedule: Schedule = constant
    shuffle: bool = True
    tol: float = 1e-4
    n_iter_no_change: float = 10
    early_stopping: bool = False
    max_grad_norm: float | None = 1.0
    n_epochs: int | None = None
    """Stop after so many epochs of the `max_iter` that the schedule is laid out for."""


def clipping_scale(gradients: NDArray[Any], max_grad_norm: float | None) -> tuple[float, float]:
    """The one seam between complete gradients and the update.

    Parameters
    ----------
    gradients : ndarray of shape (n_parameters,)
        All gradients of the batch.
    max_grad_norm : float or None
        Bound of their global norm (Pascanu et al. 2013); None for no bound.

    Returns
    -------
    norm, scale : float
        The global norm, and the factor that brings it to the bound if it is beyond.
    """
    norm = math.sqrt(ops.squared_norm(gradients))
    clipped = max_grad_norm is not None and norm > max_grad_norm
    return norm, max_grad_norm / norm if clipped and max_grad_norm is not None else 1.0


def fit_network(
    network: TrainableNetwork,
    examples: Examples,
    settings: FitSettings,
    rng: np.random.Generator,
    *,
    optimizer: Optimizer,
    validate: Callable[[], float] | None = None,
    callbacks: Iterable[Any] = (),
) -> History:
    """Train a network until `max_iter`, no more improvement, or a callback says so.

    Parameters
    ----------
    network : TrainableNetwork
        Its parameters are those of the optimizer; they change in place.
    examples : Examples
        The training part.
    settings : FitSettings
    rng : numpy.random.Generator
        Shuffles the batches and draws the dropout.
    optimizer : Optimizer
    validate : callable, optional
        Score of the network on the validation part; higher is better. Called after each epoch. Early stopping
        needs it.
    callbacks : iterable of Callback or callable

    Returns
    -------
    History

    Raises
    ------
    TrainingDivergedError
        If a loss or a gradient is not finite. The network holds its last good weights.
    """
    if settings.early_stopping and validate is None:
        raise ValueError("early_stopping needs a validation part, got validate=None")
    return _Fit(network, examples, settings, rng, optimizer, validate, CallbackList(callbacks)).run()


class _Fit:
    """The state of one call of `fit_network`."""

    def __init__(
        self,
        network: TrainableNetwork,
        examples: Examples,
        settings: FitSettings,
        rng: np.random.Generator,
        optimizer: Optimizer,
        validate: Callable[[], float] | None,
        callbacks: CallbackList,
    ) -> None:
        self.network, self.examples, self.settings, self.rng = network, examples, settings, rng
        self.optimizer, self.validate, self.callbacks = optimizer, validate, callbacks
        self.parameters = optimizer.parameters
        self.n_batches = examples.n_batches(settings.batch_size)
        self.history = History()
        self.progress = _Progress(settings.tol, settings.n_iter_no_change)
        self.good_weights: NDArray[Any] | None = None
        self.best_weights: NDArray[Any] | None = None

    def run(self) -> History:
        settings, history = self.settings, self.history
        n_epochs = settings.max_iter if settings.n_epochs is None else settings.n_epochs
        self.callbacks.on_fit_begin(FitInfo(self.network, n_epochs, len(self.examples), self.n_batches))
        try:
            for epoch in range(1, n_epochs + 1):
                reason = self._epoch(epoch)
                if reason is not None:
                    history.stopped_by = reason
                    break
        except KeyboardInterrupt:
            history.stopped_by = "interrupt"
            warnings.warn(
                f"training was interrupted after {history.n_iter} epochs; the weights so far are kept",
                stacklevel=2,
            )
        finally:
            if self.best_weights is not None:
                self.parameters.values[...] = self.best_weights
            self.callbacks.on_fit_end(history)
        return history

    def _epoch(self, epoch: int) -> str | None:
        """One pass over the training part; returns why to stop, or None."""
        started = time.perf_counter()
        loss, norm, rate = self._updates(epoch)
        speed = len(self.examples) / max(time.perf_counter() - started, 1e-9)

        history = self.history
        history.loss_curve.append(loss)
        history.n_iter = epoch
        score = None
        if self.validate is not None:
            score = self.validate()
            history.validation_scores.append(score)
        no_change = self._judge(epoch, loss, score)
        info = EpochInfo(epoch, loss, score, rate, norm, speed, self.network)
        if self.callbacks.on_epoch_end(info):
            return "callback"
        return "no_change" if no_change else None

    def _updates(self, epoch: int) -> tuple[float, float, float]:
        """Mean loss, largest gradient norm and last learning rate of an epoch's updates."""
        settings, parameters = self.settings, self.parameters
        total, n_counted, largest_norm, rate = 0.0, 0, 0.0, 0.0
        batches = self.examples.batches(settings.batch_size, self.rng, shuffle=settings.shuffle)
        n_steps = settings.max_iter * len(batches)
        for indices in batches:
            parameters.zero_gradients()
            with np.errstate(over="ignore", invalid="ignore"):  # a divergence is told once, below
                value = self.network.loss_and_gradients(self.examples.take(indices), self.rng)
            if epoch == 1:
                self.history.n_infeasible += value.n_infeasible
            if value.n_counted == 0:
                continue
            norm, scale = clipping_scale(parameters.gradients, settings.max_grad_norm)
            if not (math.isfinite(value.loss) and math.isfinite(norm)):
                raise self._diverged(epoch, "gradient" if math.isfinite(value.loss) else "loss")
            if n_counted == 0:
                self._remember_good_weights()
            rate = settings.learning_rate_init * settings.schedule(self.optimizer.n_updates, n_steps)
            self.optimizer.update(rate, scale)
            total += value.loss * value.n_counted
            n_counted += value.n_counted
            largest_norm = max(largest_norm, norm)
        if not math.isfinite(ops.squared_norm(parameters.values)):
            raise self._diverged(epoch, "weights")
        return (total / n_counted if n_counted else math.nan), largest_norm, rate

    def _judge(self, epoch: int, loss: float, score: float | None) -> bool:
        """Keep the best weights; True when there was no improvement for too long."""
        if self.settings.early_stopping and score is not None:
            if self.progress.is_best(score):
                self.history.best_epoch = epoch
                self.best_weights = _copied(self.parameters.values, self.best_weights)
            return self.progress.has_stalled(score)
        return self.progress.has_stalled(-loss)

    def _remember_good_weights(self) -> None:
        # Called when the first batch of an epoch had a finite loss and gradient: the weights that gave them
        # are the ones to come back to. Those at an epoch's end are not yet known to be good.
        self.good_weights = _copied(self.parameters.values, self.good_weights)

    def _diverged(self, epoch: int, what: str) -> TrainingDivergedError:
        self.history.stopped_by = "divergence"
        kept = self.best_weights if self.best_weights is not None else self.good_weights
        if kept is not None:
            self.parameters.values[...] = kept
        settings = self.settings
        advice = [f"a smaller learning_rate_init (it is {settings.learning_rate_init:g})"]
        if settings.max_grad_norm is None:
            advice.append("max_grad_norm=1.0 (gradients are not clipped)")
        else:
            advice.append(f"a smaller max_grad_norm (it is {settings.max_grad_norm:g})")
        advice.append("features scaled to about unit variance")
        state = (
            "The last good weights are kept."
            if kept is not None
            else "It was the first batch of all, so no weights are kept."
        )
        return TrainingDivergedError(
            f"training diverged in epoch {epoch}: the {what} became NaN or infinite. "
            f"Try {', or '.join(advice)}. {state}",
            epoch,
            self.history,
            kept is not None,
        )


class _Progress:
    """Counts epochs that did not improve the best value by more than `tol`; higher is better."""

    def __init__(self, tol: float, patience: float) -> None:
        self.tol, self.patience = tol, patience
        self.best = -math.inf
        self.n_stalled = 0

    def is_best(self, value: float) -> bool:
        return value > self.best

    def has_stalled(self, value: float) -> bool:
        self.n_stalled = self.n_stalled + 1 if value <= self.best + self.tol else 0
        self.best = max(self.best, value)
        return self.n_stalled > self.patience


def _copied(source: NDArray[Any], target: NDArray[Any] | None) -> NDArray[Any]:
    target = np.empty_like(source) if target is None else target
    target[...] = source
    return target
