"""Convolution along time against its float64 twin, central differences and PyTorch."""

import numpy as np
import pytest
import reference
from helpers import (
    assert_close,
    assert_gradients_match,
    assert_same_bits,
    pad,
    padding_mask,
    random_lengths,
    random_padded,
    random_sequences,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pyseq import ops
from pyseq.ragged import Ragged


@st.composite
def problems(draw):
    """Sizes from 1, around the vector widths; T of 0 and 1; dilations beyond T; lengths of all kinds."""
    batch, steps = draw(st.integers(1, 4)), draw(st.integers(0, 40) | st.sampled_from([1, 100, 230]))
    channels = st.integers(1, 9) | st.sampled_from([15, 16, 17, 31, 32, 33, 65, 70])
    causal = draw(st.booleans())
    kernel_size = draw(st.integers(1, 8)) if causal else draw(st.sampled_from([1, 3, 5, 7]))
    lengths = draw(st.none() | st.lists(st.integers(0, steps), min_size=batch, max_size=batch))
    return {
        "shape": (batch, steps, draw(channels), draw(channels), kernel_size),
        "options": {"dilation": draw(st.integers(1, 50)), "causal": causal},
        "lengths": lengths,
        "dtype": draw(st.sampled_from(["float32", "float64"])),
        "bias": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**16)),
    }


def arrays(shape, dtype="float64", lengths=None, seed=0):
    """x and grad_y with NaN beyond the lengths, weight, bias."""
    batch, steps, inputs, outputs, kernel_size = shape
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((outputs, inputs, kernel_size)).astype(dtype)
    bias = rng.standard_normal(outputs).astype(dtype)
    x, grad_y = (rng.standard_normal((batch, steps, width)).astype(dtype) for width in (inputs, outputs))
    if lengths is not None:
        padding = padding_mask(lengths, steps)
        x[padding] = grad_y[padding] = np.nan
    return x, weight, bias, grad_y


