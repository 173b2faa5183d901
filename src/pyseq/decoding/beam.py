"""Prefix beam search."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyseq import _core
from pyseq.decoding.base import Decoder
from pyseq.decoding.labels import ClassLabels, as_words
from pyseq.decoding.language_model import NGramLanguageModel
from pyseq.decoding.lexicon import Lexicon
from pyseq.decoding.scorers import ScoredStream, check_scorers
from pyseq.ops._frames import Frames
from pyseq.ops.ctc_decode import (
    MOST_PREFIXES,
    Hypothesis,
    as_hypotheses,
    best_of,
    check_count,
    check_min_log_prob,
    decode_beam,
    read_chunk,
)

__all__ = ["BeamSearch"]


class BeamSearch(Decoder):
    """Search for the most probable labels, keeping the best prefixes after each frame [1]_.

    The score of labels is

        log p(labels | logits) + language_model_weight * ln p(labels | language model) + word_bonus * words
        + boosts of hot words + scores of scorers

    where the first sums over all alignments that are in the beam. With a beam as wide as there are prefixes
    it is exact.

    Parameters
    ----------
    beam_width : int, default=32
        Prefixes kept after each frame. Of equal scores, those that were in the beam before go before new
        ones, these in the order of the prefix that they extend, then of their labels.
    min_log_prob : float or None, default=None
        A label whose log-probability in a frame is below this extends no prefix there, unless no class of
        the frame has a larger one; -7, for instance, saves time where classes are many. None: every label
        may.
    language_model : NGramLanguageModel, default=None
        Of labels or of words.
    language_model_weight : float, default=0.5
        Its weight, 0 or more.
    word_bonus : float, default=0.0
        Added for each word of the language model (for each label, if it is one of labels): against its
        liking of short transcriptions.
    lexicon : Lexicon or iterable of words, default=None
        Nothing but these words is read.
    hot_words : dict of word to boost, or iterable of words, default=None
        A boost is added wherever the word stands, as labels in sequence; with a delimiter, wherever it
        stands as a word, and it may have delimiters inside. A part of it is granted while the word is being
        spelled, and taken back if it is not completed. Negative boosts are for unwanted words.
    hot_word_boost : float, default=3.0
        Boost of hot words that come without one: so many times e is a word as probable as the logits say.
    delimiter : label or None, default=None
        What separates words for `lexicon`, `hot_words` and language models of words.
    scorers : list of Scorer, default=None
        Objects of the protocol :class:`pyseq.decoding.Scorer`. They are asked in every frame, in Python:
        some hundred times slower than all the above.

    Notes
    -----
    Results are the same to the bit for any number of threads, batch and padding, and for a stream cut
    anywhere.

    References
    ----------
    .. [1] Graves, Jaitly: Towards end-to-end speech recognition with recurrent neural networks, ICML 2014;
       Hannun et al.: First-pass large vocabulary continuous speech recognition using bi-directional
       recurrent DNNs, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from pyseq.decoding import BeamSearch
    >>> logits = np.log([[[0.6, 0.4], [0.6, 0.4]]])
    >>> [first, second] = BeamSearch(beam_width=4).decode(logits, labels=["", "a"], n_best=2)[0]
    >>> first.labels, second.labels, np.exp([first.score, second.score]).round(6)
    (array([1]), array([], dtype=int64), array([0.64, 0.36]))
    """

    def __init__(
        self,
        beam_width: int = 32,
        *,
        min_log_prob: float | None = None,
        language_model: NGramLanguageModel | None = None,
        language_model_weight: float = 0.5,
        word_bonus: float = 0.0,
        lexicon: Any = None,
        hot_words: Any = None,
        hot_word_boost: float = 3.0,
        delimiter: Hashable = None,
        scorers: Any = None,
    ) -> None:
        self.beam_width = beam_width
        self.min_log_prob = min_log_prob
        self.language_model = language_model
        self.language_model_weight = language_model_weight
        self.word_bonus = word_bonus
        self.lexicon = lexicon
        self.hot_words = hot_words
        self.hot_word_boost = hot_word_boost
        self.delimiter = delimiter
        self.scorers = scorers

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in super().__getstate__().items() if key != "_prepared"}

    def _decode(
        self, frames: Frames, classes: ClassLabels, n: int, timestamps: bool
    ) -> list[list[Hypothesis]]:
        decoder = self._native(classes, timestamps)
        scorers = check_scorers(self.scorers)
        if not scorers:
            return decode_beam(decoder, frames, n)
        found = []
        for start, length in zip(frames.starts.tolist(), frames.lengths.tolist(), strict=True):
            stream = ScoredStream(_native_stream(decoder, frames.rows.dtype), classes, scorers)
            stream.push(frames.rows[start : start + length])
            found += as_hypotheses(stream.best(n, True))
        return found

    def _start(self, classes: ClassLabels, dtype: str, timestamps: bool) -> BeamStream:
        native: Any = _native_stream(self._native(classes, timestamps), np.dtype(dtype))
        scorers = check_scorers(self.scorers)
        return BeamStream(ScoredStream(native, classes, scorers) if scorers else native, len(classes), dtype)

    def _native(self, classes: ClassLabels, timestamps: bool) -> _core.BeamDecoder:
        """The native search for these settings and labels: the one of the last call, if they are the same."""
        kind: Any = type(self)
        given = {name: _comparable(getattr(self, name)) for name in _parameters(kind)}
        given |= {"classes": (classes.labels, classes.blank), "timestamps": timestamps}
        prepared = self.__dict__.get("_prepared")
        if prepared is None or not _equal(prepared[0], given):
            kept = {name: dict(value) if isinstance(value, dict) else value for name, value in given.items()}
            prepared = kept, self._new_native(classes, self._settings(classes) | {"timestamps": timestamps})
            self._prepared = prepared
        native: _core.BeamDecoder = prepared[1]
        return native

    def _settings(self, classes: ClassLabels) -> dict[str, Any]:
        """Checked settings, as values that do not change."""
        model = self.language_model
        if model is not None and not isinstance(model, NGramLanguageModel):
            raise TypeError(f"language_model is {model!r}, expected an NGramLanguageModel or None")
        lexicon = self.lexicon
        if lexicon is not None and not isinstance(lexicon, Lexicon):
            lexicon = as_words(lexicon, "lexicon")
        return {
            "width": check_count(self.beam_width, "beam_width", MOST_PREFIXES),
            "least": check_min_log_prob(self.min_log_prob),
            "model": model,
            "weight": _number(self.language_model_weight, "language_model_weight", least=0.0),
            "bonus": _number(self.word_bonus, "word_bonus"),
            "lexicon": lexicon,
            "hot": self._boosts(),
            "delimiter": self._delimiter(classes),
            "external": bool(check_scorers(self.scorers)),
        }

    def _delimiter(self, classes: ClassLabels) -> int:
        return -1 if self.delimiter is None else classes.class_of(self.delimiter, "delimiter")

    def _boosts(self) -> tuple[tuple[Any, float], ...]:
        default = _number(self.hot_word_boost, "hot_word_boost")
        if self.hot_words is None:
            return ()
        if isinstance(self.hot_words, Mapping):
            words = as_words(list(self.hot_words), "hot_words")
            boosts = [_number(boost, f"hot_words[{word!r}]") for word, boost in self.hot_words.items()]
        else:
            words = as_words(self.hot_words, "hot_words")
            boosts = [default] * len(words)
        seen: dict[Any, int] = {}
        for i, word in enumerate(words):
            first = seen.setdefault(tuple(word), i)
            if first != i:
                raise ValueError(f"hot_words[{i}] is {word!r}, which is hot_words[{first}] again")
        return tuple(zip(words, boosts, strict=True))

    def _new_native(self, classes: ClassLabels, settings: dict[str, Any]) -> _core.BeamDecoder:
        delimiter, sources = settings["delimiter"], []
        if settings["model"] is not None:
            sources.append(
                settings["model"].source(classes, settings["weight"], settings["bonus"], delimiter)
            )
        if settings["lexicon"] is not None:
            lexicon = settings["lexicon"]
            lexicon = lexicon if isinstance(lexicon, Lexicon) else Lexicon(lexicon)
            sources.append(lexicon.source(classes, delimiter))
        if settings["hot"]:
            words, boosts = zip(*settings["hot"], strict=True)
            labels, lengths = classes.encode(words, "hot_words")
            values = np.array(boosts, dtype=np.float32)
            sources.append(_core.hot_word_source(labels, lengths, values, len(classes), delimiter))
        return _core.BeamDecoder(
            len(classes),
            classes.blank,
            settings["width"],
            settings["least"],
            settings["timestamps"],
            sources,
            settings["external"],
        )


class BeamStream:
    """A beam search over a sequence that comes in pieces."""

    def __init__(self, stream: Any, n_classes: int, dtype: str) -> None:
        self._stream, self._n_classes, self._dtype = stream, n_classes, np.dtype(dtype)

    def push(self, logits: ArrayLike) -> Hypothesis:
        """See :class:`pyseq.decoding.Stream`."""
        self._stream.push(read_chunk(logits, self._n_classes, self._dtype))
        return best_of(as_hypotheses(self._stream.best(1, False))[0])

    def finish(self, n_best: int | None = None) -> Any:
        """See :class:`pyseq.decoding.Stream`."""
        n = 1 if n_best is None else check_count(n_best, "n_best", MOST_PREFIXES)
        (found,) = as_hypotheses(self._stream.best(n, True))
        return best_of(found) if n_best is None else found


def _native_stream(decoder: _core.BeamDecoder, dtype: Any) -> _core.BeamStream32:
    return (_core.BeamStream32 if dtype == np.float32 else _core.BeamStream64)(decoder)


@cache
def _parameters(kind: Any) -> tuple[str, ...]:
    """Names that `get_params` has: it reads the signature of the constructor each time, 20 microseconds."""
    return tuple(kind._get_param_names())


def _comparable(value: Any) -> Any:
    """A parameter as it is now: later changes of a list or a set do not reach the copy. No copy of a dict."""
    return tuple(value) if isinstance(value, (list, set)) else value


def _equal(before: dict[str, Any], now: dict[str, Any]) -> bool:
    try:
        return before == now
    except ValueError:  # arrays among the words
        return False


def _number(value: Any, name: str, least: float = -math.inf) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {value!r}, expected a number") from None
    if not math.isfinite(number) or number < least:
        expected = "a finite number" if least == -math.inf else f"a finite number of at least {least:g}"
        raise ValueError(f"{name} is {value!r}, expected {expected}")
    return number
