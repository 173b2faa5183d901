"""Causal convolution by pyseq, and the float64 reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.contest import Contestant, Values
from bench.conv_problem import ConvProblem
from bench.rnn_pyseq import with_precision
from pyseq import ops

GRADIENTS = ("grad_x", "grad_weight", "grad_bias")


def contestant(problem: ConvProblem, precision: str) -> Contestant:
    """`ops.causal_conv1d`, and in training `ops.causal_conv1d_backward`."""
    arrays = (problem.x, problem.weight, problem.bias, problem.grad)
    return Contestant(
        "pyseq",
        lambda: _run(problem, *arrays),
        _values,
        precision,
        ours=True,
        around=lambda: with_precision(precision),
    )


def _run(
    problem: ConvProblem, x: np.ndarray, weight: np.ndarray, bias: np.ndarray, grad: np.ndarray
) -> tuple[Any, ...]:
    y = ops.causal_conv1d(x, weight, bias, dilation=problem.dilation)
    if not problem.training:
        return (y,)
    return (y, *ops.causal_conv1d_backward(x, weight, grad, dilation=problem.dilation))


def _values(result: tuple[Any, ...]) -> Values:
    return dict(zip(("output", *GRADIENTS), result, strict=False))


def reference(problem: ConvProblem) -> Values:
    """By the float64 kernels, which the tests hold against a twin in NumPy."""
    arrays = (problem.x, problem.weight, problem.bias, problem.grad)
    return _values(_run(problem, *(a.astype(np.float64) for a in arrays)))
