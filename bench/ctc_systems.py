"""CTC loss and gradient by pyseq and its peers.

Everything that a caller could prepare once stands outside the timed call: tensors, their layout (time first,
as PyTorch and warp-ctc want it), lengths.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.contest import Contestant, Values
from bench.ctc_problem import CtcProblem
from pyseq import ops

# Peers add logarithms in float32, which costs them digits in the gradient: the more, the longer the sequence.
# Their losses have to agree as everyone's.
PEER_GRADIENT = {"gradient": 0.3}


def pyseq(problem: CtcProblem, *, reuse: bool) -> Contestant:
    """`ops.ctc_loss_and_grad`, the gradient in a new array, or in the same one every time."""
    logits, targets = problem.logits, problem.targets
    out = np.empty_like(logits) if reuse else None

    def call() -> Any:
        return ops.ctc_loss_and_grad(logits, targets, out=out)

    return Contestant("pyseq", call, lambda result: problem.values(*result), ours=True)


def pytorch(problem: CtcProblem) -> Contestant:
    """`log_softmax`, `ctc_loss` and backward."""
    import torch
    from torch.nn.functional import ctc_loss, log_softmax

    batch, steps, _ = problem.logits.shape
    x = torch.from_numpy(problem.logits).transpose(0, 1).contiguous().requires_grad_()
    targets = torch.from_numpy(problem.targets)
    lengths = torch.full((batch,), steps), torch.full((batch,), problem.targets.shape[1])

    def call() -> Any:
        x.grad = None
        losses = ctc_loss(log_softmax(x, -1), targets, *lengths, reduction="none")
        losses.sum().backward()
        return losses, x.grad

    return Contestant("PyTorch", call, lambda result: _values(problem, *result), limits=PEER_GRADIENT)


def warp_ctc(problem: CtcProblem) -> Contestant:
    """The PyTorch binding of warp-ctc: softmax is part of its loss."""
    import torch
    from warpctc_pytorch import CTCLoss

    batch, steps, _ = problem.logits.shape
    loss = CTCLoss(blank=0)
    x = torch.from_numpy(problem.logits).transpose(0, 1).contiguous().requires_grad_()
    targets = torch.from_numpy(problem.targets).int().flatten()
    lengths = torch.full((batch,), steps).int(), torch.full((batch,), problem.targets.shape[1]).int()

    def call() -> Any:
        x.grad = None
        total = loss(x, targets, *lengths)
        total.backward()
        return total, x.grad

    def values(result: Any) -> Values:
        total, gradient = result
        # It tells the sum of the losses alone: spread here so that the same sum is compared.
        named = _values(problem, total, gradient)
        share = named["losses"] / ops.ctc_loss(problem.logits, problem.targets).sum(dtype=np.float64)
        return {**named, "losses": share * ops.ctc_loss(problem.logits, problem.targets)}

    return Contestant("warp-ctc", call, values, limits=PEER_GRADIENT)


def _values(problem: CtcProblem, losses: Any, gradient: Any) -> Values:
    return problem.values(losses.detach().numpy(), gradient.transpose(0, 1).numpy())
