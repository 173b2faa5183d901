"""A closed list of words."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from pyseq import _core
from pyseq.decoding.labels import ClassLabels, as_words

__all__ = ["Lexicon"]


class Lexicon:
    """The words that a search may read; nothing else is read then.

    With a delimiter (see :class:`pyseq.decoding.BeamSearch`) a transcription consists of words of the list
    with single delimiters between them, perhaps one after the last; without one it is a single word of the
    list.

    Parameters
    ----------
    words : iterable of strings, or of lists, tuples or 1-D arrays of labels
        A string is the sequence of its characters. None may be empty; those that occur twice count once.

    Notes
    -----
    A lexicon does not change, and copies of it are itself.

    Examples
    --------
    >>> import numpy as np
    >>> from pyseq.decoding import BeamSearch, Lexicon
    >>> logits = np.log([[[0.1, 0.5, 0.4], [0.2, 0.4, 0.4]]])
    >>> [best] = BeamSearch(lexicon=Lexicon(["ba", "bb"])).decode(logits, labels=["", "a", "b"])
    >>> best.labels  # the classes of "b" and "a"
    array([2, 1])
    """

    def __init__(self, words: Iterable[str | Sequence[Hashable]]) -> None:
        self._words = as_words(words, "words")
        if not self._words:
            raise ValueError("words is empty, expected at least one word")

    @property
    def words(self) -> tuple[str | tuple[Hashable, ...], ...]:
        """The words, in the order in which they were given."""
        return self._words

    def __len__(self) -> int:
        return len(self._words)

    def __repr__(self) -> str:
        shown = ", ".join([repr(word) for word in self._words[:3]] + ["..."] * (len(self) > 3))
        return f"Lexicon([{shown}])" if len(self) <= 3 else f"Lexicon([{shown}], {len(self)} words)"

    def __copy__(self) -> Lexicon:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Lexicon:
        return self

    def source(self, classes: ClassLabels, delimiter: int) -> _core.Source:
        """The native form, for the labels of a model; delimiter -1: none."""
        labels, lengths = classes.encode(self._words, "lexicon")
        return _core.lexicon_source(labels, lengths, len(classes), delimiter)
