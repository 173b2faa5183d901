"""Bad input to the CTC functions: an error that names the argument, what was got and what was expected."""

import re

import numpy as np
import pytest

from pyseq.ops.ctc import ctc_loss, ctc_loss_and_grad
from pyseq.ops.ctc_decode import ctc_decode
from pyseq.ragged import Ragged

LOGITS = np.zeros((3, 6, 5), dtype=np.float32)
TARGETS = np.array([[1, 2], [3, 4], [1, 1]])


def bad_target(b, i, label):
    targets = TARGETS.copy()
    targets[b, i] = label
    return targets


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"targets": bad_target(2, 1, 0)}, ValueError, "targets[2][1] is 0, which is the blank"),
        ({"targets": bad_target(1, 0, 5)}, ValueError, "targets[1][0] is 5, expected a class from 0 to 4"),
        ({"targets": bad_target(1, 0, -1)}, ValueError, "targets[1][0] is -1, expected a class from 0 to 4"),
        (
            {"targets": bad_target(0, 1, 2**40)},
            ValueError,
            "targets[0][1] is 1099511627776, expected a class",
        ),
        ({"targets": [[1], [], [2, 0]]}, ValueError, "targets[2][1] is 0, which is the blank"),
        ({"targets": TARGETS, "blank": 4}, ValueError, "targets[1][1] is 4, which is the blank"),
        ({"targets": TARGETS * 1.0}, TypeError, "targets has dtype float64, expected integers"),
        ({"targets": [[1], [1.5], [2]]}, TypeError, "targets[1] has dtype float64, expected integers"),
        ({"targets": [[1], ["a"], [2]]}, TypeError, "targets[1] has dtype"),
        ({"targets": [[1], [[1]], [2]]}, ValueError, "targets[1] has shape (1, 1), expected one dimension"),
        ({"targets": [1, 2, 3]}, ValueError, "targets[0] has shape (), expected one dimension"),
        ({"targets": np.array([1, 2, 3])}, ValueError, "targets has shape (3,), expected (batch, labels)"),
        ({"targets": TARGETS[:2]}, ValueError, "targets has 2 sequences, expected 3"),
        ({"targets": [[1], [2]]}, ValueError, "targets has 2 sequences, expected 3"),
        (
            {"targets": TARGETS, "target_lengths": [1, 2]},
            ValueError,
            "target_lengths has shape (2,), expected (3,)",
        ),
        (
            {"targets": TARGETS, "target_lengths": [1, 3, 2]},
            ValueError,
            "target_lengths[1] is 3, but targets has room",
        ),
        (
            {"targets": TARGETS, "target_lengths": [1, -1, 2]},
            ValueError,
            "target_lengths[1] is -1, which is negative",
        ),
        (
            {"targets": TARGETS, "target_lengths": [1.0, 1.0, 2.0]},
            TypeError,
            "target_lengths has dtype float64",
        ),
        ({"targets": TARGETS, "input_lengths": [6, 7, 6]}, ValueError, "input_lengths[1] is 7"),
        ({"targets": TARGETS, "input_lengths": [6, 6, -1]}, ValueError, "input_lengths[2] is -1"),
        ({"targets": TARGETS, "input_lengths": [6, 6]}, ValueError, "input_lengths has shape (2,)"),
        ({"targets": TARGETS, "blank": 5}, ValueError, "blank is 5, expected one of the 5 classes"),
        ({"targets": TARGETS, "blank": -1}, ValueError, "blank is -1, expected one of the 5 classes"),
        ({"targets": TARGETS, "blank": 0.5}, TypeError, "blank is 0.5, expected an int"),
        ({"logits": LOGITS[0], "targets": TARGETS}, ValueError, "logits has shape (6, 5)"),
        ({"logits": LOGITS.astype(object), "targets": TARGETS}, TypeError, "logits has dtype object"),
        ({"logits": LOGITS.astype(complex), "targets": TARGETS}, TypeError, "logits has dtype complex128"),
    ],
)
def test_bad_input_is_named(arguments, error, message):
    arguments = {"logits": LOGITS, **arguments}
    for function in (ctc_loss, ctc_loss_and_grad):
        with pytest.raises(error, match=re.escape(message)):
            function(**arguments)


