"""Networks one frame at a time: the bits of the whole sequence, with a past of their own for every stream."""

from functools import partial

import numpy as np
import pytest
from helpers import assert_same_bits
from sklearn.base import clone

from pyseq import config_context, ops
from pyseq.layers import (
    GRU,
    LSTM,
    TCN,
    Chain,
    Conv1d,
    CoupledLSTM,
    Dense,
    Dropout,
    Elman,
    Embedding,
    LayerNormLSTM,
    Memoryless,
    MinGRU,
    PeepholeLSTM,
    ProjectedLSTM,
    WaveNet,
)
from pyseq.layers.base import Layer
from pyseq.ragged import Ragged

FEATURES, FRAMES = 4, 70

LAYERS = [
    Elman(7),
    Elman(3, leak_rate=0.3),
    GRU(5),
    GRU(17, reset="before"),
    LSTM(33, num_layers=2),
    LSTM(130),
    PeepholeLSTM(9),
    CoupledLSTM(20),
    ProjectedLSTM(16, 4),
    LayerNormLSTM(12),
    MinGRU(10),
    GRU(20, zoneout=0.2),
    LSTM(18, num_layers=2, zoneout=0.1, zoneout_cell=0.5),
    ProjectedLSTM(12, 5, zoneout=0.3, zoneout_cell=0.1),
    Dense(9, "relu"),
    Dense(200),
    Conv1d(7, 3, dilation=2, activation=None),
    Conv1d(70, 2, dilation=8),  # taps are summed ahead where the dilation is a multiple of 8
    Conv1d(130, 4, dilation=16),
    Conv1d(5, 1),
    Conv1d(20, 3, dilation=8, activation="gated", weight_norm=True),
    Memoryless(5, 12),
    TCN(6, 3, 3),
    TCN(FEATURES, 2, 4, weight_norm=False),
    TCN(6, 2, 2, residual=False, dropout=0.3),
    WaveNet(6, 9, dilation_cycle=4, num_cycles=2),
    Conv1d(5, 2, dilation=1000),  # never reaches back
    Chain([Conv1d(8, 2, dilation=8), Dropout(0.5), LSTM(6), Dense(3)]),
]


@pytest.fixture(params=LAYERS, ids=repr)
def layer(request):
    return clone(request.param)


def sequences(n, dtype="float32", frames=FRAMES):
    return np.random.default_rng(1).standard_normal((n, frames, FEATURES)).astype(dtype)


def whole(layer, x):
    return np.stack(list(layer.forward(Ragged.from_padded(x, [x.shape[1]] * len(x)))[0]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_streams_give_the_bits_of_whole_sequences(layer, dtype):
    layer.build(FEATURES, dtype=dtype, random_state=0)
    x = sequences(3, dtype)
    expected = whole(layer, x)
    stream = layer.stream(3)
    together = stream.push(np.ascontiguousarray(x.transpose(1, 0, 2))).transpose(1, 0, 2)
    assert_same_bits(together, expected)
    alone = layer.stream()
    assert_same_bits(np.stack([alone.step(frame) for frame in x[1]]), expected[1])
    assert alone.n_frames == FRAMES


def test_any_chunks_and_a_reset(layer):
    layer.build(FEATURES, random_state=0)
    x = sequences(2)
    expected = whole(layer, x)
    stream = layer.stream()
    stream.push(x[0][:31])
    stream.reset()
    parts = [stream.push(part) for part in np.split(x[1], [0, 1, 9, 40])]
    assert_same_bits(np.concatenate(parts), expected[1])


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_streams_keep_the_precision_they_were_made_in(precision):
    layer = LSTM(128).build(FEATURES, random_state=0)
    x = sequences(1)
    with config_context(precision=precision):
        expected = whole(layer, x)
        stream = layer.stream()
    assert_same_bits(stream.push(x[0]), expected[0])


def test_tokens():
    with pytest.raises(ValueError, match="tokens"):
        Chain([Embedding(11, 6), GRU(4)]).build(1).stream().push(np.array([[11]]))


def reads_tokens(layer, vocabulary, streams, dtype="float32", dim=6):
    """A stream and the whole sequence agree, also once what tokens add is looked up."""
    layer = Chain([Embedding(vocabulary, dim), clone(layer)]).build(1, dtype=dtype, random_state=0)
    tokens = np.random.default_rng(0).integers(0, vocabulary, (streams, FRAMES))
    expected = layer.forward(Ragged(tokens.ravel(), [FRAMES] * streams))[0].values.reshape(
        streams, FRAMES, -1
    )
    stream = layer.stream(streams)
    for _ in range(2):
        got = stream.push(np.ascontiguousarray(tokens.T)[:, :, np.newaxis])
        assert_same_bits(got.transpose(1, 0, 2), expected)
        stream.reset()


RECURRENT = [layer for layer in LAYERS if hasattr(layer, "num_layers")]


@pytest.mark.parametrize("recurrent", RECURRENT, ids=repr)
@pytest.mark.parametrize(("streams", "dtype"), [(1, "float32"), (3, "float64"), (20, "float32")])
def test_what_tokens_add_is_looked_up_to_the_same_bits(recurrent, streams, dtype):
    reads_tokens(recurrent, 11, streams, dtype)


@pytest.mark.parametrize("precision", ["high", "medium"])
@pytest.mark.parametrize("recurrent", [Elman(70), GRU(65), LSTM(128), MinGRU(64)], ids=repr)
def test_tokens_in_a_reduced_precision(precision, recurrent):
    with config_context(precision=precision):
        reads_tokens(recurrent, 30, 2)


def test_a_table_of_tokens_is_bounded():
    reads_tokens(LSTM(600), 30, 1, dim=1)
    reads_tokens(LSTM(600), 1000, 20, dim=1)  # 10 MB: tokens are multiplied


def test_a_stream_has_weights_of_its_own():
    layer = GRU(4).build(FEATURES, random_state=0)
    x = sequences(1)[0]
    expected = whole(layer, x[np.newaxis])[0]
    stream = layer.stream()
    for weights in layer.parameters_.values():
        weights[...] = 0
    assert_same_bits(stream.push(x), expected)


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (GRU(4, bidirectional=True), "bidirectional"),
        (Conv1d(4, 3, causal=False), "causal"),
        (Chain([Dense(3), Conv1d(4, 3, causal=False)]), "causal"),
        (TCN(4, 3, 1, causal=False), "causal"),
    ],
    ids=repr,
)
def test_what_sees_the_future_cannot_stream(layer, why):
    with pytest.raises(ValueError, match=why):
        layer.build(FEATURES).stream()


