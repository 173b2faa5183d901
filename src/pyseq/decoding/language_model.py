"""N-gram language models."""

from __future__ import annotations

import gzip
import os
import zipfile
import zlib
from collections.abc import Hashable, Mapping, Sequence
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pyseq import _core
from pyseq.decoding.labels import ClassLabels

__all__ = ["NGramLanguageModel"]

Unit = Literal["label", "word"]

_CHUNK = 4 << 20  # bytes read at once
_GZIP, _LN10 = b"\x1f\x8b", float(np.log(10.0))
_ARRAYS = ("word", "log10", "backoff", "begin", "suffix")
_FORMAT = 1  # of saved files
_MOST_AUTOMATA = 4  # kept for label sets met before


class NGramLanguageModel:
    """A backoff n-gram model of labels or of words, from an ARPA file [1]_.

    Made by :meth:`from_arpa`, or by :meth:`load` from what :meth:`save` wrote. A model does not change, and
    copies of it are itself: estimators that are cloned share it.

    Attributes
    ----------
    order : int
        Words of the longest n-grams.
    words : tuple of str
        Those of the model, with ``<s>``, ``</s>`` and ``<unk>`` if it has them.
    n_ngrams : int
        Of all lengths.
    unit : {"label", "word"}
        What a word of the model is: a label, or labels joined up to the delimiter of the search.

    References
    ----------
    .. [1] Katz: Estimation of probabilities from sparse data for the language model component of a speech
       recognizer, IEEE ASSP 35, 1987.

    Examples
    --------
    >>> import tempfile
    >>> from pyseq.decoding import NGramLanguageModel
    >>> text = r'''\\data\\
    ... ngram 1=4
    ... ngram 2=1
    ...
    ... \\1-grams:
    ... -99 <s> 0
    ... -0.6 </s>
    ... -0.6 a -0.3
    ... -0.3 b
    ...
    ... \\2-grams:
    ... -0.1 a b
    ...
    ... \\end\\
    ... '''
    >>> with tempfile.NamedTemporaryFile("w", suffix=".arpa") as file:
    ...     _ = file.write(text)
    ...     file.flush()
    ...     model = NGramLanguageModel.from_arpa(file.name)
    >>> model
    NGramLanguageModel(order=2, n_words=4, n_ngrams=5, unit='label')
    >>> [round(model.log10_prob(words, end=False), 6) for words in ("ab", "aa")]
    [-0.7, -1.5]
    """

    def __init__(
        self, model: _core.NgramModel, words: tuple[str, ...], unit: Unit, symbols: Mapping[Any, str] | None
    ) -> None:
        if unit not in ("label", "word"):
            raise ValueError(f"unit is {unit!r}, expected 'label' or 'word'")
        self._model, self.words, self.unit = model, words, unit
        self._numbers = {word: number for number, word in enumerate(words)}
        self._symbols = dict(symbols or {})
        self._automata: dict[Any, _core.Automaton] = {}
        self._spelling: _core.Spelling | None = None

    @classmethod
    def from_arpa(
        cls,
        path: str | os.PathLike[str],
        *,
        unit: Unit = "label",
        symbols: Mapping[Any, str] | None = None,
        unknown: float = -7.0,
    ) -> NGramLanguageModel:
        r"""Read an ARPA file, as SRILM, KenLM, MITLM and others write it.

        Parameters
        ----------
        path : str or path
            Plain text in UTF-8, or that compressed by gzip, whatever its name. n-grams may be in any order.
        unit : {"label", "word"}, default="label"
            What a word of the model is: a label (a character, a phone), or a word, spelled by labels between
            delimiters.
        symbols : dict, default=None
            How labels are written in the file where that is not ``str(label)``, as in ``{" ": "<space>"}``.
        unknown : float, default=-7.0
            log10 of the probability of words that are not in the model, if it has no ``<unk>``.

        Returns
        -------
        model : NGramLanguageModel

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is not a well-formed ARPA file; the message says in which line.
        """
        if not unknown <= 0:
            raise ValueError(f"unknown is {unknown!r}, expected the logarithm of a probability: 0 or less")
        reader = _core.ArpaReader()
        try:
            with _opened(path) as file:
                while chunk := file.read(_CHUNK):
                    reader.feed(chunk)
            model, text, ends = reader.finish()
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(
                f"{os.fspath(path)}: after line {reader.line} the compressed data break off: {error}"
            ) from None
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from None
        model.unknown = unknown
        return cls(model, _split(text, ends, path), unit, symbols)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a compact file, which loads in a fraction of the time that an ARPA file takes.

        Parameters
        ----------
        path : str or path
            As it is; ``.npz`` is the usual ending.
        """
        sizes, unknown, *arrays = self._model.state()
        symbols = [(str(label), symbol) for label, symbol in self._symbols.items()]
        with open(path, "wb") as file:
            np.savez(
                file,
                format=np.array(_FORMAT),
                sizes=np.array(sizes, dtype=np.int32),
                unknown=np.array(unknown, dtype=np.float32),
                words=np.frombuffer("\n".join(self.words).encode(), dtype=np.uint8),
                unit=np.array(self.unit),
                symbols=np.array(symbols, dtype=str).reshape(-1, 2),
                **dict(zip(_ARRAYS, arrays, strict=True)),
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> NGramLanguageModel:
        """Read what `save` wrote.

        Labels of `symbols` come back as strings.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is no saved model, or a damaged one.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                if int(file["format"]) != _FORMAT:
                    raise ValueError(f"its format is {int(file['format'])}, expected {_FORMAT}")
                sizes = [int(size) for size in file["sizes"]]
                model = _core.NgramModel(sizes, float(file["unknown"]), *(file[name] for name in _ARRAYS))
                words = tuple(bytes(file["words"]).decode().split("\n"))
                symbols = {str(label): str(symbol) for label, symbol in file["symbols"]}
                unit: Any = str(file["unit"])
        except (ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise ValueError(f"{os.fspath(path)} is no saved language model: {error}") from None
        if len(words) != sizes[1]:
            raise ValueError(
                f"{os.fspath(path)} is no saved language model: {len(words)} words for {sizes[1]}"
            )
        return cls(model, words, unit, symbols)

    @property
    def order(self) -> int:
        return self._model.order

    @property
    def n_ngrams(self) -> int:
        return self._model.n_ngrams

    def log10_prob(self, words: Sequence[Hashable], *, begin: bool = True, end: bool = True) -> float:
        """log10 of the probability of a sequence of words.

        Parameters
        ----------
        words : sequence of str or labels
            Words that are not in the model count as ``<unk>``.
        begin : bool, default=True
            After ``<s>``, if the model has it; False: after nothing in particular.
        end : bool, default=True
            Followed by ``</s>``, if the model has it.

        Returns
        -------
        log10_prob : float
        """
        state, total = self._model.start() if begin else 0, 0.0
        numbers = [self._number(word) for word in words]
        if end and "</s>" in self._numbers:
            numbers.append(self._numbers["</s>"])
        for number in numbers:
            log10, state = self._model.score(state, number)
            total += log10
        return total

    def __repr__(self) -> str:
        sizes = f"order={self.order}, n_words={len(self.words)}, n_ngrams={self.n_ngrams}"
        return f"NGramLanguageModel({sizes}, unit={self.unit!r})"

    def __copy__(self) -> NGramLanguageModel:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> NGramLanguageModel:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._model.state(), self.words, self.unit, self._symbols)

    def source(self, classes: ClassLabels, weight: float, bonus: float, delimiter: int) -> _core.Source:
        """The native form, for the labels of a model; delimiter -1: none."""
        if self.unit == "label":
            return _core.automaton_source(self._automaton(classes), weight, bonus)
        if delimiter < 0:
            raise ValueError(
                "delimiter is None, expected the label between words: language_model is one of words"
            )
        if self._spelling is None:
            text = [word.encode() for word in self.words]
            self._spelling = _core.Spelling(b"".join(text), np.cumsum([len(word) for word in text]))
        spelled = [
            b"" if c == classes.blank else self._symbol(x).encode() for c, x in enumerate(classes.labels)
        ]
        return _core.word_source(self._model, self._spelling, spelled, delimiter, weight, bonus)

    def _automaton(self, classes: ClassLabels) -> _core.Automaton:
        key = (classes.labels, classes.blank)
        if key not in self._automata:
            numbers = [-1 if c == classes.blank else self._number(x) for c, x in enumerate(classes.labels)]
            while len(self._automata) >= _MOST_AUTOMATA:
                self._automata.pop(next(iter(self._automata)), None)
            word_of = np.array(numbers, dtype=np.int32)
            self._automata[key] = _core.token_automaton(self._model, word_of, classes.blank)
        return self._automata[key]

    def _symbol(self, label: Hashable) -> str:
        symbol: str = self._symbols.get(label, label if isinstance(label, str) else str(label))
        return symbol

    def _number(self, label: Hashable) -> int:
        return self._numbers.get(self._symbol(label), -1)


def _restored(state: tuple[Any, ...], words: tuple[str, ...], unit: Unit, symbols: Any) -> NGramLanguageModel:
    sizes, unknown, *arrays = state
    return NGramLanguageModel(_core.NgramModel(list(sizes), unknown, *arrays), words, unit, symbols)


def _opened(path: str | os.PathLike[str]) -> IO[bytes]:
    with open(path, "rb") as file:
        packed = file.read(len(_GZIP)) == _GZIP
    unpack: Any = gzip.open if packed else open
    opened: IO[bytes] = unpack(path, "rb")
    return opened


def _split(text: bytes, ends: NDArray[np.int64], path: str | os.PathLike[str]) -> tuple[str, ...]:
    begin, words = 0, []
    for end in ends.tolist():
        try:
            words.append(text[begin:end].decode())
        except UnicodeDecodeError:
            raise ValueError(f"{os.fspath(path)}: the word {text[begin:end]!r} is not UTF-8") from None
        begin = end
    return tuple(words)
