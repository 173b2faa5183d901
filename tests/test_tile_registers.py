"""Tile registers, real or emulated, compute what their manual says, to the bit."""

import numpy as np
import pytest

from pyseq import _core

pytestmark = pytest.mark.skipif(not _core.has_tile_product(), reason="this tier has no tile registers")


def bfloat16(numbers):
    """Their bits, cut off."""
    return (np.asarray(numbers, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def as_float32(bits):
    numbers = (bits.astype(np.uint32) << 16).view(np.float32)
    return np.where(np.abs(numbers) < np.finfo(np.float32).tiny, np.float32(0), numbers)


def flushed(numbers):
    """Rounded to float32; subnormal results become zero."""
    rounded = np.asarray(numbers).astype(np.float32)
    return np.where(np.abs(rounded) < np.finfo(np.float32).tiny, np.copysign(np.float32(0), rounded), rounded)


def twin(a, b, c):
    """Two sums in the order of k, one of the first and one of the second numbers of the pairs."""
    a, b = as_float32(a).astype(np.float64), as_float32(b).astype(np.float64)
    sums = np.zeros((2, *c.shape), np.float32)
    for k in range(16):
        for i in range(2):
            # Exact in float64, the sum nearly always: one rounding, as of a fused operation.
            sums[i] = flushed(sums[i] + np.outer(a[:, 2 * k + i], b[k, i::2]))
    return flushed(flushed(c) + flushed(sums[0] + sums[1]))


def product(a, b, c):
    """a: (rows, 32), b: (16, 32) of bfloat16 bits, c: (rows, 16)."""
    return _core.tile_product(a.view(np.float32), b.view(np.float32), c)


@pytest.mark.parametrize("rows", [1, 2, 5, 16])
@pytest.mark.parametrize("seed", range(3))
def test_a_product_is_that_of_the_manual(rows, seed):
    rng = np.random.default_rng(seed)
    a, b = bfloat16(rng.standard_normal((rows, 32))), bfloat16(rng.standard_normal((16, 32)))
    c = rng.standard_normal((rows, 16)).astype(np.float32)
    np.testing.assert_array_equal(product(a, b, c).view(np.uint32), twin(a, b, c).view(np.uint32))


def test_the_order_of_sums_is_that_of_the_manual():
    rng = np.random.default_rng(0)
    a = bfloat16(rng.standard_normal((16, 32)) * 2.0 ** rng.integers(-12, 12, (16, 32)))
    b, c = bfloat16(rng.standard_normal((16, 32))), np.zeros((16, 16), np.float32)
    found = product(a, b, c)
    np.testing.assert_array_equal(found, twin(a, b, c))
    together = as_float32(a).astype(np.float64) @ as_float32(b).reshape(16, 16, 2).transpose(0, 2, 1).reshape(
        32, 16
    )
    assert np.abs(found - together).max() > 0


def test_subnormal_numbers_are_zeros():
    tiny = np.float32(2.0**-126)
    a, b = np.zeros((1, 32), np.uint16), np.zeros((16, 32), np.uint16)
    a[0, 0], b[0, 0] = 1, bfloat16(1.0)  # a subnormal factor
    a[0, 1], b[0, 3] = bfloat16(tiny), bfloat16(0.5)  # a subnormal product
    c = np.zeros((1, 16), np.float32)
    c[0, 2] = tiny / 2  # a subnormal sum
    assert not product(a, b, c).any()


def test_infinity_and_nan_come_through():
    a, b = bfloat16(np.ones((2, 32))), bfloat16(np.ones((16, 32)))
    a[0, 3], a[1, 5] = bfloat16(np.inf), bfloat16(np.nan)
    found = product(a, b, np.zeros((2, 16), np.float32))
    assert np.isposinf(found[0]).all()
    assert np.isnan(found[1]).all()


def test_more_rows_than_a_tile_has_are_refused():
    with pytest.raises(ValueError, match="1 to 16 rows"):
        product(np.zeros((17, 32), np.uint16), np.zeros((16, 32), np.uint16), np.zeros((17, 16), np.float32))
