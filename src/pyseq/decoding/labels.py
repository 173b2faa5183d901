"""Labels and the classes that stand for them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseq.ops._ctc_input import check_blank

__all__ = ["ClassLabels"]


class ClassLabels:
    """The label of each class of the logits.

    Parameters
    ----------
    labels : int, or sequence of hashable labels
        How many classes there are, whose labels are then their numbers; or the label of each, where that of
        the blank is anything.
    blank : int
        The class that is no label.
    """

    def __init__(self, labels: int | Sequence[Hashable], blank: int) -> None:
        if isinstance(labels, (int, np.integer)) and not isinstance(labels, bool):
            labels = range(int(labels))
        if not isinstance(labels, Iterable):
            raise TypeError(f"labels is {labels!r}, expected the label of each class, or a number of classes")
        self.labels: tuple[Any, ...] = tuple(labels)
        if not self.labels:
            raise ValueError("labels is empty, expected one for each class")
        self.blank = check_blank(blank, len(self.labels))
        self.numbers: dict[Any, int] = {}
        for number, label in enumerate(self.labels):
            if number == self.blank:
                continue
            if label in self.numbers:
                raise ValueError(f"labels has {label!r} twice, at {self.numbers[label]} and {number}")
            self.numbers[label] = number

    def __len__(self) -> int:
        return len(self.labels)

    def class_of(self, label: Hashable, name: str) -> int:
        """The class of a label, or an error that says which argument had it."""
        try:
            return self.numbers[label]
        except (KeyError, TypeError):
            known = ", ".join(
                [repr(known) for known in list(self.numbers)[:8]] + ["..."] * (len(self.numbers) > 8)
            )
            raise ValueError(
                f"{name} is {label!r}, expected one of the {len(self.numbers)} labels ({known})"
            ) from None

    def encode(
        self, words: Sequence[Sequence[Hashable]], name: str
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Classes of all words one after the other, and how many each has."""
        numbers, flat = self.numbers, []
        lengths = np.empty(len(words), dtype=np.int64)
        for i, word in enumerate(words):
            try:
                flat += [numbers[label] for label in word]
            except (KeyError, TypeError):
                for k, label in enumerate(word):
                    self.class_of(label, f"{name}[{i}][{k}]")
            lengths[i] = len(word)
        return np.array(flat, dtype=np.int32), lengths


def as_words(words: Any, name: str) -> tuple[tuple[Hashable, ...] | str, ...]:
    """Strings and sequences of labels as an immutable collection; none may be empty."""
    if isinstance(words, (str, bytes)) or not isinstance(words, Iterable):
        raise TypeError(f"{name} is {words!r}, expected a collection of strings or of label sequences")
    found = []
    for i, word in enumerate(words):
        if not isinstance(word, (str, list, tuple, np.ndarray)):
            raise TypeError(f"{name}[{i}] is {word!r}, expected a string or a sequence of labels")
        if len(word) == 0:
            raise ValueError(f"{name}[{i}] is empty, expected at least one label")
        found.append(
            word if isinstance(word, str) else tuple(word.tolist() if isinstance(word, np.ndarray) else word)
        )
    return tuple(found)
