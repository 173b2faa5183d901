"""Two frames at a time under groups of three taps: its edges, in whole sequences and in streams."""

import numpy as np
import pytest
import reference
from helpers import assert_close, assert_same_bits

from pyseq import ops

CHANNELS = 40  # the fewest that are summed this way


def problem(frames, inputs, outputs, taps, dtype="float64", batch=1):
    rng = np.random.default_rng(taps)
    x, grad_y = (rng.standard_normal((batch, frames, n)).astype(dtype) for n in (inputs, outputs))
    weight, bias = rng.standard_normal((outputs, inputs, taps)), rng.standard_normal(outputs)
    return x, weight.astype(dtype), bias.astype(dtype), grad_y


@pytest.mark.parametrize(
    ("taps", "causal"),
    [(3, True), (4, True), (5, True), (6, True), (9, True), (3, False), (5, False), (9, False)],
)
def test_every_length_around_the_first_pairs(taps, causal):
    dilation = 3
    reach = (taps - 1) * dilation
    for frames in range(reach - 1, reach + 5 * dilation):
        x, weight, bias, grad_y = problem(frames, CHANNELS, CHANNELS, taps)
        options = {"dilation": dilation, "causal": causal}
        assert_close(ops.conv1d(x, weight, bias, **options), reference.conv1d(x, weight, bias, **options))
        gradients = ops.conv1d_backward(x, weight, grad_y, **options)
        expected = reference.conv1d_backward(x, weight, grad_y, **options)
        for a, b in zip(gradients, expected, strict=True):
            assert_close(a, b, "gradient", what=f"{frames} frames")


@pytest.mark.parametrize("dilation", [1, 4])
def test_a_frame_has_the_same_bits_whatever_follows_it(dilation):
    x, weight, bias, _ = problem(60, 41, 49, 5, "float32")
    y = ops.causal_conv1d(x, weight, bias, dilation=dilation)
    for frames in range(1, 60):
        assert_same_bits(ops.causal_conv1d(x[:, :frames], weight, bias, dilation=dilation), y[:, :frames])


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_number_that_is_not_finite_reaches_only_frames_that_see_it(bad):
    x, weight, bias, _ = problem(50, CHANNELS, CHANNELS, 3, "float32")
    clean = ops.causal_conv1d(x, weight, bias, dilation=2)
    for at in range(20, 32):
        spoilt = x.copy()
        spoilt[0, at, 5] = bad
        y = ops.causal_conv1d(spoilt, weight, bias, dilation=2)
        sees = np.isin(np.arange(50), [at, at + 2, at + 4])
        assert not np.isfinite(y[0, sees]).any()
        assert_same_bits(y[:, ~sees], clean[:, ~sees])


@pytest.mark.parametrize("activation", [None, "relu", "gated"])
def test_activations_and_residuals_reach_both_frames_of_a_pair(activation):
    x, weight, bias, _ = problem(77, 40, 80, 4, batch=2)
    residual = np.random.default_rng(3).standard_normal((2, 77, 40 if activation == "gated" else 80))
    options = {"dilation": 5, "activation": activation, "residual": residual}
    assert_close(ops.conv1d(x, weight, bias, **options), reference.conv1d(x, weight, bias, **options))


@pytest.mark.parametrize(("inputs", "outputs"), [(CHANNELS, CHANNELS), (49, 70), (64, 41)])
@pytest.mark.parametrize("dilation", [1, 2, 5, 8, 16])  # sums are made ahead where 8 divides it
@pytest.mark.parametrize("taps", [3, 4, 5, 7])
def test_streams_make_the_same_sums(taps, dilation, inputs, outputs):
    frames = (taps - 1) * dilation + 5 * dilation + 3
    for streams, dtype, with_bias in ((1, "float32", True), (3, "float64", False)):
        x, weight, bias, _ = problem(frames, inputs, outputs, taps, dtype, streams)
        bias = bias if with_bias else None
        expected = ops.causal_conv1d(x, weight, bias, dilation=dilation)
        stream = ops.Stream(streams, inputs, dtype)
        out = stream.convolution(0, weight, bias, dilation=dilation)
        for _ in range(2):
            got = stream.push(np.ascontiguousarray(x.transpose(1, 0, 2)), out)
            assert_same_bits(got.transpose(1, 0, 2), expected)
            stream.reset()


def test_errors_are_those_of_float32():
    for taps in (3, 7):
        x, weight, bias, _ = problem(500, 64, 64, taps, "float32")
        y, expected = ops.causal_conv1d(x, weight, bias), reference.conv1d(x, weight, bias)
        assert np.abs(y - expected).max() < 1e-6 * np.abs(expected).max()
