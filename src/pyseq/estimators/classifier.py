"""One class for each sequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets

from pyseq.estimators._base import SequenceEstimator
from pyseq.layers import GRU, POOLINGS, Layer
from pyseq.ragged import Ragged
from pyseq.training.examples import Examples, Targets
from pyseq.training.losses import softmax
from pyseq.training.network import SequenceNetwork

__all__ = ["SequenceClassifier"]


class SequenceClassifier(ClassifierMixin, SequenceEstimator):
    """Classifier of sequences: an encoder, pooling over time, and a linear layer under softmax cross-entropy.

    Parameters
    ----------
    encoder : Layer, default=None
        What turns frames into features; None means ``GRU(64, bidirectional=True)``: three quarters of the
        work of an LSTM for the same accuracy, and the whole sequence is there to be read from both ends.
    pooling : {"last", "mean", "max"}, default="last"
        What the linear layer sees of the encoded frames: the last one (of a backward direction: the first),
        or their mean or maximum.
    standardize : bool, default=True
        Shift and scale each feature to mean 0 and variance 1 over the training frames; tokens stay tokens.
        What it takes is measured when the network is made, and kept with it: new sequences come as they are.
    solver : {"adam", "adamw", "sgd"} or (str, dict), default="adam"
        How gradients change weights; a pair also gives options, as ``("sgd", {"momentum": 0.8})``.
    learning_rate_init : float, default=1e-3
        The (largest) learning rate.
    learning_rate : {"constant", "cosine", "step", "one_cycle"}, (str, dict) or callable, default="constant"
        Its schedule over the updates of `max_iter` epochs; a pair also gives options, as
        ``("cosine", {"warmup": 0.1})``; a callable takes (update, n_updates) and returns a factor.
    alpha : float, default=0.0
        Strength of weight decay, on all parameters. With "adam" and "sgd" an L2 penalty: ``alpha * w`` is
        added to the gradient. With "adamw" decoupled: a step takes ``learning_rate * alpha * w`` off. `loss_`
        is without it.
    batch_size : int, default=32
        Sequences in a batch.
    max_iter : int, default=100
        Epochs at most.
    shuffle : bool, default=True
        Draw the batches at random, from sequences of similar length. Equal sequences with equal targets are
        then trained on as one with the sum of their weights, and the result does not depend on the order of
        X; so a weight of k is exactly k copies. False: in the order given, as they are.
    tol : float, default=1e-4
        What an improvement has to exceed: of the training loss, or with early stopping the validation score.
    n_iter_no_change : int or np.inf, default=10
        Stop after more than so many epochs without improvement.
    early_stopping : bool, default=False
        Stop by the validation score, and go back to the weights that had the best one.
    validation_fraction : float, default=0.1
        Part of X that early stopping holds out, with the classes in proportion; not used where `X_val` is
        given.
    max_grad_norm : float or None, default=1.0
        Gradients of a larger global norm are scaled down to it.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, multiplied with `sample_weight`; "balanced" gives all classes the same say.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the fit before.
    verbose : int, default=0
        1 shows a progress bar.
    random_state : int, RandomState or None, default=None
        Fixes initial weights, batches, dropout and the validation part: the same bits on the same kind of
        processor, whatever the number of threads.
    dtype : {"float32", "float64"}, default="float32"
        Of data and weights.
    device : {"cpu"}, default="cpu"
        Where to compute.
    callbacks : list of Callback or callable, default=None
        Told of each epoch; see :class:`pyseq.training.Callback`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
        Features of a frame; columns if fitted on a table (a 2-D array: each row is a univariate sequence).
    feature_names_in_ : ndarray of str
        Names of the columns, if fitted on a data frame that has them.
    network_ : SequenceNetwork
        The fitted network.
    n_parameters_ : int
        How many numbers it has learned.
    n_iter_ : int
        Epochs run.
    loss_, loss_curve_ : float, list of float
        Mean training loss of the last epoch, and of each.
    validation_scores_ : list of float
        Accuracy on the validation part after each epoch; empty without one.

    Examples
    --------
    >>> import numpy as np
    >>> from pyseq.estimators import SequenceClassifier
    >>> rng = np.random.default_rng(0)
    >>> y = np.array(["falling", "rising"] * 50)
    >>> X = [np.linspace(0, 1 if label == "rising" else -1, rng.integers(5, 20)) for label in y]
    >>> model = SequenceClassifier(max_iter=20, random_state=0).fit(X[:80], y[:80])
    >>> model.score(X[80:], y[80:])
    1.0
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **SequenceEstimator._parameter_constraints,
        "pooling": [StrOptions(set(POOLINGS))],
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    _loss = "softmax_cross_entropy"

    classes_: NDArray[Any]

    def __init__(
        self,
        encoder: Layer | None = None,
        pooling: str = "last",
        *,
        standardize: bool = True,
        solver: Any = "adam",
        learning_rate_init: float = 1e-3,
        learning_rate: Any = "constant",
        alpha: float = 0.0,
        batch_size: int = 32,
        max_iter: int = 100,
        shuffle: bool = True,
        tol: float = 1e-4,
        n_iter_no_change: float = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        max_grad_norm: float | None = 1.0,
        class_weight: Mapping[Any, float] | str | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        random_state: Any = None,
        dtype: str = "float32",
        device: str = "cpu",
        callbacks: list[Any] | None = None,
    ) -> None:
        super().__init__(
            encoder,
            standardize=standardize,
            solver=solver,
            learning_rate_init=learning_rate_init,
            learning_rate=learning_rate,
            alpha=alpha,
            batch_size=batch_size,
            max_iter=max_iter,
            shuffle=shuffle,
            tol=tol,
            n_iter_no_change=n_iter_no_change,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            max_grad_norm=max_grad_norm,
            warm_start=warm_start,
            verbose=verbose,
            random_state=random_state,
            dtype=dtype,
            device=device,
            callbacks=callbacks,
        )
        self.pooling = pooling
        self.class_weight = class_weight

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, X_val: Any = None, y_val: Any = None
    ) -> SequenceClassifier:
        """Train on sequences of known class.

        Parameters
        ----------
        X : list of arrays (T_i, n_features), array (n, T, n_features) or (n, T), data frame or Ragged
            n sequences; (n, T) are univariate ones. With an encoder that begins with `Embedding`, integer
            tokens.
        y : array-like of shape (n,)
            Their classes.
        sample_weight : array-like of shape (n,), default=None
            How much each sequence counts, relative to the others; 0 leaves it out.
        X_val, y_val : default=None
            Validation part, like X and y. Its accuracy is recorded after each epoch, and early stopping goes
            by it.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If anything in the input is wrong; the estimator is then as it was before.
        pyseq.training.TrainingDivergedError
            If the loss became NaN or infinite; the estimator then has the last good weights.
        """
        return self._fit(X, y, sample_weight, X_val, y_val)

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> SequenceClassifier:
        """Train for one epoch on these sequences, going on from what is there.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        classes : array-like of shape (n_classes,), default=None
            All classes there will be; needed in the first call.

        Returns
        -------
        self
        """
        if classes is None and not hasattr(self, "network_"):
            raise ValueError(
                "classes is None, expected all the classes there will be in the first call of partial_fit"
            )
        return self._fit(X, y, sample_weight, classes=classes, one_epoch=True)

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class of each sequence, shape (n,)."""
        codes = self.predict_proba(X).argmax(axis=1)
        predicted: NDArray[Any] = self.classes_[codes]
        return predicted

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """The probability of each class for each sequence.

        Parameters
        ----------
        X : as for `fit`
            The answer for a sequence does not depend on which others are beside it, bit for bit.

        Returns
        -------
        probabilities : ndarray of shape (n, n_classes), of `dtype`
            Columns in the order of `classes_`.
        """
        x = self._read_new(X)
        probabilities: NDArray[Any] = softmax(_logits(self.network_, x))
        return probabilities

    # What the base class asks

    def _default_encoder(self) -> Layer:
        return GRU(64, bidirectional=True)

    def _pooling(self) -> str:
        return self.pooling

    def _n_outputs(self) -> int:
        return len(self.classes_)

    def _read_targets(
        self, y: Any, n: int, name: str, *, learn: bool, classes: Any = None
    ) -> NDArray[np.int64]:
        y = column_or_1d(y, warn=True)
        if len(y) != n:
            raise ValueError(f"{name} has {len(y)} labels, expected {n}, one for each sequence of X")
        _check_finite(y, name)
        check_classification_targets(y)
        if learn:
            self.classes_ = _unique(y if classes is None else classes, name if classes is None else "classes")
        elif classes is not None and not np.array_equal(_unique(classes, "classes"), self.classes_):
            raise ValueError(
                f"classes is {classes!r}, expected those of the first call: {self.classes_.tolist()}"
            )
        codes = {label: code for code, label in enumerate(self.classes_.tolist())}
        try:
            return np.array([codes[label] for label in y.tolist()], dtype=np.int64)
        except KeyError:
            i = next(i for i, label in enumerate(y.tolist()) if label not in codes)
            raise ValueError(
                f"{name}[{i}] is {y.tolist()[i]!r}, expected one of the classes {self.classes_.tolist()}"
            ) from None

    def _class_weights(self, targets: Targets) -> NDArray[np.float64] | None:
        if self.class_weight is None:
            return None
        weights: NDArray[np.float64] = compute_sample_weight(
            self.class_weight, self.classes_[np.asarray(targets)]
        )
        return weights

    def _strata(self, examples: Examples) -> NDArray[Any]:
        return np.asarray(examples.targets)

    def _score_network(self, network: SequenceNetwork, examples: Examples) -> float:
        correct = _logits(network, examples.x).argmax(axis=1) == examples.targets
        return float(np.average(correct, weights=examples.weights))


def _logits(network: SequenceNetwork, x: Ragged) -> NDArray[Any]:
    """(n, n_classes), in the order of x."""
    logits = np.empty((len(x), network.head.units), dtype=network.dtype)
    for indices, batch in network.predict(x):
        logits[indices] = batch.values
    return logits


def _check_finite(y: NDArray[Any], name: str) -> None:
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        i = int(np.argmin(np.isfinite(y)))
        raise ValueError(f"{name}[{i}] is {y[i]}, expected a class: NaN and infinity are none")


def _unique(labels: Any, name: str) -> NDArray[Any]:
    try:
        return np.unique(labels)
    except TypeError as error:
        raise ValueError(
            f"{name} has labels of several types, expected labels that can be sorted: {error}"
        ) from error
