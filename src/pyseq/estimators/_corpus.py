"""The door of the generator: sequences of symbols become what is read and what is to be predicted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseq._tokens import build_vocabulary, encode_tokens
from pyseq.ragged import Ragged

__all__ = [
    "MuLaw",
    "Symbols",
    "as_corpus",
    "as_symbols",
    "at_least_one",
    "holds_numbers",
    "read_and_wanted",
    "read_context",
]


def read_and_wanted(tokens: Ragged, end: int) -> tuple[Ragged, Ragged]:
    """Each sequence behind a start symbol, and before an end symbol: the same token, one behind the last.

    Returns
    -------
    x, targets : Ragged of tokens
        One frame longer than the sequences; frame t of `targets` is what follows frame t of `x`.

    Examples
    --------
    >>> x, targets = read_and_wanted(Ragged(np.array([0, 1]), [2]), end=2)
    >>> x.to_list(), targets.to_list()
    ([array([2, 0, 1])], [array([0, 1, 2])])
    """
    lengths = tokens.lengths + 1
    begins = np.cumsum(lengths) - lengths
    ends = begins + tokens.lengths
    read, wanted = np.empty((2, int(lengths.sum())), dtype=np.int64)
    inner = np.ones(len(read), dtype=bool)
    inner[ends] = False
    wanted[inner] = tokens.values.reshape(-1)
    wanted[ends] = end
    read[1:] = wanted[:-1]
    read[begins] = end
    return Ragged(read, lengths), Ragged(wanted, lengths)


def as_corpus(X: Any, name: str) -> list[Any]:
    """Sequences of symbols; a string is one."""
    if isinstance(X, str):
        return [X]
    if isinstance(X, bytes | dict) or not isinstance(X, Iterable):
        raise TypeError(f"{name} is {type(X).__name__}, expected a string, or a list of sequences of symbols")
    sequences = list(X)
    if not sequences:
        raise ValueError(f"{name} is empty, expected at least one sequence")
    return sequences


def as_symbols(stop: Any) -> Sequence[Any]:
    return stop if isinstance(stop, list | tuple) else [stop]


def at_least_one(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} is {value!r}, expected an integer of at least 1")
    return int(value)


class Symbols:
    """Hashable symbols as tokens, and back.

    Parameters
    ----------
    sequences : list of strings, or of lists, tuples or 1-D arrays of hashables
        What occurs in them is known.
    """

    def __init__(self, sequences: list[Any], name: str) -> None:
        self._tokens = build_vocabulary(sequences, name=name)
        self.all = list(self._tokens)
        self._strings = all(isinstance(sequence, str) for sequence in sequences)

    def encode(self, sequences: list[Any], name: str) -> Ragged:
        """Tokens; an error names the first symbol that is not known."""
        return encode_tokens(sequences, self._tokens, name=name)

    def decode(self, tokens: NDArray[np.int64]) -> Any:
        """A string if symbols came in strings, else a list."""
        symbols = [self.all[token] for token in tokens]
        return "".join(map(str, symbols)) if self._strings else symbols


class MuLaw:
    """Real numbers as one of `levels` tokens, finer near 0: the companding of telephones.

    ``level = round((f(x / scale) + 1) / 2 * mu)`` with ``f(x) = sign(x) ln(1 + mu |x|) / ln(1 + mu)`` and
    ``mu = levels - 1`` (ITU-T G.711; for networks, van den Oord et al. 2016). Beyond the scale, numbers count
    as the scale.
    """

    def __init__(self, levels: int, scale: float) -> None:
        self.levels, self.scale = levels, scale
        self.all = self.decode(np.arange(levels)).tolist()

    def encode(self, sequences: Sequence[Any], name: str) -> Ragged:
        """Tokens of sequences of finite numbers."""
        arrays = [np.asarray(values if len(values) else [], dtype=np.float64) for values in sequences]
        for i, values in enumerate(arrays):
            if values.ndim != 1 or not np.isfinite(values).all():
                raise ValueError(f"{name}[{i}] is {values!r}, expected finite numbers")
        return Ragged(self.levels_of(np.concatenate(arrays)), [len(values) for values in arrays])

    def levels_of(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Tokens of numbers."""
        mu = self.levels - 1
        x = np.clip(np.asarray(values, dtype=np.float64) / self.scale, -1, 1)
        f = np.sign(x) * np.log1p(mu * np.abs(x)) / np.log1p(mu)
        level: NDArray[np.int64] = np.rint((f + 1) / 2 * mu).astype(np.int64)
        return level

    def decode(self, tokens: NDArray[np.int64]) -> NDArray[np.float64]:
        """The number that each token stands for."""
        mu = self.levels - 1
        f = 2 * np.asarray(tokens, dtype=np.float64) / mu - 1
        values: NDArray[np.float64] = self.scale * np.sign(f) * np.expm1(np.abs(f) * np.log1p(mu)) / mu
        return values


def holds_numbers(X: Any) -> bool:
    """Whether X is of real numbers, not of symbols: an array or frame, or a list of floats or their arrays.

    Integers in lists are symbols.
    """
    if isinstance(X, Ragged) or hasattr(X, "toarray"):
        return True
    if isinstance(X, str | bytes | dict):
        return False
    if hasattr(X, "__array__") and (np.ndim(X) > 1 or np.asarray(X).dtype != object):
        return np.asarray(X).dtype.kind not in "US"
    first: Any = next(iter(X), None) if isinstance(X, Iterable) else None
    if isinstance(first, list | tuple):
        return bool(first) and isinstance(first[0], float)
    return hasattr(first, "dtype") and np.ndim(first) > 0 and np.asarray(first).dtype.kind == "f"


def read_context(context: Any, n: int, width: int, dtype: str, name: str) -> NDArray[Any] | None:
    """A condition for each of n sequences; a single one is for all of them.

    Raises
    ------
    ValueError
        If it is not (n, width) finite numbers, or None where `width` is not 0.
    """
    if context is None:
        if width:
            raise ValueError(f"{name} is None, expected {width} columns as in fit")
        return None
    rows = np.asarray(context, dtype=dtype)
    if rows.ndim == 1:
        rows = np.tile(rows, (n, 1))
    if rows.shape != (n, width):
        raise ValueError(f"{name} has shape {rows.shape}, expected ({n}, {width})")
    if not np.isfinite(rows).all():
        raise ValueError(f"{name} holds NaN or infinity, expected finite numbers")
    return rows
