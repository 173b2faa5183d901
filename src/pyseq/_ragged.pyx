# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=True
"""Walking Python objects: lists of arrays to one packed buffer, labels to integer ids.

What a user hands over is a list of many small arrays, so the cost is the visit to each object, not the bytes.
Each array is visited once: its buffer is borrowed (buffer protocol, hence no NumPy headers), kept until every
shape is known, then converted, copied and checked for NaN and inf in one loop.

Nothing here writes a message for a user: what is wrong comes back as a tuple that says what and where, and
``_ragged_input`` puts it into words.

Bounds are not checked inside: every index runs over a length read from the same buffer, or over starts and
lengths that ``Ragged`` has checked against the buffer.
"""

cimport cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.stdint cimport (
    int8_t, int16_t, int32_t, int64_t, intptr_t, uint8_t, uint16_t, uint32_t, uint64_t,
)
from libc.string cimport memcpy

import numpy as np

cdef type ndarray = np.ndarray

cdef extern from *:
    """
    /* More frames than an int64 holds: only arrays that repeat one element (stride 0) can ask for that. */
    static inline int pyseq_add_overflows(int64_t a, int64_t b) { return a > INT64_MAX - b; }
    """
    bint add_overflows "pyseq_add_overflows"(int64_t a, int64_t b) noexcept nogil

# Below this many bytes the GIL is cheaper to keep than to hand over and take back.
cdef enum:
    RELEASE_GIL_BYTES = 1 << 20

ctypedef fused number:
    int8_t
    uint8_t
    int16_t
    uint16_t
    int32_t
    uint32_t
    int64_t
    uint64_t
    float
    double

ctypedef fused real:
    float
    double


cdef enum Kind:
    UNSUPPORTED, INT8, UINT8, INT16, UINT16, INT32, UINT32, INT64, UINT64, FLOAT32, FLOAT64


cdef Kind kind_of(const Py_buffer* view) noexcept:
    """The element type of a borrowed buffer; UNSUPPORTED also where elements may be misaligned."""
    cdef Py_ssize_t size = view.itemsize
    cdef char code
    cdef int d
    if view.format == NULL or view.format[0] == 0 or view.format[1] != 0:
        return UNSUPPORTED
    code = view.format[0]
    if code not in b"?bBhHiIlLqQfd":
        return UNSUPPORTED
    if view.len > 0:  # an empty array may point anywhere
        if <intptr_t> view.buf % size != 0:
            return UNSUPPORTED
        for d in range(view.ndim):
            if view.shape[d] > 1 and view.strides[d] % size != 0:
                return UNSUPPORTED
    if code == c"f":
        return FLOAT32
    if code == c"d":
        return FLOAT64
    if code in b"bhilq":
        return INT8 if size == 1 else INT16 if size == 2 else INT32 if size == 4 else INT64
    return UINT8 if size == 1 else UINT16 if size == 2 else UINT32 if size == 4 else UINT64


@cython.final
cdef class Borrowed:
    """The buffers of a list of arrays, released when this object goes: also when packing stops half-way."""

    cdef Py_buffer* views
    cdef uint8_t* kinds
    cdef Py_ssize_t count

    def __cinit__(self, Py_ssize_t capacity):
        self.views = <Py_buffer*> PyMem_Calloc(max(capacity, 1), sizeof(Py_buffer))
        self.kinds = <uint8_t*> PyMem_Calloc(max(capacity, 1), sizeof(uint8_t))
        if self.views == NULL or self.kinds == NULL:
            raise MemoryError()

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(self.count):
            PyBuffer_Release(&self.views[i])
        PyMem_Free(self.views)
        PyMem_Free(self.kinds)

    cdef Py_buffer* borrow(self, object item, object convert) except NULL:
        """The buffer of the next item; what is not an array of plain numbers goes through `convert` first."""
        cdef Py_buffer* view = &self.views[self.count]
        cdef Kind kind = UNSUPPORTED
        if type(item) is ndarray:
            try:
                PyObject_GetBuffer(item, view, PyBUF_STRIDES | PyBUF_FORMAT)
            except (ValueError, BufferError):  # dates have no buffer format
                pass
            else:
                kind = kind_of(view)
                if kind == UNSUPPORTED:
                    PyBuffer_Release(view)
        if kind == UNSUPPORTED:
            PyObject_GetBuffer(convert(item, self.count), view, PyBUF_STRIDES | PyBUF_FORMAT)
            kind = kind_of(view)
            if kind == UNSUPPORTED:
                PyBuffer_Release(view)
                raise TypeError("convert returned an array that is not of plain, aligned numbers")
        self.kinds[self.count] = kind
        self.count += 1
        return view


