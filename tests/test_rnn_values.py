"""Recurrent kernels against their float64 twins, PyTorch and central differences."""

import numpy as np
import pytest
import reference
from helpers import assert_close, assert_gradients_match, assert_same_bits
from hypothesis import given, settings
from hypothesis import strategies as st
from rnn_cases import CELLS, DTYPES, as_list, problem

from pyseq import Ragged, config_context, ops
from pyseq.ops import runtime


def assert_matches_twin(cell, x, lengths, weights, initial, grad_y, grad_final, reverse):
    y, final, tape = ops.rnn_forward(
        cell, x, weights, initial_state=initial, lengths=lengths, reverse=reverse
    )
    grad_x, grad_weights, grad_initial = ops.rnn_backward(tape, grad_y, grad_final)
    ref_y, ref_final = reference.rnn_forward(cell, x, weights, initial, lengths, reverse)
    ref_x, ref_weights, ref_initial = reference.rnn_backward(
        cell, x, weights, grad_y, grad_final, initial, lengths, reverse
    )
    assert_close(y, ref_y, what="output")
    for actual, expected in zip(as_list(final), as_list(ref_final), strict=True):
        assert_close(actual, expected, what="final state")
    assert_close(grad_x, ref_x, "gradient", what="grad_x")
    for name, actual, expected in zip(weights._fields, grad_weights, ref_weights, strict=True):
        assert_close(actual, expected, "gradient", what=name)
    for actual, expected in zip(as_list(grad_initial), as_list(ref_initial), strict=True):
        assert_close(actual, expected, "gradient", what="grad_initial_state")


def test_every_cell_has_a_twin():
    assert set(reference.CELLS) == set(ops.CELLS)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "sizes", [(1, 1, 1, 1), (5, 9, 3, 16), (13, 20, 16, 33), (26, 7, 20, 64), (3, 30, 70, 130)]
)
def test_values_and_gradients_match_the_twin(cell, dtype, reverse, sizes):
    assert_matches_twin(cell, *problem(cell, dtype, *sizes), reverse)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    cell=st.sampled_from(CELLS),
    dtype=st.sampled_from(DTYPES),
    batch=st.integers(1, 20),
    steps=st.integers(0, 12),
    inputs=st.integers(1, 20),
    hidden=st.integers(1, 40),
    reverse=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_shape_matches_the_twin(cell, dtype, batch, steps, inputs, hidden, reverse, seed):
    assert_matches_twin(cell, *problem(cell, dtype, batch, steps, inputs, hidden, seed), reverse)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_match_central_differences(cell, with_state, reverse):
    x, lengths, weights, initial, grad_y, grad_final = problem(cell, "float64", 4, 5, 3, 5, seed=1)
    x, grad_y = np.nan_to_num(x), np.nan_to_num(grad_y)
    initial = initial if with_state else None

    def loss():
        y, final, _ = ops.rnn_forward(
            cell, x, weights, initial_state=initial, lengths=lengths, reverse=reverse, keep_tape=False
        )
        return float((y * grad_y).sum()) + sum(
            float((s * g).sum()) for s, g in zip(as_list(final), as_list(grad_final), strict=True)
        )

    _, _, tape = ops.rnn_forward(cell, x, weights, initial_state=initial, lengths=lengths, reverse=reverse)
    grad_x, grad_weights, grad_initial = ops.rnn_backward(tape, grad_y, grad_final)
    arrays = {"x": x, **weights._asdict()}
    gradients = {"x": grad_x, **grad_weights._asdict()}
    if with_state:
        for i, (state, gradient) in enumerate(zip(as_list(initial), as_list(grad_initial), strict=True)):
            arrays[f"initial_state[{i}]"], gradients[f"initial_state[{i}]"] = state, gradient
    assert_gradients_match(loss, arrays, gradients)


@pytest.mark.parametrize("cell", CELLS)
def test_ragged_gives_the_same_as_padded(cell):
    x, lengths, weights, initial, grad_y, grad_final = problem(cell, "float32", 9, 11, 6, 21)
    y, final, tape = ops.rnn_forward(cell, x, weights, initial_state=initial, lengths=lengths)
    gradients = ops.rnn_backward(tape, grad_y, grad_final)
    ragged, ragged_grad = Ragged.from_padded(x, lengths), Ragged.from_padded(grad_y, lengths)
    order = np.random.default_rng(0).permutation(9)
    inverse = np.argsort(order)
    batch = ragged[order][inverse]  # a view whose sequences lie in no particular order
    ragged_y, ragged_final, ragged_tape = ops.rnn_forward(cell, batch, weights, initial_state=initial)
    ragged_gradients = ops.rnn_backward(ragged_tape, ragged_grad, grad_final)
    assert np.array_equal(ragged_y.to_padded()[0], y)
    for a, b in zip(as_list(ragged_final), as_list(final), strict=True):
        assert np.array_equal(a, b)
    assert np.array_equal(ragged_gradients[0].to_padded()[0], gradients[0])
    for a, b in zip(ragged_gradients[1], gradients[1], strict=True):
        assert np.array_equal(a, b)


