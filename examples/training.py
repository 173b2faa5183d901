"""A training loop of one's own over pyseq's layers: batches drawn anew for every step, Adam, clipping.

The estimators train on a data set; the tasks of these examples have as much data as one cares to draw.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from pyseq.layers import POOLINGS, Dense, FlatParameters, Layer
from pyseq.ops import runtime
from pyseq.ragged import Ragged
from pyseq.training.loop import clipping_scale
from pyseq.training.losses import LossValue
from pyseq.training.optimizers import Adam
from pyseq.training.schedules import cosine

Draw = Callable[[np.random.Generator, int], tuple[Ragged, np.ndarray]]
Loss = Callable[[np.ndarray, np.ndarray], LossValue]


class Network:
    """An encoder and a linear head, on the last frame of each sequence or on every frame."""

    def __init__(self, encoder: Layer, n_features: int, n_outputs: int, *, last: bool, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.encoder = encoder.build(n_features, random_state=rng)
        self.head = Dense(n_outputs).build(encoder.n_features_out_, random_state=rng)
        self.last = last
        self.parameters = FlatParameters([self.encoder, self.head])

    def forward(self, x: Ragged, **options: Any) -> tuple[np.ndarray, Any]:
        """Outputs, a row for each sequence or frame, and the tapes."""
        encoded, encoder_tape = self.encoder.forward(x, **options)
        pooling_tape = None
        if self.last:
            rows, pooling_tape = POOLINGS["last"].forward(encoded, self.encoder.reversed_columns_)
            encoded = Ragged(rows, np.ones(len(x), dtype=np.int64))
        outputs, head_tape = self.head.forward(encoded, **options)
        return outputs.values, (encoder_tape, pooling_tape, head_tape, outputs)

    def backward(self, tape: Any, gradient: np.ndarray) -> None:
        encoder_tape, pooling_tape, head_tape, outputs = tape
        grad = self.head.backward(head_tape, outputs.with_values(gradient))
        if self.last:
            grad = POOLINGS["last"].backward(pooling_tape, grad.values)
        self.encoder.backward(encoder_tape, grad, need_grad_x=False)


def squared_error(outputs: np.ndarray, targets: np.ndarray) -> LossValue:
    """Mean of (output - target)^2 over the sequences; outputs (B, 1), targets (B,)."""
    errors = outputs[:, 0] - targets
    return LossValue(float(np.mean(errors**2)), (2 / len(errors) * errors)[:, None], len(errors))


def evaluate(network: Network, draw: Draw, loss: Loss, n_sequences: int, seed: int) -> float:
    """Mean loss over sequences that training never saw."""
    rng = np.random.default_rng(seed)
    values = [
        loss(network.forward(x)[0], y).loss for x, y in (draw(rng, 50) for _ in range(n_sequences // 50))
    ]
    return float(np.mean(values))


def train(
    network: Network,
    draw: Draw,
    loss: Loss,
    *,
    n_steps: int,
    batch_size: int,
    learning_rate: float,
    max_grad_norm: float | None,
    seed: int,
    report_every: int,
    good_enough: float,
    n_test: int = 1000,
) -> float:
    """Train, print the test loss now and then, stop where it is good enough; the last test loss."""
    rng = np.random.default_rng(seed)
    optimizer = Adam(network.parameters)
    begun, recent, test = time.perf_counter(), [], float("nan")
    for step in range(1, n_steps + 1):
        x, targets = draw(rng, batch_size)
        network.parameters.zero_gradients()
        outputs, tape = network.forward(x, training=True, rng=rng)
        value = loss(outputs, targets)
        network.backward(tape, value.gradient)
        _, scale = clipping_scale(network.parameters.gradients, max_grad_norm)
        optimizer.update(learning_rate * cosine(step, n_steps, warmup=0.02, final=0.01), scale)
        recent.append(value.loss)
        if step % report_every == 0 or step == n_steps:
            test = evaluate(network, draw, loss, n_test, seed + 1)
            seconds = time.perf_counter() - begun
            print(
                f"step {step:6d}  {seconds:6.0f} s  loss {np.mean(recent):.3e}  test {test:.3e}", flush=True
            )
            recent = []
            if test < good_enough:
                break
    return test


def machine() -> str:
    """What a result was made on."""
    return f"{runtime.get_num_threads()} threads, {runtime.active_tier()}, {platform.machine()}"
