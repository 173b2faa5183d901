"""Convolutional layers: what they see and do not see, weight normalisation, dropout of channels."""

import numpy as np
import pytest
from helpers import assert_close, assert_same_bits, one_line, random_lengths
from sklearn.base import clone

from pyseq.layers import GRU, LSTM, TCN, Chain, Conv1d, Dense, Dropout, Embedding, Memoryless, WaveNet
from pyseq.layers.dropout import channel_dropout
from pyseq.ragged import Ragged

N_FEATURES = 3


@pytest.fixture
def rng():
    return np.random.default_rng(2)


def built(layer):
    return clone(layer).build(N_FEATURES, dtype="float64", random_state=0)


def frames_seen(layer, n_frames, frame):
    """Frames of the input that the output in `frame` has a gradient by."""
    layer = built(layer)
    x = Ragged(np.random.default_rng(1).standard_normal((n_frames, N_FEATURES)), [n_frames])
    layer.zero_gradients()
    y, tape = layer.forward(x, training=True)
    grad = np.zeros_like(y.values)
    grad[frame] = 1
    return np.flatnonzero(layer.backward(tape, y.with_values(grad)).values.any(axis=1))


@pytest.mark.parametrize(
    ("layer", "field"),
    [
        (Conv1d(8, 4, dilation=3, activation=None), 10),
        (Memoryless(7), 7),
        (TCN(16, 3, 2), 13),
        (TCN(16, 2, 3, dilation_base=3, weight_norm=False), 27),
        (WaveNet(8, 16, dilation_cycle=3, num_cycles=2), 16),
        (WaveNet(8, 16, dilation_cycle=2, num_cycles=1, kernel_size=3), 9),
        (Chain([Dense(4), Conv1d(8, 3, activation=None), Dropout(0.0), WaveNet(8, 16, 1, 1)]), 5),
    ],
    ids=one_line,
)
def test_a_causal_layer_sees_its_receptive_field_to_the_first_frame_and_nothing_after(layer, field):
    assert layer.receptive_field == field
    seen = frames_seen(layer, 40, 32)
    assert seen.min() == 32 - (field - 1)
    assert seen.max() == 32


def test_a_centred_layer_sees_as_far_ahead_as_back():
    layer = TCN(16, 3, 2, causal=False)
    assert layer.receptive_field == 13
    seen = frames_seen(layer, 40, 20)
    assert (seen.min(), seen.max()) == (20 - 6, 20 + 6)


def test_the_receptive_field_is_none_where_it_has_no_bound():
    assert GRU(2).receptive_field is None
    assert Chain([Conv1d(2, 3), LSTM(2)]).receptive_field is None
    assert Chain([Embedding(9, 2), Memoryless(4), Dense(2)]).receptive_field == 4


def test_the_published_sizes():
    assert TCN(30, 7, 8).receptive_field == 1 + 2 * 6 * 255
    assert WaveNet(64, 64, dilation_cycle=10, num_cycles=3).dilations[:12] == [
        *(2**n for n in range(10)),
        1,
        2,
    ]


@pytest.mark.parametrize("activation", ["relu", "gated"])
def test_weight_norm_changes_the_parameters_and_not_the_function(rng, activation):
    plain = built(Conv1d(4, 3, activation=activation))
    normed = built(Conv1d(4, 3, activation=activation, weight_norm=True))
    assert_same_bits(normed.parameters_["weight_v"], plain.parameters_["weight"])
    x = Ragged(rng.standard_normal((9, N_FEATURES)), [5, 4])
    assert_close(normed.forward(x)[0].values, plain.forward(x)[0].values)
    before = normed.forward(x)[0].values
    normed.parameters_["weight_v"] *= 3.0  # the length of a direction means nothing
    assert_close(normed.forward(x)[0].values, before)


def test_a_tcn_without_residual_is_its_convolutions(rng):
    tcn = built(TCN(4, 3, 2, weight_norm=False, residual=False))
    convolutions = [Conv1d(4, 3, dilation=2**b) for b in (0, 0, 1, 1)]
    chain = Chain(convolutions).build(N_FEATURES, dtype="float64", random_state=0)
    for layer, prefix in zip(
        convolutions, [f"block{b}.conv{n}." for b in (0, 1) for n in (1, 2)], strict=True
    ):
        for name in ("weight", "bias"):
            layer.parameters_[name][...] = tcn.parameters_[prefix + name]
    x = Ragged(rng.standard_normal((20, N_FEATURES)), [14, 6])
    assert_same_bits(tcn.forward(x)[0].values, chain.forward(x)[0].values)


def test_a_tcn_projects_only_where_widths_differ():
    assert "block0.projection.weight" in built(TCN(4, 2, 2)).parameters_
    assert not any("projection" in name for name in built(TCN(N_FEATURES, 2, 2)).parameters_)
    assert not any("projection" in name for name in built(TCN(4, 2, 2, residual=False)).parameters_)


@pytest.mark.parametrize("layer", [TCN(3, 2, 3), TCN(5, 2, 3)], ids=one_line)
def test_dropout_that_drops_nothing_is_the_fused_way(rng, layer):
    # with dropout the residual is added after the masks, without inside the convolution
    lengths = random_lengths(rng, 4, 12)
    x = Ragged(rng.standard_normal((int(lengths.sum()), N_FEATURES)), lengths)
    plain = built(layer)
    dropping = built(clone(layer).set_params(dropout=1e-300))
    results = []
    for network in (plain, dropping):
        network.zero_gradients()
        y, tape = network.forward(x, training=True, rng=np.random.default_rng(0))
        grad_x = network.backward(tape, y.with_values(np.ones_like(y.values)))
        results.append({"y": y.values, "x": grad_x.values, **network.gradients_})
    for name, value in results[0].items():
        assert_close(results[1][name], value, "gradient", what=name)


def test_channel_dropout_zeroes_a_channel_in_all_frames_of_a_sequence(rng):
    lengths = np.array([5, 0, 40, 1])
    x = Ragged(np.ones((46, 200)), lengths)
    y, mask = channel_dropout(x, 0.25, np.random.default_rng(0))
    assert_same_bits(mask, y.values)
    for b, length in enumerate(lengths):
        assert (y[b] == y[b][:1]).all() or length == 0
    assert set(np.unique(y.values)) == {0.0, 1 / 0.75}
    assert abs(np.mean(y[2][0] == 0) - 0.25) < 0.1
    assert not np.array_equal(y[0][0], y[2][0])


def test_dropout_needs_a_generator_and_is_off_in_prediction(rng):
    layer = built(TCN(4, 2, 2, dropout=0.5))
    x = Ragged(rng.standard_normal((9, N_FEATURES)), [5, 4])
    with pytest.raises(ValueError, match="needs a random generator"):
        layer.forward(x, training=True)
    assert_same_bits(layer.forward(x)[0].values, built(TCN(4, 2, 2)).forward(x)[0].values)
