"""Activation, gate and residual fused into a convolution, against the twin and central differences."""

import numpy as np
import pytest
import reference
from helpers import (
    assert_close,
    assert_gradients_match,
    assert_same_bits,
    padding_mask,
    random_lengths,
    random_padded,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from pyseq import ops
from pyseq.ragged import Ragged

ACTIVATIONS = [None, "relu", "tanh", "gated"]


def columns_of(outputs, activation):
    return outputs // 2 if activation == "gated" else outputs


@st.composite
def problems(draw):
    """Channels around the vector widths, lengths of all kinds, more rows than one pass takes."""
    batch, steps = draw(st.integers(1, 3)), draw(st.integers(0, 30) | st.sampled_from([100, 250]))
    channels = st.integers(1, 9) | st.sampled_from([15, 16, 17, 33, 64])
    activation = draw(st.sampled_from(ACTIVATIONS))
    outputs = draw(channels) * (2 if activation == "gated" else 1)
    lengths = draw(st.none() | st.lists(st.integers(0, steps), min_size=batch, max_size=batch))
    return {
        "shape": (batch, steps, draw(channels), outputs, draw(st.integers(1, 4))),
        "options": {"dilation": draw(st.integers(1, 9)), "lengths": lengths},
        "activation": activation,
        "dtype": draw(st.sampled_from(["float32", "float64"])),
        "residual": draw(st.booleans()),
        "add": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**16)),
    }


def arrays(shape, activation, dtype="float64", lengths=None, seed=0):
    """x, weight, bias, residual, grad_y, add; NaN beyond the lengths."""
    batch, steps, inputs, outputs, kernel_size = shape
    rng = np.random.default_rng(seed)
    columns = columns_of(outputs, activation)
    weight = (rng.standard_normal((outputs, inputs, kernel_size)) / np.sqrt(inputs)).astype(dtype)
    bias = rng.standard_normal(outputs).astype(dtype)
    x, residual, grad_y, add = (
        rng.standard_normal((batch, steps, width)).astype(dtype)
        for width in (inputs, columns, columns, inputs)
    )
    if lengths is not None:
        for a in (x, residual, grad_y, add):
            a[padding_mask(lengths, steps)] = np.nan
    return x, weight, bias, residual, grad_y, add