def test_bad_frames():
    stream = GRU(4).build(FEATURES).stream(2)
    for x, why in (
        (np.zeros((3, FEATURES)), r"expected \(frames, 2, 4\)"),
        (np.zeros((3, 1, FEATURES)), r"expected \(frames, 2, 4\)"),
        (np.zeros((3, 2, FEATURES + 1)), "5 features, expected 4"),
        (np.full((1, 2, FEATURES), np.nan), "NaN or infinity"),
    ):
        with pytest.raises(ValueError, match=why):
            stream.push(x)
    assert stream.n_frames == 0
    with pytest.raises(ValueError, match="n_streams"):
        GRU(4).build(FEATURES).stream(0)
    with pytest.raises(ValueError, match="not built"):
        GRU(4).stream()


def test_every_layer_streams_or_says_why():
    assert Layer.add_stages is not GRU.add_stages
    with pytest.raises(ValueError, match="frame by frame"):
        Layer().add_stages(ops.Stream(1, 1), 0)


def test_stages():
    x = np.random.default_rng(0).standard_normal((9, 2, 6)).astype(np.float32)
    s = ops.Stream(2, 6)
    gated, relu = s.gate(0), s.elementwise(0, "relu")
    part, scaled = s.part(0, 2, 3), s.affine(0, np.arange(6), np.full(6, 2))
    joined = s.join(part, s.constant(np.array([[1.0], [2.0]])))
    twice = s.add(0, 0)
    assert_same_bits(s.push(x, relu), np.maximum(x, 0))
    assert_same_bits(s.push(x, part), x[..., 2:5])
    assert_same_bits(s.push(x, scaled), (x - np.arange(6, dtype="f")) * 2)
    assert_same_bits(s.push(x, twice), x + x)
    assert s.push(x, joined)[0, :, 3].tolist() == [1, 2]
    expected = np.tanh(x[..., :3].astype(float)) / (1 + np.exp(-x[..., 3:].astype(float)))
    np.testing.assert_allclose(s.push(x, gated), expected, rtol=3e-6)


@pytest.mark.parametrize(
    "layer", [Conv1d(70, 2, dilation=8), Dense(40), WaveNet(6, 9, dilation_cycle=4, num_cycles=1)], ids=repr
)
def test_medium_keeps_the_weights_of_convolutions_in_bfloat16(layer):
    layer = clone(layer).build(FEATURES, random_state=0)
    x = sequences(3)
    exact = layer.stream(3).push(np.ascontiguousarray(x.transpose(1, 0, 2)))
    with config_context(precision="medium"):
        together, alone = layer.stream(3), layer.stream()
    brief = together.push(np.ascontiguousarray(x.transpose(1, 0, 2)))
    assert_same_bits(np.concatenate([alone.push(part) for part in np.split(x[1], [3, 40])]), brief[:, 1])
    assert 1e-5 < np.abs(brief - exact).max() / np.abs(exact).max() < 1e-2


