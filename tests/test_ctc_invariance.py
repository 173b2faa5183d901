"""A CTC loss does not depend on the batch, the padding, the threads or the run: bit for bit."""

import ctypes
import ctypes.util

import numpy as np
import pytest
from helpers import assert_same_bits, random_lengths, random_padded
from threadpoolctl import threadpool_limits

from pyseq.ops.ctc import ctc_decode, ctc_loss, ctc_loss_and_grad
from pyseq.ragged import Ragged

# batch, steps, labels, classes: records kept or computed twice; short rows or long; sums by class or by slot;
# one sequence whose halves go to two threads
SIZES = [(9, 40, 12, 20), (3, 900, 300, 40), (5, 60, 6, 90), (4, 50, 9, 700), (1, 3000, 400, 25)]


def problem(dtype, batch, steps, labels, classes, scale=1.0):
    rng = np.random.default_rng(1)
    lengths = random_lengths(rng, batch, steps)
    logits = random_padded(rng, lengths, classes, dtype) * np.dtype(dtype).type(scale)
    targets = rng.integers(1, classes, (batch, labels))
    return logits, targets, lengths, rng.integers(0, labels + 1, batch)


def run(logits, targets, lengths, target_lengths):
    losses, grad = ctc_loss_and_grad(logits, targets, input_lengths=lengths, target_lengths=target_lengths)
    decoded = ctc_decode(logits, lengths=lengths)
    return losses, grad, np.array([h.score for h in decoded]), np.concatenate([h.labels for h in decoded])


@pytest.mark.parametrize("scale", [1.0, 500.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", SIZES)
def test_results_do_not_depend_on_threads_or_repetition(sizes, dtype, scale):
    arguments = problem(dtype, *sizes, scale)
    expected = run(*arguments)
    for threads in (1, 2, 3, 2):
        with threadpool_limits(threads, user_api="openmp"):
            for a, b in zip(run(*arguments), expected, strict=True):
                assert_same_bits(a, b, f"{threads} threads")


@pytest.mark.parametrize("scale", [1.0, 500.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", SIZES)
def test_results_do_not_depend_on_batch_or_padding(sizes, dtype, scale):
    logits, targets, lengths, target_lengths = problem(dtype, *sizes, scale)
    losses, grad, scores, _ = run(logits, targets, lengths, target_lengths)
    for b, (length, labels) in enumerate(zip(lengths, target_lengths, strict=True)):
        own = run(logits[b : b + 1, :length], targets[b : b + 1, :labels], [length], [labels])
        assert_same_bits(own[0], losses[b : b + 1])
        assert_same_bits(own[1][0], grad[b, :length])
        assert own[2][0] == scores[b]
    order = np.random.default_rng(2).permutation(len(lengths))
    wider = np.pad(targets, ((0, 0), (0, 3)), constant_values=-7)[order]
    losses_again, grad_again, scores_again, _ = run(
        logits[order], wider, lengths[order], target_lengths[order]
    )
    assert_same_bits(losses_again, losses[order])
    assert_same_bits(grad_again, grad[order])
    assert_same_bits(scores_again, scores[order])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_gradients_that_bypass_the_caches_have_the_same_bits(dtype):
    rng = np.random.default_rng(3)
    logits = rng.standard_normal((4, 400, 1501)).astype(dtype)
    targets = rng.integers(1, 1501, (4, 20))
    grad = ctc_loss_and_grad(logits, targets)[1]
    assert_same_bits(ctc_loss_and_grad(logits[:1], targets[:1])[1], grad[:1])


@pytest.mark.parametrize("sizes", SIZES)
def test_padding_is_never_read_and_has_gradient_zero(sizes):
    logits, targets, lengths, target_lengths = problem("float32", *sizes)  # NaN beyond the lengths
    losses, grad, scores, _ = run(logits, targets, lengths, target_lengths)
    assert not np.isnan(losses).any()
    assert np.isfinite(scores).all()
    assert np.isfinite(grad).all()
    for b, length in enumerate(lengths):
        assert not grad[b, length:].any()


def test_views_of_a_ragged_say_the_same_without_a_copy():
    logits, targets, lengths, target_lengths = problem("float32", *SIZES[0])
    expected = ctc_loss(logits, targets, input_lengths=lengths, target_lengths=target_lengths)
    ragged = Ragged.from_padded(logits, lengths)
    pick = np.array([4, 1, 1, 7])
    listed = [targets[b, : target_lengths[b]] for b in pick]
    assert_same_bits(ctc_loss(ragged[pick], listed), expected[pick])


def test_inputs_are_not_written():
    arguments = problem("float32", *SIZES[0])
    before = [a.copy() for a in arguments]
    run(*arguments)
    for a, b in zip(arguments, before, strict=True):
        assert_same_bits(a, b)


def test_subnormal_numbers_are_back_afterwards():
    tiny = np.array([1e-310])
    logits, targets, lengths, target_lengths = problem("float32", *SIZES[1])
    with threadpool_limits(2, user_api="openmp"):
        run(logits, targets, lengths, target_lengths)
    assert (tiny * 0.5 > 0).all()
    libm = ctypes.CDLL(ctypes.util.find_library("m"))
    libm.ldexp.restype, libm.ldexp.argtypes = ctypes.c_double, [ctypes.c_double, ctypes.c_int]
    assert libm.ldexp(1.0, -1070) > 0
