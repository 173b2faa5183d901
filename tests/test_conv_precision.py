"""Convolution in the precisions below float32: errors, what they leave alone, the same promises of bits."""

import numpy as np
import pytest
import reference
from helpers import assert_close, assert_same_bits, random_lengths, random_padded
from threadpoolctl import threadpool_limits

import pyseq
from pyseq import ops
from pyseq.ops import runtime

needs_medium = pytest.mark.skipif(
    "medium" not in runtime.native_precisions(), reason="no products of bfloat16 here"
)


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


@needs_medium
@pytest.mark.parametrize("activation", [None, "tanh", "gated"])
@pytest.mark.parametrize("inputs", [24, 33, 64])
def test_medium_is_within_its_tolerance_and_is_not_highest(inputs, activation):
    x, weight, bias, lengths, add = problem(inputs=inputs)
    options = {"dilation": 5, "lengths": lengths, "activation": activation}
    y, *gradients = run(x, weight, bias, lengths, add, "medium", activation)
    assert_close(y, reference.conv1d(x, weight, bias, **options), precision="medium")
    grad_y = np.full(y.shape, 0.01)
    expected = reference.conv1d_backward(x, weight, grad_y, bias=bias, add=add, **options)
    for name, a, b in zip(("grad_x", "grad_weight", "grad_bias"), gradients, expected, strict=True):
        assert_close(a, b, "gradient", precision="medium", what=name)
    assert not np.array_equal(y, run(x, weight, bias, lengths, add, "highest", activation)[0])


@needs_medium
def test_a_backward_pass_is_as_precise_as_its_forward_pass_was():
    arrays = problem()
    expected = run(*arrays, "medium")
    for outside in ("highest", "medium"):
        with pyseq.config_context(precision=outside):
            for a, b in zip(run(*arrays, "medium"), expected, strict=True):
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


@pytest.mark.parametrize(
    ("precision", "sizes"),
    [
        ("high", {}),
        ("medium", {"dtype": "float64"}),
        ("medium", {"inputs": 23}),
        ("medium", {"outputs": 22}),
    ],
    ids=str,
)
def test_where_there_is_no_kernel_of_a_precision_it_means_highest(precision, sizes):
    arrays = problem(**sizes)
    for a, b in zip(run(*arrays, precision), run(*arrays, "highest"), strict=True):
        assert_same_bits(a, b)
