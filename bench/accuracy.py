"""Errors of every precision against float64, PyTorch's own float32 beside.

An error is the largest difference over the largest value of the expected array; of all gradients the worst
is shown. The reference is pyseq's float64 kernel, compared in the same run with the tests' twin in NumPy.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench import rnn_pyseq
from bench.contest import Contestant, Values, furthest
from bench.rnn_problem import CELLS, RnnProblem, named_weights
from bench.tables import as_text
from bench.threads import installed
from bench.workloads_rnn import RnnWorkload
from pyseq import ops

LIMITS = {"highest": 5e-6, "high": 2e-5, "medium": 1e-2}
WORKLOADS = [
    RnnWorkload(cell, 200, batch, inputs, hidden, training=True)
    for cell in ("lstm", "gru")
    for batch, inputs, hidden in ((8, 64, 128), (4, 256, 256))
]
TESTS = Path(__file__).parent.parent / "tests"


def twin_values(problem: RnnProblem) -> Values:
    """The same by the tests' twin: loops over frames in NumPy."""
    sys.path.insert(0, str(TESTS))
    try:
        from reference import rnn
    finally:
        sys.path.remove(str(TESTS))
    weights = ops.RNNWeights(*problem.weights[0])
    output, _ = rnn.rnn_forward(problem.cell, problem.x, weights)
    grad_x, grad_weights, _ = rnn.rnn_backward(problem.cell, problem.x, weights, problem.grad)
    named = {"output": problem.frames(output), "grad_x": problem.frames(grad_x)}
    return {**named, **named_weights(0, list(grad_weights))}


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
    rows = []
    for workload in WORKLOADS:
        problem = workload.problem()
        reference = rnn_pyseq.reference(problem)

        def row(system: str, values: Values, limit: float | None = None) -> list[str]:
            output, gradients, worst = _errors(values, reference)  # noqa: B023
            met = "" if limit is None else "met" if max(output, gradients) <= limit else "NOT met"
            return [
                f"{CELLS[workload.cell].title} {workload.name.split()[-1]}",  # noqa: B023
                system, f"{output:.1e}", f"{gradients:.1e}", worst, f"{limit:.0e}" if limit else "", met,
            ]  # fmt: skip

        for precision in precisions:
            ours = rnn_pyseq.contestant(problem, precision)
            rows.append(row(f"pyseq {precision}", _values(ours), LIMITS[precision]))
        if installed("torch"):
            from bench import rnn_torch

            dtypes = ["float32"] + (["bfloat16"] if "medium" in precisions else [])
            for dtype in dtypes:
                rows.append(row(f"PyTorch {dtype}", _values(rnn_torch.contestant(problem, dtype))))
        if (TESTS / "reference").is_dir():
            rows.append(row("NumPy float64", twin_values(problem)))
    return as_text(["workload", "system", "output", "gradients", "worst", "limit", ""], rows)
