"""CTC loss and gradient: known answers, brute force, the float64 twin, central differences, PyTorch."""

import itertools

import numpy as np
import pytest
import reference
from helpers import assert_close, assert_gradients_match, random_lengths, random_padded
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.decoding import brute_force as all_paths

from pyseq.ops.ctc import ctc_loss, ctc_loss_and_grad
from pyseq.ragged import Ragged

DTYPES = ["float32", "float64"]
# Error of a loss, relative to it or to LEAST_LOSS (rounding of as many factors as there are frames does not
# shrink with the loss), and absolute error of a gradient entry.
LOSS_ERROR = {"float32": 1e-6, "float64": 1e-12}
LEAST_LOSS = 4.0
GRADIENT_ERROR = 5e-6  # float32


def assert_matches_twin(logits, targets, input_lengths, target_lengths, blank, what=""):
    losses, grad = ctc_loss_and_grad(
        logits, targets, input_lengths=input_lengths, target_lengths=target_lengths, blank=blank
    )
    with np.errstate(invalid="ignore"):
        expected, expected_grad = reference.ctc_loss_and_grad(
            logits, targets, input_lengths, target_lengths, blank
        )
    feasible = np.isfinite(expected)
    assert np.array_equal(np.isfinite(losses), feasible), what
    assert (losses[~feasible] == np.inf).all(), what
    assert not grad[~feasible].any(), what
    for b in np.flatnonzero(feasible):
        size = max(LEAST_LOSS, float(expected[b]))
        assert abs(float(losses[b]) - expected[b]) <= LOSS_ERROR[logits.dtype.name] * size, what
        # the twin adds logarithms, whose rounding grows with the loss
        limit = GRADIENT_ERROR if logits.dtype == np.float32 else 1e-12 * size
        assert np.abs(grad[b] - expected_grad[b]).max(initial=0.0) <= limit, what
    return losses, grad


def random_problem(rng, dtype, batch, steps, labels, classes, blank, kind="random", scale=1.0):
    lengths = random_lengths(rng, batch, steps, shortest=0)
    logits = random_padded(rng, lengths, classes, dtype) * np.dtype(dtype).type(scale)
    targets = rng.choice(np.delete(np.arange(classes), blank), (batch, labels))
    if kind == "repeats":
        targets[:] = targets[:, :1]
    if kind == "blank":
        logits[:, :, blank] += 4 * scale
    if kind == "peaked":
        logits[:, :, blank] += 3 * scale
        for b, length in enumerate(lengths):
            frames = np.sort(rng.choice(length, min(labels, length), replace=False))
            logits[b, frames, targets[b, : len(frames)]] += 7 * scale
    return logits, targets, lengths, rng.integers(0, labels + 1, batch), blank


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("logits", "target", "blank", "expected"),
    [
        (np.full((1, 5), 0.2), [1], 0, 1.6094379),
        (np.arange(1.0, 16.0).reshape(3, 5), [3, 3], 0, 7.3557432),
        (np.arange(-15.0, 0.0).reshape(3, 5)[::-1], [2, 3], 0, 4.9388499),
        (np.zeros((3, 4)), [1, 2], 3, -np.log(5 / 64)),
        (np.zeros((2, 4)), [1, 1], 0, np.inf),
        (np.zeros((3, 2)), [], 0, 2.0794415),
        (np.zeros((0, 4)), [], 0, 0.0),
        (np.zeros((0, 4)), [1], 0, np.inf),
        (np.zeros((2, 1)), [], 0, 0.0),
    ],
)
def test_known_answers(logits, target, blank, expected, dtype):
    losses, grad = ctc_loss_and_grad(logits[np.newaxis].astype(dtype), [target], blank=blank)
    np.testing.assert_allclose(losses, [expected], rtol=1e-6, atol=1e-7)
    assert losses.dtype == grad.dtype == dtype
    if expected == np.inf:
        assert not grad.any()


@pytest.mark.parametrize("steps", range(1, 7))
@pytest.mark.parametrize("classes", range(1, 5))
def test_every_small_target_equals_the_sum_over_all_paths(steps, classes):
    rng = np.random.default_rng([steps, classes])
    logits, blank = rng.standard_normal((steps, classes)), int(rng.integers(classes))
    totals, _ = all_paths(logits, blank)
    labels = [c for c in range(classes) if c != blank]
    targets = [list(t) for n in range(4) for t in itertools.product(labels, repeat=n)]
    expected = [-totals.get(tuple(target), -np.inf) for target in targets]
    for dtype in DTYPES:
        batch = np.broadcast_to(logits.astype(dtype), (len(targets), steps, classes))
        np.testing.assert_allclose(ctc_loss(batch, targets, blank=blank), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1.0, 5.0, 30.0])