@settings(max_examples=120, deadline=None, derandomize=True)
@given(problems())
def test_values_and_gradients_equal_the_twin(problem):
    activation, options = problem["activation"], problem["options"]
    x, weight, bias, residual, grad_y, add = arrays(
        problem["shape"], activation, problem["dtype"], options["lengths"], problem["seed"]
    )
    residual, add = (residual if problem["residual"] else None), (add if problem["add"] else None)
    fused = {"activation": activation, "residual": residual, **options}
    y, tape = ops.causal_conv1d(x, weight, bias, keep_tape=True, **fused)
    assert y.dtype == x.dtype
    assert_close(y, reference.conv1d(x, weight, bias, **fused), what="y")
    assert_same_bits(ops.causal_conv1d(x, weight, bias, **fused), y, "without a tape")
    gradients = ops.causal_conv1d_backward(x, weight, grad_y, tape=tape, add=add, **options)
    expected = reference.conv1d_backward(
        x, weight, grad_y, bias=bias, activation=activation, add=add, **options
    )
    if activation == "relu" and x.dtype == np.float32:  # a unit may round to the other side of the kink
        z = reference.conv1d(x, weight, bias, **options)
        if np.abs(z[np.isfinite(z) & (z != 0)]).min(initial=1.0) < 1e-5:
            return
    for name, a, b in zip(("grad_x", "grad_weight", "grad_bias"), gradients, expected, strict=True):
        assert_close(a, b, "gradient", what=name)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_are_central_differences(activation):
    rng = np.random.default_rng(3)
    lengths = random_lengths(rng, 3, 7, shortest=0)
    outputs = 6
    columns = columns_of(outputs, activation)
    x, residual = random_padded(rng, lengths, 2), random_padded(rng, lengths, columns)
    grad_y = rng.standard_normal((3, 7, columns))
    weight, bias = rng.standard_normal((outputs, 2, 3)), rng.standard_normal(outputs)
    options = {"dilation": 2, "lengths": lengths}

    def forward(**more):
        return ops.causal_conv1d(x, weight, bias, activation=activation, residual=residual, **options, **more)

    _, tape = forward(keep_tape=True)
    gradients = ops.causal_conv1d_backward(x, weight, grad_y, tape=tape, **options)
    grad_residual = np.where(padding_mask(lengths, 7)[..., None], 0.0, grad_y)
    assert_gradients_match(
        lambda: float(np.sum(grad_y * forward())), [x, weight, bias, residual], [*gradients, grad_residual]
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(4, 300, 24, 34, 3), (1, 2500, 32, 64, 2)])
def test_results_depend_on_neither_threads_nor_batch_nor_padding(shape, activation, dtype):
    lengths = random_lengths(np.random.default_rng(5), shape[0], shape[1], shortest=0)
    x, weight, bias, residual, grad_y, add = arrays(shape, activation, dtype, lengths)

    def run(rows=slice(None), steps=shape[1]):
        taken, options = np.arange(len(x))[rows], {"lengths": lengths[rows], "dilation": 5}
        part = [a[taken][:, :steps] for a in (x, residual, grad_y, add)]
        y, tape = ops.causal_conv1d(
            part[0], weight, bias, activation=activation, residual=part[1], keep_tape=True, **options
        )
        return y, *ops.causal_conv1d_backward(part[0], weight, part[2], tape=tape, add=part[3], **options)

    expected = run()
    for threads in (1, 2, 3):
        with threadpool_limits(threads, user_api="openmp"):
            for a, b in zip(run(), expected, strict=True):
                assert_same_bits(a, b, f"{threads} threads")
    for b, length in enumerate(lengths):
        alone = run([b], length)
        assert_same_bits(alone[0][0], expected[0][b, :length], "y")
        assert_same_bits(alone[1][0], expected[1][b, :length], "grad_x")
        assert not expected[0][b, length:].any()
        assert not expected[1][b, length:].any()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_ragged_views_give_the_bits_of_padded_batches(activation):
    lengths = np.array([5, 0, 230, 1])
    x, weight, bias, residual, grad_y, add = arrays((4, 230, 7, 10, 3), activation, lengths=lengths)
    chosen = np.array([2, 0, 3])

    def ragged(a):
        return Ragged.from_padded(np.nan_to_num(a), lengths)[chosen]  # a view: rows lie apart

    y, tape = ops.causal_conv1d(
        ragged(x), weight, bias, activation=activation, residual=ragged(residual), keep_tape=True
    )
    gradients = ops.causal_conv1d_backward(ragged(x), weight, ragged(grad_y), tape=tape, add=ragged(add))
    options = {"lengths": lengths[chosen]}
    expected, tape = ops.causal_conv1d(
        x[chosen], weight, bias, activation=activation, residual=residual[chosen], keep_tape=True, **options
    )
    expected_gradients = ops.causal_conv1d_backward(
        x[chosen], weight, grad_y[chosen], tape=tape, add=add[chosen], **options
    )
    for found, padded in ((y, expected), (gradients[0], expected_gradients[0])):
        for b, length in enumerate(options["lengths"]):
            assert_same_bits(found[b], padded[b, :length])
    assert_same_bits(gradients[1], expected_gradients[1])
    assert_same_bits(gradients[2], expected_gradients[2])


X, WEIGHT = np.zeros((2, 5, 3)), np.zeros((4, 3, 2))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"activation": "selu"},
            ValueError,
            "activation is 'selu', expected one of None, 'relu', 'tanh', 'gated'",
        ),
        ({"activation": ["relu"]}, ValueError, "activation is"),
        ({"residual": X}, ValueError, r"residual has shape \(2, 5, 3\), expected \(2, 5, 4\)"),
        (
            {"residual": np.zeros((2, 5, 4)), "activation": "gated"},
            ValueError,
            r"residual has shape \(2, 5, 4\), expected \(2, 5, 2\)",
        ),
        (
            {"residual": np.zeros((2, 5, 4), "float32")},
            TypeError,
            "residual has dtype float32, but x has float64",
        ),
        (
            {"residual": Ragged(np.zeros((10, 4)), [5, 5])},
            ValueError,
            "residual is a Ragged, expected an array",
        ),
    ],
)
def test_conv1d_says_what_is_wrong(options, error, message):
    with pytest.raises(error, match=message):
        ops.conv1d(X, WEIGHT, **options)


def test_a_gated_convolution_needs_as_many_gates_as_filters():
    with pytest.raises(ValueError, match=r"weight has shape \(3, 3, 2\), expected an even number"):
        ops.conv1d(X, WEIGHT[:3], activation="gated")


def test_backward_says_what_is_wrong():
    y, tape = ops.conv1d(X, WEIGHT, activation="relu", keep_tape=True)
    for wrong, error, message in (
        ({"tape": "tape"}, TypeError, "tape is 'tape', expected what conv1d"),
        (
            {"tape": tape, "add": X, "need_grad_x": False},
            ValueError,
            "add is given, but need_grad_x is False",
        ),
        ({"tape": tape, "add": y}, ValueError, r"add has shape \(2, 5, 4\), expected \(2, 5, 3\)"),
    ):
        with pytest.raises(error, match=message):
            ops.conv1d_backward(X, WEIGHT, y, **wrong)
    with pytest.raises(ValueError, match="tape is of another convolution"):
        ops.conv1d_backward(X[:1], WEIGHT, y[:1], tape=tape)
