"""Two label sequences set one under the other."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

__all__ = ["align"]

Pair = tuple[Hashable | None, Hashable | None]


def align(read: Sequence[Hashable], truth: Sequence[Hashable]) -> list[Pair]:
    """Pair the labels of two sequences with the fewest edits.

    Parameters
    ----------
    read, truth : str or sequence of hashable labels

    Returns
    -------
    pairs : list of (label of `read`, label of `truth`)
        None on the side where a label is missing. As many pairs with unequal sides as the edit distance.

    Examples
    --------
    >>> align("4173", "4713")
    [('4', '4'), (None, '7'), ('1', '1'), ('7', None), ('3', '3')]
    """
    from rapidfuzz.distance import Levenshtein

    codes: dict[Hashable, int] = {}
    coded = [[codes.setdefault(label, len(codes)) for label in labels] for labels in (read, truth)]
    pairs: list[Pair] = []
    for edit in Levenshtein.opcodes(*coded):
        left = list(read[edit.src_start : edit.src_end])
        right = list(truth[edit.dest_start : edit.dest_end])
        n = max(len(left), len(right))
        left += [None] * (n - len(left))
        right += [None] * (n - len(right))
        pairs += zip(left, right, strict=True)
    return pairs
