"""What users hand over, made into packed frames: conversions, checks and their messages.

The level below :mod:`pyseq.ragged`. A message names the argument, what was got, what was expected and which
sequence.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pyseq import _ragged
from pyseq._ragged_layout import allocate, packed_starts, padded_frames, padded_lengths, read_only

FORMS = "a list of (T, n_features) arrays, an (n, T, n_features) array or an (n, T) array"


def check_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """float32, float64 or (for tokens) int64 as a dtype object."""
    try:
        found = None if dtype is None else np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found not in (np.float32, np.float64, np.int64):
        raise ValueError(f"dtype is {dtype!r}, expected 'float32' or 'float64' ('int64' for tokens)")
    return found


def count(number: int, noun: str) -> str:
    """``count(1, "feature")`` is "1 feature", ``count(2, "feature")`` is "2 features"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def place(index: Sequence[int]) -> str:
    """Where an element of one sequence is, in words."""
    words = [f"{axis} {i}" for axis, i in zip(("frame", "feature"), index, strict=False)]
    return ", ".join(words) if len(words) == len(index) else f"index {tuple(index)}"


def numeric_array(item: Any, label: str) -> NDArray[Any]:
    """An array of booleans, integers, float32 or float64 in native byte order, or an error naming `label`."""
    if type(item) is np.ndarray and item.dtype.char in "fd" and item.dtype.isnative and item.flags.aligned:
        return item
    if hasattr(item, "tocsr") and hasattr(item, "nnz"):
        raise TypeError(
            f"{label} is sparse ({type(item).__name__}), expected a dense array: "
            f"sparse data is not supported, pass {label}.toarray()"
        )
    if item is None or isinstance(item, (str, bytes, bytearray, dict, set, frozenset)):
        raise TypeError(f"{label} has type {type(item).__name__}, expected an array of numbers")
    if isinstance(item, np.ma.MaskedArray) and np.ma.is_masked(item):
        raise ValueError(f"{label} has masked entries, expected a number for every frame and feature")
    try:
        array = np.asarray(item)
    except ValueError as error:
        raise ValueError(f"{label} is not one array: {_uneven_frames(item) or error}") from error
    if array.dtype.kind == "O":
        array = _numbers_of_objects(array, label)
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {label} has dtype {array.dtype}, expected real")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{label} has dtype {array.dtype}, expected real numbers")
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        array = array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
    return np.require(array, array.dtype.newbyteorder("="), "A")


def _uneven_frames(item: Any) -> str | None:
    """In which frame of a nested list the number of features changes."""
    sizes = [len(frame) if isinstance(frame, Sequence) else 1 for frame in item]
    for t, size in enumerate(sizes):
        if size != sizes[0]:
            return f"frame {t} has {count(size, 'feature')}, expected {sizes[0]} as frame 0 has"
    return None


def _numbers_of_objects(array: NDArray[Any], label: str) -> NDArray[np.float64]:
    """Python numbers in an object array as float64. Strings of digits, arrays and None are not numbers."""
    numbers = allocate(array.shape, np.dtype(np.float64), label)
    for index in np.ndindex(array.shape):
        element = array[index]
        try:
            if isinstance(element, (str, bytes, np.ndarray, np.complexfloating)):
                raise TypeError("it is not converted")
            numbers[index] = float(element)
        except (TypeError, ValueError, OverflowError) as error:
            where = f"{label} holds {type(element).__name__}" + (f" at {place(index)}" if index else "")
            if isinstance(element, (complex, np.complexfloating)):
                raise ValueError(f"Complex data not supported: {where}, expected a real number") from error
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{where}, expected a number: {error}") from error
    return numbers


def reshape_message(name: str, shape: tuple[int, ...]) -> str:
    """What to say of numbers that are not in sequences."""
    return (
        f"{name} is one-dimensional (shape={shape}), expected {FORMS}. Reshape your data: "
        f"numpy.reshape({name}, (1, -1)) is one sequence, with (-1, 1) each number is a sequence"
    )


