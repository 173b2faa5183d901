"""Losses: values and gradients against their float64 twins, weights, and what cannot be aligned."""

import itertools

import numpy as np
import pytest
from helpers import assert_close, assert_gradients_match, random_lengths
from hypothesis import given
from hypothesis import strategies as st
from reference import ctc as ctc_twin
from reference import losses as twins
from reference.ctc_options import ctc_loss_with_options

from pyseq.ragged import Ragged
from pyseq.training import (
    binary_cross_entropy,
    ctc,
    frames_needed,
    make_loss,
    sigmoid,
    softmax,
    softmax_cross_entropy,
)
from pyseq.training.losses import binary_log_likelihoods, log_likelihoods

DTYPES = ["float32", "float64"]


def random_logits(rng, shape, dtype):
    return (3 * rng.standard_normal(shape)).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "n_classes"), [(1, 1), (1, 5), (7, 2), (33, 10)])
def test_softmax_cross_entropy_equals_its_twin(dtype, n, n_classes):
    rng = np.random.default_rng(n)
    logits, targets = random_logits(rng, (n, n_classes), dtype), rng.integers(0, n_classes, size=n)
    value = softmax_cross_entropy(logits, targets)
    loss, gradient = twins.softmax_cross_entropy(logits, targets)
    assert value.n_counted == n
    assert value.gradient.dtype == dtype
    assert value.loss == pytest.approx(loss, rel=1e-6)
    assert_close(value.gradient, gradient)


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_of_mean_one_weight_the_mean(dtype):
    rng = np.random.default_rng(0)
    logits, targets = random_logits(rng, (6, 4), dtype), rng.integers(0, 4, size=6)
    weights = np.array([0.5, 2, 0, 1, 1, 1.5])
    value = softmax_cross_entropy(logits, targets, weights)
    loss, gradient = twins.softmax_cross_entropy(logits, targets, weights)
    assert value.loss == pytest.approx(loss, rel=1e-6)
    assert_close(value.gradient, gradient)


def test_softmax_cross_entropy_gradient_is_its_central_difference():
    rng = np.random.default_rng(1)
    logits, targets, weights = rng.standard_normal((5, 3)), rng.integers(0, 3, size=5), rng.random(5)
    gradient = softmax_cross_entropy(logits, targets, weights).gradient
    assert_gradients_match(lambda: softmax_cross_entropy(logits, targets, weights).loss, [logits], [gradient])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_binary_cross_entropy_equals_its_twin(dtype, weighted):
    rng = np.random.default_rng(3)
    logits, targets = random_logits(rng, (9, 5), dtype), rng.integers(0, 2, (9, 5))
    weights = rng.random(9) if weighted else None
    value = binary_cross_entropy(logits, targets.astype(dtype), weights)
    loss, gradient = twins.binary_cross_entropy(logits, targets, weights)
    assert value.n_counted == 9
    assert value.gradient.dtype == dtype
    assert value.loss == pytest.approx(loss, rel=1e-6)
    assert_close(value.gradient, gradient)


def test_binary_cross_entropy_gradient_is_its_central_difference():
    rng = np.random.default_rng(1)
    logits, targets, weights = rng.standard_normal((5, 3)), rng.integers(0, 2, (5, 3)), rng.random(5)
    gradient = binary_cross_entropy(logits, targets, weights).gradient
    assert_gradients_match(lambda: binary_cross_entropy(logits, targets, weights).loss, [logits], [gradient])