cdef bint copy_frames(
    const number* frames, Py_ssize_t n_frames, Py_ssize_t n_features,
    Py_ssize_t frame_stride, Py_ssize_t feature_stride, real* out,
) noexcept nogil:
    """out[t, f] = frames[t, f], strides in bytes, out contiguous; true if an element of out is NaN or inf."""
    cdef const char* base = <const char*> frames
    cdef const char* row
    cdef const number* contiguous
    cdef Py_ssize_t t, f
    cdef real value
    cdef int bad = 0
    if feature_stride == sizeof(number) and frame_stride == n_features * feature_stride:
        n_features, n_frames = n_features * n_frames, 1
    if feature_stride == sizeof(number) or n_features == 1:
        for t in range(n_frames):
            contiguous = <const number*> (base + t * frame_stride)
            for f in range(n_features):
                value = <real> contiguous[f]
                out[f] = value
                bad |= value - value != 0
            out += n_features
    else:
        for t in range(n_frames):
            row = base + t * frame_stride
            for f in range(n_features):
                value = <real> (<const number*> (row + f * feature_stride))[0]
                out[f] = value
                bad |= value - value != 0
            out += n_features
    return bad


cdef bint copy_item(
    Kind kind, const void* frames, Py_ssize_t n_frames, Py_ssize_t n_features,
    Py_ssize_t frame_stride, Py_ssize_t feature_stride, real* out,
) noexcept nogil:
    if kind == FLOAT32:
        return copy_frames(<const float*> frames, n_frames, n_features, frame_stride, feature_stride, out)
    if kind == FLOAT64:
        return copy_frames(<const double*> frames, n_frames, n_features, frame_stride, feature_stride, out)
    if kind == INT8:
        return copy_frames(<const int8_t*> frames, n_frames, n_features, frame_stride, feature_stride, out)
    if kind == UINT8:
        return copy_frames(<const uint8_t*> frames, n_frames, n_features, frame_stride, feature_stride, out)
    if kind == INT16:
        return copy_frames(<const int16_t*> frames, n_frames, n_features, frame_stride, feature_stride, out)
    if kind == UINT16:
        return copy_frames(<const uint16_t*> frames, n_frames, n_features, frame_stride, feature_stride, out)
    if kind == INT32:
        return copy_frames(<const int32_t*> frames, n_frames, n_features, frame_stride, feature_stride, out)
    if kind == UINT32:
        return copy_frames(<const uint32_t*> frames, n_frames, n_features, frame_stride, feature_stride, out)
    if kind == INT64:
        return copy_frames(<const int64_t*> frames, n_frames, n_features, frame_stride, feature_stride, out)
    return copy_frames(<const uint64_t*> frames, n_frames, n_features, frame_stride, feature_stride, out)


