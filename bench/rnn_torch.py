"""Recurrent layers by PyTorch: `nn.LSTM`, `nn.GRU`, `nn.RNN`.

Everything that a caller could prepare once stands outside the timed call: the tensors, and for sequences of
different lengths the packing. Padded sequences run over the padding, which for one direction gives the same
values in the frames that exist.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from bench.contest import Contestant, Values
from bench.rnn_problem import RnnProblem, named_weights

MODULES = {"lstm": nn.LSTM, "gru": nn.GRU, "elman": nn.RNN}
PRECISIONS = {"float32": ("PyTorch", "highest"), "bfloat16": ("PyTorch bfloat16", "medium")}


def module_of(problem: RnnProblem) -> nn.Module:
    """The module with the problem's weights."""
    bidirectional = len(problem.weights) == 2
    kind = MODULES[problem.cell]
    module = kind(problem.x.shape[2], problem.hidden, batch_first=True, bidirectional=bidirectional)
    arrays = [array for direction in problem.weights for array in direction]
    with torch.no_grad():
        for parameter, array in zip(module.parameters(), arrays, strict=True):
            parameter.copy_(torch.from_numpy(array))
    return module


def contestant(problem: RnnProblem, dtype: str, packed: bool = False) -> Contestant:
    """Padded unless `packed`."""
    name, precision = PRECISIONS[dtype]
    number = getattr(torch, dtype)
    module = module_of(problem).to(number)
    exists = np.arange(problem.x.shape[1]) < problem.lengths[:, None]
    x, grad = (torch.from_numpy(a * exists[..., None]).to(number) for a in (problem.x, problem.grad))
    if packed:
        lengths = torch.from_numpy(problem.lengths)
        x, grad = (
            pack_padded_sequence(a, lengths, batch_first=True, enforce_sorted=False) for a in (x, grad)
        )
    call = _training(module, x, grad) if problem.training else _inference(module, x)
    return Contestant(name, call, lambda result: _values(problem, module, *result), precision)


def _inference(module: nn.Module, x: Any) -> Any:
    def call() -> Any:
        with torch.inference_mode():
            return (module(x)[0],)

    return call


def _data(x: Any) -> torch.Tensor:
    return x.data if isinstance(x, PackedSequence) else x


def _training(module: nn.Module, x: Any, grad: Any) -> Any:
    leaf = _data(x).clone().requires_grad_()
    inputs = x._replace(data=leaf) if isinstance(x, PackedSequence) else leaf
    parameters, grad_data = [leaf, *module.parameters()], _data(grad)

    def call() -> Any:
        for parameter in parameters:
            parameter.grad = None
        output, _ = module(inputs)
        _data(output).backward(grad_data)
        return output, leaf.grad

    return call


def _values(problem: RnnProblem, module: nn.Module, output: Any, grad_x: Any = None) -> Values:
    def rows(tensor: torch.Tensor) -> np.ndarray:
        if isinstance(output, PackedSequence):
            tensor, _ = pad_packed_sequence(output._replace(data=tensor), batch_first=True)
        return problem.frames(tensor.detach().float().numpy())

    if grad_x is None:
        return {"output": rows(_data(output))}
    named = {"output": rows(_data(output)), "grad_x": rows(grad_x)}
    gradients = [parameter.grad.float().numpy() for parameter in module.parameters()]
    for direction in range(len(problem.weights)):
        named.update(named_weights(direction, gradients[4 * direction : 4 * direction + 4]))
    return named