def pack_list(
    items: list[Any],
    dtype: np.dtype[Any],
    *,
    name: str,
    n_features: int | None = None,
    min_length: Literal[0, 1] = 0,
    ensure_finite: bool = True,
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Sequences behind each other: values (N, F) of `dtype` and lengths (B,)."""
    if not items:
        raise ValueError(f"{name} is empty: 0 sample(s) (shape=(0,)) while a minimum of 1 is required.")
    if dtype == np.int64:
        return pack_tokens(items, name=name, min_length=min_length)
    with np.errstate(over="ignore"):
        values, lengths, problem = _ragged.pack_arrays(
            items,
            dtype,
            n_features or 0,
            min_length,
            ensure_finite,
            lambda item, i: numeric_array(item, f"{name}[{i}]"),
            lambda shape, kind: allocate(shape, kind, name),
        )
    if values is None or lengths is None:
        assert problem is not None
        raise ValueError(_describe(problem, items, dtype, name, n_features))
    return values, lengths


def _describe(
    problem: tuple[Any, ...], items: list[Any], dtype: np.dtype[Any], name: str, n_features: int | None
) -> str:
    """What :func:`pyseq._ragged.pack_arrays` found, in words."""
    kind, i, *details = problem
    label = f"{name}[{i}]"
    if kind == "ndim" and details[0] == 0:
        return f"{label} is a number ({items[i]!r}). {reshape_message(name, (len(items),))}"
    shape = np.shape(items[i])
    if kind == "ndim":
        return f"{label} has shape {shape}, expected (T, n_features) or (T,)"
    if kind == "length":
        return f"{label} has length 0 (shape={shape}), expected at least 1 frame"
    if kind == "features":
        return features_message(label, details[0], details[1], n_features, name)
    if kind == "overflow":
        return f"{name} has more frames than 64 bits can count (at {label}, of shape {shape})"
    return not_finite_message(numeric_array(items[i], label), label, dtype)


def features_message(label: str, got: int, expected: int, n_features: int | None, name: str) -> str:
    """``X[17] has 11 features, expected 12 (n_features_in_)``."""
    if got == 0:
        return f"{label} has 0 features, expected at least 1"
    source = f"as {name}[0] has" if n_features is None else "(n_features_in_)"
    return f"{label} has {count(got, 'feature')}, expected {expected} {source}"


def not_finite_message(sequence: NDArray[Any], label: str, dtype: np.dtype[Any]) -> str:
    """Where the first NaN or inf of a (T, F) or (T,) array is, or what becomes infinite as `dtype`."""
    with np.errstate(over="ignore"):
        index = tuple(np.argwhere(~np.isfinite(sequence.astype(dtype)))[0].tolist())
    value = sequence[index]
    if np.isfinite(value):
        return (
            f"{label} contains {value:g} at {place(index)}, infinity as {dtype}; "
            "expected values that fit: scale them, or use dtype='float64'"
        )
    found = "NaN" if np.isnan(value) else str(value)
    return (
        f"{label} contains {found} at {place(index)}; expected finite numbers "
        "(fill the gaps or drop those frames: sequences may have any length)"
    )


def pack_tokens(
    items: list[Any], *, name: str, min_length: Literal[0, 1] = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """1-D integer sequences behind each other: tokens (N,) and lengths (B,), both int64."""
    arrays = [numeric_array(item, f"{name}[{i}]") for i, item in enumerate(items)]
    for i, array in enumerate(arrays):
        if array.ndim == 0:
            raise ValueError(f"{name}[{i}] is a number. {reshape_message(name, (len(items),))}")
        if array.ndim != 1:
            raise ValueError(f"{name}[{i}] has shape {array.shape}, expected (T,) integer tokens")
        if len(array) < min_length:
            raise ValueError(f"{name}[{i}] has length 0 (shape={array.shape}), expected at least 1 token")
        if array.dtype.kind not in "iu" and array.size:
            raise TypeError(f"{name}[{i}] has dtype {array.dtype}, expected integer tokens")
        if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"{name}[{i}] holds the token {array.max()}, expected tokens that fit int64")
    tokens = [array.astype(np.int64, copy=False) for array in arrays]
    return np.concatenate(tokens), np.array([len(array) for array in arrays], dtype=np.int64)


def sequences_of(X: Any, name: str) -> list[Any] | NDArray[Any]:
    """User data as a list of sequences, or as an (n, T, F) or (n, T) array of numbers."""
    if isinstance(X, (list, tuple)):
        return list(X)
    # a sparse matrix can be a dict (SciPy's dok format): numeric_array has the message for it
    is_array = hasattr(X, "tocsr") or (hasattr(X, "__array__") and not isinstance(X, (str, bytes)))
    if not is_array:
        raise TypeError(f"{name} has type {type(X).__name__}, expected {FORMS}")
    array = X if isinstance(X, np.ndarray) else np.asarray(X) if hasattr(X, "__array__") else None
    if array is not None and array.dtype == object and array.ndim in (1, 2, 3):
        return list(array) if array.size else array.astype(np.float64)
    array = numeric_array(X, name)
    if array.ndim == 1:
        raise ValueError(reshape_message(name, array.shape))
    if array.ndim not in (2, 3):
        raise ValueError(f"{name} has shape {array.shape}, expected {FORMS}")
    return array


def take(
    X: Any, dtype: np.dtype[Any], name: str, n_features: int | None, ensure_finite: bool
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """Buffer, starts and lengths of user data: a view where one fits, else packed."""
    items = sequences_of(X, name)
    if isinstance(items, np.ndarray):
        _check_not_empty(items.shape, name)
        if items.dtype == dtype and items.dtype.kind == "f":
            buffer, starts = padded_frames(items, name)
            lengths = padded_lengths(None, items.shape, name)
            check(buffer, starts, lengths, name, n_features, ensure_finite)
            return buffer, starts, lengths
    values, lengths = pack_list(
        list(items), dtype, name=name, n_features=n_features, min_length=1, ensure_finite=ensure_finite
    )
    return values, packed_starts(lengths), read_only(lengths)


def _check_not_empty(shape: tuple[int, ...], name: str) -> None:
    """The words of these two messages are those that scikit-learn's checks of estimators look for."""
    if shape[0] == 0:
        found = "no sequences: 0 sample(s)"
    elif 0 in shape:
        found = f"{'sequences of length 0' if shape[1] == 0 else 'frames without features'}: 0 feature(s)"
    else:
        return
    raise ValueError(f"{name} has {found} (shape={shape}) while a minimum of 1 is required.")


def check(
    buffer: NDArray[Any],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    name: str,
    n_features: int | None,
    ensure_finite: bool,
) -> None:
    """Raise unless there are sequences, none of length 0, of the expected features and without NaN or inf."""
    _check_not_empty((len(lengths), *buffer.shape[1:]), name)
    if not lengths.all():
        raise ValueError(f"{name}[{int(np.argmin(lengths))}] has length 0, expected at least 1 frame")
    found = buffer.shape[1] if buffer.ndim == 2 else 1
    if n_features is not None and found != n_features:
        raise ValueError(features_message(f"{name}[0]", found, n_features, n_features, name))
    if ensure_finite and buffer.dtype.kind == "f":
        b = _ragged.first_not_finite(buffer, starts, lengths)
        if b >= 0:
            sequence = buffer[starts[b] : starts[b] + lengths[b]]
            raise ValueError(not_finite_message(sequence, f"{name}[{b}]", buffer.dtype))


def table_width(X: Any) -> int | None:
    """The number of columns if `X` is a table, one univariate sequence a row; None if it is anything else.

    A table is a 2-D array, a data frame, or a list of equally long lists of numbers. It is what scikit-learn
    calls ``(n_samples, n_features)``: an estimator fitted on one has this many ``n_features_in_``, although
    each of its frames has one feature.

    Examples
    --------
    >>> from pyseq.ragged import table_width
    >>> table_width([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    3
    >>> table_width([[1.0, 2.0, 3.0], [4.0, 5.0]]) is None
    True
    """
    if isinstance(X, (list, tuple)):
        widths = {len(row) if isinstance(row, (list, tuple)) and np.ndim(row[:1]) == 1 else -1 for row in X}
        width = widths.pop() if len(widths) == 1 else -1
        return width if width >= 0 else None
    if not hasattr(X, "shape") and not hasattr(X, "__array__"):
        return None
    shape = X.shape if hasattr(X, "shape") else np.asarray(X).shape
    return int(shape[1]) if len(shape) == 2 else None


def transposed(x: Any, name: str) -> list[NDArray[Any]]:
    """A list of (F, T_i) arrays as a list of (T_i, F) views."""
    arrays = [numeric_array(item, f"{name}[{i}]") for i, item in enumerate(x)]
    for i, array in enumerate(arrays):
        if array.ndim != 2:
            raise ValueError(f"{name}[{i}] has shape {array.shape}, expected (n_features, T)")
    return [array.T for array in arrays]


def pack_long(
    df: Any, id: Hashable, time: Hashable | None, features: Sequence[Hashable] | None, dtype: np.dtype[Any]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Rows of a long table sorted by id and time: values (N, F) and lengths of the ids in sorted order."""
    if dtype == np.int64:
        raise ValueError("dtype is 'int64', expected 'float32' or 'float64'")
    columns = list(df.columns)
    keys = [id] if time is None else [id, time]
    chosen = [column for column in columns if column not in keys] if features is None else list(features)
    for column in (*keys, *chosen):
        if column not in columns:
            raise ValueError(f"df has no column {column!r}, expected one of {columns}")
    if not len(df) or not chosen:
        got = f"{count(len(df), 'row')} and {count(len(chosen), 'feature column')}"
        raise ValueError(f"df has {got}, expected at least one of each")
    ranks = [_ranks(df[column], f"df[{column!r}]") for column in keys]
    order = np.lexsort(ranks[::-1])
    lengths = np.bincount(ranks[0])
    if time is not None:
        same = (np.diff(ranks[0][order]) == 0) & (np.diff(ranks[1][order]) == 0)
        if same.any():
            first, second = sorted(order[int(np.argmax(same)) :][:2].tolist())
            raise ValueError(
                f"df has the same {id!r} and {time!r} in rows {first} and {second}, expected in one"
            )
    values = allocate((len(order), len(chosen)), dtype, "the table")
    with np.errstate(over="ignore"):
        for f, column in enumerate(chosen):
            values[:, f] = numeric_array(df[column], f"df[{column!r}]")[order]
    if not np.isfinite(values).all():
        row, f = np.argwhere(~np.isfinite(values))[0].tolist()
        raise ValueError(
            f"df[{chosen[f]!r}] is {values[row, f]} as {dtype} in row {order[row]}, expected finite numbers"
        )
    return values, lengths.astype(np.int64)


def _ranks(column: Any, label: str) -> NDArray[np.intp]:
    """The position of each element of a column among its distinct, sorted elements."""
    array = np.asarray(column)
    missing = np.array([_is_missing(element) for element in array.tolist()], dtype=bool)
    if array.dtype.kind in "mM":
        missing = np.isnat(array)
    if missing.any():
        raise ValueError(f"{label} is missing in row {int(np.argmax(missing))}, expected one in every row")
    try:
        return np.unique(array, return_inverse=True)[1].reshape(-1)
    except TypeError as error:
        raise TypeError(f"{label} has no order, expected numbers, dates or strings: {error}") from error


def _is_missing(element: Any) -> bool:
    try:
        return element is None or bool(element != element)
    except TypeError:  # pandas.NA is neither equal nor unequal to itself
        return True
