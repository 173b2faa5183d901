"""Layers as parameter objects: settings, building, initial weights, flat buffers, copies."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from helpers import assert_same_bits, one_line
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError

from pyseq import layers, ops
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
    FlatParameters,
    Layer,
    LayerNormLSTM,
    Memoryless,
    MinGRU,
    PeepholeLSTM,
    ProjectedLSTM,
    WaveNet,
)
from pyseq.ragged import Ragged

LAYERS = [
    Elman(5, nonlinearity="relu"),
    LSTM(5, num_layers=2, bidirectional=True, dropout=0.1),
    GRU(5),
    Elman(5, leak_rate=0.5),
    PeepholeLSTM(5, zoneout=0.1, zoneout_cell=0.1),
    CoupledLSTM(5, bidirectional=True),
    ProjectedLSTM(5, 3, num_layers=2),
    LayerNormLSTM(5, recurrent_dropout=0.2),
    GRU(5, reset="before"),
    MinGRU(5, num_layers=2, bidirectional=True),
    Conv1d(6, 3, dilation=2, causal=False, activation=None),
    Conv1d(6, 3, activation="gated", weight_norm=True),
    Memoryless(4, 6),
    TCN(6, 3, 2, dropout=0.1),
    TCN(3, 3, 2, dilation_base=3, weight_norm=False, residual=False, causal=False),
    WaveNet(4, 6, dilation_cycle=3, num_cycles=2),
    Dense(4, activation="tanh"),
    Dropout(0.3),
    Chain([Conv1d(6, 5), Chain([LSTM(3), Dropout(0.1)])]),
]


@pytest.fixture
def x():
    return Ragged(np.random.default_rng(0).standard_normal((9, 3)).astype("float32"), [4, 2, 3])


class Holder(BaseEstimator):
    """The least that stands for an estimator around an encoder."""

    def __init__(self, encoder=None):
        self.encoder = encoder


@pytest.mark.parametrize("layer", [*LAYERS, Embedding(10, 4)], ids=one_line)
def test_clone_has_the_same_settings_and_no_weights(layer):
    built = clone(layer).build(1, random_state=0)
    copied = clone(built)
    assert repr(copied) == repr(layer)
    assert type(copied) is type(layer)
    with pytest.raises(NotFittedError, match="not built yet"):
        list(clone(LSTM(3).build(2)).named_parameters())


@pytest.mark.parametrize("layer", LAYERS, ids=one_line)
def test_repr_can_be_evaluated(layer):
    assert repr(eval(repr(layer), vars(layers))) == repr(layer)
    assert layer._repr_html_()


def test_nested_settings_are_reached_from_an_estimator():
    holder = Holder(encoder=Chain([Conv1d(6, 5), Chain([LSTM(3), Dropout(0.1)])]))
    params = holder.get_params()
    assert params["encoder__0__kernel_size"] == 5
    assert params["encoder__1__0__hidden_size"] == 3
    copied = clone(holder).set_params(encoder__0__channels=8, encoder__1__0__hidden_size=4)
    assert copied.encoder.layers[0].channels == 8
    assert copied.encoder.layers[1].layers[0].hidden_size == 4
    assert holder.encoder.layers[0].channels == 6
    assert clone(Holder(GRU(3))).set_params(encoder__hidden_size=9).encoder.hidden_size == 9


def test_chain_layer_is_replaced_by_position_without_touching_the_list_given():
    given = [Conv1d(6, 5), GRU(3)]
    chain = Chain(given).set_params(**{"1": LSTM(4), "1__num_layers": 2})
    assert repr(chain.layers[1]) == "LSTM(hidden_size=4, num_layers=2)"
    assert repr(given[1]) == "GRU(hidden_size=3)"
    assert chain.set_params(layers=[Dense(2)]).get_params()["0__units"] == 2
    with pytest.raises(ValueError, match="Invalid parameter '1'"):
        chain.set_params(**{"1": GRU(2)})
    with pytest.raises(ValueError, match="Invalid parameter 'size'"):
        chain.set_params(**{"0__size": 2})


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (LSTM(0), r"'hidden_size' parameter of LSTM must be an int in the range \[1, inf\). Got 0"),
        (GRU(2.5), r"'hidden_size' parameter of GRU must be an int .* Got 2.5"),
        (GRU("64"), r"'hidden_size' parameter of GRU must be an int .* Got '64'"),
        (Elman(2, nonlinearity="sin"), r"'nonlinearity' parameter of Elman must be a str among .* Got 'sin'"),
        (LSTM(2, num_layers=0), r"'num_layers' parameter of LSTM .* Got 0"),
        (LSTM(2, bidirectional="yes"), r"'bidirectional' parameter of LSTM .* Got 'yes'"),
        (LSTM(2, zoneout=1.0), r"'zoneout' parameter of LSTM must be a float in the range .* Got 1.0"),
        (LSTM(2, zoneout_cell=-1), r"'zoneout_cell' parameter of LSTM .* Got -1"),
        (GRU(2, recurrent_dropout=2), r"'recurrent_dropout' parameter of GRU .* Got 2"),
        (GRU(2, reset="never"), r"'reset' parameter of GRU must be a str among .* Got 'never'"),
        (
            Elman(2, leak_rate=0.0),
            r"'leak_rate' parameter of Elman must be a float in the range \(0",
        ),
        (Elman(2, leak_rate=0.5, nonlinearity="relu"), r"leak_rate of Elman must be 1 where nonlinearity is"),
        (ProjectedLSTM(2, 3), r"projection_size of ProjectedLSTM must be at most hidden_size=2, got 3"),
        (ProjectedLSTM(2, 0), r"'projection_size' parameter of ProjectedLSTM must be an int .* Got 0"),
        (LSTM(2, dropout=1.0), r"'dropout' parameter of LSTM must be a float in the range .* Got 1.0"),
        (Conv1d(2, 0), r"'kernel_size' parameter of Conv1d .* Got 0"),
        (Conv1d(2, 4, causal=False), r"kernel_size of Conv1d must be odd when causal=False .* got 4"),
        (Conv1d(2, 3, activation="gelu"), r"'activation' parameter of Conv1d .* Got 'gelu'"),
        (Conv1d(2, 3, dilation=0), r"'dilation' parameter of Conv1d .* Got 0"),
        (TCN(2, 0, 1), r"'kernel_size' parameter of TCN .* Got 0"),
        (TCN(2, 3, 1, dilation_base=0), r"'dilation_base' parameter of TCN .* Got 0"),
        (TCN(2, 3, 0), r"'num_blocks' parameter of TCN .* Got 0"),
        (TCN(2, 2, 1, causal=False), r"kernel_size of TCN must be odd when causal=False .* got 2"),
        (TCN(2, 2, 1, dropout=1), r"'dropout' parameter of TCN .* Got 1"),
        (WaveNet(2, 2, 0, 1), r"'dilation_cycle' parameter of WaveNet .* Got 0"),
        (WaveNet(2, 0, 1, 1), r"'skip_channels' parameter of WaveNet .* Got 0"),
        (WaveNet(2, 2, 1, 1, kernel_size=0), r"'kernel_size' parameter of WaveNet .* Got 0"),
        (Memoryless(0), r"'window' parameter of Memoryless .* Got 0"),
        (Memoryless(2, activation="gated"), r"'activation' parameter of Memoryless .* Got 'gated'"),
        (Dense(-1), r"'units' parameter of Dense .* Got -1"),
        (Dropout(-0.1), r"'rate' parameter of Dropout .* Got -0.1"),
        (Embedding(4, 2), r"Embedding takes one integer token a frame, got 3 features"),
        (Chain([]), r"layers of Chain must hold at least one layer"),
        (Chain(GRU(2)), r"'layers' parameter of Chain"),
        (Chain([GRU(2), "gru"]), r"layers\[1\] of Chain must be a Layer, got 'gru'"),
        (Chain([GRU(2), Embedding(4, 2)]), r"layers\[1\] of Chain takes integer tokens, so it must be first"),
    ],
)
def test_wrong_settings_are_named_when_building(layer, message):
    with pytest.raises(ValueError, match=message):
        layer.build(3)


@pytest.mark.parametrize("units", [10**12, 2**62, 10**30])
def test_sizes_beyond_memory_are_a_clear_error(units):
    with pytest.raises(MemoryError, match=rf"parameters of Dense\(units={units}\): .*{units}, 1000"):
        Dense(units).build(1000)
    with pytest.raises(MemoryError, match=rf"parameters of GRU\(hidden_size={units}\)"):
        GRU(units).build(1)


def test_the_same_layer_twice_in_a_chain_is_refused():
    layer = Dense(3)
    with pytest.raises(ValueError, match=r"layers\[1\] of Chain is the same object as an earlier one"):
        Chain([layer, layer]).build(3)
    assert clone(Chain([layer, layer])).build(3).n_parameters == 24


@pytest.mark.parametrize(
    ("n_features", "dtype"), [(0, "float32"), (2.0, "float32"), (True, "float32"), (3, "float16")]
)
def test_wrong_build_arguments_are_named(n_features, dtype):
    name = "dtype" if n_features == 3 else "n_features"
    with pytest.raises(ValueError, match=f"{name} must be"):
        GRU(2).build(n_features, dtype=dtype)


def test_forward_before_build_says_so(x):
    for layer in (GRU(2), Conv1d(2, 3), Dense(2), Chain([Dense(2)])):
        with pytest.raises(NotFittedError, match="is not built yet"):
            layer.forward(x)


def test_backward_without_gradients_says_what_to_call(x):
    layer = Dense(2).build(3, random_state=0)
    y, tape = layer.forward(x, training=True)
    with pytest.raises(AttributeError, match="zero_gradients"):
        layer.backward(tape, y)


def test_dropout_with_one_layer_warns():
    with pytest.warns(UserWarning, match="does nothing"):
        LSTM(2, dropout=0.5).build(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LSTM(2, num_layers=2, dropout=0.5).build(3)


@pytest.mark.parametrize("layer", LAYERS, ids=one_line)
def test_sizes_and_names_agree(layer, x):
    built = clone(layer).build(3, random_state=0)
    assert built.n_features_in_ == 3
    assert built.forward(x)[0].values.shape == (9, built.n_features_out_)
    parameters = {full_name: owner.parameters_[name] for full_name, owner, name in built.named_parameters()}
    assert len(parameters) == len(list(built.named_parameters()))
    assert built.n_parameters == sum(value.size for value in parameters.values())


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (GRU(4), slice(0, 0)),
        (GRU(4, bidirectional=True), slice(4, 8)),
        (Chain([Dense(2), GRU(4, bidirectional=True), Dropout(0.1)]), slice(4, 8)),
        (Chain([GRU(4, bidirectional=True), Dense(8)]), slice(0, 0)),
        (Chain([Dropout(0.1), Chain([GRU(2, bidirectional=True)])]), slice(2, 4)),
        (Chain([GRU(2, bidirectional=True), Chain([Dropout(0.1)])]), slice(2, 4)),
    ],
    ids=one_line,
)
def test_reversed_columns_follow_the_last_layer_that_mixes_columns(layer, expected):
    assert layer.build(3).reversed_columns_ == expected


@pytest.mark.parametrize(
    "random_state",
    [0, np.random.default_rng(0), np.random.RandomState(0)],
    ids=["int", "Generator", "RandomState"],
)
def test_random_state_fixes_the_weights(random_state):
    first = Chain([Conv1d(4, 3), LSTM(5)]).build(3, random_state=copy.deepcopy(random_state))
    second = Chain([Conv1d(4, 3), LSTM(5)]).build(3, random_state=copy.deepcopy(random_state))
    assert_same_bits(FlatParameters(first).values, FlatParameters(second).values)
    other = Chain([Conv1d(4, 3), LSTM(5)]).build(3, random_state=1)
    assert np.any(FlatParameters(first).values != FlatParameters(other).values)


def test_a_seed_means_the_same_weights_in_both_dtypes():
    single = LSTM(5).build(3, random_state=0).parameters_["weight_hh_l0"]
    double = LSTM(5).build(3, dtype="float64", random_state=0).parameters_["weight_hh_l0"]
    assert_same_bits(single, double.astype("float32"))


@pytest.mark.parametrize(
    "layer", [Elman(16), LSTM(16), GRU(16), CoupledLSTM(16), GRU(16, reset="before")], ids=one_line
)
def test_recurrent_weights_begin_orthogonal_and_input_weights_glorot_gate_by_gate(layer):
    layer.build(48, dtype="float64", random_state=0)
    gates = layer.parameters_["weight_hh_l0"].reshape(-1, 16, 16)
    for gate in gates:
        assert_allclose(gate @ gate.T, np.eye(16), atol=1e-12)
    weight = layer.parameters_["weight_ih_l0"]
    bound = np.sqrt(6 / (48 + 16))
    assert 0.98 * bound < np.abs(weight).max() <= bound
    assert_allclose(weight.std(), bound / np.sqrt(3), rtol=0.05)


def test_biases_begin_at_zero_but_the_forget_gate_at_one():
    layer = LSTM(3, num_layers=2, bidirectional=True).build(2, random_state=0)
    for name, value in layer.parameters_.items():
        if name.startswith("bias_ih"):
            assert_same_bits(value, np.repeat([0, 1, 0, 0], 3).astype("float32"))
        elif name.startswith("bias_hh"):
            assert not np.any(value)
    for other in (GRU(3).build(2), Elman(3).build(2)):
        assert not np.any(other.parameters_["bias_ih_l0"])
    coupled = CoupledLSTM(3).build(2)
    assert_same_bits(coupled.parameters_["bias_ih_l0"], np.repeat([-1, 0, 0], 3).astype("float32"))


@pytest.mark.parametrize(
    ("layer", "name", "value"),
    [
        (PeepholeLSTM(3), "peephole_l0", np.zeros((3, 3))),
        (LayerNormLSTM(3), "gain_ih_l0", np.ones(12)),
        (LayerNormLSTM(3), "gain_hh_l0", np.ones(12)),
        (LayerNormLSTM(3), "gain_c_l0", np.ones(3)),
        (LayerNormLSTM(3), "bias_c_l0", np.zeros(3)),
        (Elman(3, leak_rate=0.25), "leak_l0", np.full(3, 0.25)),
        (MinGRU(3), "weight_hh_l0", np.zeros((0, 3))),
    ],
    ids=lambda value: one_line(value) if isinstance(value, Layer) else None,
)
def test_what_else_a_cell_has_begins_where_it_changes_least(layer, name, value):
    assert_same_bits(layer.build(2).parameters_[name], value.astype("float32"))


def test_a_projection_begins_with_orthonormal_columns_in_its_recurrent_weights():
    layer = ProjectedLSTM(16, 6).build(5, dtype="float64", random_state=0)
    for gate in layer.parameters_["weight_hh_l0"].reshape(-1, 16, 6):
        assert_allclose(gate.T @ gate, np.eye(6), atol=1e-12)
    assert layer.parameters_["weight_hr_l0"].shape == (6, 16)


def test_every_cell_has_a_layer():
    recurrent = [layer for layer in LAYERS if isinstance(layer, layers.recurrent.RecurrentLayer)]
    assert {layer._cell() for layer in [*recurrent, Elman(1)]} == set(ops.CELLS)


@pytest.mark.parametrize(
    ("activation", "fan"), [("relu", 20 * 3), ("tanh", (20 + 30) * 3), (None, (20 + 30) * 3)]
)
def test_convolution_weights_begin_he_before_relu_and_glorot_otherwise(activation, fan):
    weight = Conv1d(30, 3, activation=activation).build(20, random_state=0).parameters_["weight"]
    assert_allclose(np.abs(weight).max(), np.sqrt(6 / fan), rtol=0.02)


def test_embedding_vectors_begin_near_unit_length():
    weight = Embedding(500, 64).build(1, random_state=0).parameters_["weight"]
    assert_allclose(np.linalg.norm(weight, axis=1).mean(), 1.0, rtol=0.02)


def test_flat_parameters_are_views_both_ways(x):
    encoder, head = GRU(4).build(3, random_state=0), Dense(2).build(4, random_state=0)
    before = encoder.forward(x)[0].values.copy()
    flat = FlatParameters([encoder, head])
    assert flat.n_parameters == encoder.n_parameters + head.n_parameters == flat.values.size
    assert flat.names[0] == "0.weight_ih_l0"
    assert flat.names[-1] == "1.bias"
    assert_same_bits(encoder.forward(x)[0].values, before)

    flat.values[flat.slices["1.bias"]] = 7.0
    assert np.all(head.parameters_["bias"] == 7.0)
    encoder.parameters_["weight_ih_l0"][0, 0] = 5.0
    assert flat.values[0] == 5.0

    y, tape = encoder.forward(x, training=True)
    encoder.backward(tape, y)
    assert_same_bits(flat.gradients[flat.slices["0.bias_hh_l0"]], encoder.gradients_["bias_hh_l0"])
    assert np.any(flat.gradients)
    flat.zero_gradients()
    assert not any(np.any(gradient) for gradient in encoder.gradients_.values())


def test_flat_parameters_name_a_single_layer_without_position():
    assert FlatParameters(Chain([Dense(2), Dropout(0.1), Dense(1)]).build(3)).names == [
        "0.weight",
        "0.bias",
        "2.weight",
        "2.bias",
    ]
    assert FlatParameters(Dense(2).build(3)).names == ["weight", "bias"]
    assert FlatParameters(Dropout(0.1).build(3)).values.size == 0


def test_flat_parameters_refuse_mixed_dtypes_and_repeated_layers():
    layer = Dense(2).build(3)
    with pytest.raises(ValueError, match=r"1\.weight is float64, but 0\.weight is float32"):
        FlatParameters([layer, Dense(2).build(2, dtype="float64")])
    with pytest.raises(ValueError, match=r"1\.weight is the parameter 0\.weight again"):
        FlatParameters([layer, layer])


@pytest.mark.parametrize("layer", LAYERS, ids=one_line)
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_keep_predictions_and_drop_gradients(layer, duplicate, x):
    layer = clone(layer).build(3, random_state=0)
    flat = FlatParameters(layer)
    expected = layer.forward(x)[0].values.copy()
    copied = duplicate(layer)
    flat.values[...] = 0
    assert_same_bits(copied.forward(x)[0].values, expected)
    for _, owner, _ in copied.named_parameters():
        assert not hasattr(owner, "gradients_")


def test_building_again_starts_afresh(x):
    layer = GRU(4).build(3, random_state=0)
    FlatParameters(layer)
    first = layer.parameters_["weight_ih_l0"]
    layer.set_params(hidden_size=2).build(3, random_state=0)
    assert layer.parameters_["weight_ih_l0"].shape == (6, 3)
    assert layer.parameters_["weight_ih_l0"].base is not first.base
    assert not hasattr(layer, "gradients_")


def test_every_layer_says_what_it_computes():
    for cls in Layer.__subclasses__():
        assert cls.__doc__
