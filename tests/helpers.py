"""What the tests share: one table of tolerances, builders of random ragged data, and a gradient checker."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Sequence

import numpy as np
from numpy.testing import assert_allclose

# How far a result may be from its float64 twin, relative to the largest entry of the expected array: rounding
# errors of a sum scale with its largest terms, not with the entry that happens to come out small.
# "value": one call. "gradient": sums over all frames of a batch.
# "high" (bf16x3) and "medium" (bf16) are the precisions below float32 of `pyseq.set_config`.
TOLERANCES = {
    ("float64", "highest"): {"value": 1e-12, "gradient": 1e-11},
    ("float32", "highest"): {"value": 3e-6, "gradient": 1e-5},
    ("float32", "high"): {"value": 3e-5, "gradient": 1e-4, "kinked": 1e-2},
    # "kinked": the norm of the error over that of the expected array, for gradients through relu, where
    # rounding puts single units on the other side of the kink.
    ("float32", "medium"): {"value": 1e-2, "gradient": 2e-2, "kinked": 2e-1},
}

# Analytic float64 gradients against central differences, relative to the largest entry.
CENTRAL_DIFFERENCE_TOLERANCE = 1e-7


def tolerance(dtype, kind: str = "value", precision: str = "highest") -> float:
    """The entry of `TOLERANCES` for a NumPy dtype (or its name)."""
    return TOLERANCES[np.dtype(dtype).name, precision][kind]


def assert_close(actual, expected, kind: str = "value", precision: str = "highest", what: str = "") -> None:
    """Compare with a float64 expectation, to the tolerance of `actual`'s dtype."""
    actual, expected = np.asarray(actual), np.asarray(expected, dtype=np.float64)
    limit = tolerance(actual.dtype, kind, precision)
    finite = expected[np.isfinite(expected)]
    scale = max(1.0, float(np.abs(finite).max(initial=0.0)))
    assert_allclose(actual, expected, rtol=limit, atol=limit * scale, err_msg=what)


def assert_same_bits(actual, expected, what: str = "") -> None:
    """Equal dtype, shape and bits: tells -0.0 from 0.0, and takes equal NaNs as equal."""
    actual, expected = np.ascontiguousarray(actual), np.ascontiguousarray(expected)
    assert actual.dtype == expected.dtype, what
    assert actual.shape == expected.shape, what
    assert actual.tobytes() == expected.tobytes(), f"{what}: bits differ"


def random_lengths(rng: np.random.Generator, n: int, longest: int, shortest: int = 1) -> np.ndarray:
    """`n` lengths from `shortest` to `longest`, of which one is `longest`."""
    lengths = rng.integers(shortest, longest + 1, size=n)
    if n:
        lengths[rng.integers(n)] = longest
    return lengths.astype(np.int64)


def random_padded(rng: np.random.Generator, lengths, n_features: int, dtype="float64", fill: float = np.nan):
    """Normal frames (B, T, F) with `fill` beyond each length: NaN there shows up if anything reads it."""
    longest = int(np.max(lengths, initial=0))
    x = rng.standard_normal((len(lengths), longest, n_features)).astype(dtype)
    x[padding_mask(lengths, longest)] = fill
    return x


def padding_mask(lengths, longest: int) -> np.ndarray:
    """Boolean (B, T): True beyond each sequence's length."""
    return np.arange(longest)[np.newaxis, :] >= np.asarray(lengths)[:, np.newaxis]


def pack(padded: np.ndarray, lengths) -> np.ndarray:
    """The frames of (B, T, F) in packed order (N, F)."""
    return padded[~padding_mask(lengths, padded.shape[1])]


def pad(packed: np.ndarray, lengths, longest: int | None = None) -> np.ndarray:
    """Packed frames (N, F) as (B, T, F), zero beyond each length."""
    longest = int(np.max(lengths, initial=0)) if longest is None else longest
    padded = np.zeros((len(lengths), longest, *packed.shape[1:]), dtype=packed.dtype)
    padded[~padding_mask(lengths, longest)] = packed
    return padded


def random_sequences(rng: np.random.Generator, lengths, n_features: int, dtype="float64") -> list[np.ndarray]:
    """A list of normal arrays (T_i, F)."""
    return [rng.standard_normal((length, n_features)).astype(dtype) for length in lengths]


def random_rnn_weights(rng: np.random.Generator, shapes: dict[str, tuple[int, ...]], dtype="float64"):
    """Weights of these names and shapes as a named tuple, small: gates stay unsaturated."""
    bound = 1.0 / np.sqrt(max(shapes["weight_hh"][1], 1))
    values = [rng.uniform(-bound, bound, size=shape).astype(dtype) for shape in shapes.values()]
    return namedtuple("Weights", shapes)(*values)


def one_line(value: object) -> str:
    """The repr of a layer as the name of a test."""
    return " ".join(repr(value).split())


def central_difference(function: Callable[[], float], array: np.ndarray, step: float = 3e-6) -> np.ndarray:
    """Gradient of `function()` by every entry of an `array` it reads, varied in place and restored."""
    assert array.dtype == np.float64, "central differences need float64"
    gradient = np.zeros(array.shape)
    for index in np.ndindex(array.shape):
        value = array[index]
        array[index] = value + step
        above = function()
        array[index] = value - step
        below = function()
        array[index] = value
        gradient[index] = (above - below) / (2.0 * step)
    return gradient


def assert_gradients_match(
    function: Callable[[], float],
    arrays: Sequence[np.ndarray] | dict[str, np.ndarray],
    gradients: Sequence[np.ndarray] | dict[str, np.ndarray],
) -> None:
    """Every analytic gradient equals the central difference of `function()` by its array, to 1e-7.

    `function` must read the very arrays given, which are varied in place. NaN entries (padding) must have
    gradient 0.
    """
    if not isinstance(arrays, dict):
        arrays = {str(i): array for i, array in enumerate(arrays)}
    if not isinstance(gradients, dict):
        gradients = {str(i): gradient for i, gradient in enumerate(gradients)}
    assert arrays.keys() == gradients.keys()
    for name, array in arrays.items():
        expected = central_difference(function, array)
        expected[np.isnan(array)] = 0.0
        limit = CENTRAL_DIFFERENCE_TOLERANCE * max(1.0, float(np.abs(expected).max(initial=0.0)))
        assert gradients[name].shape == array.shape, f"gradient of {name}"
        assert_allclose(gradients[name], expected, rtol=0.0, atol=limit, err_msg=f"gradient of {name}")
