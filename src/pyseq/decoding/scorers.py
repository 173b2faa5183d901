"""What users write in Python to have a say in a search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyseq import _core
from pyseq.decoding.labels import ClassLabels

__all__ = ["ScoredStream", "Scorer"]


class Scorer(Protocol):
    """Adds to prefixes what a beam search cannot know: a neural language model, a grammar, a checksum.

    A scorer has states, which may be anything: one for the empty prefix, and for each prefix and label
    another. The search asks for the scores of all prefixes that are new in its beam at once, frame by
    frame. Scores are natural logarithms; -inf forbids. What a scorer says must depend on the state alone.

    Methods
    -------
    start(labels) -> state
        For the empty prefix. `labels` is the tuple of the labels of all classes, that of the blank at its
        place.
    advance(state, label) -> state
        For the prefix with one label more. The state that is given must stay as it is: others go on from it
        too.
    score(states) -> array of shape (len(states), len(labels))
        What each label adds if it comes next; the column of the blank is not looked at.
    finish(states) -> array of shape (len(states),)
        What it adds that the sequence ends here.
    """

    def start(self, labels: tuple[Any, ...]) -> Any: ...

    def advance(self, state: Any, label: Any) -> Any: ...

    def score(self, states: Sequence[Any]) -> ArrayLike: ...

    def finish(self, states: Sequence[Any]) -> ArrayLike: ...


def check_scorers(scorers: Any) -> tuple[Any, ...]:
    """Scorers as a tuple."""
    if scorers is None:
        return ()
    if not isinstance(scorers, (list, tuple)):
        raise TypeError(f"scorers is {scorers!r}, expected a list of scorers or None")
    for i, scorer in enumerate(scorers):
        for method in ("start", "advance", "score", "finish"):
            if not callable(getattr(scorer, method, None)):
                raise TypeError(f"scorers[{i}] is {scorer!r}, which has no method {method}: see Scorer")
    return tuple(scorers)


class ScoredStream:
    """A native stream whose frames are pushed one by one, scorers being asked in between."""

    def __init__(self, stream: _core.BeamStream32, classes: ClassLabels, scorers: tuple[Scorer, ...]) -> None:
        self._stream, self._classes, self._scorers = stream, classes, scorers
        self._states: dict[int, list[Any]] = {}  # by slot
        self._ask()

    def push(self, logits: NDArray[Any]) -> None:
        for t in range(len(logits)):
            self._stream.push(logits[t : t + 1])
            self._ask()

    def best(self, n: int, finished: bool) -> tuple[Any, ...]:
        if finished:
            slots = self._stream.slots()
            total = np.zeros(len(slots), dtype=np.float32)
            for k, scorer in enumerate(self._scorers):
                states = [self._states[slot][k] for slot in slots]
                total += self._checked(k, "finish", scorer.finish(states), (len(slots),))
            self._stream.add_finish(total)
        return self._stream.best(n, finished)

    def _ask(self) -> None:
        """Have the prefixes that are new in the beam scored."""
        entered = self._stream.entered()
        if not len(entered):
            return
        for slot, before, label in entered.tolist():
            if before < 0:
                self._states[slot] = [scorer.start(self._classes.labels) for scorer in self._scorers]
            else:
                text = self._classes.labels[label]
                self._states[slot] = [
                    scorer.advance(state, text)
                    for scorer, state in zip(self._scorers, self._states[before], strict=True)
                ]
        slots = entered[:, 0]
        total = np.zeros((len(slots), len(self._classes)), dtype=np.float32)
        for k, scorer in enumerate(self._scorers):
            states = [self._states[slot][k] for slot in slots.tolist()]
            scores = self._checked(k, "score", scorer.score(states), total.shape)
            scores[:, self._classes.blank] = 0
            total += scores
        self._stream.add_rows(np.ascontiguousarray(slots), total)

    @staticmethod
    def _checked(k: int, method: str, scores: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float32]:
        array = np.array(scores, dtype=np.float32)
        if array.shape != shape:
            raise ValueError(
                f"scorers[{k}].{method} returned an array of shape {array.shape}, expected {shape}"
            )
        if np.isnan(array).any() or (array == np.inf).any():
            raise ValueError(f"scorers[{k}].{method} returned NaN or +inf, expected numbers or -inf")
        return array
