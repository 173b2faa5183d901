"""A sequence of labels for each sequence, without known positions."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import StrOptions

from pyseq._tokens import build_vocabulary, encode_tokens
from pyseq.decoding import Decoder
from pyseq.estimators._input import read_sample_weight
from pyseq.estimators._labels import as_label_array, label_sequences
from pyseq.estimators._reader import TranscriptReader
from pyseq.estimators._transcripts import read_greedily
from pyseq.layers import LSTM, Chain, Conv1d, Layer
from pyseq.metrics import character_error_rate, edit_distances
from pyseq.ragged import Ragged
from pyseq.training.examples import Examples
from pyseq.training.losses import frames_needed
from pyseq.training.network import SequenceNetwork

__all__ = ["CTCTranscriber"]


class CTCTranscriber(TranscriptReader):
    """Transcriber of sequences to label sequences: an encoder, a linear layer and the CTC loss.

    What is told in training is which labels a sequence has and in which order, not where. Connectionist
    temporal classification (Graves et al. 2006) sums over all places.

    Parameters
    ----------
    encoder : Layer, default=None
        What turns frames into features; None means ``Chain([Conv1d(32, 5, causal=False), LSTM(64,
        bidirectional=True)])``: the convolution sees strokes or sounds of a few frames, the recurrent layer
        what comes before and after them.
    decoder : Decoder, default=None
        How predictions are read off the network's output: a :class:`pyseq.decoding.BeamSearch`, perhaps
        with a language model, or :class:`pyseq.decoding.GreedySearch`, which None means. `fit` does not use
        it, and it may be changed afterwards.
    standardize : bool, default=True
        Shift and scale each feature to mean 0 and variance 1 over the training frames; tokens stay tokens.
        What it takes is measured when the network is made, and kept with it: new sequences come as they are.
    loss : "ctc" or ("ctc", dict), default="ctc"
        What is minimised; a pair also gives options, as ``("ctc", {"label_smoothing": 0.1})``. These are
        `label_smoothing`, `focal_gamma` (probable sequences count less) and `prior_scale` (against peaky
        alignments) of :class:`pyseq.training.CTCLoss`.
    class_weight : dict or None, default=None
        Weight of each label, 1 where it is not named: a sequence counts by the mean weight of its labels.
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
        Part of X that early stopping holds out, short and long sequences in proportion; not used where
        `X_val` is given.
    max_grad_norm : float or None, default=1.0
        Gradients of a larger global norm are scaled down to it.
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
    classes_ : ndarray of shape (n_labels,)
        The labels, sorted; in order of appearance if they have no order. The blank is not among them.
    n_features_in_ : int
        Features of a frame; columns if fitted on a table (a 2-D array: each row is a univariate sequence).
    feature_names_in_ : ndarray of str
        Names of the columns, if fitted on a data frame that has them.
    network_ : SequenceNetwork
        The fitted network. Its output 0 is the blank, output i + 1 is ``classes_[i]``.
    n_parameters_ : int
        How many numbers it has learned.
    n_iter_ : int
        Epochs run.
    loss_, loss_curve_ : float, list of float
        Mean training loss of the last epoch, and of each.
    validation_scores_ : list of float
        1 - character error rate on the validation part after each epoch, by greedy decoding; empty without
        one.

    Notes
    -----
    Targets can also be single numbers, one label for each sequence. Each is then the transcription of one
    label, and `predict` gives for each sequence the label whose one-label transcription is most probable,
    whatever the decoder.

    Examples
    --------
    >>> import numpy as np
    >>> from pyseq.estimators import CTCTranscriber
    >>> rng = np.random.default_rng(0)
    >>> y = ["".join(rng.choice(list("ab"), size=rng.integers(1, 5))) for _ in range(200)]
    >>> beeps = {"a": [0, 1, 1, 0], "b": [0, -1, -1, -1, 0]}
    >>> X = [np.concatenate([beeps[label] for label in labels]) for labels in y]
    >>> model = CTCTranscriber(max_iter=15, learning_rate_init=0.01, random_state=0).fit(X[:150], y[:150])
    >>> model.score(X[150:], y[150:])
    1.0
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **TranscriptReader._parameter_constraints,
        "decoder": [Decoder, None],
        "loss": [StrOptions({"ctc"}), tuple, list],
        "class_weight": [dict, None],
    }

    def __init__(
        self,
        encoder: Layer | None = None,
        *,
        decoder: Decoder | None = None,
        standardize: bool = True,
        loss: Any = "ctc",
        class_weight: dict[Any, float] | None = None,
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
        self.decoder = decoder
        self.loss = loss
        self.class_weight = class_weight

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, X_val: Any = None, y_val: Any = None
    ) -> CTCTranscriber:
        """Train on sequences of known transcription.

        Parameters
        ----------
        X : list of arrays (T_i, n_features), array (n, T, n_features) or (n, T), data frame or Ragged
            n sequences; (n, T) are univariate ones. With an encoder that begins with `Embedding`, integer
            tokens.
        y : list of n strings, or of n lists, tuples or 1-D arrays of hashable labels; or n numbers
            The labels of each sequence, in order. A sequence needs at least as many frames as it has labels,
            and one more for each label that equals the one before it. Those with fewer are left out, with one
            warning.
        sample_weight : array-like of shape (n,), default=None
            How much each sequence counts, relative to the others; 0 leaves it out.
        X_val, y_val : default=None
            Validation part, like X and y. Its score is recorded after each epoch, and early stopping goes by
            it.

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

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> CTCTranscriber:
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

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """1 - character error rate: of all labels of y, the part that needs no edit.

        Negative where more edits are needed than there are labels.

        Parameters
        ----------
        X, y : as for `fit`
            Labels that did not occur in `fit` count as errors.
        sample_weight : array-like of shape (n,), default=None
            Factor of a sequence's edits and labels.
        """
        predicted, _ = label_sequences(self.predict(X))
        references, _ = label_sequences(y)
        if len(references) != len(predicted):
            raise ValueError(
                f"y has {len(references)} targets, expected {len(predicted)}, one for each sequence of X"
            )
        weights = read_sample_weight(sample_weight, len(references))
        if weights is None:
            return 1.0 - character_error_rate(references, predicted)
        n_labels = np.array([len(reference) for reference in references])
        return 1.0 - float(weights @ edit_distances(references, predicted)) / float(weights @ n_labels)

    # What the base class asks

    def _default_encoder(self) -> Layer:
        return Chain([Conv1d(32, 5, causal=False), LSTM(64, bidirectional=True)])

    def _n_outputs(self) -> int:
        return 1 + len(self._vocabulary)

    def _read_targets(self, y: Any, n: int, name: str, *, learn: bool, classes: Any = None) -> Ragged:
        targets, kind = label_sequences(y, name)
        if len(targets) != n:
            raise ValueError(f"{name} has {len(targets)} targets, expected {n}, one for each sequence of X")
        if classes is not None:
            vocabulary = build_vocabulary([list(classes)], first_id=1, name="classes")
        elif learn:
            vocabulary = build_vocabulary(targets, first_id=1, name=name)
        if learn:
            if not vocabulary:
                raise ValueError(f"{name} holds no labels, expected at least one in one of the {n} targets")
            self._vocabulary, self._label_kind = vocabulary, kind
            self.classes_ = as_label_array(list(vocabulary))
        elif classes is not None and vocabulary != self._vocabulary:
            raise ValueError(
                f"classes is {classes!r}, expected those of the first call: {list(self._vocabulary)}"
            )
        return encode_tokens(targets, self._vocabulary, name=name)

    def _trainable(self, examples: Examples) -> Examples:
        # Encoders keep the lengths of their input, so who can be aligned is known before training.
        needed, frames = frames_needed(_labels_of(examples)), examples.x.lengths
        too_short = np.flatnonzero(needed > frames)
        if not len(too_short):
            return examples
        i = too_short[0]
        what = (
            f"{len(too_short)} of {len(examples)} sequences have fewer frames than their targets need, "
            f"first X[{i}]: it has {frames[i]} frames, y[{i}] needs {needed[i]}"
        )
        if len(too_short) == len(examples):
            raise ValueError(f"{what}; expected a frame for each label, and one between equal labels")
        warnings.warn(f"{what}. They are left out.", stacklevel=5)
        return examples.take(np.flatnonzero(needed <= frames))

    def _loss_and_options(self) -> Any:
        return self.loss

    def _class_weights(self, targets: Any) -> NDArray[np.float64] | None:
        if self.class_weight is None:
            return None
        unknown = [label for label in self.class_weight if label not in self._vocabulary]
        if unknown:
            raise ValueError(
                f"class_weight has label {unknown[0]!r}, expected labels of y: {list(self._vocabulary)}"
            )
        by_id = np.array([1.0, *(self.class_weight.get(label, 1.0) for label in self._vocabulary)])
        return np.array([by_id[labels].mean() if len(labels) else 1.0 for labels in targets])

    def _strata(self, examples: Examples) -> NDArray[Any]:
        return examples.x.lengths

    def _score_network(self, network: SequenceNetwork, examples: Examples) -> float:
        references = [labels.tolist() for labels in _labels_of(examples)]
        distances = edit_distances(references, [ids.tolist() for ids in read_greedily(network, examples.x)])
        weights = np.ones(len(examples)) if examples.weights is None else examples.weights
        n_labels = float(weights @ np.array([len(reference) for reference in references]))
        return 1.0 - float(weights @ distances) / max(n_labels, 1.0)


def _labels_of(examples: Examples) -> Ragged:
    assert isinstance(examples.targets, Ragged)
    return examples.targets
