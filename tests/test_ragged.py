"""Packing user data, and what a Ragged promises: values kept, views where possible, nobody's data changed."""

import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.model_selection import KFold, train_test_split

from pyseq.ragged import Ragged, as_ragged, table_width

DTYPES = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "g", ">f4", ">f8", ">i4"]
FLOATS = ["float32", "float64"]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def sequences(rng, n=7, n_features=3, dtype="float32", shortest=1, longest=9):
    """Numbers over the whole range of an integer dtype, or from -100 to 100."""
    lengths = rng.integers(shortest, longest + 1, n)
    if np.dtype(dtype).kind in "iu":
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        native = np.dtype(dtype).newbyteorder("=")
        return [
            rng.integers(low, high, (t, n_features), native, endpoint=True).astype(dtype) for t in lengths
        ]
    return [rng.uniform(-100, 100, (t, n_features)).astype(dtype) for t in lengths]


def unaligned(a):
    """The same numbers as a field of packed records: neither aligned nor a whole number of elements apart."""
    records = np.zeros(a.shape, dtype=[("flag", "i1"), ("x", a.dtype)])
    records["x"] = a
    return records["x"]


LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "every second frame": lambda a: np.repeat(a, 2, axis=0)[::2],
    "every second feature": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "column slice": lambda a: np.hstack([a, a])[:, : a.shape[1]],
    "reversed": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "unaligned": unaligned,
    "nested list": lambda a: a.tolist(),
    "object array": lambda a: a.astype(object),
    "data frame": pd.DataFrame,
}


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


@pytest.mark.parametrize("target", FLOATS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_real_dtype_packs_to_the_numbers_numpy_casts_to(rng, dtype, target):
    X = sequences(rng, dtype=dtype)
    expected = np.concatenate([x.astype(target) for x in X])
    ragged = as_ragged(X, dtype=target)
    assert ragged.dtype == target
    assert_array_equal(ragged.values, expected, strict=True)
    assert_array_equal(ragged.lengths, [len(x) for x in X])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_packs_to_the_same_numbers(rng, layout, dtype):
    X = sequences(rng, dtype=dtype)
    ragged = as_ragged([LAYOUTS[layout](x) for x in X])
    assert_array_equal(ragged.values, np.concatenate(X).astype("f4"), strict=True)


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_integers_beyond_the_mantissa_round_as_numpy_rounds(dtype):
    x = np.array([[2**24 + 1, 2**53 + 1, np.iinfo(dtype).max]], dtype=dtype)
    for target in FLOATS:
        assert_array_equal(as_ragged([x], dtype=target).values, x.astype(target), strict=True)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_packing_keeps_every_value_whatever_the_shapes(data):
    n_features = data.draw(st.integers(1, 5), label="n_features")
    lengths = data.draw(st.lists(st.integers(0, 40), min_size=1, max_size=12), label="lengths")
    target = data.draw(st.sampled_from(FLOATS), label="dtype")
    rng = np.random.default_rng(data.draw(st.integers(0, 99), label="seed"))
    X = [
        LAYOUTS[data.draw(st.sampled_from(["C", "Fortran", "reversed", "column slice", "unaligned"]))](
            rng.standard_normal((length, n_features)).astype(data.draw(st.sampled_from(FLOATS)))
        )
        for length in lengths
    ]
    ragged = Ragged.from_list(X, dtype=target)
    assert ragged.is_packed
    assert_array_equal(ragged.lengths, lengths)
    assert ragged.n_features == n_features
    for got, x in zip(ragged, X, strict=True):
        assert_array_equal(got, x.astype(target), strict=True)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_padding_and_unpadding_give_back_the_sequences(data):
    lengths = data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=8), label="lengths")
    rng = np.random.default_rng(0)
    ragged = Ragged(rng.standard_normal((sum(lengths), 2)), lengths)
    chosen = data.draw(st.lists(st.integers(-len(lengths), len(lengths) - 1)), label="index")
    batch = ragged[chosen]
    x, batch_lengths = batch.to_padded(fill=np.nan)
    assert x.shape == (len(chosen), max([lengths[b] for b in chosen], default=0), 2)
    back = Ragged.from_padded(x, batch_lengths)
    assert len(back) == len(chosen)
    for b, original in enumerate(chosen):
        assert_array_equal(batch[b], ragged[original])
        assert_array_equal(back[b], ragged[original])
        assert np.isnan(x[b, lengths[original] :]).all()
    assert_array_equal(batch.values, back.values)
    assert batch.packed().is_packed


