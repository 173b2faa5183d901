"""Recurrent layers by pyseq, and the float64 reference."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

import pyseq
from bench.contest import Contestant, Values
from bench.rnn_problem import WEIGHTS, RnnProblem, named_weights
from pyseq import layers, ops

LAYERS = {"lstm": layers.LSTM, "gru": layers.GRU, "elman": layers.Elman}


def precisions() -> list[str]:
    """Those that this version of pyseq has."""
    return ["highest", "high", "medium"] if hasattr(pyseq, "config_context") else ["highest"]


def with_precision(precision: str) -> AbstractContextManager[Any]:
    return nullcontext() if precision == "highest" else pyseq.config_context(precision=precision)


def contestant(problem: RnnProblem, precision: str) -> Contestant:
    """One direction: `ops.rnn_forward` and `ops.rnn_backward`. Two: the layer, which is what users call."""
    call, values = (_layer if len(problem.weights) == 2 else _ops)(problem)
    return Contestant("pyseq", call, values, precision, ours=True, around=lambda: with_precision(precision))


def _inputs(problem: RnnProblem, ragged: bool) -> tuple[Any, Any]:
    """x and the gradient of the output."""
    if not ragged:
        return problem.x, problem.grad
    x, grad = (pyseq.Ragged(problem.frames(a), problem.lengths) for a in (problem.x, problem.grad))
    return x, grad


def _rows(array: Any) -> np.ndarray:
    return array.values if isinstance(array, pyseq.Ragged) else array.reshape(-1, array.shape[-1])


def _ops(problem: RnnProblem) -> tuple[Any, Any]:
    cell, training, weights = problem.cell, problem.training, ops.RNNWeights(*problem.weights[0])
    x, grad = _inputs(problem, problem.ragged)

    def call() -> Any:
        output, _, tape = ops.rnn_forward(cell, x, weights, keep_tape=training)
        return (output, *ops.rnn_backward(tape, grad)) if training else (output,)

    def values(result: Any) -> Values:
        if not training:
            return {"output": _rows(result[0])}
        output, grad_x, grad_weights, _ = result
        return {
            "output": _rows(output),
            "grad_x": _rows(grad_x),
            **named_weights(0, list(grad_weights)),
        }

    return call, values


def _layer(problem: RnnProblem) -> tuple[Any, Any]:
    layer = LAYERS[problem.cell](problem.hidden, bidirectional=True).build(problem.x.shape[2])
    for suffix, arrays in zip(("", "_reverse"), problem.weights, strict=True):
        for name, array in zip(WEIGHTS, arrays, strict=True):
            layer.parameters_[f"{name}_l0{suffix}"][...] = array
    x, grad = _inputs(problem, ragged=True)

    def call() -> Any:
        if not problem.training:
            return layer.forward(x)
        layer.zero_gradients()
        output, tape = layer.forward(x, training=True)
        return output, layer.backward(tape, grad)

    def values(result: Any) -> Values:
        if not problem.training:
            return {"output": _rows(result[0])}
        named = {"output": _rows(result[0]), "grad_x": _rows(result[1])}
        for direction, suffix in enumerate(("", "_reverse")):
            gradients = [layer.gradients_[f"{name}_l0{suffix}"].copy() for name in WEIGHTS]
            named.update(named_weights(direction, gradients))
        return named

    return call, values


def reference(problem: RnnProblem) -> Values:
    """By the float64 kernels, which the tests hold against twins in NumPy: one call for each direction."""
    hidden = problem.hidden
    x, grad = (a.astype(np.float64) for a in (problem.x, problem.grad))
    outputs, grad_x, named = [], 0.0, {}
    for direction, arrays in enumerate(problem.weights):
        weights = ops.RNNWeights(*[a.astype(np.float64) for a in arrays])
        output, _, tape = ops.rnn_forward(
            problem.cell,
            x,
            weights,
            lengths=problem.lengths,
            reverse=direction == 1,
            keep_tape=problem.training,
        )
        outputs.append(problem.frames(output))
        if problem.training:
            part = np.ascontiguousarray(grad[..., direction * hidden : (direction + 1) * hidden])
            grad_x_part, grad_weights, _ = ops.rnn_backward(tape, part)
            grad_x = grad_x + problem.frames(grad_x_part)
            named.update(named_weights(direction, list(grad_weights)))
    output = np.concatenate(outputs, axis=1)
    return {"output": output, "grad_x": grad_x, **named} if problem.training else {"output": output}
