"""A language model: how likely sequences of symbols or numbers are, and new ones drawn from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import DensityMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from pyseq.estimators._alphabets import Alphabet, as_users_have_it, learn_alphabet, read_corpus
from pyseq.estimators._base import SequenceEstimator
from pyseq.estimators._corpus import as_symbols, at_least_one, read_context
from pyseq.estimators._generation import check_choice, check_prompt, draw_symbols, draw_values
from pyseq.estimators._networks import density_of, new_network
from pyseq.estimators._state import unchanged_on_error
from pyseq.estimators._values import RealValues
from pyseq.layers import LSTM, Layer
from pyseq.ragged import Ragged
from pyseq.training.language import DensityNetwork, LanguageNetwork
from pyseq.training.loop import TrainingDivergedError, fit_network
from pyseq.training.optimizers import make_optimizer
from pyseq.training.windows import Windows

__all__ = ["SequenceGenerator"]


class SequenceGenerator(DensityMixin, SequenceEstimator):
    """Autoregressive model of sequences: it predicts each symbol, or number, from those before it.

    Symbols are the characters of strings, or any hashables in lists. A sequence begins with a start symbol
    and is ended by an end symbol of the model's own. Real numbers (a 2-D array of univariate sequences, or a
    list of float arrays) are turned into symbols, or modelled by their density: `values`.

    Parameters
    ----------
    encoder : Layer, default=None
        Any causal layer or chain of layers. None: ``LSTM(256)``.
    values : {"mu-law", "gaussian", "mixture"}, default="mu-law"
        How real numbers are modelled. "mu-law": each becomes one of `n_levels` symbols, finer near 0.
        "gaussian" and "mixture": sequences are of numbers, integers too; the next frame, of one feature or
        several, has a Gaussian density, or that of a mixture of `n_components` (Bishop 1994), whose means and
        scales the network puts out; frames are standardised inside. Such a sequence follows a frame of means,
        and does not end by itself. What is drawn stays within the range of the training data, widened on each
        side by its width.
    n_components : int, default=10
        Gaussians of a "mixture".
    embedding_dim : int, default=64
        Numbers that a symbol is turned into before the encoder sees it.
    n_levels : int, default=256
        Symbols that real numbers are rounded to by "mu-law".
    tie_weights : bool, default=False
        Use the embedding as the output's weight, too (Press & Wolf 2017). The encoder must then put out
        `embedding_dim` columns.
    tbptt_steps : int, default=128
        Symbols that gradients go back over (truncated backpropagation through time: Williams & Peng 1990).
    carry_state : bool, default=True
        Whether a window of a longer sequence knows what was before it. Recurrent layers go on from their
        state. An encoder of convolutions alone reads the frames it can see before the window once more,
        ``receptive_field - 1`` of them: let `tbptt_steps` be no less, or most of the work goes there.
    solver, learning_rate_init, learning_rate, alpha, max_iter, shuffle, tol, n_iter_no_change, \
