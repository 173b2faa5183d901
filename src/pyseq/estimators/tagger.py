"""A label, or several, for each frame of each sequence."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import StrOptions

from pyseq._tokens import build_vocabulary, encode_tokens
from pyseq.estimators._base import SequenceEstimator
from pyseq.estimators._frame_labels import FrameKind, check_lengths, frame_labels, several_labels
from pyseq.estimators._input import is_rectangular, read_sample_weight
from pyseq.estimators._labels import as_label_array
from pyseq.layers import GRU, Layer
from pyseq.ragged import Ragged
from pyseq.training.examples import Examples
from pyseq.training.losses import binary_log_likelihoods, log_likelihoods, sigmoid, softmax
from pyseq.training.network import SequenceNetwork

__all__ = ["SequenceTagger"]


class SequenceTagger(SequenceEstimator):
    """Tagger of sequences: an encoder, and for each frame a linear layer and its loss.

    A frame has one label, under softmax cross-entropy, or any number of labels, each there or not, under
    binary cross-entropy summed over the labels. The mean is over frames.

    Parameters
    ----------
    encoder : Layer, default=None
        What turns frames into features; None means ``GRU(64, bidirectional=True)``. A causal one (recurrent
        in one direction, `TCN`, `WaveNet`) answers for a frame from that frame and those before it alone.
    scoring : {"accuracy", "log_likelihood"}, default="accuracy"
        What `score` and early stopping go by: the part of the frames with the right label (all the right
        labels, where there are several), or the mean log-likelihood of a frame's labels, in nats.
    standardize, solver, learning_rate_init, learning_rate, alpha, batch_size, max_iter, shuffle, tol, \
