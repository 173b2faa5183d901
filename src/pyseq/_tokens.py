"""Labels to integer ids and back: vocabularies of characters or of any hashable labels."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from pyseq import _ragged
from pyseq.ragged import Ragged

__all__ = ["build_vocabulary", "encode_tokens"]


def build_vocabulary(
    sequences: Iterable[Sequence[Hashable]], *, first_id: int = 0, name: str = "y"
) -> dict[Hashable, int]:
    """Give every label that occurs an integer id.

    Parameters
    ----------
    sequences : list of strings, or of lists, tuples or 1-D arrays of hashable labels
    first_id : int
        Id of the first label; 1 leaves 0 to the blank of CTC.
    name : str
        What messages call `sequences`.

    Returns
    -------
    dict
        Label to id, ids ascending: sorted labels if they have an order, else in order of first appearance.

    Raises
    ------
    TypeError
        Naming the sequence that is not one, or the label that is not hashable.

    Examples
    --------
    >>> from pyseq._tokens import build_vocabulary
    >>> build_vocabulary(["bad", "cab"], first_id=1)
    {'a': 1, 'b': 2, 'c': 3, 'd': 4}
    """
    found: dict[Any, None] = {}
    for i, labels in enumerate(_label_sequences(sequences, name)):
        try:
            found.update(dict.fromkeys(labels))
        except TypeError as error:
            raise TypeError(_unhashable(labels, f"{name}[{i}]")) from error
    try:
        ordered = sorted(found)
    except TypeError:
        ordered = list(found)
    return {label: first_id + i for i, label in enumerate(ordered)}


def encode_tokens(
    sequences: Iterable[Sequence[Hashable]], vocabulary: dict[Any, int], *, name: str = "y"
) -> Ragged:
    """Replace every label by its id.

    Parameters
    ----------
    sequences : list of strings, or of lists, tuples or 1-D arrays of hashable labels
        Sequences of length 0 are allowed.
    vocabulary : dict
        Label to id, as from :func:`build_vocabulary`.
    name : str
        What messages call `sequences`.

    Returns
    -------
    Ragged
        int64 tokens, one sequence each.

    Raises
    ------
    ValueError
        Naming the first label that is not in the vocabulary.
    TypeError
        As :func:`build_vocabulary`.

    Examples
    --------
    >>> from pyseq._tokens import encode_tokens
    >>> encode_tokens(["ab", "b"], {"a": 1, "b": 2}).to_list()
    [array([1, 2]), array([2])]
    """
    labels = _label_sequences(sequences, name)
    ids, lengths, first_unknown = _ragged.encode_tokens(labels, vocabulary)
    if first_unknown is None:
        return Ragged(ids, lengths)
    i, position = first_unknown
    label = labels[i][position]
    if not _is_hashable(label):
        raise TypeError(_unhashable(labels[i], f"{name}[{i}]"))
    known = [repr(label) for label in list(vocabulary)[:8]] + ["..."] * (len(vocabulary) > 8)
    raise ValueError(
        f"{name}[{i}] has the label {label!r} at position {position}, "
        f"expected one of the {len(vocabulary)} known labels ({', '.join(known)})"
    )


def _label_sequences(sequences: Any, name: str) -> list[Sequence[Hashable]]:
    """Strings, lists and tuples as they are, arrays as lists; anything else is no sequence of labels."""
    if isinstance(sequences, (str, bytes, dict)) or not isinstance(sequences, Iterable):
        raise TypeError(
            f"{name} has type {type(sequences).__name__}, expected a list of strings or label sequences"
        )
    out: list[Sequence[Hashable]] = []
    for i, sequence in enumerate(sequences):
        if isinstance(sequence, (str, list, tuple)):
            out.append(sequence)
        elif hasattr(sequence, "__array__") and np.ndim(sequence) == 1:
            out.append(np.asarray(sequence).tolist())
        else:
            kind = type(sequence).__name__
            raise TypeError(
                f"{name}[{i}] has type {kind}, expected a string or a list, tuple or 1-D array of labels"
            )
    return out


def _is_hashable(label: Any) -> bool:
    try:
        hash(label)
    except TypeError:
        return False
    return True


def _unhashable(labels: Sequence[Any], where: str) -> str:
    position = next(i for i, label in enumerate(labels) if not _is_hashable(label))
    kind = type(labels[position]).__name__
    return f"{where} has a label of type {kind} at position {position}, expected labels that can be hashed"