def test_out_and_column_slices_serve_bidirectional_layers():
    x, lengths, weights, _, grad_y, _ = problem("lstm", "float32", 5, 8, 4, 10)
    ragged = Ragged.from_padded(x, lengths)
    both = np.full((int(lengths.sum()), 20), np.nan, dtype="float32")
    y, _, tape = ops.rnn_forward("lstm", ragged, weights, reverse=True, out=both[:, 10:])
    plain, _, plain_tape = ops.rnn_forward("lstm", ragged, weights, reverse=True)
    assert np.array_equal(both[:, 10:], plain.values)
    assert np.isnan(both[:, :10]).all()
    grad = Ragged.from_padded(grad_y, lengths)
    wide = np.concatenate([np.full_like(grad.values, np.nan), grad.values], axis=1)
    sliced = Ragged.view(wide[:, 10:], y.starts, y.lengths)
    for a, b in zip(ops.rnn_backward(tape, sliced)[1], ops.rnn_backward(plain_tape, grad)[1], strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("cell", CELLS)
def test_no_tape_gives_the_same_output(cell):
    x, lengths, weights, initial, _, _ = problem(cell, "float32", 9, 40, 6, 21)
    kept = ops.rnn_forward(cell, x, weights, initial_state=initial, lengths=lengths)
    lean = ops.rnn_forward(cell, x, weights, initial_state=initial, lengths=lengths, keep_tape=False)
    assert lean[2] is None
    assert np.array_equal(kept[0], lean[0])
    for a, b in zip(as_list(kept[1]), as_list(lean[1]), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("cell", CELLS)
def test_input_gradient_can_be_left_out(cell):
    x, lengths, weights, initial, grad_y, grad_final = problem(cell, "float32", 6, 7, 6, 21)
    results = []
    for need in (True, False):
        _, _, tape = ops.rnn_forward(cell, x, weights, initial_state=initial, lengths=lengths)
        results.append(ops.rnn_backward(tape, grad_y, grad_final, need_grad_x=need))
    assert results[1][0] is None
    for a, b in zip(results[0][1], results[1][1], strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("cell", ["elman", "elman_relu", "lstm", "lstm_projected", "gru"])
@pytest.mark.parametrize("reverse", [False, True])
def test_matches_pytorch(cell, reverse):
    torch = pytest.importorskip("torch")
    x, lengths, weights, initial, grad_y, grad_final = problem(cell, "float64", 6, 9, 5, 11, shortest=1)
    x, grad_y = np.nan_to_num(x), np.nan_to_num(grad_y)
    # PyTorch has no layer that runs backwards alone: turn each sequence round.
    turned = [np.r_[np.arange(n)[::-1], np.arange(n, 9)] if reverse else np.arange(9) for n in lengths]
    turn = lambda a: np.stack([row[t] for row, t in zip(a, turned, strict=True)])  # noqa: E731
    make = {"lstm": torch.nn.LSTM, "lstm_projected": torch.nn.LSTM, "gru": torch.nn.GRU}.get(
        cell, torch.nn.RNN
    )
    options = {"elman_relu": {"nonlinearity": "relu"}, "lstm_projected": {"proj_size": 7}}.get(cell, {})
    module = make(5, 11, batch_first=True, dtype=torch.float64, **options)
    for parameter, w in zip(module.parameters(), weights, strict=True):
        parameter.data = torch.tensor(w)
    tx = torch.tensor(turn(x), requires_grad=True)
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        tx, torch.tensor(lengths), batch_first=True, enforce_sorted=False
    )
    t_state = [torch.tensor(s)[None].requires_grad_() for s in as_list(initial)]
    out, t_final = module(packed, tuple(t_state) if len(t_state) == 2 else t_state[0])
    ty, _ = torch.nn.utils.rnn.pad_packed_sequence(out, batch_first=True, total_length=9)
    loss = (ty * torch.tensor(turn(grad_y))).sum()
    for s, g in zip(as_list(t_final), as_list(grad_final), strict=True):
        loss = loss + (s[0] * torch.tensor(g)).sum()
    loss.backward()

    y, final, tape = ops.rnn_forward(
        cell, x, weights, initial_state=initial, lengths=lengths, reverse=reverse
    )
    grad_x, grad_weights, grad_initial = ops.rnn_backward(tape, grad_y, grad_final)
    assert_close(turn(y), ty.detach().numpy())
    for a, b in zip(as_list(final), as_list(t_final), strict=True):
        assert_close(a, b[0].detach().numpy())
    assert_close(turn(grad_x), tx.grad.numpy(), "gradient")
    for a, parameter in zip(grad_weights, module.parameters(), strict=True):
        assert_close(a, parameter.grad.numpy(), "gradient")
    for a, b in zip(as_list(grad_initial), t_state, strict=True):
        assert_close(a, b.grad[0].numpy(), "gradient")


@pytest.mark.parametrize(
    ("cell", "name", "shape", "message"),
    [
        (
            "lstm",
            "weight_hh",
            (12, 4),
            r"weight_hh has shape \(12, 4\), expected \(4 \* hidden_size, hid",
        ),
        ("lstm_peephole", "peephole", (2, 4), r"peephole has shape \(2, 4\), expected \(3, 4\)"),
        ("elman_leaky", "leak", (1, 4), r"leak has shape \(1, 4\), expected \(4,\)"),
        (
            "lstm_projected",
            "weight_hr",
            (4,),
            r"weight_hr has shape \(4,\), expected \(projection_size, hid",
        ),
        ("lstm_projected", "weight_hh", (16, 4), r"weight_hh has shape \(16, 4\), expected \(16, 2\)"),
        ("lstm_layer_norm", "gain_hh", (15,), r"gain_hh has shape \(15,\), expected \(16,\)"),
        (
            "mingru",
            "weight_hh",
            (4, 4),
            r"weight_hh has shape \(4, 4\), expected \(0 \* hidden_size, hid",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(cell, name, shape, message):
    x, _, weights, *_ = problem(cell, "float32", 2, 3, 5, 4)
    x = np.nan_to_num(x)
    with pytest.raises(ValueError, match=message):
        ops.rnn_forward(cell, x, weights._replace(**{name: np.zeros(shape, "float32")}))
    with pytest.raises(TypeError, match=f"{name} has dtype float64, but x has float32"):
        ops.rnn_forward(cell, x, weights._replace(**{name: getattr(weights, name).astype("float64")}))
    n = len(weights)
    with pytest.raises(ValueError, match=f"weights has {n + 1} arrays, expected {n}: weight_ih"):
        ops.rnn_forward(cell, x, (*weights, weights[0]))


@pytest.mark.parametrize("cell", CELLS)
def test_cells_say_what_they_take(cell):
    info = ops.CELLS[cell]
    shapes = info.shapes(5, 4, 2 if info.projects else None)
    assert tuple(shapes) == info.weights._fields
    assert info.weights._fields[:4] == ops.RNNWeights._fields
    assert shapes["weight_ih"] == (info.gates * 4, 5)
    x, lengths, weights, *_ = problem(cell, "float32", 2, 3, 5, 4)
    assert {name: array.shape for name, array in weights._asdict().items()} == shapes
    y, _, tape = ops.rnn_forward(cell, x, weights, lengths=lengths)
    gradient = ops.rnn_backward(tape, y)[1]
    assert type(gradient) is info.weights
    assert [g.shape for g in gradient] == [w.shape for w in weights]


@pytest.mark.parametrize("precision", runtime.native_precisions())
@pytest.mark.parametrize("cell", CELLS)
def test_grad_x_is_added_to_another_to_the_bit(cell, precision):
    x, lengths, weights, _, grad_y, _ = problem(cell, "float32", 9, 7, 70, 70, seed=3)
    packed = [Ragged.from_list([row[:n] for row, n in zip(a, lengths, strict=True)]) for a in (x, grad_y)]
    before = np.random.default_rng(4).standard_normal((lengths.sum(), 70)).astype(np.float32)
    with config_context(precision=precision):
        alone, *_ = ops.rnn_backward(ops.rnn_forward(cell, packed[0], weights)[2], packed[1])
        added = packed[0].with_values(before.copy())
        result, *_ = ops.rnn_backward(ops.rnn_forward(cell, packed[0], weights)[2], packed[1], add_to=added)
    assert_same_bits(result.values, before + alone.values)
    assert_same_bits(added.values, result.values, "in place")


def test_what_grad_x_is_added_to_has_to_fit():
    x, lengths, weights, _, grad_y, _ = problem("gru", "float32", 3, 5, 4, 6, shortest=1)
    packed = Ragged.from_list([row[:n] for row, n in zip(x, lengths, strict=True)])
    for add_to, error, message in (
        (packed.values, TypeError, "must be a Ragged itself, got ndarray"),
        (packed.with_values(np.zeros((lengths.sum(), 3), np.float32)), ValueError, "its 4 features"),
        (packed.with_values(np.zeros((lengths.sum(), 4))), ValueError, "dtype float32"),
        (packed[[1, 0, 2]], ValueError, "the lengths of x"),
    ):
        tape = ops.rnn_forward("gru", packed, weights)[2]
        with pytest.raises(error, match=message):
            ops.rnn_backward(tape, None, add_to=add_to)
    tape = ops.rnn_forward("gru", x, weights, lengths=lengths)[2]
    with pytest.raises(TypeError, match="a Ragged x"):
        ops.rnn_backward(tape, grad_y, add_to=packed)