def test_univariate_forms_are_the_same_sequences(rng):
    x = rng.random((4, 6))
    forms = [x, x[:, :, None], list(x), x.tolist(), list(x[:, :, None]), pd.DataFrame(x), x.astype(object)]
    for form in forms:
        ragged = as_ragged(form)
        assert (len(ragged), ragged.n_features) == (4, 1)
        assert_array_equal(ragged.values, x.reshape(-1, 1).astype("f4"), strict=True)


def test_collections_of_sequences_may_be_lists_tuples_object_arrays_or_series(rng):
    X = sequences(rng)
    objects = np.empty(len(X), dtype=object)
    objects[:] = X
    for form in (X, tuple(X), objects, pd.Series(X)):
        assert_array_equal(as_ragged(form).values, np.concatenate(X))


def test_large_sequences_are_packed_like_small_ones(rng):
    X = [
        rng.standard_normal((70_000, 4)),
        rng.standard_normal((3, 4)).astype("f4"),
        np.ones((90_000, 4), "i2"),
    ]
    assert_array_equal(as_ragged(X).values, np.concatenate(X).astype("f4"), strict=True)


def test_threads_may_pack_at_the_same_time(rng):
    X = [*sequences(rng, n=300), rng.random((100_000, 3))]
    expected = np.concatenate(X).astype("f4")
    with ThreadPoolExecutor(4) as pool:
        for ragged in pool.map(lambda _: as_ragged(X), range(8)):
            assert_array_equal(ragged.values, expected)


@pytest.mark.parametrize("last", [0.0, np.nan])
def test_packing_keeps_no_reference_to_the_arrays(rng, last):
    X = sequences(rng)
    X[-1][-1, -1] = last
    before = [sys.getrefcount(x) for x in X]
    try:
        as_ragged(X)
    except ValueError:
        assert np.isnan(last)
    assert [sys.getrefcount(x) for x in X] == before


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_contiguous_array_of_the_right_dtype_becomes_a_view(rng, dtype, ndim):
    x = rng.standard_normal((5, 7, 3)[:ndim]).astype(dtype)
    ragged = as_ragged(x, dtype=dtype)
    assert np.shares_memory(ragged.buffer, x)
    assert ragged.is_packed
    for b in range(5):
        assert_array_equal(ragged[b], x[b].reshape(7, -1), strict=True)


SLICES = {
    "time from the start": lambda x: x[:, :4],
    "time from the middle": lambda x: x[:, 2:5],
    "one frame": lambda x: x[:, 3:4],
    "features": lambda x: x[:, :, 1:3],
    "one feature": lambda x: x[:, :, 2:3],
    "sequences": lambda x: x[1::2],
    "one sequence": lambda x: x[2:3],
    "one sequence, some frames": lambda x: x[2:3, 1:4, 1:3],
    "frames with a step": lambda x: x[:, ::2],
    "the same sequence again": lambda x: np.broadcast_to(x[0], (4, *x.shape[1:])),
    "sliding windows": lambda x: np.moveaxis(np.lib.stride_tricks.sliding_window_view(x[0], 3, axis=0), 2, 1),
}


@pytest.mark.parametrize("name", SLICES)
@pytest.mark.parametrize("n_frames", [6, 7])
def test_slices_of_an_array_become_views_with_rows_the_kernels_can_walk(rng, name, n_frames):
    x = SLICES[name](rng.standard_normal((6, n_frames, 4)).astype("f4"))
    ragged = as_ragged(x)
    if not (name == "frames with a step" and n_frames % 2):
        assert np.shares_memory(ragged.buffer, x)
    assert ragged.buffer.strides[1] == ragged.buffer.itemsize
    assert ragged.buffer.strides[0] >= ragged.n_features * ragged.buffer.itemsize
    assert (ragged.starts + ragged.lengths <= len(ragged.buffer)).all()
    assert_array_equal(np.stack(ragged.to_list()), x, strict=True)
    assert_array_equal(ragged.values, x.reshape(-1, x.shape[2]), strict=True)


