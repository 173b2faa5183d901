"""A convolution's results do not depend on the batch, the padding, the threads or the run: bit for bit."""

import numpy as np
import pytest
from helpers import assert_same_bits, random_lengths, random_padded
from threadpoolctl import threadpool_limits

from pyseq import _core, config_context, ops
from pyseq.ops import runtime

# batch, steps, inputs, outputs, kernel size, dilation. The first stays on one thread; one sequence only is
# split over time; few channels make few tiles of the weight gradient.
SIZES = [(7, 20, 3, 5, 3, 2), (5, 300, 40, 41, 5, 7), (1, 700, 41, 64, 3, 64), (2, 9000, 1, 80, 3, 1)]


def problem(dtype, batch, steps, inputs, outputs, kernel_size, dilation):
    rng = np.random.default_rng(4)
    lengths = random_lengths(rng, batch, steps, shortest=0)
    x, grad_y = random_padded(rng, lengths, inputs, dtype), random_padded(rng, lengths, outputs, dtype)
    weight = rng.standard_normal((outputs, inputs, kernel_size)).astype(dtype)
    return x, lengths, weight, rng.standard_normal(outputs).astype(dtype), grad_y


def run(x, lengths, weight, bias, grad_y, dilation, causal):
    options = {"dilation": dilation, "causal": causal, "lengths": lengths}
    return ops.conv1d(x, weight, bias, **options), *ops.conv1d_backward(x, weight, grad_y, **options)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", SIZES)
def test_results_do_not_depend_on_threads_or_repetition(sizes, dtype, causal):
    arguments = (*problem(dtype, *sizes), sizes[-1], causal)
    expected = run(*arguments)
    for threads in (1, 2, 3, 2):
        with threadpool_limits(threads, user_api="openmp"):
            for a, b in zip(run(*arguments), expected, strict=True):
                assert_same_bits(a, b, f"{threads} threads")


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", SIZES[:2])
def test_outputs_do_not_depend_on_batch_or_padding(sizes, dtype, causal):
    x, lengths, weight, bias, grad_y = problem(dtype, *sizes)
    y, grad_x, _, _ = run(x, lengths, weight, bias, grad_y, sizes[-1], causal)
    for rows in [[b] for b in range(len(x))] + [[2, 0, 1], [1, 3]]:
        longest = lengths[rows].max()
        parts = x[rows][:, :longest], lengths[rows], weight, bias, grad_y[rows][:, :longest]
        alone = run(*parts, sizes[-1], causal)
        assert_same_bits(alone[0], y[rows][:, :longest], "y")
        assert_same_bits(alone[1], grad_x[rows][:, :longest], "grad_x")


@pytest.mark.parametrize("sizes", SIZES[:2])
def test_padding_is_never_read_and_zero_in_results(sizes):
    x, lengths, weight, bias, grad_y = problem("float32", *sizes)  # NaN beyond the lengths
    poisoned = run(x, lengths, weight, bias, grad_y, sizes[-1], True)
    clean = run(np.nan_to_num(x), lengths, weight, bias, np.nan_to_num(grad_y), sizes[-1], True)
    for a, b in zip(poisoned, clean, strict=True):
        assert np.isfinite(a).all()
        assert_same_bits(a, b)
    for b, length in enumerate(lengths):
        assert not poisoned[0][b, length:].any()
        assert not poisoned[1][b, length:].any()


@pytest.mark.parametrize("precision", runtime.native_precisions())
def test_an_output_frame_is_the_same_for_any_length_that_contains_its_taps(precision):
    x, _, weight, bias, _ = problem("float32", *SIZES[2])
    with config_context(precision=precision):
        y = ops.causal_conv1d(x, weight, bias, dilation=64)
        for length in (1, 17, 65, 129, 400):
            assert_same_bits(ops.causal_conv1d(x[:, :length], weight, bias, dilation=64), y[:, :length])


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("precision", [p for p in runtime.native_precisions() if p != "highest"])
@pytest.mark.parametrize("sizes", [SIZES[1], SIZES[2], (3, 600, 40, 70, 3, 1)])
def test_lower_precisions_depend_on_neither_threads_nor_batch_nor_padding(sizes, precision, causal):
    x, lengths, weight, bias, grad_y = problem("float32", *sizes)  # NaN beyond the lengths
    with config_context(precision=precision):
        expected = run(x, lengths, weight, bias, grad_y, sizes[-1], causal)
        for threads in (1, 2, 3):
            with threadpool_limits(threads, user_api="openmp"):
                for a, b in zip(
                    run(x, lengths, weight, bias, grad_y, sizes[-1], causal), expected, strict=True
                ):
                    assert_same_bits(a, b, f"{threads} threads")
        for b, length in enumerate(lengths):
            parts = x[[b], :length], lengths[[b]], weight, bias, grad_y[[b], :length]
            alone = run(*parts, sizes[-1], causal)
            assert_same_bits(alone[0][0], expected[0][b, :length], "y")
            assert_same_bits(alone[1][0], expected[1][b, :length], "grad_x")
    assert all(np.isfinite(a).all() for a in expected)


def test_inputs_are_not_written():
    arrays = problem("float32", *SIZES[1])
    before = [a.copy() for a in arrays]
    run(*arrays, 7, True)
    for a, b in zip(arrays, before, strict=True):
        assert_same_bits(a, b)


@pytest.mark.parametrize("outputs", [1, 3, 17, 30])
def test_nothing_is_written_beside_the_columns_of_the_output(outputs):
    x, starts, lengths = np.ones((9, 2), np.float32), np.array([0]), np.array([9])
    weight = np.ones((outputs, 2, 3), np.float32)
    wide = np.full((11, outputs + 2), 7.0, np.float32)
    y = wide[1:-1, 1:-1]
    _core.conv1d_forward(x, starts, lengths, weight, None, y, starts, 1, 2)
    assert_same_bits(y[:, 0], np.array([2, 4, 6, 6, 6, 6, 6, 6, 6], np.float32))
    y[...] = 7.0
    assert (wide == 7.0).all()
