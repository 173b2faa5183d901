"""CTC losses and gradients of thousands of random small problems, and of long ones, against float64."""

import numpy as np
import pytest
from reference import ctc_batch

from pyseq.ops.ctc import ctc_loss_and_grad

LOSS_ERROR, GRADIENT_ERROR = 1e-6, 5e-6
LEAST_LOSS = 4.0  # below, rounding of the factors of all frames does not shrink with the loss

N_CASES, GROUP = 10_000, 250


def small_cases(rng, n):
    """Problems of one number of classes, blank and scale; lengths of anything, targets with many repeats."""
    steps, labels, classes = int(rng.integers(1, 14)), int(rng.integers(1, 7)), int(rng.integers(2, 9))
    blank = int(rng.integers(classes))
    scale = float(rng.choice([0.0, 0.5, 1.0, 5.0, 30.0, 300.0]))
    logits = rng.standard_normal((n, steps, classes)) * scale
    logits[..., blank] += scale * rng.choice([-1.0, 0.0, 3.0])
    few = np.delete(np.arange(classes), blank)[: int(rng.integers(1, classes))]
    lengths, target_lengths = rng.integers(0, steps + 1, n), rng.integers(0, labels + 1, n)
    return logits, rng.choice(few, (n, labels)), lengths, target_lengths, blank


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ten_thousand_random_cases_match_float64(dtype):
    rng = np.random.default_rng(20)
    n_feasible = 0
    for group in range(N_CASES // GROUP):
        logits, targets, lengths, target_lengths, blank = small_cases(rng, GROUP)
        logits = logits.astype(dtype)
        expected, expected_grad = ctc_batch.ctc_loss_and_grad(logits, targets, lengths, target_lengths, blank)
        padded = np.where(np.arange(logits.shape[1]) < lengths[:, None], 0, np.nan)[..., None] + logits
        losses, grad = ctc_loss_and_grad(
            padded.astype(dtype), targets, input_lengths=lengths, target_lengths=target_lengths, blank=blank
        )
        feasible = np.isfinite(expected)
        n_feasible += int(feasible.sum())
        assert np.array_equal(losses[~feasible], expected[~feasible]), group
        error = np.abs(losses[feasible] - expected[feasible]) / np.maximum(expected[feasible], LEAST_LOSS)
        assert error.max(initial=0.0) <= LOSS_ERROR, group
        assert np.abs(grad - expected_grad).max() <= GRADIENT_ERROR, group
    assert n_feasible > N_CASES / 4


KINDS = ("random", "blank", "peaked", "hot", "hot blank", "hot peaked")


def long_problem(steps, labels, classes, kinds=KINDS, dtype=np.float32):
    """One sequence of each kind: random, blank-biased or peaked logits; "hot" ones have a scale of 30."""
    rng = np.random.default_rng([steps, labels, classes])
    logits = rng.standard_normal((len(kinds), steps, classes)).astype(dtype)
    targets = rng.integers(1, classes, (len(kinds), labels))
    for b, kind in enumerate(kinds):
        if "hot" in kind:
            logits[b] *= 30
        scale = logits.dtype.type(30 if "hot" in kind else 1)
        if "blank" in kind:
            logits[b, :, 0] += 4 * scale
        if "peaked" in kind:
            logits[b, :, 0] += 3 * scale
            frames = np.sort(rng.choice(steps, labels, replace=False))
            logits[b, frames, targets[b]] += 7 * scale
    return logits, targets


def assert_accurate(logits, targets, expected, expected_grad):
    losses, grad = ctc_loss_and_grad(logits, targets)
    assert np.isfinite(expected).all()
    assert (np.abs(losses - expected) <= LOSS_ERROR * np.maximum(expected, LEAST_LOSS)).all()
    for b, error in enumerate(np.abs(grad - expected_grad).max(axis=(1, 2))):
        assert error <= GRADIENT_ERROR, KINDS[b]


def in_log_space(logits, targets):
    batch, steps, _ = logits.shape
    return ctc_batch.ctc_loss_and_grad(
        logits, targets, np.full(batch, steps), np.full(batch, targets.shape[1])
    )


def test_long_sequences_are_as_exact_as_promised():
    logits, targets = long_problem(500, 50, 30)
    assert_accurate(logits, targets, *in_log_space(logits, targets))


def test_nearly_forced_alignments_are_as_exact_as_promised():
    for labels, spare in ((190, 10), (197, 3), (200, 0)):
        rng = np.random.default_rng(labels)
        targets = np.arange(2 * labels).reshape(2, labels) % 29 + 1  # no repeats
        logits = rng.standard_normal((2, labels + spare, 30)).astype(np.float32)
        logits[1] *= 30
        assert_accurate(logits, targets, *in_log_space(logits, targets))


def test_the_float64_kernels_agree_with_log_space():
    logits, targets = long_problem(1000, 100, 30, ("random", "hot peaked"), np.float64)
    expected, expected_grad = in_log_space(logits, targets)
    losses, grad = ctc_loss_and_grad(logits, targets)
    np.testing.assert_allclose(losses, expected, rtol=1e-12)
    assert np.abs(grad - expected_grad).max() <= 1e-9  # of adding logarithms


@pytest.mark.parametrize("sizes", [(2000, 200, 30), (2000, 200, 500), (20_000, 2000, 30)])
def test_very_long_sequences_are_as_exact_as_the_float64_kernels(sizes):
    logits, targets = long_problem(*sizes, KINDS if sizes[0] < 10_000 else ("random", "hot", "peaked"))
    assert_accurate(logits, targets, *ctc_loss_and_grad(logits.astype(np.float64), targets))


def test_very_long_nearly_forced_alignments_are_as_exact_as_the_float64_kernels():
    rng = np.random.default_rng(5)
    targets = np.arange(2 * 4000).reshape(2, 4000) % 29 + 1
    logits = rng.standard_normal((2, 4040, 30)).astype(np.float32)
    logits[1] *= 30
    assert_accurate(logits, targets, *ctc_loss_and_grad(logits.astype(np.float64), targets))
