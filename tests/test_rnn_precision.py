"""Recurrent kernels in lower precisions: near their float64 twins, and `highest` where they do not apply.

That their results do not depend on batch, padding or threads is asked in test_rnn_invariance.py.
"""

import numpy as np
import pytest
import reference
from helpers import assert_close, assert_same_bits, tolerance
from hypothesis import given, settings
from hypothesis import strategies as st
from rnn_cases import CELLS, MEDIUM_CELLS, as_list, problem, random_masks, twin_masks

from pyseq import LSTM, Ragged, config_context, ops
from pyseq.ops import runtime

NATIVE = runtime.native_precisions()
# Where one has no kernels of its own, it means "highest": what holds for it there is asked elsewhere.
REDUCED = [precision for precision in ("high", "medium") if precision in NATIVE]
# Whole and odd numbers of features and of units, one row, few and many; steps in pairs and not.
SIZES = [
    (13, 20, 16, 64),
    (1, 9, 33, 65),
    (26, 7, 20, 128),
    (3, 31, 71, 131),
    (6, 13, 1, 97),
    (70, 9, 30, 80),
]


def run(precision, cell, x, lengths, weights, initial, grad_y, grad_final, reverse=False, masks=None):
    with config_context(precision=precision):
        y, final, tape = ops.rnn_forward(
            cell, x, weights, initial_state=initial, lengths=lengths, reverse=reverse, **(masks or {})
        )
        return as_list((y, final)), as_list(tuple(ops.rnn_backward(tape, grad_y, grad_final)))


def assert_near_the_twin(precision, cell, case, reverse=False, masks=None):
    x, lengths, weights, initial, grad_y, grad_final = case
    found = run(precision, cell, *case, reverse, masks)
    options = {"lengths": lengths, "reverse": reverse, "masks": twin_masks(masks or {})}
    y, final = reference.rnn_forward(cell, x, weights, initial, **options)
    gradients = reference.rnn_backward(cell, x, weights, grad_y, grad_final, initial, **options)
    expected = as_list((y, final)), as_list(tuple(gradients))
    for kind, actual, wanted in zip(("value", "gradient"), found, expected, strict=True):
        for i, (a, b) in enumerate(zip(actual, wanted, strict=True)):
            if kind == "gradient" and cell == "elman_relu":
                assert np.linalg.norm(a - b) <= tolerance(a.dtype, "kinked", precision) * np.linalg.norm(b)
            else:
                assert_close(a, b, kind, precision, f"{kind} {i}")


def assert_same_results(a, b):
    for first, second in zip(a, b, strict=True):
        for i, (one, other) in enumerate(zip(first, second, strict=True)):
            assert_same_bits(one, other, f"result {i}")


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("cell", sorted(MEDIUM_CELLS))
@pytest.mark.parametrize("precision", REDUCED)
def test_results_are_near_the_twin(precision, cell, sizes, reverse):
    assert_near_the_twin(precision, cell, problem(cell, "float32", *sizes), reverse)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize(("precision", "limit"), [("highest", 5e-6), ("high", 2e-5), ("medium", 1e-2)])
def test_errors_of_two_hundred_steps_stay_below_what_is_promised(cell, precision, limit):
    rng = np.random.default_rng(3)
    hidden = 128
    shapes = ops.CELLS[cell].shapes(64, hidden).values()
    bound = 1 / np.sqrt(hidden)  # as layers begin
    weights = ops.RNNWeights(*(rng.uniform(-bound, bound, shape).astype(np.float32) for shape in shapes))
    x = rng.standard_normal((4, 200, 64)).astype(np.float32)
    grad_y = rng.standard_normal((4, 200, hidden)).astype(np.float32)
    found = run(precision, cell, x, None, weights, None, grad_y, None)
    y, final = reference.rnn_forward(cell, x, weights)
    gradients = reference.rnn_backward(cell, x, weights, grad_y)
    expected = as_list((y, final)), as_list(tuple(gradients))
    for kind in (0, 1):
        for i, (a, b) in enumerate(zip(found[kind], expected[kind], strict=True)):
            assert np.abs(a - b).max() <= limit * np.abs(b).max(), f"{('value', 'gradient')[kind]} {i}"


@pytest.mark.skipif(not REDUCED, reason="this tier has no products of a lower precision")
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    precision=st.sampled_from(REDUCED or ["highest"]),
    cell=st.sampled_from(sorted(MEDIUM_CELLS)),
    batch=st.integers(1, 20),
    steps=st.integers(0, 12),
    inputs=st.integers(1, 40),
    hidden=st.integers(60, 140),
    reverse=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_shape_is_near_the_twin(precision, cell, batch, steps, inputs, hidden, reverse, seed):
    assert_near_the_twin(
        precision, cell, problem(cell, "float32", batch, steps, inputs, hidden, seed), reverse
    )


@pytest.mark.parametrize("values", [(0.0, 1.0), (0.25,)], ids=["drawn", "expected"])
@pytest.mark.parametrize("sizes", SIZES[:4])
@pytest.mark.parametrize("cell", sorted(MEDIUM_CELLS))
@pytest.mark.parametrize("precision", REDUCED)
def test_masked_results_are_near_the_twin(precision, cell, sizes, values):
    case = problem(cell, "float32", *sizes)
    masks = random_masks(cell, "float32", case[1], sizes[1], sizes[3], values)
    assert_near_the_twin(precision, cell, case, masks=masks)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("precision", ["high", "medium"])
