"""The targets of a transcriber: strings, sequences of labels, or single labels."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from numbers import Number
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["LabelKind", "as_label_array", "label_sequences"]

LabelKind = Literal["string", "sequence", "single"]

_WORDS = {"string": "a string", "sequence": "a sequence of labels", "single": "a single number"}


def label_sequences(y: Any, name: str = "y") -> tuple[list[Sequence[Hashable]], LabelKind]:
    """Targets as a list of sequences of labels, and what they were given as.

    Parameters
    ----------
    y : list or array of strings, of lists, tuples or 1-D arrays of hashable labels, or of numbers
        A 2-D array is a list of its rows.
    name : str
        What messages call y.

    Raises
    ------
    TypeError
        If y is not of these, or mixes them.
    ValueError
        If a number is not finite, or an array has more than 2 dimensions.
    """
    if isinstance(y, str | bytes | dict) or not (isinstance(y, Iterable) or hasattr(y, "__array__")):
        raise TypeError(f"{name} is {y!r}, expected a list of strings or of label sequences")
    if hasattr(y, "__array__"):
        y = np.asarray(y)
        if y.ndim not in (1, 2):
            raise ValueError(f"{name} has shape {y.shape}, expected (n,), or (n, n_labels)")
        y = list(y) if y.dtype == object else y.tolist()
    y = list(y)
    kinds = [_kind(target, f"{name}[{i}]") for i, target in enumerate(y)]
    kind = kinds[0] if kinds else "sequence"
    for i, other in enumerate(kinds):
        if other != kind:
            raise TypeError(
                f"{name}[{i}] is {_WORDS[other]} ({y[i]!r}), expected {_WORDS[kind]} as {name}[0] is"
            )
    if kind == "single":
        return [[_finite(label, f"{name}[{i}]")] for i, label in enumerate(y)], kind
    return [target.tolist() if isinstance(target, np.ndarray) else target for target in y], kind


def as_label_array(labels: Sequence[Any]) -> NDArray[Any]:
    """1-D array of labels: of strings or of numbers if they are all that, else of objects."""
    for kind in (str, bool, int, float):
        if labels and all(type(label) is kind for label in labels):
            array = np.array(labels)
            if array.dtype != object and array.tolist() == list(labels):
                return array
    array = np.empty(len(labels), dtype=object)
    for i, label in enumerate(labels):
        array[i] = label
    return array


def _kind(target: Any, where: str) -> LabelKind:
    if isinstance(target, str):
        return "string"
    if isinstance(target, list | tuple) or (isinstance(target, np.ndarray) and target.ndim == 1):
        return "sequence"
    if isinstance(target, Number | np.generic) or (isinstance(target, np.ndarray) and target.ndim == 0):
        return "single"
    raise TypeError(
        f"{where} is {target!r}, expected a string, a list, tuple or 1-D array of labels, or a number"
    )


def _finite(label: Any, where: str) -> Hashable:
    value: Hashable = label.item() if hasattr(label, "item") else label
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} is {value}, expected a finite number: NaN and inf are not labels")
    return value
