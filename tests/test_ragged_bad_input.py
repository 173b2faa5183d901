"""Bad input: an error that names the argument, what was got, what was expected and which sequence."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from pyseq.ragged import Ragged, as_ragged

FRAMES = np.arange(30.0).reshape(10, 3)


def spoiled(value, dtype="float64"):
    """Four sequences, of which X[3] has `value` at frame 5, feature 2."""
    X = [FRAMES[:t].astype(dtype) for t in (4, 10, 1, 7)]
    X[3][5, 2] = value
    return X


def forms(X):
    """The same sequences by every way that checks: packed, of another layout, viewed, and as a Ragged."""
    padded = np.stack([np.resize(x, (7, 3)) for x in X])
    return {
        "list": X,
        "list of Fortran arrays": [np.asfortranarray(x) for x in X],
        "list of lists": [x.tolist() for x in X],
        "array": padded,
        "array to be cast": padded.astype("float64"),
        "Ragged": Ragged.from_list(X, dtype=X[0].dtype, ensure_finite=False),
    }


@pytest.mark.parametrize("form", forms(spoiled(0.0)))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_nan_and_inf_are_located(form, dtype, value, word):
    X = forms(spoiled(value, dtype))[form]
    with pytest.raises(ValueError, match=rf"^X\[3\] contains {word} at frame 5, feature 2; expected finite"):
        as_ragged(X, dtype=dtype)
    assert np.isfinite(as_ragged(X, dtype=dtype, ensure_finite=False)[0]).all()


@pytest.mark.parametrize("position", [0, 1, 6, 7, 8, 62, 63, 64, 70])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_position_hides_from_the_finite_check(position, dtype):
    x = np.zeros((71, 1), dtype)
    x[position] = np.nan
    for X in ([x], x[None]):
        with pytest.raises(ValueError, match=rf"frame {position}\b"):
            as_ragged(X, dtype=dtype)


def test_nan_in_padding_is_never_read():
    x = np.zeros((2, 5, 3), "f4")
    x[0, 2:] = np.nan
    ragged = Ragged.from_padded(x, [2, 5])
    assert as_ragged(ragged) is ragged
    with pytest.raises(ValueError, match=r"^X\[0\] contains NaN at frame 2, feature 0"):
        as_ragged(Ragged.from_padded(x, [3, 5]))


@pytest.mark.parametrize("form", ["list", "array", "Ragged"])
def test_numbers_too_large_for_float32_are_told_from_infinities(form):
    X = forms(spoiled(1e300))[form]
    with pytest.raises(ValueError, match=r"^X\[3\] contains (1e\+300|inf) at frame 5, feature 2"):
        as_ragged(X)
    assert as_ragged(X, dtype="float64").values.max() == 1e300


TOO_FEW = "while a minimum of 1 is required."
CASES = {
    "feature counts differ": (
        [FRAMES] * 17 + [FRAMES[:, :2]],
        ValueError,
        "X[17] has 2 features, expected 3 as X[0] has",
    ),
    "flat among deep": ([FRAMES, FRAMES[:, 0]], ValueError, "X[1] has 1 feature, expected 3 as X[0] has"),
    "no features": ([FRAMES, np.zeros((2, 0))], ValueError, "X[1] has 0 features, expected at least 1"),
    "empty list": ([], ValueError, f"X is empty: 0 sample(s) (shape=(0,)) {TOO_FEW}"),
    "no rows": (np.empty((0, 3)), ValueError, f"X has no sequences: 0 sample(s) (shape=(0, 3)) {TOO_FEW}"),
    "no columns": (
        np.empty((12, 0)),
        ValueError,
        f"X has sequences of length 0: 0 feature(s) (shape=(12, 0)) {TOO_FEW}",
    ),
    "no columns of objects": (
        np.empty((12, 0), object),
        ValueError,
        f"0 feature(s) (shape=(12, 0)) {TOO_FEW}",
    ),
    "no channels": (
        np.empty((2, 5, 0)),
        ValueError,
        f"X has frames without features: 0 feature(s) (shape=(2, 5, 0)) {TOO_FEW}",
    ),
    "length 0": (
        [FRAMES, FRAMES[:0]],
        ValueError,
        "X[1] has length 0 (shape=(0, 3)), expected at least 1 frame",
    ),
    "length 0 in a Ragged": (
        Ragged(FRAMES, [10, 0]),
        ValueError,
        "X[1] has length 0, expected at least 1 frame",
    ),
    "empty Ragged": (
        Ragged(FRAMES[:0], []),
        ValueError,
        f"X has no sequences: 0 sample(s) (shape=(0, 3)) {TOO_FEW}",
    ),
    "numbers": (
        [1.0, 2.0],
        ValueError,
        "X[0] is a number (1.0). X is one-dimensional (shape=(2,)), expected a list",
    ),
    "flat array": (np.arange(20), ValueError, "Reshape your data: numpy.reshape(X, (1, -1)) is one sequence"),
    "a number": (3.0, TypeError, "X has type float, expected a list of (T, n_features) arrays"),
    "a 0-d array": (np.array(3.0), ValueError, "X has shape (), expected a list of (T, n_features) arrays"),
    "four axes": (np.zeros((2, 3, 4, 5)), ValueError, "X has shape (2, 3, 4, 5), expected a list"),
    "three axes in a list": (
        [FRAMES, np.zeros((2, 3, 4))],
        ValueError,
        "X[1] has shape (2, 3, 4), expected (T, n_features) or (T,)",
    ),
    "uneven frames": (
        [[[1, 2], [3, 4], [5]]],
        ValueError,
        "X[0] is not one array: frame 2 has 1 feature, expected 2 as frame 0 has",
    ),
    "complex": (np.ones((2, 3)) * 1j, ValueError, "Complex data not supported: X has dtype complex128"),
    "complex in a list": (
        [FRAMES, FRAMES * 1j],
        ValueError,
        "Complex data not supported: X[1] has dtype complex128",
    ),
    "complex objects": (
        [np.array([1, 1j], object)],
        ValueError,
        "Complex data not supported: X[0] holds complex at frame 1",
    ),
    "sparse": (sparse.csr_array(FRAMES), TypeError, "X is sparse (csr_array), expected a dense array"),
    "sparse matrix": (
        sparse.coo_matrix(FRAMES),
        TypeError,
        "X is sparse (coo_matrix), expected a dense array",
    ),
    "sparse in a list": ([FRAMES, sparse.csr_array(FRAMES)], TypeError, "X[1] is sparse (csr_array)"),
    "a string": ("abc", TypeError, "X has type str, expected a list of (T, n_features) arrays"),
    "strings": (["abc", "de"], TypeError, "X[0] has type str, expected an array of numbers"),
    "bytes": ([FRAMES, b"abc"], TypeError, "X[1] has type bytes, expected an array of numbers"),
    "array of strings": (np.array([["1", "2"]]), TypeError, "X has dtype <U1, expected real numbers"),
    "list of strings in a list": (
        [FRAMES, ["1", "2"]],
        TypeError,
        "X[1] has dtype <U1, expected real numbers",
    ),
    "strings as objects": (
        np.array([["1", 2.0]], object),
        TypeError,
        "X[0] holds str at frame 0, expected a number",
    ),
    "a dict among numbers": (
        np.array([[1.0, {"foo": "bar"}]], object),
        TypeError,
        "X[0] holds dict at frame 1, expected a number: float() argument must be a string or a real number",
    ),
    "a dict in a cube": (
        np.array([[[1.0, 2.0], [3.0, {}]]], object),
        TypeError,
        "X[0] holds dict at frame 1, feature 1, expected a number",
    ),
    "an integer no float holds": ([[1, 10**400]], ValueError, "X[0] holds int at frame 1, expected a number"),
    "None": (None, TypeError, "X has type NoneType, expected a list of (T, n_features) arrays"),
    "None in a list": ([FRAMES, None], TypeError, "X[1] has type NoneType, expected an array of numbers"),
    "a dict": ({"X": FRAMES}, TypeError, "X has type dict, expected a list"),
    "a generator": ((x for x in [FRAMES]), TypeError, "X has type generator, expected a list"),
    "dates": ([FRAMES, np.array(["2020-01-01"], "M8[D]")], TypeError, "X[1] has dtype datetime64[D]"),
    "masked": (np.ma.masked_array(FRAMES, FRAMES > 3), ValueError, "X has masked entries"),
    "masked in a list": (
        [FRAMES, np.ma.masked_array(FRAMES, FRAMES > 3)],
        ValueError,
        "X[1] has masked entries",
    ),
    "more frames than 64 bits": (
        [np.broadcast_to(np.zeros(1, "i1"), (2**62,))] * 2,
        ValueError,
        "X has more frames than 64 bits can count (at X[1], of shape (4611686018427387904,))",
    ),
    "more bytes than 64 bits": (
        [np.broadcast_to(np.zeros(1, "i1"), (2**61, 2))] * 2,
        MemoryError,
        f"X as float32 of shape (4611686018427387904, 2) takes {2**65} bytes",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_door_says_what_is_wrong(case):
    X, error, message = CASES[case]
    with pytest.raises(error, match=re.escape(message)):
        as_ragged(X)


@pytest.mark.parametrize("case", [case for case, (X, _, _) in CASES.items() if isinstance(X, list)])
def test_messages_call_the_argument_by_its_name(case):
    X, error, message = CASES[case]
    with pytest.raises(error, match=re.escape(re.sub(r"\bX\b", "X_val", message))):
        as_ragged(X, name="X_val")


@pytest.mark.parametrize(
    "X",
    [[FRAMES, FRAMES], np.stack([FRAMES, FRAMES]), np.stack([FRAMES]).astype("f4"), Ragged(FRAMES, [4, 6])],
    ids=["list", "array", "view", "Ragged"],
)
def test_another_number_of_features_than_fitted(X):
    with pytest.raises(ValueError, match=r"^X\[0\] has 3 features, expected 12 \(n_features_in_\)$"):
        as_ragged(X, n_features=12)
    assert as_ragged(X, n_features=3).n_features == 3


def test_the_sequence_with_another_number_of_features_is_named():
    X = [np.zeros((2, 12))] * 17 + [np.zeros((2, 11))]
    with pytest.raises(ValueError, match=r"^X\[17\] has 11 features, expected 12 \(n_features_in_\)$"):
        as_ragged(X, n_features=12)


@pytest.mark.parametrize("dtype", ["float16", "int32", "complex64", ">f4", "nonsense", None])
def test_dtypes_that_no_kernel_has(dtype):
    with pytest.raises(ValueError, match=r"^dtype is .*, expected 'float32' or 'float64'"):
        as_ragged([FRAMES], dtype=dtype)


def test_refused_data_is_left_as_it_was():
    X = spoiled(np.nan)
    before = [x.copy() for x in X]
    with pytest.raises(ValueError, match="NaN"):
        as_ragged(X)
    for x, copy in zip(X, before, strict=True):
        np.testing.assert_array_equal(x, copy)


LENGTHS = {
    "too few": ([2, 3], ValueError, "sum(lengths) is 5, expected 10, the rows of values"),
    "negative": ([12, -2], ValueError, "lengths[1] is -2, expected at least 0"),
    "wrapping around 64 bits": ([2**62] * 4 + [10], ValueError, f"sum(lengths) is {2**64 + 10}, expected 10"),
    "unsigned": (
        np.array([2**64 - 1, 11], "u8"),
        ValueError,
        f"lengths[0] is {2**64 - 1}, expected a number that",
    ),
    "floats": ([5.0, 5.0], TypeError, "lengths has dtype float64, expected integers"),
    "booleans": ([True] * 10, TypeError, "lengths has dtype bool, expected integers"),
    "two axes": ([[5, 5]], ValueError, "lengths has shape (1, 2), expected (B,)"),
    "a number": (10, ValueError, "lengths has shape (), expected (B,)"),
}


@pytest.mark.parametrize("case", LENGTHS)
def test_lengths_that_do_not_fit_the_values(case):
    lengths, error, message = LENGTHS[case]
    with pytest.raises(error, match=re.escape(message)):
        Ragged(FRAMES, lengths)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (np.zeros((2, 5, 1)), ValueError, r"values has shape \(2, 5, 1\), expected \(N, n_features\)"),
        (np.float64(1), ValueError, r"values has shape \(\)"),
        (["a", "b"], TypeError, "values has dtype <U1, expected real numbers"),
        (sparse.csr_array(FRAMES), TypeError, "values is sparse"),
    ],
)
def test_values_that_are_not_frames(values, error, message):
    with pytest.raises(error, match=message):
        Ragged(values, [10])


@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        ([6, 2], ValueError, "lengths[0] is 6, expected at most 5, the frames of x"),
        ([2, 2**63 - 1], ValueError, f"lengths[1] is {2**63 - 1}, expected at most 5"),
        ([2, -1], ValueError, "lengths[1] is -1, expected at least 0"),
        ([1, 2, 3], ValueError, "lengths has shape (3,), expected (2,)"),
        ([1.5, 2], TypeError, "lengths has dtype float64, expected integers"),
    ],
)
def test_lengths_beyond_a_padded_array(lengths, error, message):
    with pytest.raises(error, match=re.escape(message)):
        Ragged.from_padded(np.zeros((2, 5, 3)), lengths)


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4, 5)])
def test_padded_arrays_have_two_or_three_axes(shape):
    with pytest.raises(
        ValueError, match=re.escape(f"x has shape {shape}, expected (B, T, n_features) or (B, T)")
    ):
        Ragged.from_padded(np.zeros(shape))


@pytest.mark.parametrize(
    ("starts", "lengths", "message"),
    [
        (
            [0, 9],
            [10, 2],
            "starts[1] is 9 and lengths[1] is 2, expected a sequence inside the 10 rows of buffer",
        ),
        ([11], [0], "starts[0] is 11 and lengths[0] is 0"),
        ([2**63 - 1], [2**63 - 1], f"starts[0] is {2**63 - 1} and lengths[0] is {2**63 - 1}"),
        ([-1], [1], "starts[0] is -1, expected at least 0"),
        ([0], [1, 2], "starts has shape (1,), expected (2,)"),
    ],
)
def test_views_stay_inside_the_buffer(starts, lengths, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Ragged.view(FRAMES, starts, lengths)


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (2, IndexError, "sequence 2 is out of range for 2 sequences"),
        (-3, IndexError, "sequence -3 is out of range for 2 sequences"),
        ([0, 7], IndexError, "sequence 7 is out of range for 2 sequences"),
        ([-3], IndexError, "sequence -3 is out of range for 2 sequences"),
        ([True], IndexError, "the mask has 1 entries, expected 2, one for each sequence"),
        ((0, 1), TypeError, "index is (0, 1), expected an int, a slice, integers or a mask"),
        ([[0]], TypeError, "index is [[0]], expected"),
        ([0.0], TypeError, "index is [0.0], expected"),
        ("a", TypeError, "index is 'a', expected"),
        (True, TypeError, "index is True, expected"),
    ],
)
def test_indices_that_choose_nothing(index, error, message):
    with pytest.raises(error, match=re.escape(message)):
        Ragged(FRAMES, [4, 6])[index]


def test_padding_that_no_memory_holds():
    buffer = np.zeros((2**20, 1), "f4")
    ragged = Ragged.view(buffer, np.zeros(2**22, int), np.full(2**22, 2**20))
    with pytest.raises(
        MemoryError, match=r"^the padded array as float32 of shape \(4194304, 1048576, 1\) takes"
    ):
        ragged.to_padded()
    with pytest.raises(MemoryError, match=r"^values as float32 of shape \(4398046511104, 1\) takes"):
        ragged.packed()


def test_with_values_of_another_number_of_rows():
    with pytest.raises(ValueError, match=r"^values has 9 rows, expected 10, one a frame"):
        Ragged(FRAMES, [4, 6]).with_values(FRAMES[:9])


def test_channels_first_needs_channels():
    with pytest.raises(ValueError, match=r"^x\[1\] has shape \(4,\), expected \(n_features, T\)"):
        Ragged.from_channels_first([np.zeros((2, 3)), np.zeros(4)])


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ([[1, 2], [1.5]], TypeError, "X[1] has dtype float64, expected integer tokens"),
        ([[[1], [2]]], ValueError, "X[0] has shape (2, 1), expected (T,) integer tokens"),
        ([[1], []], ValueError, "X[1] has length 0 (shape=(0,)), expected at least 1 token"),
        ([np.array([2**63], "u8")], ValueError, "X[0] holds the token 9223372036854775808"),
        ([1, 2], ValueError, "X[0] is a number. X is one-dimensional"),
        (Ragged(FRAMES, [10]), TypeError, "X has dtype float64, expected int64 tokens"),
    ],
)
def test_tokens_are_integers(X, error, message):
    with pytest.raises(error, match=re.escape(message)):
        as_ragged(X, dtype="int64")


def table(**changed):
    return pd.DataFrame({"who": ["a", "a", "b"], "t": [0, 1, 0], "x": [1.0, 2.0, 3.0]} | changed)


@pytest.mark.parametrize(
    ("df", "columns", "error", "message"),
    [
        (table(), {"id": "w"}, ValueError, "df has no column 'w', expected one of ['who', 't', 'x']"),
        (table(), {"id": "who", "features": ["y"]}, ValueError, "df has no column 'y'"),
        (
            table(),
            {"id": "who", "time": "t", "dtype": "int64"},
            ValueError,
            "dtype is 'int64', expected 'float32'",
        ),
        (
            table(t=[1, 1, 1]),
            {"id": "who", "time": "t"},
            ValueError,
            "the same 'who' and 't' in rows 0 and 1",
        ),
        (table(t=[1, np.nan, 1]), {"id": "who", "time": "t"}, ValueError, "df['t'] is missing in row 1"),
        (
            table(t=pd.to_datetime([1, None, 2])),
            {"id": "who", "time": "t"},
            ValueError,
            "df['t'] is missing in row 1",
        ),
        (table(who=["a", "a", None]), {"id": "who"}, ValueError, "df['who'] is missing in row 2"),
        (
            table(who=pd.array([1, None, 2], "Int64")),
            {"id": "who"},
            ValueError,
            "df['who'] is missing in row 1",
        ),
        (
            table(who=pd.Series(["a", pd.NA, "b"], dtype=object)),
            {"id": "who"},
            ValueError,
            "df['who'] is missing in row 1",
        ),
        (table(who=["a", 1, 2]), {"id": "who"}, TypeError, "df['who'] has no order"),
        (
            table(x=[1.0, np.nan, 3.0]),
            {"id": "who", "time": "t"},
            ValueError,
            "df['x'] is nan as float32 in row 1",
        ),
        (
            table(x=[1.0, 1e300, 3.0]),
            {"id": "who", "time": "t"},
            ValueError,
            "df['x'] is inf as float32 in row 1",
        ),
        (table(x=["u", "v", "w"]), {"id": "who", "time": "t"}, TypeError, "df['x'] holds str at frame 0"),
        (
            table()[:0],
            {"id": "who"},
            ValueError,
            "df has 0 rows and 2 feature columns, expected at least one of each",
        ),
        (table()[["who"]], {"id": "who"}, ValueError, "df has 3 rows and 0 feature columns"),
    ],
)
def test_long_tables_that_are_not_sequences(df, columns, error, message):
    with pytest.raises(error, match=re.escape(message)):
        Ragged.from_long(df, **columns)