def test_ragged_brings_its_own_lengths():
    ragged = Ragged.from_padded(LOGITS)
    with pytest.raises(ValueError, match="input_lengths must be None"):
        ctc_loss(ragged, TARGETS, input_lengths=[6, 6, 6])
    tokens = Ragged(np.array([1, 2, 3, 4, 1]), [2, 2, 1])
    with pytest.raises(ValueError, match="target_lengths must be None"):
        ctc_loss(ragged, tokens, target_lengths=[2, 2, 1])
    assert np.array_equal(ctc_loss(ragged, tokens), ctc_loss(LOGITS, [[1, 2], [3, 4], [1]]))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"beam_width": 0}, ValueError, "beam_width is 0, expected a number from 1"),
        ({"beam_width": 1.5}, TypeError, "beam_width is 1.5, expected an int"),
        ({"beam_width": 2**40}, ValueError, "beam_width is 1099511627776, expected a number from 1 to"),
        ({"n_best": 2}, ValueError, "n_best is given, expected None with a beam_width of 1"),
        ({"min_log_prob": -3}, ValueError, "min_log_prob is given, expected None with a beam_width of 1"),
        ({"beam_width": 4, "n_best": 0}, ValueError, "n_best is 0, expected a number from 1"),
        ({"beam_width": 4, "min_log_prob": 0.5}, ValueError, "min_log_prob is 0.5, expected a logarithm"),
        ({"beam_width": 4, "min_log_prob": float("nan")}, ValueError, "min_log_prob is nan"),
        ({"beam_width": 4, "min_log_prob": "low"}, TypeError, "min_log_prob is 'low', expected a number"),
        ({"beam_width": 4, "blank": 5}, ValueError, "blank is 5, expected one of the 5 classes"),
    ],
)
def test_bad_options_of_the_decoder_are_named(options, error, message):
    with pytest.raises(error, match=message):
        ctc_decode(LOGITS, **options)


def test_bad_input_to_the_decoder_is_named():
    with pytest.raises(ValueError, match=r"lengths\[0\] is 9"):
        ctc_decode(LOGITS, lengths=[9, 1, 1])
    with pytest.raises(ValueError, match="blank is 7"):
        ctc_decode(LOGITS, blank=7)
    with pytest.raises(ValueError, match="lengths must be None"):
        ctc_decode(Ragged.from_padded(LOGITS), lengths=[1, 1, 1])


@pytest.mark.parametrize(
    "targets", [[[1, 2], [3], []], [np.array([1, 2], "u1"), np.array([3], "i8"), np.array([])]]
)
def test_targets_of_any_integers_and_lengths(targets):
    expected = ctc_loss(LOGITS, TARGETS, target_lengths=[2, 1, 0])
    assert np.array_equal(ctc_loss(LOGITS, targets)[[0, 1]], expected[[0, 1]])
    assert np.isfinite(ctc_loss(LOGITS, targets)).all()


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_targets_of_any_integer_dtype(dtype):
    assert np.array_equal(ctc_loss(LOGITS, TARGETS.astype(dtype)), ctc_loss(LOGITS, TARGETS))


def test_integers_are_cast_and_empty_batches_are_empty():
    assert ctc_loss(LOGITS.astype(int), TARGETS).dtype == np.float32
    losses, grad = ctc_loss_and_grad(LOGITS[:0], [])
    assert losses.shape == (0,)
    assert grad.shape == (0, 6, 5)
    assert ctc_decode(LOGITS[:0]) == []


def test_padded_labels_are_not_looked_at():
    padded = np.full((3, 7), -1)
    padded[:, :2] = TARGETS
    padded[0, 2] = 2**31
    assert np.array_equal(ctc_loss(LOGITS, padded, target_lengths=[2, 2, 2]), ctc_loss(LOGITS, TARGETS))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("labels", [np.int32, np.int64, np.int16])
def test_the_short_way_of_whole_arrays_is_the_long_one(dtype, labels):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 9, 7)).astype(dtype)
    y = rng.integers(0, 6, (5, 3)).astype(labels)
    losses, grad = ctc_loss_and_grad(x, y, blank=6)
    long_losses, long_grad = ctc_loss_and_grad(x, y, blank=np.int64(6), input_lengths=[9] * 5)
    assert np.array_equal(losses, long_losses)
    assert np.array_equal(grad, long_grad)
    assert np.array_equal(ctc_loss(x, y, blank=6), ctc_loss(x, y, blank=6, target_lengths=[3] * 5))
    assert losses.dtype == grad.dtype == dtype
    out = np.empty_like(x)
    assert ctc_loss_and_grad(x, y, blank=6, out=out)[1] is out
    assert np.array_equal(out, grad)
    assert np.array_equal(
        ctc_loss_and_grad(x[:, :, ::-1], y, blank=6)[1],
        ctc_loss_and_grad(x[:, :, ::-1].copy(), y, blank=6)[1],
    )
    assert ctc_loss_and_grad(x, y, blank=6, out=x)[1] is x
    assert np.array_equal(x, grad)


def test_room_for_the_gradient_has_to_fit_on_the_short_way_too():
    x = np.zeros((4, 6, 5), dtype=np.float32)
    locked = np.empty_like(x[1:])
    locked.flags.writeable = False
    for out, message in (
        (x[:3], "out overlaps logits"),
        (locked, "out is read-only"),
        (np.empty((3, 6, 4), dtype=np.float32), "out has shape (3, 6, 4)"),
        (np.empty((3, 5, 6), dtype=np.float32).transpose(0, 2, 1), "out is not C-contiguous"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            ctc_loss_and_grad(x[1:], TARGETS, out=out)
    with pytest.raises(TypeError, match="out has dtype float64"):
        ctc_loss_and_grad(x[1:], TARGETS, out=np.empty((3, 6, 5)))
