"""Recurrent kernels from Python beside PyTorch's modules, in one process and in turn.

Training is the forward pass and all gradients, of x too. Values are compared before anything is timed.

    python bench/recurrent_torch.py [--threads 1] [--seconds 2]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import nn

from pyseq import ops

MODULES = {"lstm": nn.LSTM, "gru": nn.GRU, "elman": nn.RNN}
# cell, steps, batch, inputs, hidden units, training
WORKLOADS = [
    ("lstm", 100, 1, 16, 32, False),
    ("gru", 100, 1, 16, 32, False),
    ("lstm", 100, 32, 64, 128, False),
    ("lstm", 100, 32, 16, 32, True),
    ("gru", 100, 32, 16, 32, True),
    ("elman", 100, 32, 16, 32, True),
    ("lstm", 100, 32, 64, 128, True),
    ("gru", 100, 32, 64, 128, True),
    ("lstm", 100, 64, 256, 256, True),
]


def medians(calls: list[Callable[[], object]], seconds: float) -> list[float]:
    """Milliseconds of each call, taken in turn for so many seconds."""
    times: list[list[float]] = [[] for _ in calls]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 5:
        for call, own in zip(calls, times, strict=True):
            begun = time.perf_counter()
            call()
            own.append(1e3 * (time.perf_counter() - begun))
    return [statistics.median(own) for own in times]


def compare(cell: str, T: int, B: int, I: int, H: int, training: bool, seconds: float) -> None:
    """Check, time and print one workload."""
    rng = np.random.default_rng(0)
    x, grad = (rng.standard_normal((B, T, n)).astype(np.float32) for n in (I, H))
    module = MODULES[cell](I, H, batch_first=True)
    weights = ops.RNNWeights(*(p.detach().numpy() for p in module.parameters()))
    tx, tgrad = torch.from_numpy(x), torch.from_numpy(grad)

    def ours() -> list[np.ndarray]:
        y, _, tape = ops.rnn_forward(cell, x, weights, keep_tape=training)
        return [y, ops.rnn_backward(tape, grad)[0]] if training else [y]

    def theirs() -> list[torch.Tensor]:
        if not training:
            with torch.inference_mode():
                return [module(tx)[0]]
        module.zero_grad()
        leaf = tx.detach().requires_grad_()
        y, _ = module(leaf)
        y.backward(tgrad)
        return [y, leaf.grad]

    for a, tensor in zip(ours(), theirs(), strict=True):
        b = tensor.detach().numpy()
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max())
    mine, peer = medians([ours, theirs], seconds)
    what = f"{cell:5} {'training ' if training else 'inference'} {T}/{B}/{I}/{H}"
    print(f"{what}: pyseq {mine:8.3f} ms, PyTorch {peer:8.3f} ms, ratio {peer / mine:5.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with threadpool_limits(options.threads, user_api="openmp"):
        for workload in WORKLOADS:
            compare(*workload, options.seconds)


if __name__ == "__main__":
    main()
