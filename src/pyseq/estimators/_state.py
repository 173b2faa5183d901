"""What an estimator keeps beside its fitted attributes, and that it keeps it whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

__all__ = ["Resumption", "Seeds", "unchanged_on_error"]


@dataclass(frozen=True)
class Seeds:
    """Independent streams of random numbers for the parts of a fit, all from one draw of `random_state`."""

    entropy: tuple[int, ...]
    n_calls: int = 0
    """Calls of `partial_fit` made before, each of which has training numbers of its own."""

    @property
    def initial(self) -> np.random.SeedSequence:
        """For the initial weights."""
        return np.random.SeedSequence(self.entropy, spawn_key=(0,))

    @property
    def split(self) -> np.random.SeedSequence:
        """For the validation part."""
        return np.random.SeedSequence(self.entropy, spawn_key=(1,))

    @property
    def training(self) -> np.random.SeedSequence:
        """For the order of the batches and for dropout."""
        return np.random.SeedSequence(self.entropy, spawn_key=(2, self.n_calls))

    def next(self) -> Seeds:
        """For the next call of `partial_fit`."""
        return replace(self, n_calls=self.n_calls + 1)


@dataclass(frozen=True)
class Resumption:
    """What `partial_fit` goes on from besides the weights."""

    optimizer_state: Mapping[str, Any]
    seeds: Seeds


@contextmanager
def unchanged_on_error(estimator: Any) -> Iterator[None]:
    """Put all attributes back as they were if the block raises: no fit leaves half of a model behind."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