COPIED = {
    "features with a step": lambda x: x[:, :, ::2],
    "features reversed": lambda x: x[:, :, ::-1],
    "frames reversed": lambda x: x[:, ::-1],
    "sequences reversed": lambda x: x[::-1],
    "Fortran": np.asfortranarray,
    "channels first": lambda x: np.ascontiguousarray(x.transpose(0, 2, 1)).transpose(0, 2, 1),
    "one frame repeated": lambda x: np.broadcast_to(x[:, :1], x.shape),
    "overlapping frames": lambda x: np.lib.stride_tricks.sliding_window_view(x.ravel(), 6)[None],
    "unaligned": unaligned,
    "big endian": lambda x: x.astype(">f4"),
}


@pytest.mark.parametrize("name", COPIED)
def test_arrays_that_kernels_cannot_walk_are_copied(rng, name):
    x = COPIED[name](rng.standard_normal((5, 6, 4)).astype("f4"))
    for ragged in (as_ragged(x), Ragged.from_padded(x)):
        assert not np.shares_memory(ragged.buffer, x)
        assert_array_equal(np.stack(ragged.to_list()), x)
        assert ragged.buffer.strides[1] == ragged.buffer.itemsize


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_buffer_of_one_feature_always_has_the_strides_of_rows(rng, step):
    x = rng.random((8, 6)).astype("f4")
    for values in (x[:, ::6], x[:, 0], x[::step, 2:3], x[0, :, None], x[:1, ::6], x[0, ::step]):
        ragged = Ragged(values, [len(values)])
        assert ragged.buffer.strides[1] == 4
        assert ragged.buffer.strides[0] >= 4
        assert_array_equal(ragged.values.ravel(), values.ravel())


def test_nobodys_data_is_changed_and_read_only_data_is_welcome(rng):
    x = rng.random((3, 4, 2)).astype("f4")
    for form in (x, x.astype("f8"), list(x), list(x.astype("i4"))):
        frozen = read_only(form) if isinstance(form, np.ndarray) else [read_only(a) for a in form]
        before = pickle.dumps(frozen)
        ragged = as_ragged(frozen)
        ragged[[2, 0]].to_padded()
        ragged[[1, 1]].packed()
        assert pickle.dumps(frozen) == before


def test_memory_maps_pass_without_a_copy(rng, tmp_path):
    np.save(tmp_path / "x.npy", rng.random((3, 5, 2)).astype("f4"))
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert np.shares_memory(as_ragged(x).buffer, x)
    assert_array_equal(as_ragged(list(x)).values, x.reshape(-1, 2))


def test_a_ragged_of_the_right_dtype_passes_unchanged(rng):
    ragged = Ragged(rng.random((5, 2)), [2, 3])
    assert as_ragged(ragged, dtype="float64") is ragged
    single = as_ragged(ragged)
    assert_array_equal(single.values, ragged.values.astype("f4"), strict=True)
    assert_array_equal(single.lengths, ragged.lengths)


def test_the_packed_form_shares_the_values_it_was_made_from(rng):
    values = rng.random((6, 2)).astype("f4")
    ragged = Ragged(values, [1, 0, 5])
    assert ragged.values is values
    assert_array_equal(ragged.starts, [0, 1, 1])
    assert ragged.n_frames == 6
    wide = rng.random((6, 9)).astype("f4")
    assert np.shares_memory(Ragged(wide[:, 2:5], [6]).values, wide)


@pytest.mark.parametrize(
    ("values", "dtype", "shape"),
    [
        (np.arange(3.0), "float64", (3, 1)),
        (np.arange(3), "int64", (3,)),
        (np.arange(3, dtype="u1"), "int64", (3,)),
        (np.ones((3, 2), dtype=bool), "float32", (3, 2)),
        (np.ones((3, 2), dtype="i8"), "float32", (3, 2)),
        (np.ones((3, 2), dtype="f2"), "float32", (3, 2)),
    ],
)
def test_values_of_the_constructor_are_frames_or_tokens(values, dtype, shape):
    ragged = Ragged(values, [1, 2])
    assert ragged.values.dtype == dtype
    assert ragged.values.shape == shape
    assert_array_equal(ragged.values.ravel(), values.ravel())


