"""Options of the CTC loss: the formulas' twin, central differences, and what is refused."""

import re

import numpy as np
import pytest
from helpers import assert_close, assert_gradients_match, assert_same_bits
from reference.ctc_options import ctc_loss_with_options
from threadpoolctl import threadpool_limits

from pyseq.ops.ctc import ctc_loss, ctc_loss_and_grad
from pyseq.ragged import Ragged

DTYPES = ["float32", "float64"]
CLASSES, BLANK = 6, 2
PRIORS = np.array([0.1, 0.05, 0.6, 0.1, 0.05, 0.1])

ONE_BY_ONE = [
    {"sample_weight": [0.5, 2.0, 0.0]},
    {"class_weight": [1.0, 3.0, 0.5, 2.0, 0.0, 1.0]},
    {"label_smoothing": 0.1},
    {"focal_gamma": 2.0},
    {"focal_gamma": 0.5},
    {"label_priors": PRIORS},
    {"label_priors": PRIORS, "prior_scale": 0.3},
]
ALL = {
    "sample_weight": [0.5, 2.0, 1.0],
    "class_weight": [1.0, 3.0, 0.5, 2.0, 0.5, 1.0],
    "label_smoothing": 0.2,
    "focal_gamma": 1.5,
    "label_priors": PRIORS,
    "prior_scale": 0.25,
}
CASES = [*ONE_BY_ONE, ALL]


def problem(dtype="float64", classes=CLASSES):
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((3, 9, classes)).astype(dtype)
    return logits, [[1, 1, 3], [5], []], [9, 7, 4]


def sequences(logits, lengths):
    return [x[:n] for x, n in zip(logits, lengths, strict=True)]


