"""A collection of sequences of different lengths: the one type that all levels of pyseq share.

:class:`Ragged` is one buffer of frames and, for each sequence, its first row and its length. Choosing
sequences (a mini-batch, a split, a sorted order) copies no frame. :func:`as_ragged` is the door of user
data: what passes it is finite, not empty, and of one dtype.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from pyseq import _ragged
from pyseq import _ragged_input as _input
from pyseq import _ragged_layout as _layout
from pyseq._ragged_input import table_width

__all__ = ["Ragged", "as_ragged", "table_width"]


class Ragged:
    """Sequences of different lengths around one buffer of frames.

    ``Ragged(values, lengths)`` is the packed form, sequences one after the other. Indexing with an int gives
    an array; with a slice, integers or a mask, another `Ragged` on the same buffer. Starts and lengths never
    change; frames are shared with whoever made them.

    Parameters
    ----------
    values : array of shape (n_frames, n_features) or (n_frames,)
        Frames, float32 or float64, not copied if each row is contiguous. 1-D floats are one feature;
        1-D integers are tokens, kept as int64 of shape (n_frames,). Other real dtypes become float32.
    lengths : integer array of shape (n_sequences,)
        Frames of each sequence, 0 allowed; their sum is `n_frames`.

    Raises
    ------
    ValueError
        If lengths are negative or do not add up to `n_frames`, or `values` is neither 1-D nor 2-D.
    TypeError
        If `values` are not real numbers or `lengths` are not integers.

    Examples
    --------
    >>> import numpy as np
    >>> from pyseq.ragged import Ragged
    >>> x = Ragged(np.arange(10.0).reshape(5, 2), [2, 3])
    >>> x
    Ragged(2 sequences of 2 features, lengths 2 to 3, float64)
    >>> x[0]
    array([[0., 1.],
           [2., 3.]])
    >>> x[[1, 0, 1]].lengths
    array([3, 2, 3])
    """

    __slots__ = ("_buffer", "_is_packed", "_lengths", "_starts")

    _buffer: NDArray[Any]
    _starts: NDArray[np.int64]
    _lengths: NDArray[np.int64]
    _is_packed: bool | None

    def __init__(self, values: ArrayLike, lengths: ArrayLike) -> None:
        buffer = _layout.as_frames(_input.numeric_array(values, "values"))
        self._lengths = _layout.check_counts(lengths)
        self._starts = _layout.packed_starts(self._lengths)
        self._buffer = buffer
        self._is_packed = True
        if self.n_frames != len(buffer):
            raise ValueError(f"sum(lengths) is {self.n_frames}, expected {len(buffer)}, the rows of values")

    @classmethod
    def _make(
        cls,
        buffer: NDArray[Any],
        starts: NDArray[np.int64],
        lengths: NDArray[np.int64],
        is_packed: bool | None = None,
    ) -> Ragged:
        """Around arrays that are known to fit."""
        self = cls.__new__(cls)
        self._buffer, self._starts, self._lengths, self._is_packed = buffer, starts, lengths, is_packed
        return self

    @classmethod
    def view(cls, buffer: ArrayLike, starts: ArrayLike, lengths: ArrayLike) -> Ragged:
        """Sequence b is ``buffer[starts[b] : starts[b] + lengths[b]]``; sequences may overlap or leave gaps.

        Parameters
        ----------
        buffer : array of shape (N, n_features) or (N,)
            As `values` of the constructor.
        starts, lengths : integer arrays of shape (n_sequences,)

        Raises
        ------
        ValueError
            If a sequence does not lie inside the buffer.
        """
        frames = _layout.as_frames(_input.numeric_array(buffer, "buffer"), "buffer")
        return cls._make(frames, *_layout.check_inside(starts, lengths, len(frames)))

    @classmethod
    def from_list(
        cls,
        sequences: Sequence[ArrayLike],
        *,
        dtype: DTypeLike = "float32",
        name: str = "X",
        ensure_finite: bool = True,
    ) -> Ragged:
        """Pack a list of (T_i, n_features) arrays, or of (T_i,) arrays with one feature.

        Parameters
        ----------
        sequences : list or 1-D object array
            Arrays or nested lists of numbers; T_i may be 0.
        dtype : "float32", "float64", or "int64" for (T_i,) sequences of tokens
        name : str
            What messages call `sequences`.
        ensure_finite : bool
            Refuse NaN and inf.

        Raises
        ------
        ValueError, TypeError
            Naming the sequence that is not finite, has another number of features, or is not of real numbers.
        """
        checked = _input.check_dtype(dtype)
        return cls(*_input.pack_list(list(sequences), checked, name=name, ensure_finite=ensure_finite))

    @classmethod
    def from_padded(cls, x: ArrayLike, lengths: ArrayLike | None = None, *, name: str = "x") -> Ragged:
        """The first ``lengths[b]`` frames of each ``x[b]``; frames beyond them are never read.

        No copy where the features are contiguous and frames and sequences are whole rows apart.

        Parameters
        ----------
        x : array of shape (B, T, n_features), or (B, T) with one feature
            float32 and float64 stay; (B, T) integers are tokens; other real dtypes become float32.
        lengths : integer array of shape (B,), optional
            From 0 to T; all T if not given.

        Raises
        ------
        ValueError
            If a length is negative or beyond T.
        """
        array = _input.numeric_array(x, name)
        buffer, starts = _layout.padded_frames(array, name)
        return cls._make(buffer, starts, _layout.padded_lengths(lengths, array.shape, name))

    @classmethod
    def from_channels_first(
        cls, x: ArrayLike | Sequence[ArrayLike], *, dtype: DTypeLike = "float32", name: str = "x"
    ) -> Ragged:
        """Pack an (n, n_features, T) array or a list of (n_features, T_i) arrays, as :meth:`from_list`."""
        return cls.from_list(_input.transposed(x, name), dtype=dtype, name=name)

    @classmethod
    def from_long(
        cls,
        df: Any,
        *,
        id: Hashable,
        time: Hashable | None = None,
        features: Sequence[Hashable] | None = None,
        dtype: DTypeLike = "float32",
    ) -> Ragged:
        """Pack a long table: one row a frame, a column that says which sequence, a column that says when.

        Parameters
        ----------
        df : data frame, or anything with ``df.columns`` and ``df[column]``
        id : column
            Sequences come in sorted order of it: sequence i is that of ``numpy.unique(df[id])[i]``.
        time : column, optional
            Frames come in order of it, else in order of the rows.
        features : list of columns, optional
            All other columns if not given.
        dtype : "float32" or "float64"

        Raises
        ------
        ValueError
            If a column, an id or a time is missing, a sequence has two frames at one time, or NaN or inf.
        """
        return cls(*_input.pack_long(df, id, time, features, _input.check_dtype(dtype)))

    @property
    def buffer(self) -> NDArray[Any]:
        """(N, n_features) frames or (N,) tokens; rows that belong to no sequence may lie between."""
        return self._buffer

    @property
    def starts(self) -> NDArray[np.int64]:
        """First row of each sequence in `buffer`, shape (n_sequences,)."""
        return self._starts

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Frames of each sequence, shape (n_sequences,)."""
        return self._lengths

    @property
    def n_features(self) -> int:
        """Numbers in a frame; 1 for tokens."""
        return int(self._buffer.shape[1]) if self._buffer.ndim == 2 else 1

    @property
    def n_frames(self) -> int:
        """Frames of all sequences together."""
        return _layout.total(self._lengths)

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64, int64 for tokens."""
        return self._buffer.dtype

    @property
    def is_packed(self) -> bool:
        """Whether `buffer` is the sequences one after the other and nothing else."""
        if self._is_packed is None:
            self._is_packed = self.n_frames == len(self._buffer) and self._is_run(0)
        return self._is_packed

    def _is_run(self, first: int) -> bool:
        """Whether each sequence starts where the one before it ends, the first one at row `first`."""
        return bool((self._starts == _layout.packed_starts(self._lengths) + first).all())

    @property
    def values(self) -> NDArray[Any]:
        """The packed frames, shape (n_frames, n_features) or (n_frames,): a view if they lie so."""
        return self.packed()._buffer

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        for start, length in zip(self._starts.tolist(), self._lengths.tolist(), strict=True):
            yield self._buffer[start : start + length]

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int] | Sequence[bool] | NDArray[Any]) -> Ragged: ...
    def __getitem__(self, index: Any) -> NDArray[Any] | Ragged:
        if isinstance(index, (int, np.integer)) and not isinstance(index, bool):
            if not -len(self) <= index < len(self):
                raise IndexError(f"sequence {index} is out of range for {len(self)} sequences")
            start = int(self._starts[index])
            return self._buffer[start : start + int(self._lengths[index])]
        chosen = index if isinstance(index, slice) else _layout.check_index(index, len(self))
        starts, lengths = _layout.read_only(self._starts[chosen]), _layout.read_only(self._lengths[chosen])
        return self._make(self._buffer, starts, lengths)

    def packed(self) -> Ragged:
        """The same sequences, one after the other and nothing else; copies only if they do not lie so."""
        if self.is_packed:
            return self
        starts = _layout.packed_starts(self._lengths)
        first = int(self._starts[0]) if len(self) else 0
        if self._is_run(first):
            frames = self._buffer[first : first + self.n_frames]
        else:
            frames = _layout.allocate((self.n_frames, *self._buffer.shape[1:]), self.dtype)
            _ragged.copy_sequences(self._buffer, self._starts, self._lengths, frames, starts)
        return self._make(frames, starts, self._lengths, True)

    def to_padded(self, fill: float = 0.0) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """One array with room for the longest sequence.

        Parameters
        ----------
        fill : float
            What stands beyond a sequence's length.

        Returns
        -------
        x : array of shape (B, T, n_features), or (B, T) for tokens
            T is the greatest length.
        lengths : int64 array of shape (B,)
        """
        n_frames, frame = int(self._lengths.max(initial=0)), self._buffer.shape[1:]
        x = _layout.allocate((len(self), n_frames, *frame), self.dtype, "the padded array")
        x[...] = fill
        out, out_starts = x.reshape(len(self) * n_frames, *frame), np.arange(len(self)) * n_frames
        _ragged.copy_sequences(self._buffer, self._starts, self._lengths, out, out_starts)
        return x, self._lengths

    def to_list(self) -> list[NDArray[Any]]:
        """The sequences as views of the buffer, shapes (T_i, n_features), or (T_i,) for tokens."""
        return list(self)

    def to_object_array(self) -> NDArray[np.object_]:
        """The sequences as a 1-D object array, the form that scikit-learn's splitters and scorers index."""
        out = np.empty(len(self), dtype=object)
        for b, sequence in enumerate(self):
            out[b] = sequence
        return out

    def with_values(self, values: NDArray[Any]) -> Ragged:
        """Sequences of the same lengths around other packed frames.

        Parameters
        ----------
        values : array of shape (n_frames, any) or (n_frames,)
            Taken as it is: rows contiguous, any array type.
        """
        if values.shape[0] != self.n_frames:
            raise ValueError(f"values has {values.shape[0]} rows, expected {self.n_frames}, one a frame")
        starts = self._starts if self.is_packed else _layout.packed_starts(self._lengths)
        return self._make(values, starts, self._lengths, True)

    def astype(self, dtype: DTypeLike) -> Ragged:
        """The sequences as float32 or float64; unchanged if they are already."""
        if self.dtype == dtype:
            return self
        with np.errstate(over="ignore"):
            values = self.values.astype(_input.check_dtype(dtype))
        return self.with_values(values.reshape(self.n_frames, self.n_features))

    def __reduce__(self) -> tuple[type[Ragged], tuple[NDArray[Any], NDArray[np.int64]]]:
        return type(self), (self.values, self._lengths)

    def __repr__(self) -> str:
        what = "tokens" if self._buffer.ndim == 1 else _input.count(self.n_features, "feature")
        if not len(self):
            return f"Ragged(0 sequences of {what}, {self.dtype})"
        lengths = f"lengths {self._lengths.min()} to {self._lengths.max()}"
        return f"Ragged({_input.count(len(self), 'sequence')} of {what}, {lengths}, {self.dtype})"


