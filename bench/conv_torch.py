"""Causal convolution by PyTorch: `F.conv1d` on input that is padded on the left.

Tensors are made beforehand, in PyTorch's layout (B, C, T). The padding is part of the call, as there is no
other way to a causal convolution; the gradient of the output is there as a contiguous tensor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from bench.contest import Contestant, Values
from bench.conv_problem import ConvProblem
from bench.rnn_torch import PRECISIONS


def contestant(problem: ConvProblem, dtype: str = "float32") -> Contestant:
    name, precision = PRECISIONS[dtype]
    number = getattr(torch, dtype)
    x, grad = (torch.from_numpy(a).transpose(1, 2).to(number).contiguous() for a in (problem.x, problem.grad))
    weight, bias = (torch.from_numpy(a.copy()).to(number) for a in (problem.weight, problem.bias))
    reach = (weight.shape[2] - 1) * problem.dilation

    def convolve() -> torch.Tensor:
        return functional.conv1d(functional.pad(x, (reach, 0)), weight, bias, dilation=problem.dilation)

    def inference() -> Any:
        with torch.inference_mode():
            return (convolve(),)

    def training() -> Any:
        for leaf in leaves:
            leaf.grad = None
        y = convolve()
        y.backward(grad)
        return (y, *(leaf.grad for leaf in leaves))

    leaves = [tensor.requires_grad_() for tensor in (x, weight, bias)] if problem.training else []
    return Contestant(name, training if problem.training else inference, _values, precision)


def _values(result: tuple[torch.Tensor, ...]) -> Values:
    arrays = [tensor.detach().float().numpy() for tensor in result]
    frames_first = [np.ascontiguousarray(a.transpose(0, 2, 1)) for a in arrays[:2]]
    names = ("output", "grad_x", "grad_weight", "grad_bias")
    return dict(zip(names, [*frames_first, *arrays[2:]], strict=False))
