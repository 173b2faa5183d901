"""Every layer with every option: analytic gradients are central differences."""

import numpy as np
import pytest
from helpers import assert_close, assert_gradients_match, assert_same_bits, one_line, random_lengths

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
    FlatParameters,
    LayerNormLSTM,
    Memoryless,
    MinGRU,
    PeepholeLSTM,
    ProjectedLSTM,
    WaveNet,
)
from pyseq.ragged import Ragged

N_FEATURES = 3
LENGTHS = np.array([4, 1, 3])

RECURRENT = [
    pytest.param(cls(units, **options, **extra), id=f"{cls.__name__}-{extra}-{options}")
    for cls, units, extra in [
        (Elman, 2, {}),
        (Elman, 2, {"nonlinearity": "relu"}),
        (Elman, 2, {"leak_rate": 0.4, "recurrent_dropout": 0.3}),
        (LSTM, 2, {}),
        (LSTM, 2, {"recurrent_dropout": 0.3, "zoneout": 0.2, "zoneout_cell": 0.4}),
        (PeepholeLSTM, 2, {}),
        (CoupledLSTM, 2, {"zoneout_cell": 0.4}),
        (ProjectedLSTM, 2, {"projection_size": 2, "recurrent_dropout": 0.3}),
        (LayerNormLSTM, 5, {"zoneout": 0.3}),  # two numbers, normalised, are near a step
        (GRU, 2, {}),
        (GRU, 2, {"reset": "before", "recurrent_dropout": 0.3}),
        (MinGRU, 2, {"zoneout": 0.3}),
    ]
    for options in [
        {},
        {"bidirectional": True},
        {"num_layers": 2},
        {"num_layers": 2, "bidirectional": True, "dropout": 0.3},
    ]
]

OTHERS = [
    Conv1d(2, 3),
    Conv1d(2, 2, dilation=2, activation="tanh"),
    Conv1d(2, 3, causal=False, activation=None),
    Conv1d(2, 1, causal=False, dilation=3),
    Conv1d(2, 3, activation="gated"),
    Conv1d(2, 2, activation="tanh", weight_norm=True),
    Conv1d(2, 3, activation="gated", weight_norm=True, causal=False),
    Memoryless(3, 2),
    TCN(2, 2, 2),
    TCN(2, 2, 2, weight_norm=False, dropout=0.3),
    TCN(3, 3, 2, dilation_base=3, causal=False, dropout=0.3),  # as wide as its input
    TCN(2, 2, 2, residual=False, dropout=0.3),
    WaveNet(2, 3, dilation_cycle=2, num_cycles=1),
    WaveNet(2, 2, dilation_cycle=1, num_cycles=2, kernel_size=3),
    Chain([TCN(2, 2, 1), GRU(2), WaveNet(2, 2, 1, 1)]),
    Dense(2),
    Dense(2, activation="relu"),
    Dense(2, activation="tanh"),
    Dropout(0.4),
    Chain(
        [Conv1d(2, 3, causal=False), Dropout(0.2), GRU(2, bidirectional=True), Dense(3, activation="tanh")]
    ),
    Chain([Chain([Dense(2)]), Chain([LSTM(1), Dropout(0.5)])]),
]


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def build_and_differentiate(layer, x, rng):
    """A loss that is linear in the layer's output, with the arrays it depends on and their gradients."""
    layer.build(x.n_features, dtype="float64", random_state=3)
    for _, owner, name in layer.named_parameters():
        # biases that begin at 0 would hide a mistake in what they multiply
        owner.parameters_[name] += 0.1 * rng.standard_normal(owner.parameters_[name].shape)
    grad_y = rng.standard_normal((int(LENGTHS.sum()), layer.n_features_out_))

    def forward():
        return layer.forward(x, training=True, rng=np.random.default_rng(11))

    y, tape = forward()
    layer.zero_gradients()
    grad_x = layer.backward(tape, y.with_values(grad_y))
    arrays = {full_name: owner.parameters_[name] for full_name, owner, name in layer.named_parameters()}
    gradients = {full_name: owner.gradients_[name] for full_name, owner, name in layer.named_parameters()}
    return lambda: float(np.sum(grad_y * forward()[0].values)), arrays, gradients, grad_x


@pytest.mark.parametrize(
    "layer", [*RECURRENT, *[pytest.param(layer, id=one_line(layer)) for layer in OTHERS]]
)
def test_gradients_are_central_differences(rng, layer):
    values = rng.standard_normal((int(LENGTHS.sum()), N_FEATURES))
    loss, arrays, gradients, grad_x = build_and_differentiate(layer, Ragged(values, LENGTHS), rng)
    assert grad_x.values.shape == values.shape
    assert_gradients_match(loss, {"x": values, **arrays}, {"x": grad_x.values, **gradients})


