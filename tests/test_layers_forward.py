"""What layers promise of their forward pass: re-entrant, indifferent to the batch, exact in inference."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import reference
from helpers import assert_close, assert_same_bits, one_line, pad, random_lengths

from pyseq import ops
from pyseq.layers import (
    GRU,
    LSTM,
    POOLINGS,
    TCN,
    Chain,
    Conv1d,
    CoupledLSTM,
    Dense,
    Dropout,
    Elman,
    Embedding,
    LayerNormLSTM,
    MinGRU,
    PeepholeLSTM,
    ProjectedLSTM,
    WaveNet,
)
from pyseq.ragged import Ragged

ENCODERS = [
    Elman(5, bidirectional=True),
    LSTM(5, num_layers=2, bidirectional=True),
    GRU(5),
    Elman(5, leak_rate=0.5),
    PeepholeLSTM(5),
    CoupledLSTM(5, bidirectional=True),
    ProjectedLSTM(7, 5, num_layers=2, bidirectional=True),
    LayerNormLSTM(5, zoneout=0.1, zoneout_cell=0.2),
    GRU(5, reset="before", recurrent_dropout=0.5),
    MinGRU(5, bidirectional=True, zoneout=0.1),
    Conv1d(5, 3, causal=False),
    TCN(5, 3, 2, dropout=0.5),
    TCN(3, 2, 2, weight_norm=False),
    WaveNet(4, 5, dilation_cycle=2, num_cycles=2),
    Dense(5, activation="tanh"),
    Chain([Conv1d(6, 3), Dropout(0.5), GRU(4, bidirectional=True), Dense(3)]),
]


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def random_ragged(rng, n=6, longest=9, n_features=3, dtype="float32"):
    lengths = random_lengths(rng, n, longest)
    return Ragged(rng.standard_normal((int(lengths.sum()), n_features)).astype(dtype), lengths)


@pytest.mark.parametrize("encoder", ENCODERS, ids=one_line)
def test_four_threads_at_once_give_the_bits_of_one(rng, encoder):
    encoder.build(3, random_state=0)
    batches = [random_ragged(rng) for _ in range(4)]
    alone = [encoder.forward(batch)[0].values for batch in batches]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda i: encoder.forward(batches[i % 4])[0].values, range(16)))
    for i, values in enumerate(together):
        assert_same_bits(values, alone[i % 4])


@pytest.mark.parametrize("pooling", [None, *POOLINGS])
@pytest.mark.parametrize("encoder", ENCODERS, ids=one_line)
def test_a_sequence_gives_the_same_bits_alone_and_in_any_batch(rng, encoder, pooling):
    encoder.build(3, random_state=0)

    def outputs(x):
        y, _ = encoder.forward(x)
        if pooling is None:
            return list(y)
        return list(POOLINGS[pooling].forward(y, encoder.reversed_columns_)[0])

    data = random_ragged(rng)
    together = outputs(data)
    order = np.array([4, 2, 5, 0])
    for i, output in zip(order, outputs(data[order]), strict=True):
        assert_same_bits(output, together[i])
    for i in range(len(data)):
        assert_same_bits(outputs(data[i : i + 1])[0], together[i])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("encoder", ENCODERS, ids=one_line)
def test_dtype_is_kept_and_the_tape_only_in_training(rng, encoder, dtype):
    encoder.build(3, dtype=dtype, random_state=0)
    x = random_ragged(rng, dtype=dtype)
    y, tape = encoder.forward(x)
    assert tape is None
    assert y.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(y.lengths, x.lengths)


def test_training_changes_nothing_without_dropout(rng):
    encoder = LSTM(5, num_layers=2, bidirectional=True).build(3, random_state=0)
    x = random_ragged(rng)
    assert_same_bits(encoder.forward(x, training=True)[0].values, encoder.forward(x)[0].values)


def test_forward_leaves_its_input_alone(rng):
    x = random_ragged(rng)
    before = x.values.copy()
    for encoder in ENCODERS:
        encoder.build(3, random_state=0).forward(x, training=True, rng=rng)
    assert_same_bits(x.values, before)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dropout_zeroes_its_rate_and_keeps_the_mean(rng, dtype):
    x = Ragged(np.ones((4000, 5), dtype=dtype), [4000])
    layer = Dropout(0.25).build(5, dtype=dtype)
    y, _ = layer.forward(x, training=True, rng=rng)
    assert y.values.dtype == np.dtype(dtype)
    assert abs(np.mean(y.values == 0) - 0.25) < 0.015
    assert_close(y.values[y.values != 0], np.full(np.count_nonzero(y.values), 1 / 0.75))
    assert layer.forward(x)[0] is x


def test_dropout_is_drawn_from_the_generator_given(rng):
    x = random_ragged(rng)
    for layer in (Dropout(0.5), LSTM(4, num_layers=2, dropout=0.5)):
        layer.build(3, random_state=0)
        first, second, other = [
            layer.forward(x, training=True, rng=np.random.default_rng(seed))[0].values for seed in (1, 1, 2)
        ]
        assert_same_bits(first, second)
        assert np.any(first != other)
        with pytest.raises(ValueError, match="rng is None"):
            layer.forward(x, training=True)


def test_dropout_acts_between_stacked_layers_only(rng):
    x = random_ragged(rng)
    layer = GRU(32, num_layers=2, dropout=0.5).build(3, random_state=0)
    y, _ = layer.forward(x, training=True, rng=rng)
    assert not np.any(y.values == 0)


@pytest.mark.parametrize(
    "layer",
    [
        LSTM(4, recurrent_dropout=0.5),
        LSTM(4, zoneout=0.5),
        ProjectedLSTM(4, 3, zoneout_cell=0.5),
        MinGRU(4, zoneout=0.5),
        GRU(4, bidirectional=True, reset="before", recurrent_dropout=0.5),
    ],
    ids=one_line,
)
def test_masks_of_the_state_are_drawn_in_training_from_the_generator_given(rng, layer):
    x = random_ragged(rng)
    layer.build(3, random_state=0)
    first, second, other = [
        layer.forward(x, training=True, rng=np.random.default_rng(seed))[0].values for seed in (1, 1, 2)
    ]
    assert_same_bits(first, second)
    assert np.any(first != other)
    assert_same_bits(layer.forward(x)[0].values, layer.forward(x, rng=rng)[0].values)
    message = r"training with (recurrent_dropout|zoneout\w*) \(0.5\) needs .* rng is None"
    with pytest.raises(ValueError, match=message):
        layer.forward(x, training=True)


def test_zoneout_keeps_its_rate_of_units_and_their_expectation_at_inference(rng):
    x = Ragged(rng.standard_normal((3000, 1)).astype("float32"), [3000])
    layer = GRU(8, zoneout=0.25).build(1, random_state=0)
    y = layer.forward(x, training=True, rng=rng)[0].values
    assert abs(np.mean(y[1:] == y[:-1]) - 0.25) < 0.015
    weights = ops.RNNWeights(*layer.parameters_.values())
    rate = np.full(8, 0.25, dtype="float32")
    expected, _, _ = ops.rnn_forward("gru", x, weights, zoneout_h=rate)
    assert_same_bits(layer.forward(x)[0].values, expected.values)


def test_recurrent_dropout_is_absent_at_inference(rng):
    x = random_ragged(rng)
    plain, dropped = LSTM(4), LSTM(4, recurrent_dropout=0.5)
    outputs = [layer.build(3, random_state=0).forward(x)[0].values for layer in (plain, dropped)]
    assert_same_bits(*outputs)


def test_embedding_takes_tokens_as_a_row_or_a_column(rng):
    tokens = rng.integers(0, 6, size=9)
    layer = Embedding(6, 4).build(1, random_state=0)
    x = Ragged(tokens, [4, 5])
    row, _ = layer.forward(x)
    column, _ = layer.forward(x.with_values(tokens[:, np.newaxis]))
    assert_same_bits(row.values, column.values)
    assert_same_bits(row.values, layer.parameters_["weight"][tokens])
    assert Chain([Embedding(6, 4), GRU(2)]).takes_tokens
    assert not Chain([GRU(2)]).takes_tokens


@pytest.mark.parametrize("reversed_columns", [slice(0, 0), slice(2, 4)])
@pytest.mark.parametrize("kind", POOLINGS)
def test_pooling_equals_its_twin(rng, kind, reversed_columns):
    lengths = np.array([3, 0, 1, 5])
    values, grad = rng.standard_normal((9, 4)), rng.standard_normal((4, 4))
    x = Ragged(values, lengths)
    pooled, tape = POOLINGS[kind].forward(x, reversed_columns)
    padded = pad(values, lengths)
    assert_close(pooled, reference.pool(kind, padded, lengths, reversed_columns))
    expected = reference.pool_backward(kind, padded, grad, lengths, reversed_columns)
    assert_close(pad(POOLINGS[kind].backward(tape, grad).values, lengths), expected)


@pytest.mark.parametrize("kind", POOLINGS)
def test_pooling_of_a_view_equals_pooling_of_a_copy(rng, kind):
    data = random_ragged(rng)
    for view in (data[np.array([3, 1])], data[::-1]):
        pooled, tape = POOLINGS[kind].forward(view)
        expected, expected_tape = POOLINGS[kind].forward(view.packed())
        assert_same_bits(pooled, expected)
        grad_x = POOLINGS[kind].backward(tape, pooled)
        assert_same_bits(grad_x.values, POOLINGS[kind].backward(expected_tape, pooled).values)


def test_last_of_a_bidirectional_layer_is_its_final_state_in_both_directions(rng):
    x = random_ragged(rng)
    layer = GRU(4, bidirectional=True).build(3, random_state=0)
    y, _ = layer.forward(x)
    pooled, _ = POOLINGS["last"].forward(y, layer.reversed_columns_)
    for b, frames in enumerate(y):
        assert_same_bits(pooled[b], np.concatenate([frames[-1, :4], frames[0, 4:]]))