INDICES = [slice(None), slice(1, 4), slice(4, 1, -1), slice(None, None, 3), slice(9, 9)]
INDICES += [
    [2],
    [5, 0, 0, -1],
    [],
    np.array([3, 1], dtype="u1"),
    np.array([], dtype=int),
    np.array([True, False] * 3),
]
INDICES += [[True, True, False, False, True, False]]


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_choosing_sequences_copies_no_frame(rng, index):
    X = sequences(rng, n=6, shortest=0)
    ragged = Ragged.from_list(X)
    chosen = ragged[index]
    objects = np.empty(6, dtype=object)
    objects[:] = X
    expected = list(objects[np.array(index, dtype=int) if isinstance(index, list) and not index else index])
    assert chosen.buffer is ragged.buffer
    assert chosen.starts.flags.c_contiguous
    assert chosen.lengths.flags.c_contiguous
    assert len(chosen) == len(expected)
    for got, x in zip(chosen, expected, strict=True):
        assert_array_equal(got, x, strict=True)
    assert_array_equal(chosen.values, np.concatenate([np.empty((0, 3), "f4"), *expected]), strict=True)


def test_one_sequence_is_a_view(rng):
    ragged = Ragged(rng.random((6, 2)), [2, 3, 1])
    for index in (1, -2, np.int32(1)):
        assert_array_equal(ragged[index], ragged.values[2:5])
        assert np.shares_memory(ragged[index], ragged.buffer)


def test_values_of_a_run_of_sequences_are_a_view_and_of_others_a_copy(rng):
    ragged = Ragged(rng.random((6, 2)), [2, 3, 1])
    run = ragged[1:]
    assert not run.is_packed
    assert np.shares_memory(run.values, ragged.values)
    assert_array_equal(run.values, ragged.values[2:])
    assert_array_equal(run.packed().starts, [0, 3])
    assert not np.shares_memory(ragged[::-1].values, ragged.values)
    assert ragged.packed() is ragged
    assert ragged[:].is_packed


def test_a_view_may_overlap_and_leave_gaps(rng):
    buffer = rng.random((7, 2)).astype("f4")
    ragged = Ragged.view(buffer, [4, 0, 1], [3, 2, 0])
    assert ragged.buffer is buffer
    assert not ragged.is_packed
    assert_array_equal(ragged.values, buffer[[4, 5, 6, 0, 1]], strict=True)
    assert Ragged.view(buffer, [0, 3], [3, 4]).is_packed


def test_wide_rows_are_gathered_without_their_neighbours(rng):
    wide = rng.random((9, 5))
    ragged = Ragged(wide[:, 1:3], [4, 5])
    assert_array_equal(ragged[[1, 0]].values, wide[[4, 5, 6, 7, 8, 0, 1, 2, 3], 1:3])
    assert_array_equal(ragged.to_padded(-1.0)[0][0, :4], wide[:4, 1:3])
    assert (ragged.to_padded(-1.0)[0][0, 4] == -1.0).all()


def test_with_values_keeps_the_lengths_and_takes_the_array_as_it_is(rng):
    ragged = Ragged(rng.random((6, 2)), [2, 3, 1])[[2, 1]]
    wide = rng.random((4, 8))
    other = ragged.with_values(wide[:, 3:6])
    assert np.shares_memory(other.values, wide)
    assert_array_equal(other.lengths, [1, 3])
    assert_array_equal(other[1], wide[1:4, 3:6])
    assert other.is_packed


def test_lengths_and_starts_cannot_be_written_and_do_not_follow_their_source(rng):
    lengths = np.array([2, 3])
    ragged = Ragged(rng.random((5, 2)), lengths)
    lengths[0] = 99
    assert_array_equal(ragged.lengths, [2, 3])
    for frozen in (ragged.lengths, ragged.starts, ragged[[1, 0]].lengths, ragged[::-1].starts):
        assert not frozen.flags.writeable
    with pytest.raises(AttributeError):
        ragged.lengths = lengths


def test_pickling_a_view_stores_only_its_own_frames(rng):
    ragged = Ragged(rng.random((10_000, 2)), [5_000, 4_990, 10])
    part = ragged[[2]]
    stored = pickle.dumps(part)
    assert len(stored) < 1_000
    back = pickle.loads(stored)
    assert_array_equal(back[0], ragged[2], strict=True)
    assert back.is_packed
    assert not back.lengths.flags.writeable


