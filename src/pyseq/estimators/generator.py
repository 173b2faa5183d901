"""A language model: how likely sequences of symbols are, and new ones drawn from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import DensityMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from pyseq.estimators._base import SequenceEstimator
from pyseq.estimators._corpus import (
    MuLaw,
    Symbols,
    as_corpus,
    as_symbols,
    at_least_one,
    holds_numbers,
    read_and_wanted,
    read_context,
)
from pyseq.estimators._input import read_sequences
from pyseq.estimators._state import Seeds, unchanged_on_error
from pyseq.layers import LSTM, Layer
from pyseq.ragged import Ragged
from pyseq.training.language import LanguageNetwork
from pyseq.training.loop import TrainingDivergedError, fit_network
from pyseq.training.optimizers import make_optimizer
from pyseq.training.windows import Windows

__all__ = ["SequenceGenerator"]


class SequenceGenerator(DensityMixin, SequenceEstimator):
    """Autoregressive model of sequences: it predicts each symbol from those before it.

    Symbols are the characters of strings, or any hashables in lists. Real numbers (a 2-D array of univariate
    sequences, or a list of float arrays) become one of `n_levels` symbols each by mu-law companding. A
    sequence begins with a start symbol and is ended by an end symbol of the model's own.

    Parameters
    ----------
    encoder : Layer, default=None
        Any causal layer or chain of layers. None: ``LSTM(256)``.
    embedding_dim : int, default=64
        Numbers that a symbol is turned into before the encoder sees it.
    n_levels : int, default=256
        Symbols that real numbers are rounded to.
    tie_weights : bool, default=False
        Use the embedding as the output's weight, too (Press & Wolf 2017). The encoder must then put out
        `embedding_dim` columns.
    tbptt_steps : int, default=128
        Symbols that gradients go back over (truncated backpropagation through time: Williams & Peng 1990).
    carry_state : bool, default=True
        Whether the encoder's state goes on from window to window of a longer sequence. Convolutions keep
        none: their windows begin from nothing.
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
        What the model knows, in the order of its tokens; for real numbers, the values of the levels.
    network_ : LanguageNetwork
    n_iter_, loss_, loss_curve_, validation_scores_, n_parameters_
        `loss_` in nats a symbol; `validation_scores_` the mean log-likelihood a symbol.

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
        "embedding_dim": [Interval(Integral, 1, None, closed="left")],
        "n_levels": [Interval(Integral, 2, None, closed="left")],
        "tie_weights": ["boolean"],
        "tbptt_steps": [Interval(Integral, 1, None, closed="left")],
        "carry_state": ["boolean"],
    }
    del _parameter_constraints["standardize"]

    _loss = "softmax_cross_entropy"
    standardize = False
    network_: LanguageNetwork  # type: ignore[assignment]
    symbols_: list[Any]
    _alphabet: Symbols | MuLaw

    def __init__(
        self,
        encoder: Layer | None = None,
        *,
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
            sequences, or a Ragged of one feature.
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
            training, validation = self._read_corpus(X, context, X_val, context_val, learn=not goes_on)
            seeds = self._new_seeds()
            if self.early_stopping and validation is None:
                training, validation = training.split(
                    self.validation_fraction, np.random.default_rng(seeds.split)
                )
            network: Any = self._copied_network() if goes_on else self._new_language_network(training, seeds)
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
        """Log-likelihood of each sequence in nats, its end included.

        Parameters
        ----------
        X, context : as in `fit`

        Returns
        -------
        array of shape (n_sequences,)
        """
        check_is_fitted(self)
        corpus = self._windows(self._tokens_of(X, "X"), context, "context")
        assert isinstance(corpus.targets, Ragged)
        return self.network_.log_likelihoods(corpus.x, corpus.targets, corpus.context)

    def score(self, X: Any, y: Any = None, *, context: Any = None) -> float:
        """Mean log-likelihood a symbol, in nats; ends count as symbols."""
        check_is_fitted(self)
        return _mean_log_likelihood(self.network_, self._windows(self._tokens_of(X, "X"), context, "context"))

    def perplexity(self, X: Any, *, context: Any = None) -> float:
        """exp of the mean negative log-likelihood a symbol: among how many the model is in doubt."""
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
        prompt : string or list of symbols
            What the sequences begin with; it is not returned.
        length : int
            The most symbols to draw; a sequence may end by itself before.
        temperature : float above 0
            Below 1 the likely symbols become likelier, above 1 less so.
        top_k : int, optional
            Draw among the most probable so many.
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
            Called with each symbol as soon as it is drawn, or with the list of those of all samples, in
            which None stands for a sequence that has ended.

        Returns
        -------
        sequence, or list of n_samples sequences
            Strings if the model was fitted on strings, arrays if on real numbers, else lists of symbols.
        """
        check_is_fitted(self)
        samples = 1 if n_samples is None else at_least_one(n_samples, "n_samples")
        length = at_least_one(length, "length")
        if not (np.isreal(temperature) and 0 < temperature < np.inf):
            raise ValueError(f"temperature is {temperature!r}, expected a finite number above 0")
        if top_k is not None:
            at_least_one(top_k, "top_k")
        if top_p is not None and not 0 < top_p <= 1:
            raise ValueError(f"top_p is {top_p!r}, expected a number in (0, 1]")
        tokens = np.array([self._end, *self._known(prompt, "prompt")], dtype=np.int64)
        stops = [self._end, *self._known([] if stop is None else as_symbols(stop), "stop")]
        rows = read_context(context, samples, self._n_context, self.dtype, "context")
        stream, logits = self.network_.stream(samples, rows)
        uniforms = check_random_state(random_state).random_sample((length, samples))
        draw = partial(
            stream.generate, frame=logits, temperature=temperature, top_k=top_k, top_p=top_p, stops=stops
        )
        begin = np.tile(tokens, (samples, 1))
        if callback is None:
            drawn = draw(begin, uniforms)
        else:
            drawn = self._draw_one_by_one(draw, begin, uniforms, stops, callback, n_samples is None)
        sequences = [self._decoded(row) for row in drawn]
        return sequences[0] if n_samples is None else sequences

    # Inside

    @property
    def _end(self) -> int:
        """The token of the start and of the end: no symbol's."""
        return len(self.symbols_)

    def _draw_one_by_one(
        self,
        draw: Callable[..., NDArray[np.int64]],
        begin: NDArray[np.int64],
        uniforms: NDArray[np.float64],
        stops: Sequence[int],
        callback: Callable[[Any], Any],
        single: bool,
    ) -> NDArray[np.int64]:
        drawn = np.full((len(begin), len(uniforms)), -1, dtype=np.int64)
        done = np.zeros(len(begin), dtype=bool)
        for i, u in enumerate(uniforms):
            column = draw(begin, u[np.newaxis])[:, 0]
            drawn[~done, i] = column[~done]
            said = [
                None if over or t == self._end else self.symbols_[t]
                for over, t in zip(done, column, strict=True)
            ]
            if any(symbol is not None for symbol in said):
                callback(said[0] if single else said)
            done |= np.isin(column, stops)
            if done.all():
                break
            begin = column[:, np.newaxis]
        return drawn

    def _decoded(self, tokens: NDArray[np.int64]) -> Any:
        return self._alphabet.decode(tokens[(tokens >= 0) & (tokens < self._end)])

    def _known(self, symbols: Any, name: str) -> list[int]:
        """Tokens of symbols that must be known."""
        tokens: list[int] = self._alphabet.encode([symbols], name)[0].tolist()
        return tokens

    def _read_corpus(
        self, X: Any, context: Any, X_val: Any, context_val: Any, *, learn: bool
    ) -> tuple[Windows, Windows | None]:
        if learn:
            self._learn_symbols(X)
            self._n_context = 0 if context is None else np.atleast_2d(np.asarray(context)).shape[1]
        tokens = self._tokens_of(X, "X")
        if not tokens.n_frames:
            raise ValueError("X holds no symbols, expected at least one sequence that is not empty")
        training = self._windows(tokens, context, "context")
        if X_val is None:
            return training, None
        return training, self._windows(self._tokens_of(X_val, "X_val"), context_val, "context_val")

    def _learn_symbols(self, X: Any) -> None:
        if holds_numbers(X):
            x = self._numbers(X, "X", reset=True)
            largest = float(np.abs(x.values).max(initial=0.0))
            self._alphabet = MuLaw(int(self.n_levels), largest or 1.0)
        else:
            self._alphabet = Symbols(as_corpus(X, "X"), "X")
            self._fitted_on_table, self.n_features_in_ = False, 1
        self.symbols_ = self._alphabet.all

    def _tokens_of(self, X: Any, name: str) -> Ragged:
        if isinstance(self._alphabet, Symbols):
            return self._alphabet.encode(as_corpus(X, name), name)
        x = self._numbers(X, name, reset=False)
        return Ragged(self._alphabet.levels_of(x.values[:, 0]), x.lengths)

    def _numbers(self, X: Any, name: str, *, reset: bool) -> Ragged:
        x = read_sequences(self, X, reset=reset, dtype="float64", name=name)
        if x.n_features != 1:
            raise ValueError(f"{name} has {x.n_features} features a frame, expected univariate sequences")
        return x

    def _windows(self, tokens: Ragged, context: Any, context_name: str) -> Windows:
        x, targets = read_and_wanted(tokens, self._end)
        rows = read_context(context, len(x), self._n_context, self.dtype, context_name)
        return Windows(x, targets, None, steps=int(self.tbptt_steps), context=rows)

    def _new_language_network(self, training: Windows, seeds: Seeds) -> LanguageNetwork:
        encoder = clone(self._encoder())
        if encoder.takes_tokens:
            raise ValueError(
                f"encoder {encoder!r} takes tokens, expected one without an Embedding: it is built in"
            )
        return LanguageNetwork(
            encoder,
            len(self.symbols_) + 1,
            embedding_dim=int(self.embedding_dim),
            n_context=self._n_context,
            tie_weights=self.tie_weights,
            carry=self.carry_state,
            dtype=self.dtype,
            rng=np.random.default_rng(seeds.initial),
        )


def _mean_log_likelihood(network: LanguageNetwork, corpus: Windows) -> float:
    assert isinstance(corpus.targets, Ragged)
    total = network.log_likelihoods(corpus.x, corpus.targets, corpus.context).sum()
    return float(total) / int(corpus.x.lengths.sum())