@pytest.mark.parametrize("kind", ["random", "repeats", "blank", "peaked"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_matches_the_float64_twin(dtype, kind, scale):
    rng = np.random.default_rng([len(kind), int(scale)])
    # class counts on both sides of the row widths and of the switch to sums for the target's classes only
    for classes in (2, 5, 16, 17, 31, 33, 64, 100, 300):
        steps, labels = int(rng.integers(1, 70)), int(rng.integers(0, 45))
        problem = random_problem(
            rng, dtype, 3, steps, labels, classes, int(rng.integers(classes)), kind, scale
        )
        assert_matches_twin(*problem, f"classes {classes}")


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(0, 40),
    st.integers(2, 40),
    st.integers(1, 4),
    st.sampled_from(DTYPES),
    st.sampled_from([0.0, 1.0, 30.0, 1000.0]),
    st.integers(0, 2**31),
)
def test_matches_the_float64_twin_for_any_shape(steps, labels, classes, batch, dtype, scale, seed):
    rng = np.random.default_rng(seed)
    kind = ["random", "repeats", "blank", "peaked"][seed % 4]
    assert_matches_twin(
        *random_problem(rng, dtype, batch, steps, labels, classes, int(rng.integers(classes)), kind, scale)
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_exactly_enough_frames(dtype):
    rng = np.random.default_rng(3)
    for labels in (1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33):
        target = rng.integers(1, 4, labels)
        need = labels + int((target[1:] == target[:-1]).sum())
        logits = rng.standard_normal((1, need, 5)).astype(dtype)
        losses, _ = assert_matches_twin(logits, target[np.newaxis], None, None, 0, f"labels {labels}")
        assert np.isfinite(losses).all()
        assert ctc_loss(logits[:, 1:], target[np.newaxis])[0] == np.inf


@pytest.mark.parametrize(("steps", "labels"), [(3000, 700), (9000, 2500)])
def test_long_sequences_whose_alphas_are_computed_twice(steps, labels):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    logits = rng.standard_normal((1, steps, 12)).astype(np.float32)
    targets = rng.integers(1, 12, (1, labels))
    expected, expected_grad = torch_loss_and_grad(torch, logits, targets, [steps], [labels], 0)
    # A label that cannot be on the first frame is masked there: paths stay, but blank is not a reference
    # that serves all of them.
    masked = logits.copy()
    masked[0, 0, targets[0][targets[0] != targets[0, 0]][0]] = -np.inf
    for dtype, limit in (("float32", GRADIENT_ERROR), ("float64", 1e-9)):
        losses, grad = ctc_loss_and_grad(logits.astype(dtype), targets)
        assert_close(losses, expected)
        assert np.abs(grad - expected_grad).max() <= limit
        grad = ctc_loss_and_grad(masked.astype(dtype), targets)[1]
        assert np.abs(grad - expected_grad)[:, 1:].max() <= limit


def torch_loss_and_grad(torch, logits, targets, input_lengths, target_lengths, blank):
    x = torch.tensor(np.nan_to_num(logits), dtype=torch.float64, requires_grad=True)
    losses = torch.nn.functional.ctc_loss(
        torch.log_softmax(x, -1).transpose(0, 1),
        torch.as_tensor(targets),
        torch.as_tensor(input_lengths),
        torch.as_tensor(target_lengths),
        blank=blank,
        reduction="none",
        zero_infinity=True,
    )
    losses.sum().backward()
    return losses.detach().numpy(), x.grad.numpy()


@pytest.mark.parametrize("dtype", DTYPES)
def test_matches_pytorch(dtype):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    lengths, target_lengths = rng.integers(30, 81, 6), rng.integers(0, 26, 6)
    logits = random_padded(rng, lengths, 20, dtype)
    targets = rng.choice(np.delete(np.arange(20), 3), (6, 25))
    expected, expected_grad = torch_loss_and_grad(torch, logits, targets, lengths, target_lengths, 3)
    losses, grad = ctc_loss_and_grad(
        logits, targets, input_lengths=lengths, target_lengths=target_lengths, blank=3
    )
    feasible = np.isfinite(losses)
    assert feasible.sum() >= 4
    assert_close(losses[feasible], expected[feasible])
    assert_close(grad, expected_grad * feasible[:, np.newaxis, np.newaxis], "gradient")


@pytest.mark.parametrize("classes", [4, 40])
@pytest.mark.parametrize("masked", [False, True])
def test_gradient_is_that_of_central_differences(classes, masked):
    rng = np.random.default_rng(6)
    logits = rng.standard_normal((2, 9, classes))
    if masked:
        logits[0, 3, 0] = -1000.0  # float64 handles this frame without a reference to blank
        logits[1, 2, 1] = 700.0
    targets = np.array([[1, 2, 2], [3, 1, 0]])
    lengths, target_lengths = [9, 7], [3, 2]
    arguments = {"input_lengths": lengths, "target_lengths": target_lengths}
    gradient = ctc_loss_and_grad(logits, targets, **arguments)[1]
    assert_gradients_match(lambda: float(ctc_loss(logits, targets, **arguments).sum()), [logits], [gradient])


@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_alone_has_the_bits_of_loss_with_gradient(dtype):
    rng = np.random.default_rng(7)
    for classes, scale in ((10, 1.0), (70, 1.0), (400, 1.0), (10, 300.0)):
        logits, targets, n, m, blank = random_problem(rng, dtype, 5, 50, 20, classes, 1, scale=scale)
        arguments = {"input_lengths": n, "target_lengths": m, "blank": blank}
        assert np.array_equal(
            ctc_loss(logits, targets, **arguments), ctc_loss_and_grad(logits, targets, **arguments)[0]
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [6, 50, 700])
def test_masked_classes_and_extreme_logits(dtype, classes):
    rng = np.random.default_rng(8)
    targets = np.array([[1, 2, 3], [4, 4, 1], [5, 1, 5], [2, 3, 2]])
    clean = rng.standard_normal((4, 12, classes)).astype(dtype)
    for spoil in (
        lambda x: x.__setitem__((slice(None), slice(0, 5), 0), -np.inf),  # blank impossible on some frames
        lambda x: x.__setitem__((slice(None), slice(None), 0), -np.inf),  # and on all
        lambda x: x.__setitem__((rng.random(x.shape) < 0.2), -np.inf),
        lambda x: x.__setitem__((rng.random(x.shape) < 0.2), 1e4),
        lambda x: x.__setitem__((rng.random(x.shape) < 0.2), -1e4),
        lambda x: x.__imul__(5000),
        lambda x: x.__setitem__((slice(None), slice(None), 0), 1e4),
        lambda x: x.__setitem__((slice(None), slice(None), 0), -1e4),
        lambda x: x.__setitem__((slice(None), slice(None), 5), -np.inf),  # of one target alone
        lambda x: x.__setitem__((0, 4), -np.inf),  # a frame without any class: the others stay right
    ):
        logits = clean.copy()
        spoil(logits)
        assert_matches_twin(logits, targets, None, None, 0)


def test_masked_class_has_gradient_zero():
    logits = np.zeros((1, 6, 5), dtype=np.float32)
    logits[:, :, 3] = -np.inf
    losses, grad = ctc_loss_and_grad(logits, [[1, 2]])
    assert np.isfinite(losses).all()
    assert not grad[:, :, 3].any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", [(0, 0), (7, 0), (7, 1), (7, 29), (7, 60)])
def test_logits_that_are_no_numbers_make_that_sequence_nan_and_no_other(dtype, bad, place):
    rng = np.random.default_rng(9)
    logits = rng.standard_normal((3, 20, 61)).astype(dtype)
    expected = ctc_loss_and_grad(logits, [[1, 2]] * 3)
    logits[1][place] = bad
    losses, grad = ctc_loss_and_grad(logits, [[1, 2]] * 3)
    assert np.isnan(losses[1])
    assert np.isnan(grad[1]).all()
    for b in (0, 2):
        assert losses[b] == expected[0][b]
        assert np.array_equal(grad[b], expected[1][b])


def test_float32_stays_exact_where_differences_of_logits_lose_digits():
    # blank far away from two labels that compete closely: exp(x - x_blank) would be rounded by 1e-3
    rng = np.random.default_rng(10)
    logits = rng.standard_normal((1, 40, 8)).astype(np.float32)
    for far in (300.0, 9876.5):
        for sign in (-1, 1):
            shifted = logits.copy()
            shifted[:, :, 0] = sign * far
            assert_matches_twin(shifted, np.array([[1, 2, 3, 1, 2, 3]]), None, None, 0)


def test_ragged_and_padded_say_the_same():
    rng = np.random.default_rng(11)
    logits, targets, lengths, target_lengths, _ = random_problem(rng, "float32", 6, 30, 8, 12, 0)
    padded, padded_grad = ctc_loss_and_grad(
        logits, targets, input_lengths=lengths, target_lengths=target_lengths
    )
    ragged = Ragged.from_padded(logits, lengths)
    listed = [row[:n] for row, n in zip(targets, target_lengths, strict=True)]
    for target in (listed, [row.tolist() for row in listed]):
        losses, grad = ctc_loss_and_grad(ragged, target)
        assert np.array_equal(losses, padded)
        for b, length in enumerate(lengths):
            assert np.array_equal(grad[b], padded_grad[b, :length])
            assert not padded_grad[b, length:].any()