@pytest.mark.parametrize("dtype", ["int64", "uint16", "int8"])
def test_tokens_stay_integers(dtype):
    X = [np.array([3, 1], dtype=dtype), np.array([], dtype=dtype), np.array([2], dtype=dtype)]
    ragged = Ragged.from_list(X, dtype="int64")
    assert_array_equal(ragged.values, np.array([3, 1, 2]), strict=True)
    assert_array_equal(ragged[[2, 0]].values, [2, 3, 1])
    x, lengths = ragged.to_padded(fill=-1)
    assert_array_equal(x, [[3, 1], [-1, -1], [2, -1]])
    assert Ragged.from_padded(x, lengths)[0].tolist() == [3, 1]
    for layout in (np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2]):
        padded = Ragged.from_padded(layout, lengths)
        assert padded.buffer.flags.c_contiguous
        assert padded[2].tolist() == [2]
    assert as_ragged(Ragged(np.array([3, 1]), [2]), dtype="int64").dtype == np.int64
    assert_array_equal(as_ragged(ragged[[0, 2]]).values, np.array([[3], [1], [2]], "f4"), strict=True)


@pytest.mark.parametrize("as_array", [False, True])
def test_channels_first_is_transposed(rng, as_array):
    lengths = [4, 4, 4] if as_array else [4, 1, 6]
    x = [rng.random((3, t)) for t in lengths]
    ragged = Ragged.from_channels_first(np.stack(x) if as_array else x, dtype="float64")
    for b in range(3):
        assert_array_equal(ragged[b], x[b].T)


def test_long_tables_are_sorted_by_id_and_time():
    df = pd.DataFrame(
        {
            "t": pd.to_datetime(["2021-01-04", "2021-01-03", "2021-01-02", "2021-01-01"]),
            "a": [1, 2, 3, 4],
            "who": ["x", "b", "x", "x"],
            "b": [0.5, 1.5, 2.5, 3.5],
        }
    )
    ragged = Ragged.from_long(df, id="who", time="t")
    assert ragged.dtype == np.float32
    assert_array_equal(ragged[0], [[2, 1.5]])
    assert_array_equal(ragged[1], [[4, 3.5], [3, 2.5], [1, 0.5]])
    in_order = Ragged.from_long(df, id="who", features=["b"], dtype="float64")
    assert_array_equal(in_order[1], [[0.5], [2.5], [3.5]])


def test_empty_collections_keep_their_number_of_features():
    ragged = Ragged(np.empty((0, 4)), [])
    assert (len(ragged), ragged.n_features, ragged.n_frames) == (0, 4, 0)
    assert ragged.to_padded()[0].shape == (0, 0, 4)
    assert ragged[[]].values.shape == (0, 4)
    assert ragged.to_list() == []
    assert repr(ragged) == "Ragged(0 sequences of 4 features, float64)"


def test_repr_says_what_is_inside():
    assert (
        repr(Ragged(np.zeros((5, 1)), [4, 1])) == "Ragged(2 sequences of 1 feature, lengths 1 to 4, float64)"
    )
    assert repr(Ragged(np.arange(5), [5])) == "Ragged(1 sequence of tokens, lengths 5 to 5, int64)"


def test_object_arrays_are_one_dimensional_also_for_equal_lengths():
    objects = Ragged(np.arange(12.0).reshape(6, 2), [3, 3]).to_object_array()
    assert objects.shape == (2,)
    assert_array_equal(objects[1], [[6, 7], [8, 9], [10, 11]])


def test_scikit_learn_splits_a_ragged(rng):
    X = sequences(rng, n=12)
    ragged = Ragged.from_list(X)
    train, test = train_test_split(ragged, random_state=0)
    train_list, test_list = train_test_split(X, random_state=0)
    assert_array_equal(as_ragged(train).values, np.concatenate(train_list))
    assert_array_equal(as_ragged(test).values, np.concatenate(test_list))
    for fold, _ in KFold(3).split(ragged):
        assert_array_equal(ragged[fold].values, np.concatenate([X[i] for i in fold]))


@pytest.mark.parametrize(
    ("X", "width"),
    [
        (np.zeros((5, 3)), 3),
        (np.zeros((5, 3, 2)), None),
        (pd.DataFrame(np.zeros((5, 3))), 3),
        ([[1, 2, 3], [4, 5, 6]], 3),
        ([(1, 2, 3)], 3),
        ([[1, 2, 3], [4, 5]], None),
        ([[[1], [2]], [[3], [4]]], None),
        ([np.zeros(3), np.zeros(3)], None),
        ([np.zeros((3, 2))], None),
        (np.array([None, None]), None),
        ([], None),
        (Ragged(np.zeros((5, 3)), [5]), None),
    ],
    ids=repr,
)
def test_tables_are_told_from_collections_of_sequences(X, width):
    assert table_width(X) == width
