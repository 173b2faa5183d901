"""Convolution in the precisions below float32: errors, what they leave alone, the same promises of bits."""

import numpy as np
import pytest
import reference
from helpers import assert_close, assert_same_bits, pad, padding_mask, random_lengths, random_padded
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

import pyseq
from pyseq import ops
from pyseq.ops import runtime

NATIVE = runtime.native_precisions()
REDUCED = [precision for precision in ("high", "medium") if precision in NATIVE]
needs_reduced = pytest.mark.skipif(not REDUCED, reason="no products of bfloat16 here")


def problem(dtype="float32", inputs=33, outputs=50, kernel_size=3, steps=300):
    rng = np.random.default_rng(0)
    lengths = random_lengths(rng, 3, steps, shortest=0)
    x, add = random_padded(rng, lengths, inputs, dtype), random_padded(rng, lengths, inputs, dtype)
    weight = (rng.standard_normal((outputs, inputs, kernel_size)) / np.sqrt(inputs * kernel_size)).astype(
        dtype
    )
    bias = rng.standard_normal(outputs).astype(dtype)
    return x, weight, bias, lengths, add


def run(x, weight, bias, lengths, add, precision, activation="gated"):
    """y and all gradients; the loss is the sum of y over 100."""
    with pyseq.config_context(precision=precision):
        y, tape = ops.causal_conv1d(
            x, weight, bias, dilation=5, lengths=lengths, activation=activation, keep_tape=True
        )
    grad_y = np.full_like(y, 0.01)
    return y, *ops.causal_conv1d_backward(x, weight, grad_y, dilation=5, lengths=lengths, tape=tape, add=add)


def assert_near_the_twin(found, x, weight, bias, precision, grad_y, **options):
    expected = reference.conv1d_backward(x, weight, grad_y, bias=bias, **options)
    options.pop("add", None)
    assert_close(found[0], reference.conv1d(x, weight, bias, **options), precision=precision, what="y")
    for name, a, b in zip(("grad_x", "grad_weight", "grad_bias"), found[1:], expected, strict=True):
        assert_close(a, b, "gradient", precision=precision, what=name)


@pytest.mark.parametrize("activation", [None, "tanh", "gated"])
@pytest.mark.parametrize("inputs", [24, 33, 64])
@pytest.mark.parametrize("precision", REDUCED)
def test_a_precision_is_within_its_tolerance_and_is_not_highest(precision, inputs, activation):
    x, weight, bias, lengths, add = problem(inputs=inputs)
    options = {"dilation": 5, "lengths": lengths, "activation": activation, "add": add}
    found = run(x, weight, bias, lengths, add, precision, activation)
    assert_near_the_twin(found, x, weight, bias, precision, np.full(found[0].shape, 0.01), **options)
    assert not np.array_equal(found[0], run(x, weight, bias, lengths, add, "highest", activation)[0])


@st.composite
def problems(draw):
    """Whole and odd numbers of channels, frames around blocks and tiles, taps that reach nothing."""
    batch, steps = draw(st.integers(1, 4)), draw(st.integers(0, 70) | st.sampled_from([1, 256, 257, 300]))
    channels = st.sampled_from([24, 31, 32, 33, 48, 65, 70, 100])
    causal = draw(st.booleans())
    kernel_size = draw(st.integers(1, 8)) if causal else draw(st.sampled_from([1, 3, 5, 7]))
    return {
        "shape": (batch, steps, draw(channels), draw(channels), kernel_size),
        "options": {"dilation": draw(st.integers(1, 20) | st.sampled_from([31, 64, 300])), "causal": causal},
        "lengths": draw(st.none() | st.lists(st.integers(0, steps), min_size=batch, max_size=batch)),
        "seed": draw(st.integers(0, 2**16)),
    }


