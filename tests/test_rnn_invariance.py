"""What a kernel says of a sequence depends on no batch, padding, thread count or run: bit for bit."""

import numpy as np
import pytest
from helpers import assert_same_bits
from rnn_cases import CELLS, MEDIUM_CELLS, as_list, problem
from threadpoolctl import threadpool_limits

from pyseq import config_context, ops
from pyseq.ops import runtime

# Small ones stay on one thread; the others are split over rows, over units, or have one sequence only.
SIZES = [(7, 12, 5, 19), (64, 60, 16, 48), (1, 60, 30, 256), (3, 20, 16, 640)]
# Layers this wide have products of a lower precision.
MEDIUM_SIZES = [(7, 12, 5, 67), (64, 40, 17, 80), (1, 60, 30, 256), (3, 20, 16, 640)]
KINDS = [
    *(
        (cell, dtype, "highest", sizes)
        for cell in CELLS
        for dtype in ("float32", "float64")
        for sizes in SIZES
    ),
    *(
        (cell, "float32", precision, sizes)
        for precision in ("medium", "high")
        if precision in runtime.native_precisions()
        for cell in sorted(MEDIUM_CELLS)
        for sizes in MEDIUM_SIZES
    ),
]


def run(cell, x, lengths, weights, initial, grad_y, reverse, keep_tape=True):
    y, final, tape = ops.rnn_forward(
        cell, x, weights, initial_state=initial, lengths=lengths, reverse=reverse, keep_tape=keep_tape
    )
    return as_list((y, final)) + (as_list(tuple(ops.rnn_backward(tape, grad_y))) if keep_tape else [])


def case(cell, dtype, batch, steps, inputs, hidden):
    return problem(cell, dtype, batch, steps, inputs, hidden, seed=5, shortest=1)[:5]


@pytest.fixture
def kind(request):
    """Cell, dtype and sizes of an entry of KINDS, with its precision in force."""
    cell, dtype, precision, sizes = request.param
    with config_context(precision=precision):
        yield cell, dtype, sizes


def kinds(wanted=lambda sizes: True):
    chosen = [k for k in KINDS if wanted(k[3])]
    return pytest.mark.parametrize("kind", chosen, ids=lambda k: "-".join(map(str, k)), indirect=True)


@pytest.mark.parametrize("reverse", [False, True])
@kinds()
def test_results_do_not_depend_on_threads_or_repetition(kind, reverse):
    cell, dtype, sizes = kind
    arguments = (cell, *case(cell, dtype, *sizes), reverse)
    expected = run(*arguments)
    for threads in (1, 2, 3, 2):
        with threadpool_limits(threads, user_api="openmp"):
            for a, b in zip(run(*arguments), expected, strict=True):
                assert_same_bits(a, b, f"{threads} threads")


@pytest.mark.parametrize("reverse", [False, True])
@kinds(lambda sizes: sizes[3] < 640)
def test_outputs_do_not_depend_on_batch_or_padding(kind, reverse):
    cell, dtype, sizes = kind
    x, lengths, weights, initial, grad_y = case(cell, dtype, *sizes)
    at_grad_x = 1 + len(as_list(initial))  # after the output and the final state
    together = run(cell, x, lengths, weights, initial, grad_y, reverse)
    y, grad_x = together[0], together[at_grad_x]
    pick = lambda state, rows: tuple(s[rows] for s in state) if isinstance(state, tuple) else state[rows]  # noqa: E731
    rng = np.random.default_rng(0)
    for rows in [[b] for b in range(0, len(x), 9)] + [rng.permutation(len(x))[: 1 + len(x) // 2]]:
        longest = lengths[rows].max()
        alone = run(
            cell,
            x[rows][:, :longest],
            lengths[rows],
            weights,
            pick(initial, rows),
            grad_y[rows][:, :longest],
            reverse,
        )
        assert_same_bits(alone[0], y[rows][:, :longest], "output")
        assert_same_bits(alone[at_grad_x], grad_x[rows][:, :longest], "grad_x")


@pytest.mark.parametrize("cell", sorted(ops.CELLS))
def test_padding_is_never_read(cell):
    x, lengths, weights, initial, grad_y = case(cell, "float32", 8, 9, 4, 12)
    poisoned = run(
        cell, x, lengths, weights, initial, grad_y, False
    )  # x and grad_y hold NaN beyond the lengths
    clean = run(cell, np.nan_to_num(x), lengths, weights, initial, np.nan_to_num(grad_y), False)
    for a, b in zip(poisoned, clean, strict=True):
        assert np.isfinite(a).all()
        assert_same_bits(a, b)


def test_inputs_are_not_written():
    x, lengths, weights, initial, grad_y = case("lstm", "float32", 8, 9, 4, 12)
    before = [a.copy() for a in (x, lengths, grad_y, *weights, *initial)]
    run("lstm", x, lengths, weights, initial, grad_y, True)
    for a, b in zip((x, lengths, grad_y, *weights, *initial), before, strict=True):
        assert_same_bits(a, b)


@pytest.mark.parametrize("cell", ["lstm", "gru", "mingru"])
@pytest.mark.parametrize("lengths", [None, "ragged"])
def test_output_does_not_depend_on_a_tape_where_chunks_differ_in_length(cell, lengths):
    """Weights beyond the cache: the product of x runs ahead in chunks, whose scratch threads share."""
    rng = np.random.default_rng(0)
    batch, steps, inputs, hidden = 32, 45, 64, 400
    info = ops.CELLS[cell]
    shapes = info.shapes(inputs, hidden).values()
    weights = info.weights(*(rng.uniform(-0.1, 0.1, shape).astype(np.float32) for shape in shapes))
    x = rng.standard_normal((batch, steps, inputs)).astype(np.float32)
    if lengths is not None:
        lengths = rng.integers(1, steps + 1, batch)
    expected, _, _ = ops.rnn_forward(cell, x, weights, lengths=lengths)
    for _ in range(4):
        output, _, _ = ops.rnn_forward(cell, x, weights, lengths=lengths, keep_tape=False)
        np.testing.assert_array_equal(output, expected)