def test_large_logits_of_labels_neither_overflow_nor_lose_the_loss():
    logits = np.array([[1e4, -1e4, 200.0, -200.0]], dtype=np.float32)
    with np.errstate(all="raise", under="ignore"):
        wrong = binary_cross_entropy(logits, np.array([[0, 1, 0, 1]], dtype=np.float32))
        right = binary_cross_entropy(logits, np.array([[1, 0, 1, 0]], dtype=np.float32))
    assert wrong.loss == pytest.approx(20400)
    assert wrong.gradient.tolist() == [[1, -1, 1, -1]]
    assert right.loss == 0
    assert not right.gradient.any()
    # where exp(-x) is lost beside 1, its logarithm is not
    far = binary_cross_entropy(np.full((1, 1), 30.0, np.float32), np.ones((1, 1), np.float32))
    assert far.loss == pytest.approx(np.exp(-30.0), rel=1e-5)
    assert sigmoid(np.array([-1e4, 0, 1e4], dtype=np.float32)).tolist() == [0, 0.5, 1]


def test_log_likelihoods_are_the_losses_row_by_row():
    rng = np.random.default_rng(4)
    logits = random_logits(rng, (6, 4), "float32")
    classes, labels = rng.integers(0, 4, 6), rng.integers(0, 2, (6, 4))
    for found, mean in (
        (log_likelihoods(logits, classes), twins.softmax_cross_entropy(logits, classes)[0]),
        (binary_log_likelihoods(logits, labels), twins.binary_cross_entropy(logits, labels)[0]),
    ):
        assert found.shape == (6,)
        assert found.dtype == np.float64
        assert -found.mean() == pytest.approx(mean, rel=1e-6)


def test_large_logits_neither_overflow_nor_lose_the_loss():
    logits = np.array([[1e4, 0.0], [0.0, -1e4]], dtype=np.float32)
    value = softmax_cross_entropy(logits, np.array([1, 0]))
    assert value.loss == pytest.approx(5e3)
    assert np.isfinite(value.gradient).all()


def test_softmax_sums_to_one_and_keeps_the_dtype():
    logits = np.random.default_rng(0).standard_normal((4, 3, 5)).astype(np.float32)
    probabilities = softmax(logits)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-6)
    assert softmax(np.array([[1e5, -1e5]])).tolist() == [[1.0, 0.0]]


def ctc_batch(rng, dtype, n=4, n_classes=4):
    lengths = random_lengths(rng, n, 9, 5)
    logits = Ragged(random_logits(rng, (lengths.sum(), n_classes), dtype), lengths)
    target_lengths = rng.integers(0, 3, size=n)
    targets = Ragged(rng.integers(1, n_classes, size=target_lengths.sum()), target_lengths)
    return logits, targets


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_ctc_is_the_mean_of_its_twin(dtype, weighted):
    rng = np.random.default_rng(2)
    logits, targets = ctc_batch(rng, dtype)
    weights = np.array([0.5, 1.5, 2.0, 0.0]) if weighted else None
    value = ctc(logits, targets, weights)
    factors = np.ones(4) if weights is None else weights
    for b, frames in enumerate(logits):
        losses, gradient = ctc_twin.ctc_loss_and_grad(frames[np.newaxis], [targets[b]])
        factors[b] /= 4
        assert_close(value.gradient[b], factors[b] * gradient[0], "gradient")
        factors[b] *= losses[0]
    assert value.loss == pytest.approx(factors.sum(), rel=1e-5)
    assert (value.n_counted, value.n_infeasible) == (4, 0)


def test_ctc_leaves_out_what_cannot_be_aligned_and_counts_it():
    rng = np.random.default_rng(3)
    logits = Ragged(rng.standard_normal((9, 3)), [4, 2, 3])
    targets = Ragged(np.array([1, 2, 1, 1, 2]), [2, 2, 1])
    value = ctc(logits, targets)
    alone = ctc(logits[[0, 2]], targets[[0, 2]])
    assert (value.n_counted, value.n_infeasible) == (2, 1)
    assert value.loss == pytest.approx(alone.loss)
    assert not value.gradient[1].any()
    np.testing.assert_allclose(value.gradient[0], alone.gradient[0])


def test_ctc_of_a_diverged_network_is_not_taken_for_infeasible():
    logits = Ragged(np.full((4, 3), np.nan), [2, 2])
    value = ctc(logits, Ragged(np.array([1, 2]), [1, 1]))
    assert np.isnan(value.loss)
    assert (value.n_counted, value.n_infeasible) == (2, 0)


