"""Dense and embedding products: values, gradients, invariance, messages."""

import numpy as np
import pytest
import reference
from helpers import assert_close, assert_gradients_match, assert_same_bits
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from pyseq import ops


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    rows=st.integers(0, 40),
    inputs=st.integers(1, 70),
    outputs=st.integers(1, 70),
    dtype=st.sampled_from(["float32", "float64"]),
    stride=st.integers(0, 3),
    seed=st.integers(0, 100),
)
def test_values_and_gradients_match_the_twin(rows, inputs, outputs, dtype, stride, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, inputs + stride)).astype(dtype)[:, :inputs]
    w, b = rng.standard_normal((outputs, inputs)).astype(dtype), rng.standard_normal(outputs).astype(dtype)
    grad_y = rng.standard_normal((rows, outputs + stride)).astype(dtype)[:, stride:]
    assert_close(ops.dense(x, w, b), reference.dense(x, w, b))
    assert_close(ops.dense(x, w), reference.dense(x, w))
    for actual, expected in zip(
        ops.dense_backward(x, w, grad_y), reference.dense_backward(x, w, grad_y), strict=True
    ):
        assert_close(actual, expected, "gradient")
    assert ops.dense_backward(x, w, grad_y, need_grad_x=False)[0] is None


def test_gradients_match_central_differences():
    rng = np.random.default_rng(0)
    x, w, b = rng.standard_normal((5, 7)), rng.standard_normal((3, 7)), rng.standard_normal(3)
    grad_y = rng.standard_normal((5, 3))
    gradients = ops.dense_backward(x, w, grad_y)
    assert_gradients_match(lambda: float((ops.dense(x, w, b) * grad_y).sum()), [x, w, b], gradients)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_do_not_depend_on_threads_or_other_rows(dtype):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((3000, 60)).astype(dtype), rng.standard_normal((70, 60)).astype(dtype)
    b, grad_y = rng.standard_normal(70).astype(dtype), rng.standard_normal((3000, 70)).astype(dtype)
    y, gradients = ops.dense(x, w, b), ops.dense_backward(x, w, grad_y)
    for threads in (1, 2, 3):
        with threadpool_limits(threads, user_api="openmp"):
            assert_same_bits(ops.dense(x, w, b), y)
            for a, e in zip(ops.dense_backward(x, w, grad_y), gradients, strict=True):
                assert_same_bits(a, e)
    for first, end in [(0, 1), (17, 22), (100, 1000)]:
        assert_same_bits(ops.dense(x[first:end], w, b), y[first:end])


def test_embedding_matches_the_twin():
    rng = np.random.default_rng(0)
    weight, tokens = rng.standard_normal((11, 5)), rng.integers(0, 11, 40)
    grad_y = rng.standard_normal((40, 5))
    assert_same_bits(ops.embedding(tokens, weight), reference.embedding(tokens, weight))
    assert_close(
        ops.embedding_backward(tokens, grad_y, 11),
        reference.embedding_backward(tokens, grad_y, 11),
        "gradient",
    )


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, w: ops.dense(x[0], w), ValueError, r"x has shape \(4,\), expected \(rows, features\)"),
        (
            lambda x, w: ops.dense(x, w[:, :3]),
            ValueError,
            r"weight has shape \(2, 3\), expected \(outputs, 4\)",
        ),
        (lambda x, w: ops.dense(x, w, np.zeros(3)), ValueError, r"bias has shape \(3,\), expected \(2,\)"),
        (lambda x, w: ops.dense(x, w.astype("f4")), TypeError, "weight has dtype float32, but x has float64"),
        (
            lambda x, w: ops.dense(x.astype(object), w),
            TypeError,
            "x has dtype object, expected float32 or float64",
        ),
        (lambda x, w: ops.dense_backward(x, w, x), ValueError, r"grad_y has shape \(3, 4\)"),
        (
            lambda x, w: ops.embedding(np.array([0, 2]), w),
            ValueError,
            r"tokens\[1\] is 2, expected an id from 0 to 1",
        ),
        (lambda x, w: ops.embedding(np.array([0, -1]), w), ValueError, r"tokens\[1\] is -1"),
        (lambda x, w: ops.embedding(np.array([0.5]), w), TypeError, "tokens has shape"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call(np.ones((3, 4)), np.ones((2, 4)))


def test_integers_are_cast():
    assert ops.dense(np.array([[1, 2]]), np.array([[3.0, 4.0]], dtype="float32"))[0, 0] == 11.0