cdef Py_ssize_t copy_all(Borrowed items, const int64_t[::1] lengths, real[:, ::1] values, bint ensure_finite):
    """Copy every borrowed item into `values`; the index of the first item with NaN or inf, -1 if none."""
    cdef Py_ssize_t n_features = values.shape[1]
    cdef Py_ssize_t i, n_frames, frame_stride, feature_stride
    cdef Py_buffer* view
    cdef real* out = &values[0, 0]
    cdef bint bad
    for i in range(items.count):
        view = &items.views[i]
        n_frames = lengths[i]
        frame_stride = view.strides[0]
        feature_stride = view.strides[1] if view.ndim == 2 else view.itemsize
        if n_frames * n_features * view.itemsize < RELEASE_GIL_BYTES:
            bad = copy_item(<Kind> items.kinds[i], view.buf, n_frames, n_features, frame_stride, feature_stride, out)
        else:
            with nogil:
                bad = copy_item(<Kind> items.kinds[i], view.buf, n_frames, n_features, frame_stride, feature_stride, out)
        if bad and ensure_finite:
            return i
        out += n_frames * n_features
    return -1


def pack_arrays(list items, dtype, int64_t n_features, int64_t min_length, bint ensure_finite, convert, allocate):
    """Pack a list of (T_i, F) and (T_i,) arrays behind each other, converted to one dtype.

    Parameters
    ----------
    items : list
        Arrays of any real dtype and strides; anything else is what `convert` is for.
    dtype : numpy.dtype
        float32 or float64, the dtype of the packed values.
    n_features : int
        The F that every item must have; 0 takes it from the first item. A (T_i,) array has one feature.
    min_length : int
        The least T_i.
    ensure_finite : bool
        Stop at the first item that has NaN or inf, or has them after the cast.
    convert : callable (item, index) -> ndarray of real numbers in native byte order
        Called for every item that is not a plain array of booleans, integers, float32 or float64.
    allocate : callable (shape, dtype) -> ndarray

    Returns
    -------
    values : ndarray of shape (sum of T_i, F), or None if there is a problem
    lengths : ndarray of shape (len(items),), int64, or None if there is a problem
    problem : None or tuple
        ``("ndim", i, ndim)``, ``("length", i, T_i)``, ``("features", i, F_i, F)``, ``("overflow", i)`` or
        ``("finite", i)``.
    """
    cdef list own = list(items)  # nobody else can shorten this one
    cdef Py_ssize_t count = len(own), i
    cdef Borrowed borrowed = Borrowed(count)
    cdef Py_buffer* view
    cdef int64_t total = 0, found
    lengths = np.empty(count, dtype=np.int64)
    cdef int64_t[::1] lengths_out = lengths
    cdef float[:, ::1] values32
    cdef double[:, ::1] values64
    for i in range(count):
        view = borrowed.borrow(own[i], convert)
        if view.ndim != 1 and view.ndim != 2:
            return None, None, ("ndim", i, view.ndim)
        if view.shape[0] < min_length:
            return None, None, ("length", i, view.shape[0])
        found = view.shape[1] if view.ndim == 2 else 1
        if n_features == 0:
            n_features = found
        if found != n_features or found == 0:
            return None, None, ("features", i, found, n_features)
        if add_overflows(total, view.shape[0]):
            return None, None, ("overflow", i)
        lengths_out[i] = view.shape[0]
        total += view.shape[0]
    values = allocate((total, n_features), dtype)
    if total == 0:
        return values, lengths, None
    if dtype == np.float32:
        values32 = values
        i = copy_all(borrowed, lengths_out, values32, ensure_finite)
    else:
        values64 = values
        i = copy_all(borrowed, lengths_out, values64, ensure_finite)
    if i >= 0:
        return None, None, ("finite", i)
    return values, lengths, None


cdef Py_ssize_t scan(
    const real[:, :] frames, const int64_t[::1] starts, const int64_t[::1] lengths,
) noexcept nogil:
    """The first sequence that has NaN or inf, -1 if none."""
    cdef Py_ssize_t n_features = frames.shape[1], b, t, f
    cdef const real* row
    cdef int bad
    for b in range(starts.shape[0]):
        bad = 0
        for t in range(starts[b], starts[b] + lengths[b]):
            row = &frames[t, 0]
            for f in range(n_features):
                bad |= row[f] - row[f] != 0
        if bad:
            return b
    return -1