@needs_reduced
@settings(max_examples=60, deadline=None, derandomize=True)
@given(case=problems(), precision=st.sampled_from(REDUCED or ["highest"]))
def test_any_shape_is_near_the_twin(case, precision):
    batch, steps, inputs, outputs, kernel_size = case["shape"]
    rng = np.random.default_rng(case["seed"])
    lengths = np.full(batch, steps) if case["lengths"] is None else np.array(case["lengths"])
    x, grad_y = (pad(rng.standard_normal((lengths.sum(), n)), lengths, steps) for n in (inputs, outputs))
    x[padding_mask(lengths, steps)] = grad_y[padding_mask(lengths, steps)] = np.nan
    weight = rng.standard_normal((outputs, inputs, kernel_size)) / np.sqrt(inputs * kernel_size)
    x, grad_y, weight, bias = (a.astype("float32") for a in (x, grad_y, weight, rng.standard_normal(outputs)))
    options = {**case["options"], "lengths": case["lengths"]}
    with pyseq.config_context(precision=precision):
        y = ops.conv1d(x, weight, bias, **options)
        gradients = ops.conv1d_backward(x, weight, grad_y, **options)
    assert_near_the_twin((y, *gradients), x, weight, bias, precision, grad_y, **options)


@pytest.mark.parametrize(("kernel_size", "dilation"), [(3, 1), (3, 64), (7, 16), (2, 512)])
@pytest.mark.parametrize(("precision", "limit"), [("highest", 5e-6), ("high", 2e-5), ("medium", 1e-2)])
def test_errors_stay_below_what_is_promised(precision, limit, kernel_size, dilation):
    x, weight, bias, *_ = problem(inputs=64, outputs=64, kernel_size=kernel_size, steps=600)
    x = np.nan_to_num(x[:1])
    grad_y = np.random.default_rng(1).standard_normal((1, 600, 64)).astype(np.float32)
    with pyseq.config_context(precision=precision):
        y = ops.causal_conv1d(x, weight, bias, dilation=dilation)
        gradients = ops.causal_conv1d_backward(x, weight, grad_y, dilation=dilation)
    expected = reference.conv1d_backward(x, weight, grad_y, dilation=dilation)
    for i, (a, b) in enumerate(
        zip((y, *gradients), (reference.conv1d(x, weight, bias, dilation=dilation), *expected), strict=True)
    ):
        assert np.abs(a - b).max() <= limit * np.abs(b).max(), i


@pytest.mark.parametrize("precision", REDUCED)
def test_a_backward_pass_is_as_precise_as_its_forward_pass_was(precision):
    arrays = problem()
    expected = run(*arrays, precision)
    for outside in ("highest", precision):
        with pyseq.config_context(precision=outside):
            for a, b in zip(run(*arrays, precision), expected, strict=True):
                assert_same_bits(a, b, outside)


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_results_depend_on_neither_threads_nor_batch_nor_padding(precision):
    x, weight, bias, lengths, add = problem(steps=900)
    expected = run(x, weight, bias, lengths, add, precision)
    for threads in (1, 2, 3):
        with threadpool_limits(threads, user_api="openmp"):
            for a, b in zip(run(x, weight, bias, lengths, add, precision), expected, strict=True):
                assert_same_bits(a, b, f"{threads} threads")
    for b, length in enumerate(lengths):
        part = (x[[b], :length], weight, bias, lengths[[b]], add[[b], :length])
        y, grad_x, *_ = run(*part, precision)
        assert_same_bits(y[0], expected[0][b, :length])
        assert_same_bits(grad_x[0], expected[1][b, :length])


SERVED_BY_NONE = [{"dtype": "float64"}, {"inputs": 23}, {"outputs": 22}]


@pytest.mark.parametrize(
    ("precision", "sizes"),
    [
        *([] if "high" in NATIVE else [("high", {})]),
        *((p, sizes) for p in ("high", "medium") for sizes in SERVED_BY_NONE),
    ],
    ids=str,
)
def test_where_there_is_no_kernel_of_a_precision_it_means_highest(precision, sizes):
    arrays = problem(**sizes)
    for a, b in zip(run(*arrays, precision), run(*arrays, "highest"), strict=True):
        assert_same_bits(a, b)