def test_medium_leaves_float64_as_it_is():
    layer = Chain([Conv1d(40, 3, activation=None), Conv1d(41, 4, activation=None), GRU(50), Dense(5)]).build(
        FEATURES, dtype="float64", random_state=0
    )
    x = sequences(1, "float64")
    with config_context(precision="medium"):
        stream = layer.stream()
    assert_same_bits(stream.push(x[0]), whole(layer, x)[0])


def test_brief_weights_are_the_nearest_bfloat16():
    rng = np.random.default_rng(0)
    for outputs in (1, 16, 17, 40, 200):
        weight, x = (rng.standard_normal(n).astype(np.float32) for n in ((outputs, 5, 3), (12, 1, 5)))
        bits = weight.view(np.uint32).astype(np.uint64)
        rounded = ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
        brief, exact = ops.Stream(1, 5), ops.Stream(1, 5)
        out = brief.convolution(0, weight, brief=True), exact.convolution(0, rounded)
        assert_same_bits(brief.push(x, out[0]), exact.push(x, out[1]))


# ------------------------------------------------------------------------------------------------ drawing


def chooser(logits):
    """A stream of one token in, constant logits out."""
    stream = ops.Stream(1, 1)
    stream.embedding(0, np.zeros((len(logits), 1)))
    return stream, stream.constant(np.array([logits]))


def draws(logits, u, **options):
    stream, out = chooser(logits)
    return stream.generate(np.zeros((1, 1)), np.asarray(u)[:, np.newaxis], out, **options)[0]


def test_draws_follow_the_softmax():
    logits = np.array([0.0, 2.0, -1.0, 1.0])
    u = (np.arange(4000) + 0.5) / 4000
    for temperature in (0.5, 1.0, 3.0):
        counts = np.bincount(draws(logits, u, temperature=temperature), minlength=4)
        p = np.exp(logits / temperature)
        np.testing.assert_allclose(counts / 4000, p / p.sum(), atol=1e-3)


def test_top_k_and_top_p_cut_the_tail():
    logits = np.log([0.1, 0.4, 0.2, 0.3])
    u = (np.arange(1000) + 0.5) / 1000
    assert set(draws(logits, u, top_k=1)) == {1}
    assert set(draws(logits, u, top_k=2)) == {1, 3}
    assert set(draws(logits, u, top_p=0.05)) == {1}
    assert set(draws(logits, u, top_p=0.65)) == {1, 3}
    assert set(draws(logits, u, top_p=0.75)) == {1, 2, 3}
    assert set(draws(logits, u, top_k=3, top_p=0.99)) == {1, 2, 3}
    counts = np.bincount(draws(logits, u, top_k=2), minlength=4)
    np.testing.assert_allclose(counts / 1000, [0, 4 / 7, 0, 3 / 7], atol=2e-3)
    assert set(draws(np.zeros(5), u, top_k=2)) == {0, 1}  # equal logits rank by class


def test_a_row_ends_at_its_stop():
    assert draws(np.log([0.5, 0.5]), [0.1, 0.2, 0.9, 0.1], stops=[1]).tolist() == [0, 0, 1, -1]


def test_generation_reads_what_it_drew():
    layer = Chain([Embedding(9, 5), LSTM(8), Dense(9)]).build(1, random_state=0)
    stream = ops.Stream(2, 1)
    out = layer.add_stages(stream, 0)
    prompt = np.array([[3, 1], [2, 8]])
    u = np.random.default_rng(0).random((25, 2))
    tokens = stream.generate(prompt, u, out)
    for row in range(2):
        read = np.concatenate([prompt[row], tokens[row][:-1]])
        logits = layer.forward(Ragged(read, [len(read)]))[0].values[1:].astype(float)
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p = np.cumsum(p / p.sum(axis=1, keepdims=True), axis=1)
        assert tokens[row].tolist() == [int(np.searchsorted(c, v)) for c, v in zip(p, u[:, row], strict=True)]


# ------------------------------------------------------------------------------------- drawing numbers


def mixture(columns, n_components, n_values=1, rows=1, dtype="float64"):
    """A stream of numbers in, a constant mixture out."""
    stream = ops.Stream(rows, n_values, dtype)
    out = stream.constant(np.tile(np.asarray(columns, dtype=dtype), (rows, 1)))
    return partial(
        stream.generate_values, np.zeros((1, rows, n_values)), frame=out, n_components=n_components
    )


