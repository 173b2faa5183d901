"""Measures of how far predicted label sequences are from the true ones."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["character_error_rate", "edit_distances"]

Labels = Sequence[Hashable]


def edit_distances(references: Iterable[Labels], hypotheses: Iterable[Labels]) -> NDArray[np.int64]:
    """Levenshtein distance of each pair of label sequences.

    The fewest insertions, deletions and substitutions of one label that turn a hypothesis into its reference
    (Levenshtein 1966).

    Parameters
    ----------
    references, hypotheses : iterables of n_sequences strings, lists, tuples or 1-D arrays
        Labels of any hashable type; a string is the sequence of its characters.

    Returns
    -------
    distances : ndarray of shape (n_sequences,), int64

    Raises
    ------
    ValueError
        If there are not as many hypotheses as references.
    TypeError
        If an entry is not a sequence of hashable labels.

    Examples
    --------
    >>> edit_distances(["kitten", "7531"], ["sitting", "7531"])
    array([3, 0])
    >>> edit_distances([["ah", "ee"]], [["ah"]])
    array([1])
    """
    return _distances(*_paired(references, hypotheses))


def character_error_rate(references: Iterable[Labels], hypotheses: Iterable[Labels]) -> float:
    """Edits needed in all, divided by the number of reference labels in all.

    Parameters
    ----------
    references, hypotheses : iterables of n_sequences strings, lists, tuples or 1-D arrays
        As in :func:`edit_distances`.

    Returns
    -------
    rate : float
        0 for a perfect transcription; insertions can carry it beyond 1. Where the references hold no label at
        all it is 0 if the hypotheses hold none either, else infinite.

    Examples
    --------
    >>> character_error_rate(["kitten", "7531"], ["sitting", "7531"])
    0.3
    """
    references, hypotheses = _paired(references, hypotheses)
    n_labels = sum(len(reference) for reference in references)
    n_edits = int(_distances(references, hypotheses).sum())
    if n_labels == 0:
        return float("inf") if n_edits else 0.0
    return n_edits / n_labels


def _distances(references: list[Any], hypotheses: list[Any]) -> NDArray[np.int64]:
    from rapidfuzz.distance import Levenshtein

    codes: dict[Hashable, int] = {}
    distances = np.empty(len(references), dtype=np.int64)
    for i, (reference, hypothesis) in enumerate(zip(references, hypotheses, strict=True)):
        if not (isinstance(reference, str) and isinstance(hypothesis, str)):
            reference = _encode(reference, codes, f"references[{i}]")
            hypothesis = _encode(hypothesis, codes, f"hypotheses[{i}]")
        distances[i] = Levenshtein.distance(reference, hypothesis)
    return distances


def _encode(labels: Iterable[Hashable], codes: dict[Hashable, int], name: str) -> list[int]:
    # rapidfuzz compares labels by their hashes, and unequal labels can share one (-1 and -2 do): hand it
    # the labels' numbers in order of appearance instead.
    try:
        return [codes.setdefault(label, len(codes)) for label in labels]
    except TypeError as error:
        raise TypeError(f"{name} must be a sequence of hashable labels, got {labels!r}") from error


def _paired(references: Iterable[Labels], hypotheses: Iterable[Labels]) -> tuple[list[Any], list[Any]]:
    for name, value in (("references", references), ("hypotheses", hypotheses)):
        if isinstance(value, str):
            raise TypeError(f"{name} must be a list of label sequences, got the single string {value!r}")
    references, hypotheses = list(references), list(hypotheses)
    if len(references) != len(hypotheses):
        raise ValueError(f"hypotheses has {len(hypotheses)} sequences, references has {len(references)}")
    return references, hypotheses
