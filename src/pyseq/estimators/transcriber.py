"""A sequence of labels for each sequence, without known positions."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import StrOptions

from pyseq import ops
from pyseq._tokens import build_vocabulary, encode_tokens
from pyseq.decoding import Decoder, GreedySearch
from pyseq.estimators._alignment import aligned
from pyseq.estimators._base import SequenceEstimator
from pyseq.estimators._input import is_rectangular, read_sample_weight
from pyseq.estimators._labels import LabelKind, as_label_array, label_sequences
from pyseq.estimators._transcripts import (
    BLANK,
    Transcript,
    as_text,
    as_transcript,
    decoded,
    most_probable_single,
    read_greedily,
)
from pyseq.layers import LSTM, Chain, Conv1d, Layer
from pyseq.metrics import character_error_rate, edit_distances
from pyseq.ops import Alignment
from pyseq.ragged import Ragged
from pyseq.training.examples import Examples
from pyseq.training.losses import frames_needed, softmax
from pyseq.training.network import SequenceNetwork

__all__ = ["CTCTranscriber"]


class CTCTranscriber(SequenceEstimator):
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
        **SequenceEstimator._parameter_constraints,
        "decoder": [Decoder, None],
        "loss": [StrOptions({"ctc"}), tuple, list],
        "class_weight": [dict, None],
    }

    classes_: NDArray[Any]
    _vocabulary: dict[Any, int]
    _label_kind: LabelKind

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

    def predict(self, X: Any) -> NDArray[Any]:
        """Transcribe, by the decoder.

        Parameters
        ----------
        X : as for `fit`

        Returns
        -------
        transcriptions : object ndarray of shape (n,)
            Strings if fitted on strings, else lists of labels. Fitted on single labels: an ndarray of shape
            (n,) of them.
        """
        x = self._read_new(X)
        if self._label_kind == "single":
            return self.classes_[most_probable_single(self.network_, x)]
        symbols = self._symbols()
        transcriptions = np.empty(len(x), dtype=object)
        greedy = self.decoder is None or type(self.decoder) is GreedySearch  # whose scores nobody asks for
        if greedy:
            read = read_greedily(self.network_, x)
        else:
            read = [best.labels for [best] in self._decoded(x, 1, timestamps=False)]
        for i, labels in enumerate(read):
            text = [symbols[k] for k in labels.tolist()]
            transcriptions[i] = as_text(text, self._label_kind == "string")
        return transcriptions

    def predict_nbest(self, X: Any, n: int = 5, *, timestamps: bool = False) -> NDArray[Any]:
        """The most probable transcriptions of each sequence.

        Parameters
        ----------
        X : as for `fit`
        n : int, default=5
            How many at most. A decoder may find fewer; greedy decoding has one.
        timestamps : bool, default=False
            Whether to tell where the labels are.

        Returns
        -------
        transcripts : object ndarray of shape (n_sequences,)
            Lists of transcripts as `transcribe` gives them, best first.
        """
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
            raise ValueError(f"n is {n!r}, expected a positive int")
        x = self._read_new(X)
        transcripts = np.empty(len(x), dtype=object)
        for i, found in enumerate(self._decoded(x, int(n), timestamps)):
            transcripts[i] = [self._transcript(hypothesis, timestamps) for hypothesis in found]
        return transcripts

    def transcribe(self, X: Any, *, timestamps: bool = False) -> list[Transcript]:
        """Transcribe, with scores and perhaps places.

        Parameters
        ----------
        X : as for `fit`
        timestamps : bool, default=False
            Whether to tell in which frames each label is, and how sure it is.

        Returns
        -------
        transcripts : list of n Transcript
            Each with `text`, the `score`, which is a logarithm of a probability, and `spans`: for each label
            (label, start, end, confidence), frames counted from 0, `end` being the one after the last. None
            without `timestamps`.

        Examples
        --------
        >>> import numpy as np
        >>> from pyseq import LSTM, CTCTranscriber
        >>> X = [np.repeat([0.0, 1.0, 0.0, -1.0, 0.0], 3), np.repeat([0.0, -1.0, 0.0], 3)] * 10
        >>> model = CTCTranscriber(LSTM(8), max_iter=80, learning_rate_init=0.05, random_state=0)
        >>> [up_down, down] = model.fit(X, ["ud", "d"] * 10).transcribe(X[:2], timestamps=True)
        >>> up_down.text, [span.label for span in up_down.spans], down.spans[0].start < down.spans[0].end
        ('ud', ['u', 'd'], True)
        """
        x = self._read_new(X)
        return [self._transcript(best, timestamps) for [best] in self._decoded(x, 1, timestamps)]

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Posterior probabilities of blank and labels in each frame.

        Parameters
        ----------
        X : as for `fit`

        Returns
        -------
        posteriors : object ndarray of shape (n,), or ndarray of shape (n, T, 1 + n_labels)
            For each sequence an array (T_i, 1 + n_labels): the blank, then the labels in the order of
            `classes_`. One array if X is one.
        """
        rectangular = is_rectangular(X)
        x = self._read_new(X)
        posteriors = np.empty(len(x), dtype=object)
        for indices, logits in self.network_.predict(x):
            for i, frames in zip(indices, logits.with_values(softmax(logits.values)), strict=True):
                posteriors[i] = frames
        return np.stack(posteriors.tolist()) if rectangular else posteriors

    def align(self, X: Any, y: Any) -> list[Alignment]:
        """Where in each sequence the labels of its known transcription lie.

        Parameters
        ----------
        X, y : as for `fit`

        Returns
        -------
        alignments : list of n :class:`pyseq.ops.Alignment`
            With `spans`, first frame and the one after the last of each label; `confidences`, the mean
            probability of each label over its frames; `score`, the log-probability; and `classes` of all
            frames, 0 for the blank and i + 1 for ``classes_[i]``. A sequence with too few frames for its
            labels has spans of -1 and a score of -inf. :func:`pyseq.plotting.plot_alignment` draws them.

        Raises
        ------
        ValueError
            If y has other labels than `fit` saw, or there is not one target for each sequence.
        """
        x = self._read_new(X)
        targets = self._read_targets(y, len(x), "y", learn=False)
        return aligned(self.network_, x, targets, BLANK)

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

    def _decoded(self, x: Ragged, n: int, timestamps: bool) -> list[list[ops.Hypothesis]]:
        return decoded(self.decoder, self.network_, self._symbols(), x, n, timestamps)

    def _transcript(self, hypothesis: ops.Hypothesis, timestamps: bool) -> Transcript:
        return as_transcript(hypothesis, self._symbols(), self._label_kind == "string", timestamps)

    def _symbols(self) -> list[Any]:
        """The label of each output of the network; the first is the blank."""
        return [None, *self._vocabulary]

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