def test_numbers_follow_their_mixture():
    rng = np.random.default_rng(0)
    noise = np.concatenate([rng.random((4000, 1, 1)), rng.standard_normal((4000, 1, 1))], axis=2)
    a, m, u = np.log([0.2, 0.8]), [-10.0, 10.0], np.log([0.5, 2.0])
    draw = mixture([*a, *m, *u], 2)
    for temperature in (1.0, 0.5):
        drawn = draw(noise, least_scale=0.5, temperature=temperature)[0, :, 0]
        p = np.array([0.2, 0.8]) ** (1 / temperature)
        low = drawn < 0
        assert low.mean() == pytest.approx(p[0] / p.sum(), abs=0.02)
        if low.any():
            assert drawn[low].mean() == pytest.approx(-10, abs=0.1)
            assert drawn[low].std() == pytest.approx(1.0 * temperature**0.5, rel=0.15)
        assert drawn[~low].std() == pytest.approx(2.5 * temperature**0.5, rel=0.05)


def test_a_single_gaussian_has_no_weights():
    noise = np.random.default_rng(0).standard_normal((7, 2, 4))
    drawn = mixture([1.0, 2.0, 3.0, *np.log([1.0, 2.0, 3.0])], 1, n_values=3, rows=2)(noise)
    expected = np.array([1, 2, 3]) * (1 + noise[:, :, 1:])
    np.testing.assert_allclose(drawn, expected.transpose(1, 0, 2))
    draw = mixture([1.0, 2.0, 3.0, *np.log([1.0, 2.0, 3.0])], 1, n_values=3, rows=2)
    cut = draw(noise, limits=(0.5, [1.0, 2.0, np.inf]))
    np.testing.assert_allclose(cut, np.clip(drawn, 0.5, [1, 2, np.inf]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_generation_of_numbers_reads_what_it_drew(dtype):
    layer = Chain([Conv1d(5, 3, dilation=2), LSTM(8), Dense(3 + 2 * 3 * 2)])
    layer.build(2, dtype=dtype, random_state=0)
    rng = np.random.default_rng(0)
    prompt = rng.standard_normal((4, 3, 2)).astype(dtype)
    noise = np.concatenate([rng.random((20, 3, 1)), rng.standard_normal((20, 3, 2))], axis=2)
    stream = ops.Stream(3, 2, dtype)
    out = layer.add_stages(stream, 0)
    drawn = stream.generate_values(prompt, noise, out, n_components=3, least_scale=0.1, temperature=0.5)
    assert drawn.shape == (3, 20, 2)
    for row in range(3):
        read = np.concatenate([prompt[:, row], drawn[row, :-1]])
        columns = layer.forward(Ragged(read, [len(read)]))[0].values[3:].astype(float)
        p = np.cumsum(np.exp(2 * columns[:, :3]), axis=1)
        chosen = [np.searchsorted(c / c[-1], v) for c, v in zip(p, noise[:, row, 0], strict=True)]
        m, u = (part.reshape(-1, 3, 2)[np.arange(20), chosen] for part in np.split(columns[:, 3:], 2, axis=1))
        expected = m + (np.exp(u) + 0.1) * np.sqrt(0.5) * noise[:, row, 1:]
        np.testing.assert_allclose(drawn[row], expected, rtol=1e-5, atol=1e-6)


def test_bad_generation_of_numbers():
    stream = ops.Stream(2, 1)
    out = stream.constant(np.zeros((2, 2)))
    prompt, noise = np.zeros((1, 2, 1)), np.zeros((3, 2, 2))
    for bad, why in (
        ({"prompt": np.zeros((0, 2, 1))}, "prompt"),
        ({"prompt": np.zeros((1, 2, 2))}, "prompt"),
        ({"noise": np.zeros((3, 2, 1))}, "noise"),
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": np.nan}, "temperature"),
        ({"least_scale": -1.0}, "least_scale"),
        ({"limits": (1.0, 0.0)}, "low, high"),
        ({"limits": (np.nan, 0.0)}, "low, high"),
        ({"n_components": 2}, "frame"),
        ({"n_components": 0}, "components"),
    ):
        settings = {"prompt": prompt, "noise": noise, "frame": out, "n_components": 1, **bad}
        with pytest.raises(ValueError, match=why):
            stream.generate_values(**settings)


def test_bad_generation():
    stream, out = chooser(np.zeros(3))
    for prompt, options in ((np.array([[3]]), {}), (np.zeros((1, 0)), {}), (np.zeros((2, 1)), {})):
        with pytest.raises(ValueError, match="prompt"):
            stream.generate(prompt, np.zeros((1, 1)), out, **options)
    for options in ({"temperature": 0.0}, {"temperature": np.nan}, {"top_p": -1.0}, {"top_k": -1}):
        with pytest.raises(ValueError, match="temperature, top_k, top_p"):
            stream.generate(np.zeros((1, 1)), np.zeros((1, 1)), out, **options)