early_stopping, max_grad_norm, warm_start, verbose, random_state, dtype, device, callbacks
        As in :class:`SequenceClassifier`. `max_iter` counts passes over all symbols.
    batch_size : int, default=32
        Windows that are trained on together. A sequence longer than its share of all symbols is cut into
        parts, at other places in every epoch.
    validation_fraction : float, default=0.1
        Part that is held out for `early_stopping`: of the sequences, or of the end of each where there are
        fewer than 10.

    Attributes
    ----------
    symbols_ : list
        What the model knows, in the order of its tokens; for real numbers, the values of the levels, and
        empty where it has densities.
    network_ : LanguageNetwork or DensityNetwork
    n_iter_, loss_, loss_curve_, validation_scores_, n_parameters_
        `loss_` in nats a symbol, or a standardised frame; `validation_scores_` as `score`.

    Examples
    --------
    >>> from pyseq import SequenceGenerator
    >>> from pyseq.layers import GRU
    >>> model = SequenceGenerator(GRU(16), embedding_dim=8, learning_rate_init=0.02, random_state=0)
    >>> model.fit(["abcabcabcabc"] * 8).generate(prompt="ab", length=4, top_k=1)
    'cabc'
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **SequenceEstimator._parameter_constraints,
        "values": [StrOptions({"mu-law", "gaussian", "mixture"})],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "embedding_dim": [Interval(Integral, 1, None, closed="left")],
        "n_levels": [Interval(Integral, 2, None, closed="left")],
        "tie_weights": ["boolean"],
        "tbptt_steps": [Interval(Integral, 1, None, closed="left")],
        "carry_state": ["boolean"],
    }
    del _parameter_constraints["standardize"]

    _loss = "softmax_cross_entropy"
    standardize = False
    network_: Any
    symbols_: list[Any]
    _alphabet: Alphabet

    def __init__(
        self,
        encoder: Layer | None = None,
        *,
        values: str = "mu-law",
        n_components: int = 10,
        embedding_dim: int = 64,
        n_levels: int = 256,
        tie_weights: bool = False,
        tbptt_steps: int = 128,
        carry_state: bool = True,
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
        self.encoder = encoder
        self.values = values
        self.n_components = n_components
        self.embedding_dim = embedding_dim
        self.n_levels = n_levels
        self.tie_weights = tie_weights
        self.tbptt_steps = tbptt_steps
        self.carry_state = carry_state
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

    def _default_encoder(self) -> Layer:
        return LSTM(256)

    def fit(
        self, X: Any, y: Any = None, *, context: Any = None, X_val: Any = None, context_val: Any = None
    ) -> SequenceGenerator:
        """Learn what follows what.

        Parameters
        ----------
        X : str, list of strings, list of lists or tuples of hashable symbols, or real numbers
            A string is one sequence. Real numbers: a list of 1-D float arrays, an (n, T) array of n
            sequences, or a Ragged of one feature; for densities also of (T_i, n_features) arrays.
        y : ignored
        context : array of shape (n_sequences, n_context), optional
            A condition for each sequence, which the model sees beside every symbol.
        X_val, context_val : like `X` and `context`, optional
            Held-out sequences, scored after each epoch.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is nothing to learn from, or a setting is out of range.
        TrainingDivergedError
            If the loss became NaN or infinite; the last good weights are kept.
        """
        divergence = None
        with unchanged_on_error(self):
            self._validate_params()
            goes_on = self.warm_start and hasattr(self, "network_")
            training, validation = self._read_windows(X, context, X_val, context_val, learn=not goes_on)
            seeds = self._new_seeds()
            if self.early_stopping and validation is None:
                training, validation = training.split(
                    self.validation_fraction, np.random.default_rng(seeds.split)
                )
            network: Any = (
                self._copied_network()
                if goes_on
                else new_network(self, self._alphabet, self._n_context, np.random.default_rng(seeds.initial))
            )
            training = replace(training, reach=network.reach)
            optimizer = make_optimizer(self.solver, network.flat_parameters(), weight_decay=float(self.alpha))
            try:
                history = fit_network(
                    network,
                    training,
                    self._settings(n_epochs=None),
                    np.random.default_rng(seeds.training),
                    optimizer=optimizer,
                    validate=None
                    if validation is None
                    else partial(_mean_log_likelihood, network, validation),
                    callbacks=[*self._progress_bar(), *(self.callbacks or ())],
                )
            except TrainingDivergedError as error:
                if not error.weights_kept:
                    raise
                divergence, history = error, error.history
            self._keep(network, history, goes_on)
        if divergence is not None:
            raise divergence
        return self

    def score_samples(self, X: Any, *, context: Any = None) -> NDArray[np.float64]:
        """Log-likelihood of each sequence in nats: of its symbols and its end, or the density of its numbers.

        Parameters
        ----------
        X, context : as in `fit`

        Returns
        -------
        array of shape (n_sequences,)
        """
        corpus = self._new_windows(X, context)
        return np.asarray(self.network_.log_likelihoods(corpus.x, corpus.targets, corpus.context))

    def score(self, X: Any, y: Any = None, *, context: Any = None) -> float:
        """Mean log-likelihood in nats: a symbol, where ends count as symbols, or a frame of numbers."""
        corpus = self._new_windows(X, context)
        return _mean_log_likelihood(self.network_, corpus)

    def perplexity(self, X: Any, *, context: Any = None) -> float:
        """exp of the mean negative log-likelihood a symbol: among how many the model is in doubt.

        For densities it has a unit: that of the numbers, to the power of the features of a frame.
        """
        return float(np.exp(-self.score(X, context=context)))

    def generate(
        self,
        prompt: Any = "",
        length: int = 100,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        stop: Any = None,
        n_samples: int | None = None,
        context: Any = None,
        random_state: Any = None,
        callback: Callable[[Any], Any] | None = None,
    ) -> Any:
        """Draw what goes on from a prompt.

        With ``config_context(precision="medium")`` around the call, weights are read in bfloat16: up to twice
        as many symbols a second, from slightly other probabilities.

        Parameters
        ----------
        prompt : string, list of symbols, or array of numbers
            What the sequences begin with; it is not returned.
        length : int
            The most symbols to draw; a sequence may end by itself before. Numbers: so many frames.
        temperature : float above 0
            Below 1 the likely symbols become likelier, above 1 less so. For densities, the factor of the
            variances, and of the inverse log-weights of a mixture.
        top_k : int, optional
            Draw among the most probable so many symbols.
        top_p : float in (0, 1], optional
            Draw among the fewest most probable that hold so much of the probability (Holtzman et al. 2020).
        stop : symbol, or list of symbols, optional
            A sequence ends where one of these is drawn; it is the last that is returned.
        n_samples : int, optional
            Draw so many sequences and return a list of them.
        context : array of shape (n_context,), or (n_samples, n_context)
            The condition, for a model that was fitted with one.
        random_state : int, RandomState or None
            None: other sequences every time.
        callback : callable, optional
            Called with each symbol, or frame, as soon as it is drawn, or with the list of those of all
            samples, in which None stands for a sequence that has ended.

        Returns
        -------
        sequence, or list of n_samples sequences
            Strings if the model was fitted on strings, arrays if on real numbers, (length,) or
            (length, n_features), else lists of symbols.

        Raises
        ------
        ValueError
            If a symbol is unknown, a setting is out of range, or the prompt is longer than the window of a
            `Memoryless` encoder.
        """
        check_is_fitted(self)
        samples = 1 if n_samples is None else at_least_one(n_samples, "n_samples")
        length = at_least_one(length, "length")
        check_choice(temperature, top_k, top_p)
        rows = read_context(context, samples, self._n_context, self.dtype, "context")
        hear = None if callback is None else partial(self._tell, callback, n_samples is None)
        if isinstance(self._alphabet, RealValues):
            for name, value in (("top_k", top_k), ("top_p", top_p), ("stop", stop)):
                if value is not None:
                    raise ValueError(f"{name} is {value!r}, expected None: a density has no symbols")
            begin = self._alphabet.prompt(prompt)
            draw = partial(draw_values, temperature=temperature, limits=self._alphabet.limits)
        else:
            begin = np.array([self._end, *self._known(prompt, "prompt")], dtype=np.int64)
            stops = [self._end, *self._known([] if stop is None else as_symbols(stop), "stop")]
            draw = partial(
                draw_symbols, temperature=temperature, top_k=top_k, top_p=top_p, stops=stops, end=self._end
            )
        check_prompt(len(begin) - 1, self.network_.encoder)
        drawn = draw(
            self.network_, begin, samples, length, context=rows, random_state=random_state, hear=hear
        )
        sequences = [as_users_have_it(self._alphabet, row) for row in drawn]
        return sequences[0] if n_samples is None else sequences

    # Inside

    @property
    def _end(self) -> int:
        """The token of the start and of the end: no symbol's."""
        return len(self.symbols_)

    def _tell(self, callback: Callable[[Any], Any], single: bool, drawn: NDArray[Any]) -> None:
        """Tokens or frames of all samples, as users have them."""
        if isinstance(self._alphabet, RealValues):
            said = list(self._alphabet.decode(drawn))
        else:
            said = [None if token < 0 else self.symbols_[token] for token in drawn.tolist()]
        callback(said[0] if single else said)

    def _known(self, symbols: Any, name: str) -> list[int]:
        """Tokens of symbols that must be known."""
        assert not isinstance(self._alphabet, RealValues)
        tokens: list[int] = self._alphabet.encode([symbols], name)[0].tolist()
        return tokens

    def _read_windows(
        self, X: Any, context: Any, X_val: Any, context_val: Any, *, learn: bool
    ) -> tuple[Windows, Windows | None]:
        if learn:
            self._alphabet = learn_alphabet(self, X)
            self.symbols_ = [] if isinstance(self._alphabet, RealValues) else self._alphabet.all
            self._n_context = 0 if context is None else np.atleast_2d(np.asarray(context)).shape[1]
        training = self._windows(X, "X", context, "context")
        if training.x.n_frames == len(training.x) and not isinstance(self._alphabet, RealValues):
            raise ValueError("X holds no symbols, expected at least one sequence that is not empty")
        if X_val is None:
            return training, None
        return training, self._windows(X_val, "X_val", context_val, "context_val")

    def _new_windows(self, X: Any, context: Any) -> Windows:
        check_is_fitted(self)
        return self._windows(X, "X", context, "context")

    def _windows(self, X: Any, name: str, context: Any, context_name: str) -> Windows:
        x, targets = read_corpus(self, self._alphabet, X, name)
        rows = read_context(context, len(x), self._n_context, self.dtype, context_name)
        return Windows(x, targets, None, steps=int(self.tbptt_steps), context=rows)

    def _loss_and_options(self) -> Any:
        alphabet = self._alphabet
        return repr(density_of(self, alphabet)) if isinstance(alphabet, RealValues) else self._loss


def _mean_log_likelihood(network: LanguageNetwork | DensityNetwork, corpus: Windows) -> float:
    assert isinstance(corpus.targets, Ragged)
    total = network.log_likelihoods(corpus.x, corpus.targets, corpus.context).sum()
    return float(total) / int(corpus.x.lengths.sum())