@pytest.mark.parametrize("options", CASES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_losses_are_those_of_the_formulas(options, dtype):
    logits, targets, lengths = problem(dtype)
    expected = ctc_loss_with_options(sequences(logits, lengths), targets, BLANK, **options)
    arguments = {"input_lengths": lengths, "blank": BLANK, **options}
    losses, grad = ctc_loss_and_grad(logits, targets, **arguments)
    assert losses.dtype == grad.dtype == dtype
    assert_close(losses, expected)
    assert np.array_equal(losses, ctc_loss(logits, targets, **arguments))
    double = ctc_loss_and_grad(logits.astype(np.float64), targets, **arguments)[1]
    assert_close(grad, double, "gradient")


@pytest.mark.parametrize("far", [0.0, 500.0])  # 500: emissions in float64, not relative to blank
@pytest.mark.parametrize("classes", [CLASSES, 40, 300])
@pytest.mark.parametrize("options", CASES, ids=str)
def test_gradients_are_those_of_central_differences(options, classes, far):
    options = dict(options)
    for name in ("class_weight", "label_priors"):
        if name in options:
            options[name] = np.concatenate([options[name], np.full(classes - CLASSES, 0.05)])
    logits, targets, lengths = problem(classes=classes)
    logits, lengths = logits[:, :4], [4, 4, 3]
    targets = [[1, 3], [5], []]
    logits[:, 1, BLANK] -= far
    if classes > 100:  # few of many columns
        logits, lengths = logits[:1, :3], lengths[:1]
        targets, lengths = targets[:1], [3]
        options = {k: v[:1] if k == "sample_weight" else v for k, v in options.items()}
    arguments = {"input_lengths": lengths, "blank": BLANK, **options}
    gradient = ctc_loss_and_grad(logits, targets, **arguments)[1]
    assert_gradients_match(lambda: float(ctc_loss(logits, targets, **arguments).sum()), [logits], [gradient])


@pytest.mark.parametrize("reduction", ["sum", "mean", "mean_per_label"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_reductions(reduction, dtype):
    logits, targets, lengths = problem(dtype)
    arguments = {"input_lengths": lengths, "blank": BLANK, "sample_weight": [0.5, 2.0, 1.0]}
    losses, grad = ctc_loss_and_grad(logits, targets, **arguments)
    total, total_grad = ctc_loss_and_grad(logits, targets, reduction=reduction, **arguments)
    shares = {
        "sum": np.ones(3),
        "mean": np.full(3, 1 / 3),
        "mean_per_label": np.array([1 / 3, 1, 1]) / 3,
    }[reduction]
    assert isinstance(total, float)
    assert total == pytest.approx(float(losses @ shares), rel=1e-6)
    assert total == ctc_loss(logits, targets, reduction=reduction, **arguments)
    assert_close(total_grad, grad * shares[:, None, None], "gradient")


def test_mean_per_label_is_the_mean_of_pytorch():
    torch = pytest.importorskip("torch")
    logits, _, _ = problem()
    targets = np.array([[1, 4, 3], [5, 1, 4], [3, 4, 5]])
    expected = torch.nn.functional.ctc_loss(
        torch.log_softmax(torch.tensor(logits), -1).transpose(0, 1),
        torch.tensor(targets),
        torch.tensor([9, 9, 9]),
        torch.tensor([3, 2, 1]),
        blank=BLANK,
    )
    actual = ctc_loss(logits, targets, target_lengths=[3, 2, 1], blank=BLANK, reduction="mean_per_label")
    assert actual == pytest.approx(float(expected), rel=1e-12)


def test_what_cannot_be_aligned_is_inf_or_counts_as_zero():
    logits = np.zeros((2, 2, 3))
    targets = [[1, 1], [1]]
    for options in ({}, {"label_smoothing": 0.1}, {"focal_gamma": 2.0}):
        losses, grad = ctc_loss_and_grad(logits, targets, **options)
        assert losses[0] == np.inf
        assert np.isfinite(losses[1])
        assert not grad[0].any()
        assert np.isfinite(grad).all()
        assert ctc_loss(logits, targets, reduction="sum", **options) == np.inf
        finite = ctc_loss_and_grad(logits, targets, zero_infinity=True, **options)
        assert finite[0][0] == 0
        assert finite[0][1] == losses[1]
        assert_same_bits(finite[1], grad)
    assert ctc_loss(logits, targets, sample_weight=[0, 1], reduction="sum") == ctc_loss(logits, targets)[1]


@pytest.mark.parametrize("classes", [6, 50])
@pytest.mark.parametrize("in_place", [False, True])
def test_smoothing_is_over_the_classes_that_are_not_masked(classes, in_place):
    logits = np.random.default_rng(1).standard_normal((1, 5, classes))
    logits[0, :, 3] = -np.inf
    logits[0, 2, 5] = -np.inf
    expected = ctc_loss_with_options(logits, [[1, 2]], label_smoothing=0.3)
    given = logits.copy()
    losses, grad = ctc_loss_and_grad(given, [[1, 2]], label_smoothing=0.3, out=given if in_place else None)
    assert_close(losses, expected)
    assert not grad[0, :, 3].any()
    assert not grad[0, 2, 5]
    assert np.abs(grad.sum(axis=2)).max() < 1e-12


def test_a_perfect_sequence_has_no_focal_loss():
    logits = np.full((1, 3, 3), -1e4)
    logits[0, :, 1] = 0
    losses, grad = ctc_loss_and_grad(logits, [[1]], focal_gamma=0.5)
    assert abs(losses[0]) < 1e-12
    assert np.isfinite(grad).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_options_do_not_depend_on_threads_or_batch(threads):
    rng = np.random.default_rng(2)
    logits = rng.standard_normal((2, 1500, 20)).astype(np.float32)
    targets = rng.integers(1, 20, (2, 200))
    options = {"label_smoothing": 0.1, "label_priors": np.full(20, 0.05), "focal_gamma": 1.0}
    with threadpool_limits(threads, user_api="openmp"):
        losses, grad = ctc_loss_and_grad(logits, targets, **options)
    for b in range(2):
        own = ctc_loss_and_grad(logits[b : b + 1], targets[b : b + 1], **options)
        assert_same_bits(own[0], losses[b : b + 1])
        assert_same_bits(own[1][0], grad[b])


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("classes", [20, 60, 1100])
def test_gradients_go_where_they_are_told(classes, in_place):
    rng = np.random.default_rng(3)
    logits = rng.standard_normal((2, 40, classes)).astype(np.float32)
    targets, lengths = rng.integers(1, classes, (2, 6)), np.array([40, 31])
    losses, grad = ctc_loss_and_grad(logits, targets, input_lengths=lengths)
    given = logits.copy()
    out = given if in_place else np.full_like(given, np.nan)
    again, returned = ctc_loss_and_grad(given, targets, input_lengths=lengths, out=out)
    assert returned is out
    assert_same_bits(again, losses)
    assert_same_bits(out, grad)
    ragged = Ragged.from_padded(logits, lengths).packed()
    out = ragged if in_place else Ragged(np.full_like(ragged.values, np.nan), lengths)
    again, returned = ctc_loss_and_grad(ragged, targets, out=out)
    assert returned is out
    assert_same_bits(again, losses)
    for b in range(2):
        assert_same_bits(out[b], grad[b, : lengths[b]])


LOGITS = np.zeros((2, 4, 3), dtype=np.float32)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"label_smoothing": 1.0}, ValueError, "label_smoothing is 1.0, expected a number from 0 to below 1"),
        ({"label_smoothing": np.nan}, ValueError, "label_smoothing is nan"),
        ({"focal_gamma": -1}, ValueError, "focal_gamma is -1, expected a finite number from 0 on"),
        ({"sample_weight": [1.0]}, ValueError, "sample_weight has shape (1,), expected (2,): one for each"),
        (
            {"sample_weight": [1, -1]},
            ValueError,
            "sample_weight[1] is -1, expected a finite number that is not",
        ),
        ({"sample_weight": ["a", "b"]}, TypeError, "sample_weight has dtype <U1, expected real numbers"),
        ({"class_weight": [1.0, 2.0]}, ValueError, "class_weight has shape (2,), expected (3,)"),
        ({"class_weight": [1.0, np.inf, 1]}, ValueError, "class_weight[1] is inf"),
        ({"label_priors": [0.5, 0.5, 0]}, ValueError, "label_priors[2] is 0, expected a probability above 0"),
        ({"label_priors": [0.5, 0.5]}, ValueError, "label_priors has shape (2,), expected (3,)"),
        ({"prior_scale": np.inf}, ValueError, "prior_scale is inf, expected a finite number"),
        (
            {"reduction": "average"},
            ValueError,
            "reduction is 'average', expected one of 'none', 'sum', 'mean'",
        ),
    ],
)
def test_bad_options_are_named(options, error, message):
    for function in (ctc_loss, ctc_loss_and_grad):
        with pytest.raises(error, match=re.escape(message)):
            function(LOGITS, [[1], [2]], **options)


