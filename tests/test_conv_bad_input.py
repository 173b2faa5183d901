"""Wrong arguments of the convolutions: the message names the argument, what was got and what was expected."""

import numpy as np
import pytest

from pyseq import _core, ops
from pyseq.ragged import Ragged

X = np.zeros((2, 5, 3))
WEIGHT = np.zeros((4, 3, 2))
GRAD_Y = np.zeros((2, 5, 4))
RAGGED = Ragged(np.zeros((5, 3)), [2, 3])


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((X, WEIGHT), {"dilation": 0}, ValueError, "dilation is 0, expected at least 1"),
        ((X, WEIGHT), {"dilation": -3}, ValueError, "dilation is -3, expected at least 1"),
        ((X, WEIGHT), {"dilation": 1.5}, TypeError, "dilation is 1.5, expected an integer"),
        ((X, WEIGHT), {"dilation": 2**62}, ValueError, r"reaches over \d+ frames, expected at most 2\*\*40"),
        ((X, WEIGHT[:, :, :0]), {}, ValueError, "its kernel size is 0, expected at least 1"),
        ((X, WEIGHT[:0]), {}, ValueError, "it has no channels"),
        ((X[:, :, :0], WEIGHT[:, :0]), {}, ValueError, "it has no channels"),
        ((X, WEIGHT), {"causal": False}, ValueError, "weight has kernel size 2, expected an odd one"),
        (
            (X, WEIGHT[0]),
            {},
            ValueError,
            r"weight has shape \(3, 2\), expected \(out_channels, in_channels, kernel_size\)",
        ),
        (
            (X, WEIGHT[:, :2]),
            {},
            ValueError,
            r"weight has shape \(4, 2, 2\), expected \(out_channels, 3, kernel_size\)",
        ),
        ((X, WEIGHT.astype("float32")), {}, TypeError, "weight has dtype float32, but x has float64"),
        ((X, WEIGHT, np.zeros(3)), {}, ValueError, r"bias has shape \(3,\), expected \(4,\)"),
        ((X, WEIGHT, np.zeros(4, "float32")), {}, TypeError, "bias has dtype float32"),
        ((X[0], WEIGHT), {}, ValueError, r"x has shape \(5, 3\), expected \(batch, steps, features\)"),
        ((X.astype(object), WEIGHT), {}, TypeError, "x has dtype object"),
        ((X.astype(complex), WEIGHT), {}, TypeError, "x has dtype complex128"),
        ((X, WEIGHT), {"lengths": [2, 6]}, ValueError, r"lengths\[1\] is 6"),
        ((X, WEIGHT), {"lengths": [-1, 5]}, ValueError, r"lengths\[0\] is -1"),
        ((X, WEIGHT), {"lengths": [5]}, ValueError, r"lengths has shape \(1,\), expected \(2,\)"),
        ((RAGGED, WEIGHT), {"lengths": [2, 3]}, ValueError, "lengths must be None"),
        (
            (Ragged(np.arange(5), [2, 3]), WEIGHT),
            {},
            ValueError,
            r"x holds tokens \(one integer a frame\), expected frames of features",
        ),
    ],
)
def test_conv1d_says_what_is_wrong(arguments, options, error, message):
    with pytest.raises(error, match=message):
        ops.conv1d(*arguments, **options)


@pytest.mark.parametrize(
    ("x", "grad_y", "error", "message"),
    [
        (X, GRAD_Y[:, :4], ValueError, r"grad_y has shape \(2, 4, 4\), expected \(2, 5, 4\), the shape of y"),
        (X, GRAD_Y[:, :, :3], ValueError, r"grad_y has shape \(2, 5, 3\), expected \(2, 5, 4\)"),
        (X, GRAD_Y.astype("float32"), TypeError, "grad_y has dtype float32, but x has float64"),
        (X, Ragged(np.zeros((10, 4)), [5, 5]), ValueError, "grad_y is a Ragged, expected an array as x is"),
        (RAGGED, GRAD_Y, ValueError, "grad_y is an array, expected a Ragged as x is"),
        (RAGGED, Ragged(np.zeros((5, 4)), [3, 2]), ValueError, "grad_y has other lengths than x"),
        (RAGGED, Ragged(np.zeros((5, 3)), [2, 3]), ValueError, "expected 4, the output channels"),
    ],
)
def test_conv1d_backward_says_what_is_wrong_with_grad_y(x, grad_y, error, message):
    with pytest.raises(error, match=message):
        ops.conv1d_backward(x, WEIGHT, grad_y)


def test_an_output_too_large_for_memory_is_refused():
    frames, weight = np.zeros((2**22, 1), np.float32), np.zeros((2**22, 1, 1), np.float32)
    starts = np.zeros(2**17, dtype=np.int64)
    with pytest.raises(MemoryError, match=r"output of shape \(131072, 4194304, 4194304\)"):
        ops.conv1d(Ragged.view(frames, starts, starts + len(frames)), weight)


START, LENGTHS = np.array([0, 2]), np.array([2, 3])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_start": np.array([0, 3])}, "x: expected sequences within its rows"),
        ({"lengths": np.array([2, -1])}, "x: expected sequences within its rows"),
        ({"y": np.zeros((4, 4))}, "y: expected sequences within its rows"),
        ({"y": np.zeros((5, 3))}, "y: expected a column for each output channel"),
        ({"dilation": 2**60}, "dilation"),
        ({"left": 3}, "left: expected between"),
        ({"left": -1}, "left: expected between"),
        ({"weight": np.zeros((4, 2, 2))}, "x: expected as many columns"),
    ],
)
def test_the_binding_refuses_what_would_leave_its_arrays(changes, message):
    arguments = {
        "x": RAGGED.buffer,
        "x_start": START,
        "lengths": LENGTHS,
        "weight": WEIGHT,
        "bias": None,
        "y": np.zeros((5, 4)),
        "y_start": START,
        "dilation": 2,
        "left": 2,
    }
    _core.conv1d_forward(**arguments)
    with pytest.raises(ValueError, match=message):
        _core.conv1d_forward(**(arguments | changes))
