"""What a generator's sequences are made of: symbols, levels of numbers, or numbers themselves."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyseq.estimators._corpus import MuLaw, Symbols, as_corpus, holds_numbers, read_and_wanted
from pyseq.estimators._input import read_sequences
from pyseq.estimators._values import RealValues, read_and_wanted_values
from pyseq.ragged import Ragged

__all__ = ["Alphabet", "as_users_have_it", "learn_alphabet", "read_corpus"]

Alphabet: TypeAlias = Symbols | MuLaw | RealValues


def learn_alphabet(estimator: Any, X: Any) -> Alphabet:
    """What occurs in X; sets the `n_features_in_` of the estimator, and what goes with it."""
    if estimator.values == "mu-law" and not holds_numbers(X):
        estimator._fitted_on_table, estimator.n_features_in_ = False, 1
        return Symbols(as_corpus(X, "X"), "X")
    x = _numbers(estimator, X, "X", reset=True)
    if estimator.values != "mu-law":
        return RealValues(x, estimator.dtype)
    largest = float(np.abs(x.values).max(initial=0.0))
    return MuLaw(int(estimator.n_levels), largest or 1.0)


def read_corpus(estimator: Any, alphabet: Alphabet, X: Any, name: str) -> tuple[Ragged, Ragged]:
    """What the network reads of each sequence, and what it is to say: the same one frame later."""
    if isinstance(alphabet, Symbols):
        return read_and_wanted(alphabet.encode(as_corpus(X, name), name), len(alphabet.all))
    x = _numbers(estimator, X, name, reset=False)
    if isinstance(alphabet, RealValues):
        return read_and_wanted_values(alphabet.encode(x))
    levels = Ragged(alphabet.levels_of(x.values[:, 0]), x.lengths)
    return read_and_wanted(levels, len(alphabet.all))


def as_users_have_it(alphabet: Alphabet, drawn: NDArray[Any]) -> Any:
    """A sequence of drawn tokens, -1 being none, or of drawn frames."""
    if isinstance(alphabet, RealValues):
        return alphabet.decode(drawn)
    return alphabet.decode(drawn[(drawn >= 0) & (drawn < len(alphabet.all))])


def _numbers(estimator: Any, X: Any, name: str, *, reset: bool) -> Ragged:
    x = read_sequences(estimator, X, reset=reset, dtype="float64", name=name)
    if estimator.values == "mu-law" and x.n_features != 1:
        raise ValueError(
            f"{name} has {x.n_features} features a frame, expected univariate sequences; "
            f'values="mixture" takes several'
        )
    return x