@settings(max_examples=100, deadline=None, derandomize=True)
@given(problems())
def test_conv1d_equals_the_twin(problem):
    lengths, options = problem["lengths"], problem["options"]
    x, weight, bias, grad_y = arrays(problem["shape"], problem["dtype"], lengths, problem["seed"])
    bias = bias if problem["bias"] else None
    y = ops.conv1d(x, weight, bias, lengths=lengths, **options)
    assert_close(y, reference.conv1d(x, weight, bias, lengths=lengths, **options), what="y")
    gradients = ops.conv1d_backward(x, weight, grad_y, lengths=lengths, **options)
    expected = reference.conv1d_backward(x, weight, grad_y, lengths=lengths, **options)
    for name, a, b in zip(("grad_x", "grad_weight", "grad_bias"), gradients, expected, strict=True):
        assert a.dtype == x.dtype
        assert_close(a, b, "gradient", what=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lengths", [[5, 0, 230, 1, 64], [3], [0, 0]])
def test_ragged_in_is_ragged_out_with_the_same_bits(lengths, dtype):
    rng = np.random.default_rng(1)
    weight, bias = rng.standard_normal((9, 3, 4)).astype(dtype), rng.standard_normal(9).astype(dtype)
    ragged = Ragged.from_list(random_sequences(rng, lengths, 3, dtype), dtype=dtype)
    grad_y = Ragged.from_list(random_sequences(rng, lengths, 9, dtype), dtype=dtype)
    y = ops.causal_conv1d(ragged, weight, bias, dilation=2)
    grad_x, *grads = ops.causal_conv1d_backward(ragged, weight, grad_y, dilation=2)
    padded, padded_grad = (pad(r.values, lengths) for r in (ragged, grad_y))
    assert_same_bits(
        pad(y.values, lengths), ops.causal_conv1d(padded, weight, bias, dilation=2, lengths=lengths)
    )
    expected, *expected_grads = ops.causal_conv1d_backward(
        padded, weight, padded_grad, dilation=2, lengths=lengths
    )
    assert_same_bits(pad(grad_x.values, lengths), expected)
    for a, b in zip(grads, expected_grads, strict=True):
        assert_same_bits(a, b)


def test_ragged_views_may_repeat_sequences_and_rows_may_have_a_stride():
    rng = np.random.default_rng(2)
    wide = Ragged(rng.standard_normal((30, 11)), [4, 20, 6])
    x = Ragged.view(wide.buffer[:, 2:9], wide.starts, wide.lengths)[[1, 0, 1]]
    weight, grad_y = rng.standard_normal((5, 7, 3)), rng.standard_normal((44, 8))
    grad_view = Ragged(grad_y[:, 1:6], x.lengths)
    grad_x, grad_weight, grad_bias = ops.conv1d_backward(x, weight, grad_view, causal=False)
    packed, packed_grad = Ragged(x.values.copy(), x.lengths), Ragged(grad_y[:, 1:6].copy(), x.lengths)
    expected = ops.conv1d_backward(packed, weight, packed_grad, causal=False)
    assert_same_bits(ops.conv1d(x, weight).values, ops.conv1d(packed, weight).values)
    assert_same_bits(grad_x.values, expected[0].values)
    assert_same_bits(grad_weight, expected[1])
    assert_same_bits(grad_bias, expected[2])


@pytest.mark.parametrize(
    ("causal", "kernel_size", "dilation"), [(True, 3, 1), (True, 2, 9), (False, 5, 2), (False, 1, 1)]
)
def test_gradients_are_central_differences(causal, kernel_size, dilation):
    rng = np.random.default_rng(3)
    lengths = random_lengths(rng, 3, 7, shortest=0)
    x, grad_y = random_padded(rng, lengths, 2), rng.standard_normal((3, 7, 3))
    weight, bias = rng.standard_normal((3, 2, kernel_size)), rng.standard_normal(3)
    options = {"dilation": dilation, "causal": causal, "lengths": lengths}

    def loss():
        return float(np.sum(grad_y * ops.conv1d(x, weight, bias, **options)))

    assert_gradients_match(loss, [x, weight, bias], ops.conv1d_backward(x, weight, grad_y, **options))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "dilation", "causal"), [((3, 50, 30, 40, 7), 3, True), ((2, 90, 8, 32, 5), 1, False)]
)
def test_conv1d_equals_pytorch(shape, dilation, causal, dtype):
    torch = pytest.importorskip("torch")
    x, weight, bias, grad_y = arrays(shape, dtype)
    reach = (shape[-1] - 1) * dilation
    torch_x, torch_weight, torch_bias = (
        torch.from_numpy(a).double().requires_grad_() for a in (x, weight, bias)
    )
    padding = (reach, 0) if causal else (reach // 2, reach // 2)
    padded = torch.nn.functional.pad(torch_x.transpose(1, 2), padding)
    expected = torch.nn.functional.conv1d(padded, torch_weight, torch_bias, dilation=dilation).transpose(1, 2)
    expected.backward(torch.from_numpy(grad_y).double())
    options = {"dilation": dilation, "causal": causal}
    assert_close(ops.conv1d(x, weight, bias, **options), expected.detach().numpy())
    gradients = ops.conv1d_backward(x, weight, grad_y, **options)
    for a, b in zip(gradients, (torch_x.grad, torch_weight.grad, torch_bias.grad), strict=True):
        assert_close(a, b.numpy(), "gradient")


def test_grad_x_is_left_out_where_it_is_not_wanted():
    x, weight, _, grad_y = arrays((2, 20, 3, 4, 3))
    with_grad_x = ops.conv1d_backward(x, weight, grad_y)
    without = ops.conv1d_backward(x, weight, grad_y, need_grad_x=False)
    assert without[0] is None
    assert_same_bits(without[1], with_grad_x[1])
    assert_same_bits(without[2], with_grad_x[2])


def test_integers_become_float32():
    weight = np.ones((1, 1, 2), dtype=np.float32)
    y = ops.conv1d(np.array([[[1], [2], [4]]]), weight)
    assert_same_bits(y, np.array([[[1], [3], [6]]], dtype=np.float32))