def first_not_finite(frames, const int64_t[::1] starts, const int64_t[::1] lengths):
    """The index of the first sequence with NaN or inf among its frames, -1 if there is none.

    Parameters
    ----------
    frames : ndarray of shape (N, F), float32 or float64, each row contiguous
    starts, lengths : int64 arrays of shape (B,)
        Sequence b is ``frames[starts[b] : starts[b] + lengths[b]]``, which must lie inside.
    """
    cdef const float[:, :] frames32
    cdef const double[:, :] frames64
    cdef Py_ssize_t found
    if frames.dtype == np.float32:
        frames32 = frames
        with nogil:
            found = scan(frames32, starts, lengths)
    else:
        frames64 = frames
        with nogil:
            found = scan(frames64, starts, lengths)
    return found


def copy_sequences(
    source, const int64_t[::1] starts, const int64_t[::1] lengths, out, const int64_t[::1] out_starts,
):
    """``out[out_starts[b] : ...] = source[starts[b] : starts[b] + lengths[b]]`` for every sequence b.

    Parameters
    ----------
    source : array of shape (N, ...), each row contiguous
    starts, lengths : int64 arrays of shape (B,)
        Rows of `source` to copy, which must lie inside.
    out : C-contiguous array of shape (M, ...), same dtype and row shape
    out_starts : int64 array of shape (B,)
        First row of each sequence in `out`, which must have room for it.
    """
    cdef Py_buffer src, dst
    cdef Py_ssize_t b, t, row_bytes, stride
    cdef const char* from_row
    cdef char* to_row
    PyObject_GetBuffer(source, &src, PyBUF_STRIDES)
    try:
        PyObject_GetBuffer(out, &dst, PyBUF_STRIDES | PyBUF_WRITABLE)
        try:
            stride = src.strides[0]
            row_bytes = dst.itemsize * (dst.shape[1] if dst.ndim == 2 else 1)
            with nogil:
                for b in range(starts.shape[0]):
                    from_row = <const char*> src.buf + starts[b] * stride
                    to_row = <char*> dst.buf + out_starts[b] * row_bytes
                    if stride == row_bytes:
                        memcpy(to_row, from_row, lengths[b] * row_bytes)
                    else:
                        for t in range(lengths[b]):
                            memcpy(to_row + t * row_bytes, from_row + t * stride, row_bytes)
        finally:
            PyBuffer_Release(&dst)
    finally:
        PyBuffer_Release(&src)


def encode_tokens(list sequences, dict vocabulary):
    """Look up every label of every sequence.

    Parameters
    ----------
    sequences : list
        Strings (their characters are the labels), lists or tuples of hashable labels.
    vocabulary : dict
        Label to integer id.

    Returns
    -------
    ids : ndarray of shape (sum of lengths,), int64
        The ids, sequence after sequence; undefined from the first unknown label on.
    lengths : ndarray of shape (len(sequences),), int64
    first_unknown : None or tuple (sequence, position)
        The first label that is not in the vocabulary, or cannot be because it is not hashable.
    """
    cdef Py_ssize_t i, position, total = 0, start = 0, count = len(sequences)
    lengths = np.empty(count, dtype=np.int64)
    cdef int64_t[::1] lengths_out = lengths
    cdef tuple labels
    cdef list own = [tuple(sequence) for sequence in sequences]
    for i in range(count):
        lengths_out[i] = len(<tuple> own[i])
        total += lengths_out[i]
    ids = np.empty(total, dtype=np.int64)
    cdef int64_t[::1] ids_out = ids
    for i in range(count):
        labels = <tuple> own[i]
        for position in range(len(labels)):
            try:
                found = vocabulary.get(labels[position])
            except TypeError:
                return ids, lengths, (i, position)
            if found is None:
                return ids, lengths, (i, position)
            ids_out[start + position] = found
        start += len(labels)
    return ids, lengths, None