def test_ctc_of_nothing_that_can_be_aligned():
    value = ctc(Ragged(np.zeros((2, 3)), [1, 1]), Ragged(np.array([1, 2, 2, 1]), [2, 2]))
    assert np.isnan(value.loss)
    assert (value.n_counted, value.n_infeasible) == (0, 2)


@given(st.lists(st.lists(st.integers(1, 2), max_size=4), min_size=1, max_size=4))
def test_frames_needed_is_the_length_of_the_shortest_alignment(targets):
    def shortest(target):
        for n_frames in itertools.count():
            for path in itertools.product(range(3), repeat=n_frames):
                kept = [k for i, k in enumerate(path) if k and (i == 0 or path[i - 1] != k)]
                if kept == target:
                    return n_frames

    packed = Ragged(
        np.array([k for target in targets for k in target], dtype=np.int64), [len(t) for t in targets]
    )
    assert frames_needed(packed).tolist() == [shortest(target) for target in targets]


@pytest.mark.parametrize("dtype", DTYPES)
def test_ctc_may_write_its_gradient_over_the_logits(dtype):
    logits, targets = ctc_batch(np.random.default_rng(5), dtype)
    weights = np.array([0.5, 1.5, 2.0, 1.0])
    expected = ctc(logits, targets, weights)
    memory = logits.values
    value = ctc(logits, targets, weights, overwrite=True)
    assert value.gradient.values is memory
    assert value.loss == expected.loss
    assert np.array_equal(memory, expected.gradient.values)


def test_ctc_counts_what_masked_logits_shut_out():
    rng = np.random.default_rng(6)
    logits = Ragged(rng.standard_normal((12, 3)), [4, 4, 4])
    targets = Ragged(np.array([1, 2, 1, 2]), [1, 1, 2])
    logits.values[4:8, 2] = -np.inf
    value = ctc(logits, targets)
    alone = ctc(logits[[0, 2]], targets[[0, 2]])
    assert (value.n_counted, value.n_infeasible) == (2, 1)
    assert value.loss == pytest.approx(alone.loss)
    np.testing.assert_allclose(value.gradient[0], alone.gradient[0])
    assert not value.gradient[1].any()


def test_priors_are_a_running_mean_of_probabilities():
    rng = np.random.default_rng(7)
    loss = make_loss(("ctc", {"prior_scale": 0.5, "prior_decay": 0.75}))
    (first, targets), (second, more) = ctc_batch(rng, "float64"), ctc_batch(rng, "float64")
    loss(first, targets)
    np.testing.assert_allclose(loss.priors_, softmax(first.values).mean(axis=0))
    value = loss(second, more)
    priors = 0.75 * softmax(first.values).mean(axis=0) + 0.25 * softmax(second.values).mean(axis=0)
    np.testing.assert_allclose(loss.priors_, priors)
    expected = ctc_loss_with_options(list(second), list(more), label_priors=priors, prior_scale=0.5)
    assert value.loss == pytest.approx(expected.mean())


def test_losses_are_made_by_name_and_options():
    assert make_loss("ctc") is ctc
    assert make_loss(("softmax_cross_entropy", {})) is softmax_cross_entropy
    for loss, message in (
        ("hinge", "loss is 'hinge', expected one of binary_cross_entropy, ctc, softmax_cross_entropy"),
        (("softmax_cross_entropy", {"a": 1}), "has options .*, expected none"),
        (("ctc", {"focal_gamma": -1.0}), "focal_gamma is -1.0"),
        (("ctc", {"prior_scale": -1.0}), "prior_scale is -1.0"),
        (("ctc", {"prior_decay": 1.0}), "prior_decay is 1.0"),
        (7, "loss is 7, expected a name or"),
    ):
        with pytest.raises(ValueError, match=message):
            make_loss(loss)
