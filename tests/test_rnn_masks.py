"""Recurrent dropout and zoneout: against the twins, central differences, and bit for bit."""

import numpy as np
import pytest
import reference
from helpers import assert_close, assert_gradients_match, assert_same_bits
from rnn_cases import CELLS, DTYPES, as_list, output_size, problem, random_masks, twin_masks
from threadpoolctl import threadpool_limits

from pyseq import Ragged, ops

SIZES = [(5, 9, 3, 16), (13, 12, 16, 33), (1, 8, 4, 50)]


def run(cell, x, lengths, weights, initial, grad_y, grad_final, masks, reverse=False):
    y, final, tape = ops.rnn_forward(
        cell, x, weights, initial_state=initial, lengths=lengths, reverse=reverse, **masks
    )
    return as_list((y, final, *ops.rnn_backward(tape, grad_y, grad_final)))


@pytest.mark.parametrize("values", [(0.0, 1.0), (0.25,)], ids=["drawn", "expected"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("sizes", SIZES)
def test_masked_values_and_gradients_match_the_twin(cell, dtype, reverse, values, sizes):
    x, lengths, weights, initial, grad_y, grad_final = case = problem(cell, dtype, *sizes)
    masks = random_masks(cell, dtype, lengths, sizes[1], sizes[3], values)
    found = run(cell, *case, masks, reverse)
    options = {"lengths": lengths, "reverse": reverse, "masks": twin_masks(masks)}
    y, final = reference.rnn_forward(cell, x, weights, initial, **options)
    gradients = reference.rnn_backward(cell, x, weights, grad_y, grad_final, initial, **options)
    expected = as_list((y, final, *gradients))
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert_close(a, b, "value" if i == 0 else "gradient", what=f"result {i}")


@pytest.mark.parametrize("cell", CELLS)
def test_masked_gradients_match_central_differences(cell):
    x, lengths, weights, initial, grad_y, grad_final = problem(cell, "float64", 4, 5, 3, 5, seed=1)
    x, grad_y = np.nan_to_num(x), np.nan_to_num(grad_y)
    masks = random_masks(cell, "float64", lengths, 5, 5, values=(0.0, 0.3, 1.0))
    options = {"initial_state": initial, "lengths": lengths, **masks}

    def loss():
        y, final, _ = ops.rnn_forward(cell, x, weights, keep_tape=False, **options)
        results = zip(as_list((y, final)), as_list((grad_y, grad_final)), strict=True)
        return sum(float((value * grad).sum()) for value, grad in results)

    grad_x, grad_weights, grad_initial = ops.rnn_backward(
        ops.rnn_forward(cell, x, weights, **options)[2], grad_y, grad_final
    )
    arrays = [x, *weights, *as_list(initial)]
    assert_gradients_match(loss, arrays, [grad_x, *grad_weights, *as_list(grad_initial)])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", CELLS)
def test_masks_of_nothing_change_no_output_bit(cell, dtype):
    x, lengths, weights, initial, *_ = problem(cell, dtype, 6, 9, 4, 19)
    plain = ops.rnn_forward(cell, x, weights, initial_state=initial, lengths=lengths)[:2]
    masks = random_masks(cell, dtype, lengths, 9, 19, values=(0.0,))
    if "recurrent_mask" in masks:
        masks["recurrent_mask"][...] = 1
    for keep_tape in (True, False):
        masked = ops.rnn_forward(
            cell, x, weights, initial_state=initial, lengths=lengths, keep_tape=keep_tape, **masks
        )
        for a, b in zip(as_list(masked[:2]), as_list(plain), strict=True):
            assert_same_bits(a, b)


@pytest.mark.parametrize("cell", CELLS)
def test_zoneout_of_everything_keeps_the_initial_state(cell):
    x, lengths, weights, initial, *_ = problem(cell, "float32", 6, 9, 4, 19, shortest=1)
    ones = random_masks(cell, "float32", lengths, 9, 19, values=(1.0,))
    y, final, _ = ops.rnn_forward(cell, x, weights, initial_state=initial, lengths=lengths, **ones)
    for a, b in zip(as_list(final), as_list(initial), strict=True):
        assert_same_bits(a, b)
    assert_same_bits(y[:, 0], as_list(initial)[0])


@pytest.mark.parametrize("cell", CELLS)
def test_one_row_stands_for_all_frames(cell):
    case = problem(cell, "float32", 6, 9, 4, 19)
    masks = random_masks(cell, "float32", case[1], 9, 19, values=(0.25,))
    rows = {name: mask[0, 0] if mask.ndim == 3 else mask for name, mask in masks.items()}
    for a, b in zip(run(cell, *case, rows), run(cell, *case, masks), strict=True):
        assert_same_bits(a, b)


@pytest.mark.parametrize("cell", CELLS)
def test_masked_ragged_gives_the_same_as_padded(cell):
    x, lengths, weights, initial, grad_y, grad_final = problem(cell, "float32", 7, 8, 4, 19)
    masks = random_masks(cell, "float32", lengths, 8, 19)
    padded = run(cell, x, lengths, weights, initial, grad_y, grad_final, masks)
    ragged = {n: Ragged.from_padded(m, lengths) if m.ndim == 3 else m for n, m in masks.items()}
    y, final, tape = ops.rnn_forward(
        cell, Ragged.from_padded(x, lengths), weights, initial_state=initial, **ragged
    )
    grad_x, *rest = ops.rnn_backward(tape, Ragged.from_padded(grad_y, lengths), grad_final)
    found = as_list((y.to_padded()[0], final, grad_x.to_padded()[0], *rest))
    for a, b in zip(found, padded, strict=True):
        assert_same_bits(a, b)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sizes", [(7, 12, 5, 19), (64, 40, 16, 48), (3, 12, 16, 640)])
@pytest.mark.parametrize("cell", CELLS)
def test_masked_results_do_not_depend_on_threads(cell, sizes, reverse):
    case = problem(cell, "float32", *sizes)
    masks = random_masks(cell, "float32", case[1], sizes[1], sizes[3])
    with threadpool_limits(1, user_api="openmp"):
        expected = run(cell, *case, masks, reverse)
    for threads in (2, 3):
        with threadpool_limits(threads, user_api="openmp"):
            for a, b in zip(run(cell, *case, masks, reverse), expected, strict=True):
                assert_same_bits(a, b, f"{threads} threads")


@pytest.mark.parametrize(
    ("cell", "name", "shape", "error", "message"),
    [
        ("mingru", "recurrent_mask", (4, 6), ValueError, "recurrent_mask must be None: 'mingru' has no rec"),
        ("gru", "zoneout_c", (4, 5, 6), ValueError, "zoneout_c must be None: 'gru' has no cell state"),
        (
            "lstm",
            "recurrent_mask",
            (4, 5),
            ValueError,
            r"recurrent_mask has shape \(4, 5\), expected",
        ),
        ("lstm", "zoneout_h", (4, 5, 7), ValueError, "zoneout_h does not have the shape of the output: 7"),
        ("lstm", "zoneout_h", (4, 6, 6), ValueError, "zoneout_h does not have the shape of the output"),
        ("lstm", "zoneout_c", (5,), ValueError, r"zoneout_c has shape \(5,\), expected \(6,\)"),
    ],
)
def test_masks_that_do_not_fit_are_named(cell, name, shape, error, message):
    x, lengths, weights, *_ = problem(cell, "float32", 4, 5, 3, 6)
    with pytest.raises(error, match=message):
        ops.rnn_forward(cell, x, weights, lengths=lengths, **{name: np.zeros(shape, "float32")})
    zeros = np.zeros((4, 5, output_size(cell, 6)))
    with pytest.raises(TypeError, match="zoneout_h has dtype float64"):
        ops.rnn_forward(cell, x, weights, lengths=lengths, zoneout_h=zeros)
