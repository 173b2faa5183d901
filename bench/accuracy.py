"""Errors of every precision against float64, PyTorch's own float32 and bfloat16 beside.

An error is the largest difference over the largest value of the expected array; of all gradients the worst
is shown. The reference is pyseq's float64 kernel, compared in the same run with the tests' twin in NumPy.
A precision that this processor's kernels do not compute, and another takes the place of, is left out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import conv_pyseq, rnn_pyseq
from bench.contest import Contestant, Values, furthest
from bench.conv_problem import ConvProblem
from bench.rnn_problem import CELLS, RnnProblem, named_weights
from bench.tables import as_text
from bench.threads import installed
from bench.workloads_conv import ConvWorkload
from bench.workloads_rnn import RnnWorkload
from pyseq import ops
from pyseq.ops import runtime

LIMITS = {"highest": 5e-6, "high": 2e-5, "medium": 1e-2}
RECURRENT = [
    RnnWorkload(cell, 200, batch, inputs, hidden, training=True)
    for cell in ("lstm", "gru")
    for batch, inputs, hidden in ((8, 64, 128), (4, 256, 256))
]
CONVOLUTIONS = [
    ConvWorkload(*sizes, training=True)
    for sizes in (
        (400, 2, 64, 3, 1),
        (400, 2, 64, 3, 64),
        (300, 2, 128, 7, 16),
        (200, 3, 30, 7, 8),
        (1500, 1, 64, 2, 512),
    )
]
TESTS = Path(__file__).parent.parent / "tests"


@dataclass(frozen=True)
class Case:
    """One workload: its float64 values, and who computes it."""

    title: str
    reference: Values
    ours: Callable[[str], Contestant]  # by precision
    pytorch: Callable[[str], Contestant]  # by dtype
    twin: Callable[[], Values]


def cases() -> Iterator[Case]:
    """All workloads, one after the other."""
    for workload in RECURRENT:
        yield _recurrent(f"{CELLS[workload.cell].title} {workload.name.split()[-1]}", workload.problem())
    for convolution in CONVOLUTIONS:
        yield _convolution(convolution.name.replace("training ", ""), convolution.problem())


def _recurrent(title: str, problem: RnnProblem) -> Case:
    def pytorch(dtype: str) -> Contestant:
        from bench import rnn_torch

        return rnn_torch.contestant(problem, dtype)

    return Case(
        title,
        rnn_pyseq.reference(problem),
        lambda precision: rnn_pyseq.contestant(problem, precision),
        pytorch,
        lambda: _recurrent_twin(problem),
    )


def _convolution(title: str, problem: ConvProblem) -> Case:
    def pytorch(dtype: str) -> Contestant:
        from bench import conv_torch

        return conv_torch.contestant(problem, dtype)

    return Case(
        title,
        conv_pyseq.reference(problem),
        lambda precision: conv_pyseq.contestant(problem, precision),
        pytorch,
        lambda: _convolution_twin(problem),
    )


@contextmanager
def _twins() -> Iterator[None]:
    """The tests' mathematics can be imported: loops over frames in NumPy."""
    sys.path.insert(0, str(TESTS))
    try:
        yield
    finally:
        sys.path.remove(str(TESTS))


def _recurrent_twin(problem: RnnProblem) -> Values:
    with _twins():
        from reference import rnn
    weights = ops.RNNWeights(*problem.weights[0])
    output, _ = rnn.rnn_forward(problem.cell, problem.x, weights)
    grad_x, grad_weights, _ = rnn.rnn_backward(problem.cell, problem.x, weights, problem.grad)
    named = {"output": problem.frames(output), "grad_x": problem.frames(grad_x)}
    return {**named, **named_weights(0, list(grad_weights))}


def _convolution_twin(problem: ConvProblem) -> Values:
    with _twins():
        from reference import convolution
    x, weight, dilation = problem.x, problem.weight, problem.dilation
    output = convolution.conv1d(x, weight, problem.bias, dilation)
    gradients = convolution.conv1d_backward(x, weight, problem.grad, dilation)
    return {"output": output, **dict(zip(conv_pyseq.GRADIENTS, gradients, strict=True))}


def _errors(values: Values, reference: Values) -> tuple[float, float, str]:
    """Of the output, of the worst gradient, and which gradient that is."""
    gradients = furthest(
        {k: v for k, v in values.items() if k != "output"},
        {k: v for k, v in reference.items() if k != "output"},
    )
    output = furthest({"output": values["output"]}, {"output": reference["output"]})
    return output.size, gradients.size, gradients.array


def _values(contestant: Contestant) -> Values:
    with contestant.around():
        return {name: np.array(v) for name, v in contestant.values(contestant.call()).items()}


def report(precisions: Sequence[str]) -> str:
    """The table."""
    native = [precision for precision in precisions if precision in runtime.native_precisions()]
    dtypes = (["float32"] + (["bfloat16"] if "medium" in precisions else [])) if installed("torch") else []
    rows = []
    for case in cases():

        def row(system: str, values: Values, limit: float | None = None) -> list[str]:
            output, gradients, worst = _errors(values, case.reference)  # noqa: B023
            met = "" if limit is None else "met" if max(output, gradients) <= limit else "NOT met"
            limit_text = f"{limit:.0e}" if limit else ""
            return [case.title, system, f"{output:.1e}", f"{gradients:.1e}", worst, limit_text, met]  # noqa: B023

        rows += [row(f"pyseq {p}", _values(case.ours(p)), LIMITS[p]) for p in native]
        rows += [row(f"PyTorch {dtype}", _values(case.pytorch(dtype))) for dtype in dtypes]
        if (TESTS / "reference").is_dir():
            rows.append(row("NumPy float64", case.twin()))
    return as_text(["workload", "system", "output", "gradients", "worst", "limit", ""], rows)