def test_embedding_gradients_are_central_differences(rng):
    x = Ragged(rng.integers(0, 4, size=int(LENGTHS.sum())), LENGTHS)
    layer = Chain([Embedding(5, 2), GRU(2)])
    loss, arrays, gradients, grad_x = build_and_differentiate(layer, x, rng)
    assert grad_x is None
    assert_gradients_match(loss, arrays, gradients)
    assert not np.any(gradients["0.weight"][4])


@pytest.mark.parametrize("reversed_columns", [slice(0, 0), slice(1, 3)])
@pytest.mark.parametrize("kind", POOLINGS)
def test_pooling_gradients_are_central_differences(rng, kind, reversed_columns):
    values, grad = rng.standard_normal((int(LENGTHS.sum()), 3)), rng.standard_normal((len(LENGTHS), 3))
    x = Ragged(values, LENGTHS)
    _, tape = POOLINGS[kind].forward(x, reversed_columns)
    grad_x = POOLINGS[kind].backward(tape, grad)
    assert_gradients_match(
        lambda: float(np.sum(grad * POOLINGS[kind].forward(x, reversed_columns)[0])),
        [values],
        [grad_x.values],
    )


@pytest.mark.parametrize(
    "layer",
    [
        LSTM(3, num_layers=2, bidirectional=True),
        Conv1d(3, 3),
        TCN(3, 2, 2),
        TCN(4, 2, 1),
        WaveNet(3, 2, 2, 1),
        Memoryless(2, 3),
        Dense(3),
        Chain([Conv1d(4, 3), GRU(3)]),
    ],
    ids=one_line,
)
def test_unneeded_gradient_of_the_input_changes_nothing_else(rng, layer):
    x = Ragged(rng.standard_normal((int(LENGTHS.sum()), 3)), LENGTHS)
    layer.build(3, dtype="float64", random_state=0)
    flat = FlatParameters(layer)
    grad = x.with_values(rng.standard_normal((x.n_frames, layer.n_features_out_)))

    def backward(need_grad_x):
        flat.zero_gradients()
        _, tape = layer.forward(x, training=True)
        return layer.backward(tape, grad, need_grad_x=need_grad_x), flat.gradients.copy()

    grad_x, gradients = backward(need_grad_x=True)
    no_grad_x, same_gradients = backward(need_grad_x=False)
    assert grad_x is not None
    assert no_grad_x is None
    assert_same_bits(same_gradients, gradients)


def test_backward_adds_to_gradients(rng):
    x = Ragged(rng.standard_normal((int(LENGTHS.sum()), 3)), LENGTHS)
    layer = GRU(2).build(3, dtype="float64", random_state=0)
    layer.zero_gradients()

    def backward():
        y, tape = layer.forward(x, training=True)
        layer.backward(tape, y)

    backward()
    once = {name: gradient.copy() for name, gradient in layer.gradients_.items()}
    backward()
    for name, gradient in layer.gradients_.items():
        assert_same_bits(gradient, 2 * once[name], name)
    layer.zero_gradients()
    assert not any(np.any(gradient) for gradient in layer.gradients_.values())


@pytest.mark.parametrize(
    "layer",
    [LSTM(4, bidirectional=True), GRU(4, num_layers=2), Conv1d(4, 3), WaveNet(4, 4, 2, 1), Dense(4)],
    ids=one_line,
)
def test_float32_gradients_stay_float32_and_agree_with_float64(rng, layer):
    lengths = random_lengths(rng, 5, 9)
    values = rng.standard_normal((int(lengths.sum()), 3))
    results = {}
    for dtype in ("float32", "float64"):
        x = Ragged(values.astype(dtype), lengths)
        layer.build(3, dtype=dtype, random_state=0)
        layer.zero_gradients()
        y, tape = layer.forward(x, training=True)
        grad_x = layer.backward(tape, y)
        results[dtype] = {"y": y.values, "x": grad_x.values, **layer.gradients_}
    for name, value in results["float32"].items():
        assert value.dtype == np.float32, name
        assert_close(value, results["float64"][name], "gradient", what=name)


@pytest.mark.parametrize(
    "layer",
    [
        LSTM(3, bidirectional=True),
        Conv1d(3, 3),
        TCN(3, 2, 2),
        TCN(4, 2, 2, dropout=0.4),
        WaveNet(3, 2, 2, 1),
        Dense(3),
        Dropout(0.5),
    ],
    ids=one_line,
)
def test_batch_taken_as_a_view_of_the_data_has_the_gradients_of_a_copy(rng, layer):
    data = Ragged(rng.standard_normal((int(LENGTHS.sum()), 3)), LENGTHS)
    layer.build(3, dtype="float64", random_state=0)
    results = []
    for batch in (data[np.array([2, 0])], data[np.array([2, 0])].packed()):
        layer.zero_gradients()
        y, tape = layer.forward(batch, training=True, rng=np.random.default_rng(0))
        grad_x = layer.backward(tape, y.with_values(np.ones_like(y.values)))
        results.append([y.values, grad_x.values, *layer.gradients_.values()])
    for view, copy in zip(*results, strict=True):
        assert_same_bits(view, copy)