def test_a_precision_is_another_computation_for_the_cells_it_serves_and_no_other(precision, cell):
    case = problem(cell, "float32", 5, 8, 20, 66)
    found, highest = run(precision, cell, *case), run("highest", cell, *case)
    if cell in MEDIUM_CELLS and precision in NATIVE:
        for a, b in zip(found, highest, strict=True):
            assert not np.array_equal(a[0], b[0])
    else:
        assert_same_results(found, highest)


@pytest.mark.parametrize("cell", CELLS)
def test_float64_has_one_precision(cell):
    case = problem(cell, "float64", 7, 8, 20, 66)
    assert_same_results(run("medium", cell, *case), run("highest", cell, *case))


@pytest.mark.parametrize("cell", sorted(MEDIUM_CELLS))
@pytest.mark.parametrize("precision", ["high", "medium"])
def test_small_layers_have_one_precision(precision, cell):
    case = problem(cell, "float32", 7, 8, 20, 16)
    assert_same_results(run(precision, cell, *case), run("highest", cell, *case))


@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize("cell", CELLS)
def test_backward_is_as_precise_as_forward_was(cell, short):
    x, lengths, weights, initial, grad_y, grad_final = problem(cell, "float32", 7, 8, 20, 64)
    x, grad_y = np.nan_to_num(x), np.nan_to_num(grad_y)
    lengths = None if short else lengths  # whole batches take a way of their own
    for precision, other in (("medium", "highest"), ("highest", "medium"), ("high", "medium")):
        expected = run(precision, cell, x, lengths, weights, initial, grad_y, grad_final)
        with config_context(precision=precision):
            *_, tape = ops.rnn_forward(cell, x, weights, initial_state=initial, lengths=lengths)
        with config_context(precision=other):
            found = as_list(tuple(ops.rnn_backward(tape, grad_y, grad_final)))
        assert_same_results([found], expected[1:])


@pytest.mark.parametrize("cell", sorted(MEDIUM_CELLS))
@pytest.mark.parametrize("precision", REDUCED)
def test_whole_batches_ragged_ones_and_those_without_a_tape_agree(precision, cell):
    x, _, weights, initial, grad_y, grad_final = problem(cell, "float32", 7, 9, 21, 81, shortest=9)
    lengths = np.full(7, 9)
    whole = run(precision, cell, x, None, weights, initial, grad_y, grad_final)
    assert_same_results(run(precision, cell, x, lengths, weights, initial, grad_y, grad_final), whole)
    with config_context(precision=precision):
        y, *_ = ops.rnn_forward(
            cell, Ragged.from_padded(x, lengths), weights, initial_state=initial, keep_tape=False
        )
    assert_same_bits(y.to_padded()[0], whole[0][0])


@pytest.mark.parametrize("cell", sorted(MEDIUM_CELLS))
@pytest.mark.parametrize(("batch", "steps"), [(3, 0), (0, 4)])
@pytest.mark.parametrize("precision", REDUCED)
def test_no_frames_and_no_sequences_are_served(precision, cell, batch, steps):
    x, lengths, weights, initial, grad_y, grad_final = problem(cell, "float32", 3, steps, 5, 70)
    cut = lambda a: tuple(s[:batch] for s in a) if isinstance(a, tuple) else a[:batch]  # noqa: E731
    case = x[:batch], lengths[:batch], weights, cut(initial), grad_y[:batch], cut(grad_final)
    (y, *final), (grad_x, *gradients) = run(precision, cell, *case)
    assert y.shape == (batch, x.shape[1], 70)
    assert grad_x.shape == (batch, x.shape[1], 5)
    if batch:
        for a, b in zip(final, as_list(initial), strict=True):
            assert_same_bits(a, b)
    for gradient in gradients[: len(weights)]:
        assert not gradient.any()


@pytest.mark.parametrize("precision", REDUCED)
def test_layers_follow_the_setting(precision):
    x = np.random.default_rng(0).standard_normal((4, 6, 10)).astype("float32")
    layer = LSTM(64, bidirectional=True).build(10)
    layer.zero_gradients()
    outputs = {}
    for used in ("highest", precision):
        with config_context(precision=used):
            outputs[used], tape = layer.forward(Ragged.from_padded(x, np.full(4, 6)), training=True)
        layer.backward(tape, outputs[used])
    assert not np.array_equal(outputs["highest"].values, outputs[precision].values)
    assert_close(outputs[precision].values, outputs["highest"].values, precision=precision)


@pytest.mark.parametrize("cell", sorted(MEDIUM_CELLS))
@pytest.mark.parametrize("precision", REDUCED)
def test_nothing_but_a_sequence_itself_sees_its_nan(precision, cell):
    x, lengths, weights, initial, *_ = problem(cell, "float32", 6, 5, 7, 64, shortest=5)
    with config_context(precision=precision):
        clean, *_ = ops.rnn_forward(cell, x, weights, initial_state=initial, lengths=lengths)
        x[2, 3, 4] = np.nan
        found, *_ = ops.rnn_forward(cell, x, weights, initial_state=initial, lengths=lengths)
    others = np.arange(6) != 2
    assert_same_bits(found[others], clean[others])
    assert_same_bits(found[2, :3], clean[2, :3])
    assert np.isnan(found[2, 3:]).any()