def read_only():
    array = np.empty_like(LOGITS)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.empty((2, 4, 2), np.float32), ValueError, "out has shape (2, 4, 2), expected (2, 4, 3)"),
        (np.empty((2, 4, 3)), TypeError, "out has dtype float64, expected float32"),
        (np.empty((2, 3, 4), np.float32).swapaxes(1, 2), ValueError, "out is not C-contiguous"),
        ([[[1.0]]], TypeError, "out is a list, expected an array as logits is"),
        (Ragged.from_padded(LOGITS), TypeError, "out is a Ragged, expected an array"),
        (read_only(), ValueError, "out is read-only"),
    ],
)
def test_bad_places_for_gradients_are_named(out, error, message):
    with pytest.raises(error, match=re.escape(message)):
        ctc_loss_and_grad(LOGITS, [[1], [2]], out=out)


def test_gradients_do_not_go_to_overlapping_memory_or_views_of_sequences():
    memory = np.zeros(30, dtype=np.float32)
    logits, out = memory[:24].reshape(LOGITS.shape), memory[6:].reshape(LOGITS.shape)
    with pytest.raises(ValueError, match="out overlaps logits"):
        ctc_loss_and_grad(logits, [[1], [2]], out=out)
    ragged = Ragged.from_padded(LOGITS)
    with pytest.raises(ValueError, match="out has other lengths"):
        ctc_loss_and_grad(ragged, [[1], [2]], out=Ragged(np.zeros((8, 3), np.float32), [3, 5]))
    with pytest.raises(ValueError, match="expected a packed Ragged"):
        ctc_loss_and_grad(ragged[[0, 0]], [[1], [2]], out=ragged[[0, 0]])
