"""What the estimators share: their parameters, and the way from user data to a trained network."""

from __future__ import annotations

import copy
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import check_is_fitted

from pyseq.estimators._input import frame_features, read_sample_weight, read_sequences
from pyseq.estimators._state import Resumption, Seeds, unchanged_on_error
from pyseq.layers import Layer
from pyseq.ragged import Ragged
from pyseq.training.batching import split_validation
from pyseq.training.callbacks import History
from pyseq.training.examples import Examples, Targets, distinct_examples
from pyseq.training.loop import FitSettings, TrainingDivergedError, fit_network
from pyseq.training.network import SequenceNetwork
from pyseq.training.optimizers import OPTIMIZERS, make_optimizer
from pyseq.training.progress import ProgressBar
from pyseq.training.scaling import measure_standardisation
from pyseq.training.schedules import SCHEDULES, resolve_schedule

__all__ = ["SequenceEstimator"]

EstimatorT = TypeVar("EstimatorT", bound="SequenceEstimator")


class SequenceEstimator(BaseEstimator):
    """Base of the estimators: one network, trained by the one loop.

    A subclass says what its targets are (`_read_targets`), how many outputs they need, which loss and
    pooling, and how to score the network on held-out sequences.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "encoder": [Layer, None],
        "standardize": ["boolean"],
        "solver": [StrOptions(set(OPTIMIZERS)), tuple],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "learning_rate": [StrOptions(set(SCHEDULES)), tuple, callable],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
        "dtype": [StrOptions({"float32", "float64"})],
        "device": [StrOptions({"cpu"})],
        "callbacks": [list, tuple, None],
    }

    _loss: ClassVar[str]  # if it is not a parameter

    network_: SequenceNetwork
    n_features_in_: int
    n_iter_: int
    loss_: float
    loss_curve_: list[float]
    validation_scores_: list[float]
    n_parameters_: int
    _fitted_on_table: bool
    _resumption: Resumption | None

    def __init__(
        self,
        encoder: Layer | None,
        *,
        standardize: bool,
        solver: Any,
        learning_rate_init: float,
        learning_rate: Any,
        alpha: float,
        batch_size: int,
        max_iter: int,
        shuffle: bool,
        tol: float,
        n_iter_no_change: float,
        early_stopping: bool,
        validation_fraction: float,
        max_grad_norm: float | None,
        warm_start: bool,
        verbose: int,
        random_state: Any,
        dtype: str,
        device: str,
        callbacks: list[Any] | None,
    ) -> None:
        self.encoder = encoder
        self.standardize = standardize
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.alpha = alpha
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.max_grad_norm = max_grad_norm
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state
        self.dtype = dtype
        self.device = device
        self.callbacks = callbacks

    # What a subclass answers

    def _default_encoder(self) -> Layer:
        raise NotImplementedError

    def _pooling(self) -> str | None:
        return None

    def _loss_and_options(self) -> Any:
        """As `make_loss` takes it."""
        return self._loss

    def _n_outputs(self) -> int:
        raise NotImplementedError

    def _read_targets(self, y: Any, n: int, name: str, *, learn: bool, classes: Any = None) -> Targets:
        """Check the targets of n sequences and turn them into integers; set `classes_` if `learn`."""
        raise NotImplementedError

    def _match(self, targets: Targets, x: Ragged, name: str) -> Targets:
        """Targets of the sequences x, where they depend on the lengths; `name` is what messages call them."""
        return targets

    def _class_weights(self, targets: Targets) -> NDArray[np.float64] | None:
        """A weight for each sequence that follows from its target."""
        return None

    def _trainable(self, examples: Examples) -> Examples:
        """The examples that can be learned from."""
        return examples

    def _strata(self, examples: Examples) -> NDArray[Any]:
        """What training and validation part should have alike."""
        raise NotImplementedError

    def _score_network(self, network: SequenceNetwork, examples: Examples) -> float:
        raise NotImplementedError

    # From user data to a trained network

    def _fit(
        self: EstimatorT,
        X: Any,
        y: Any,
        sample_weight: Any,
        X_val: Any = None,
        y_val: Any = None,
        *,
        classes: Any = None,
        one_epoch: bool = False,
    ) -> EstimatorT:
        """`fit`, or with `one_epoch` `partial_fit`.

        A new or a copied network is trained. If anything fails, all attributes are as they were before; but a
        divergence leaves the last good weights, if there are any.
        """
        divergence = None
        with unchanged_on_error(self):
            self._validate_params()
            if one_epoch and self.early_stopping:
                raise ValueError(
                    "early_stopping is True, expected False for partial_fit: it makes one epoch a call"
                )
            goes_on = (one_epoch or self.warm_start) and hasattr(self, "network_")
            training, validation = self._read_data(
                X, y, sample_weight, X_val, y_val, learn=not goes_on, classes=classes
            )
            resumption = self._resumption if goes_on and one_epoch else None
            seeds = self._new_seeds() if resumption is None else resumption.seeds.next()
            if self.shuffle:
                training = distinct_examples(training)
            if self.early_stopping and validation is None:
                training, validation = self._split(training, seeds)
            network = self._copied_network() if goes_on else self._new_network(training, seeds)
            optimizer = make_optimizer(self.solver, network.flat_parameters(), weight_decay=float(self.alpha))
            if resumption is not None:
                optimizer.set_state(resumption.optimizer_state)
            try:
                history = fit_network(
                    network,
                    training.with_x(network.standardise(training.x)).with_mean_weight_one(),
                    self._settings(n_epochs=1 if one_epoch else None),
                    np.random.default_rng(seeds.training),
                    optimizer=optimizer,
                    validate=None
                    if validation is None
                    else partial(self._score_network, network, validation),
                    callbacks=[*self._progress_bar(), *(self.callbacks or ())],
                )
            except TrainingDivergedError as error:
                if not error.weights_kept:
                    raise
                divergence, history = error, error.history
            self._keep(network, history, goes_on)
            self._resumption = Resumption(optimizer.get_state(), seeds) if one_epoch else None
        if divergence is not None:
            raise divergence
        return self

    def _read_data(
        self, X: Any, y: Any, sample_weight: Any, X_val: Any, y_val: Any, *, learn: bool, classes: Any
    ) -> tuple[Examples, Examples | None]:
        """Checked training and validation examples; those that do not count are left out."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None: "
                "expected a target for each sequence"
            )
        dtype = self._data_dtype(self._encoder(), self.dtype)
        x = read_sequences(self, X, reset=learn, dtype=dtype)
        targets = self._match(self._read_targets(y, len(x), "y", learn=learn, classes=classes), x, "y")
        weights = read_sample_weight(sample_weight, len(x))
        class_weights = self._class_weights(targets)
        if class_weights is not None:
            weights = class_weights if weights is None else weights * class_weights
        training = self._trainable(Examples(x, targets, weights))
        if training.weights is not None and not training.weights.all():
            training = training.take(np.flatnonzero(training.weights))

        if (X_val is None) != (y_val is None):
            given, missing = ("y_val", "X_val") if X_val is None else ("X_val", "y_val")
            raise ValueError(f"{given} was passed but {missing} is None, expected both or neither")
        if X_val is None:
            return training, None
        x = read_sequences(self, X_val, reset=False, dtype=dtype, name="X_val")
        targets = self._match(self._read_targets(y_val, len(x), "y_val", learn=False), x, "y_val")
        return training, Examples(x, targets)

    def _split(self, examples: Examples, seeds: Seeds) -> tuple[Examples, Examples]:
        """Training and validation part."""
        training, validation = split_validation(
            self._strata(examples), self.validation_fraction, np.random.default_rng(seeds.split)
        )
        return examples.take(training), examples.take(validation)

    def _encoder(self) -> Layer:
        return self._default_encoder() if self.encoder is None else self.encoder

    def _new_network(self, training: Examples, seeds: Seeds) -> SequenceNetwork:
        encoder = clone(self._encoder())
        standardised = self.standardize and not encoder.takes_tokens
        return SequenceNetwork(
            encoder,
            self._n_outputs(),
            pooling=self._pooling(),
            loss=self._loss_and_options(),
            n_features=frame_features(self),
            dtype=self.dtype,
            standardisation=measure_standardisation(training) if standardised else None,
            rng=np.random.default_rng(seeds.initial),
        )

    def _copied_network(self) -> SequenceNetwork:
        """The fitted network, to be trained further while the fitted one stays as it is."""
        for what, fitted, wanted in (
            ("encoder", self.network_.encoder, self._encoder()),
            ("pooling", self.network_.pooling, self._pooling()),
            ("loss", self.network_.loss, self._loss_and_options()),
            ("dtype", self.network_.dtype, self.dtype),
        ):
            if repr(fitted) != repr(wanted):
                raise ValueError(
                    f"{what} is {wanted!r}, expected {fitted!r}: with warm_start and in partial_fit, "
                    "the fitted network is trained further"
                )
        return copy.deepcopy(self.network_)

    def _new_seeds(self) -> Seeds:
        random_state = check_random_state(self.random_state)
        return Seeds(tuple(random_state.randint(0, 2**32, size=4, dtype=np.uint32).tolist()))

    def _settings(self, n_epochs: int | None) -> FitSettings:
        return FitSettings(
            batch_size=int(self.batch_size),
            max_iter=int(self.max_iter),
            learning_rate_init=float(self.learning_rate_init),
            schedule=resolve_schedule(self.learning_rate),
            shuffle=self.shuffle,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            early_stopping=self.early_stopping,
            max_grad_norm=self.max_grad_norm,
            n_epochs=n_epochs,
        )

    def _progress_bar(self) -> list[ProgressBar]:
        return [ProgressBar(type(self).__name__)] if self.verbose else []

    def _keep(self, network: SequenceNetwork, history: History, goes_on: bool) -> None:
        """Set the fitted attributes."""
        before = (self.loss_curve_, self.validation_scores_, self.n_iter_) if goes_on else ([], [], 0)
        self.network_ = network
        self.loss_curve_ = [*before[0], *history.loss_curve]
        self.validation_scores_ = [*before[1], *history.validation_scores]
        self.n_iter_ = before[2] + history.n_iter
        self.loss_ = self.loss_curve_[-1] if self.loss_curve_ else float("nan")
        self.n_parameters_ = network.n_parameters

    # Predicting

    def _read_new(self, X: Any) -> Ragged:
        """Check X of a predicting method."""
        check_is_fitted(self)
        dtype = self._data_dtype(self.network_.encoder, self.network_.dtype)
        return read_sequences(self, X, reset=False, dtype=dtype)

    @staticmethod
    def _data_dtype(encoder: Layer, dtype: str) -> str:
        return "int64" if encoder.takes_tokens else dtype

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "network_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.required = True
        return tags