n_iter_no_change, early_stopping, max_grad_norm, warm_start, verbose, random_state, dtype, device, callbacks
        As in :class:`SequenceClassifier`.
    validation_fraction : float, default=0.1
        Part of X that early stopping holds out, short and long sequences in proportion; not used where
        `X_val` is given.

    Attributes
    ----------
    classes_ : ndarray of shape (n_labels,)
        The labels, sorted; in order of appearance if they have no order. Where a frame has several, the
        numbers of their columns.
    n_features_in_, feature_names_in_, network_, n_parameters_, n_iter_, loss_, loss_curve_
        As in :class:`SequenceClassifier`.
    validation_scores_ : list of float
        Score on the validation part after each epoch; empty without one.

    Notes
    -----
    Targets can also be single numbers, one label for each sequence. Each is then the label of all frames of
    its sequence, and `predict` gives for each sequence the label that is most probably that of all its
    frames.

    Examples
    --------
    >>> import numpy as np
    >>> from pyseq import GRU, SequenceTagger
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.standard_normal(rng.integers(5, 30)).cumsum() for _ in range(100)]
    >>> y = [np.where(np.diff(x, prepend=0) > 0, "up", "down") for x in X]
    >>> model = SequenceTagger(GRU(16), max_iter=40, learning_rate_init=0.03, random_state=0)
    >>> model.fit(X[:80], y[:80]).predict([[1.0, 3.0, 2.0, 1.5, 2.5]])[0].tolist()
    ['up', 'up', 'down', 'down', 'up']
    >>> model.score(X[80:], y[80:]) > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **SequenceEstimator._parameter_constraints,
        "scoring": [StrOptions({"accuracy", "log_likelihood"})],
    }

    classes_: NDArray[Any]
    _vocabulary: dict[Any, int]
    _label_kind: FrameKind

    def __init__(
        self,
        encoder: Layer | None = None,
        *,
        scoring: str = "accuracy",
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
        self.scoring = scoring

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, X_val: Any = None, y_val: Any = None
    ) -> SequenceTagger:
        """Train on sequences whose frames have known labels.

        Parameters
        ----------
        X : list of arrays (T_i, n_features), array (n, T, n_features) or (n, T), data frame or Ragged
            n sequences; (n, T) are univariate ones. With an encoder that begins with `Embedding`, integer
            tokens.
        y : list of n strings, or of n lists, tuples or 1-D arrays of T_i hashable labels; or (n, T) array
            The label of each frame. Several labels a frame: a list of (T_i, n_labels) arrays, or an
            (n, T, n_labels) array, of 0 and 1. Also n numbers, one for all frames of a sequence.
        sample_weight : array-like of shape (n,), default=None
            How much each frame of a sequence counts, relative to the others; 0 leaves the sequence out.
        X_val, y_val : default=None
            Validation part, like X and y. Its score is recorded after each epoch, and early stopping goes by
            it.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If anything in the input is wrong, as targets of another length than their sequence; the estimator
            is then as it was before.
        pyseq.training.TrainingDivergedError
            If the loss became NaN or infinite; the estimator then has the last good weights.
        """
        return self._fit(X, y, sample_weight, X_val, y_val)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> SequenceTagger:
        """Train for one epoch on these sequences, going on from what is there.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        classes : sequence of labels, default=None
            All labels there will be. Without it, in the first call, those that occur in y.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, classes=classes, one_epoch=True)

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable label of each frame.

        Parameters
        ----------
        X : as for `fit`

        Returns
        -------
        labels : object ndarray of shape (n,), or ndarray of shape (n, T)
            For each sequence an ndarray (T_i,) of labels, or a string if fitted on strings. Where frames have
            several labels, an integer ndarray (T_i, n_labels) of 0 and 1: those are there whose probability
            is above a half. One array if X is one. Fitted on single labels: an ndarray of shape (n,).
        """
        rectangular = is_rectangular(X)
        x = self._read_new(X)
        if self._label_kind == "single":
            return self.classes_[_codes_of_all_frames(self.network_, x)]
        labels = np.empty(len(x), dtype=object)
        for indices, logits in self.network_.predict(x):
            for i, frames in zip(indices, logits, strict=True):
                labels[i] = self._labels(frames)
        stacked = rectangular and self._label_kind != "string"
        return np.stack(labels.tolist()) if stacked else labels

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """The probability of each label in each frame.

        Parameters
        ----------
        X : as for `fit`
            The answer for a sequence does not depend on which others are beside it, bit for bit.

        Returns
        -------
        probabilities : object ndarray of shape (n,), or ndarray of shape (n, T, n_labels)
            For each sequence an array (T_i, n_labels), columns in the order of `classes_`. One array if X is
            one.
        """
        rectangular = is_rectangular(X)
        x = self._read_new(X)
        function = sigmoid if self._label_kind == "several" else softmax
        probabilities = np.empty(len(x), dtype=object)
        for indices, logits in self.network_.predict(x):
            for i, frames in zip(indices, logits.with_values(function(logits.values)), strict=True):
                probabilities[i] = frames
        return np.stack(probabilities.tolist()) if rectangular else probabilities

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """By `scoring`: the part of the frames that are right, or the mean log-likelihood of a frame.

        Parameters
        ----------
        X, y : as for `fit`
            For accuracy, labels that did not occur in `fit` count as errors. Fitted on single labels,
            accuracy counts sequences.
        sample_weight : array-like of shape (n,), default=None
            Factor of a sequence's frames.
        """
        x = self._read_new(X)
        targets = self._read_targets(y, len(x), "y", learn=False, unknown=self.scoring == "accuracy")
        weights = read_sample_weight(sample_weight, len(x))
        return self._score_network(self.network_, Examples(x, self._match(targets, x, "y"), weights))

    # What the base class asks

    def _default_encoder(self) -> Layer:
        return GRU(64, bidirectional=True)

    def _loss_and_options(self) -> Any:
        return "binary_cross_entropy" if self._label_kind == "several" else "softmax_cross_entropy"

    def _n_outputs(self) -> int:
        return len(self.classes_)

    def _read_targets(
        self, y: Any, n: int, name: str, *, learn: bool, classes: Any = None, unknown: bool = False
    ) -> Ragged:
        """Tokens, or columns of 0 and 1; with `unknown`, -1 for labels that did not occur in `fit`."""
        targets, kind = frame_labels(y, name)
        if len(targets) != n:
            raise ValueError(f"{name} has {len(targets)} targets, expected {n}, one for each sequence of X")
        if learn:
            self._label_kind = kind
        elif kind != self._label_kind and {kind, self._label_kind} != {"string", "sequence"}:
            raise ValueError(f"{name} holds {_WORDS[kind]}, expected {_WORDS[self._label_kind]} as in fit")
        if kind == "several":
            return self._read_several(targets, name, learn, classes)
        if classes is not None:
            vocabulary = build_vocabulary([list(classes)], name="classes")
        elif learn:
            vocabulary = build_vocabulary(targets, name=name)
        if learn:
            self._vocabulary = vocabulary
            self.classes_ = as_label_array(list(vocabulary))
        elif classes is not None and vocabulary != self._vocabulary:
            raise ValueError(
                f"classes is {classes!r}, expected those of the first call: {list(self._vocabulary)}"
            )
        if unknown:
            codes = [self._vocabulary.get(label, -1) for labels in targets for label in labels]
            return Ragged(np.array(codes, dtype=np.int64), [len(labels) for labels in targets])
        return encode_tokens(targets, self._vocabulary, name=name)

    def _read_several(self, y: Any, name: str, learn: bool, classes: Any) -> Ragged:
        frames = several_labels(y, self.dtype, name)
        if learn:
            self.classes_ = np.arange(frames.n_features)
        if frames.n_features != len(self.classes_):
            raise ValueError(f"{name} has {frames.n_features} labels a frame, expected {len(self.classes_)}")
        if classes is not None and list(classes) != self.classes_.tolist():
            raise ValueError(
                f"classes is {classes!r}, expected None: labels are the columns of {name}, by number"
            )
        return frames

    def _match(self, targets: Any, x: Ragged, name: str) -> Ragged:
        if self._label_kind == "single":
            return Ragged(np.repeat(targets.values, x.lengths), x.lengths)
        check_lengths(targets, x.lengths, name)
        matched: Ragged = targets
        return matched

    def _strata(self, examples: Examples) -> NDArray[Any]:
        return examples.x.lengths

    def _labels(self, logits: NDArray[Any]) -> Any:
        """Of one sequence, as `predict` gives them."""
        if self._label_kind == "several":
            return (logits > 0).astype(np.int64)
        labels = self.classes_[logits.argmax(axis=1)]
        return "".join(labels) if self._label_kind == "string" else labels

    def _score_network(self, network: SequenceNetwork, examples: Examples) -> float:
        x, targets = examples.x, examples.targets
        assert isinstance(targets, Ragged)
        sums, counts = np.empty(len(x)), x.lengths
        if self._label_kind == "single" and self.scoring == "accuracy":
            sums = np.array([target[0] for target in targets]) == _codes_of_all_frames(network, x)
            counts = np.ones(len(x), dtype=np.int64)
        else:
            for indices, logits in network.predict(x):
                rows = self._scores_of_frames(logits.values, targets[indices].values)
                owner = np.repeat(np.arange(len(indices)), logits.lengths)
                sums[indices] = np.bincount(owner, weights=rows, minlength=len(indices))
        weights = np.ones(len(x)) if examples.weights is None else examples.weights
        return float(weights @ sums) / float(weights @ counts)

    def _scores_of_frames(self, logits: NDArray[Any], targets: NDArray[Any]) -> NDArray[Any]:
        several = self._label_kind == "several"
        if self.scoring == "log_likelihood":
            return (binary_log_likelihoods if several else log_likelihoods)(logits, targets)
        right = ((logits > 0) == (targets > 0)).all(axis=1) if several else logits.argmax(axis=1) == targets
        return np.asarray(right)


_WORDS = {
    "string": "strings",
    "sequence": "sequences of labels",
    "single": "a number for each sequence",
    "several": "tables of 0 and 1",
}


def _codes_of_all_frames(network: SequenceNetwork, x: Ragged) -> NDArray[np.int64]:
    """For each sequence the class that is most probably that of all its frames."""
    best = np.empty(len(x), dtype=np.int64)
    for indices, logits in network.predict(x):
        for i, frames in zip(indices, logits, strict=True):
            # log softmax is the logits less what is the same for all classes
            best[i] = frames.sum(axis=0, dtype=np.float64).argmax()
    return best