def as_ragged(
    X: Any,
    *,
    dtype: DTypeLike = "float32",
    name: str = "X",
    n_features: int | None = None,
    ensure_finite: bool = True,
) -> Ragged:
    """User data as sequences of finite numbers of one dtype: the one door of every estimator.

    Never changes `X`. A `Ragged` of this dtype passes as it is; an array of this dtype becomes a view if its
    features are contiguous; everything else is packed once.

    Parameters
    ----------
    X : list or 1-D object array of (T_i, n_features) arrays, or (n, T, n_features) or (n, T) array, or Ragged
        (T_i,) items and (n, T) arrays are univariate. Booleans and integers are cast, and so are objects that
        are Python numbers. No sequence has length 0.
    dtype : "float32", "float64", or "int64" for (T_i,) sequences of tokens
    name : str
        What messages call `X`.
    n_features : int, optional
        What every frame must have; any number, but the same in all, if not given.
    ensure_finite : bool
        Refuse NaN and inf, and numbers that become infinite in `dtype`.

    Raises
    ------
    ValueError
        Naming the sequence: not finite, no frames, another number of features, complex, not rectangular.
    TypeError
        If `X` or one of its sequences is sparse, of strings, or of objects that are not numbers.
    MemoryError
        If the packed frames do not fit.

    Examples
    --------
    >>> from pyseq.ragged import as_ragged
    >>> as_ragged([[[1, 2], [3, 4]], [[5, 6]]])
    Ragged(2 sequences of 2 features, lengths 1 to 2, float32)
    >>> as_ragged([[1.0, 2.0], [3.0, float("nan")]])
    Traceback (most recent call last):
        ...
    ValueError: X[1] contains NaN at frame 1; expected finite numbers (fill the gaps or drop those frames: \
sequences may have any length)
    """
    checked = _input.check_dtype(dtype)
    if not isinstance(X, Ragged):
        return Ragged._make(*_input.take(X, checked, name, n_features, ensure_finite))
    if checked == np.int64 and X.dtype != np.int64:
        raise TypeError(f"{name} has dtype {X.dtype}, expected int64 tokens")
    ragged = X.astype(checked)
    _input.check(ragged.buffer, ragged.starts, ragged.lengths, name, n_features, ensure_finite)
    return ragged
