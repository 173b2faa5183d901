"""Tokens a second, one after the other, on one core.

    python -m bench.generation [--seconds 2]

Networks read a token and draw the next: a WaveNet of 30 layers (64 residual and 64 skip channels, 2 taps,
dilations 1 to 512 three times, 256 classes), and LSTMs over an embedding with 65 classes. pyseq runs them in
one native loop, `ops.Stream.generate`; PyTorch, where it is installed, in a Python loop, which is how it is
done there: embedding, `nn.LSTM` on one step, linear layer, softmax, `torch.multinomial`. Each of ours also in
precision "medium". Times are medians of blocks, in turn; ratios those of a round, then their median.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from bench.threads import installed, limited_to
from pyseq import config_context, ops

TOKENS = 400  # of a block


def weights(*shape: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)


def wavenet(layers: int = 30, residual: int = 64, skip: int = 64, classes: int = 256) -> Callable[[], None]:
    stream = ops.Stream(1, 1)
    x, total = stream.embedding(0, weights(classes, residual)), None
    for layer in range(layers):
        both = stream.convolution(
            x, weights(2 * residual, residual, 2), weights(2 * residual), dilation=2 ** (layer % 10)
        )
        gated = stream.gate(both)
        skipped = stream.dense(gated, weights(skip, residual), weights(skip))
        total = skipped if total is None else stream.add(total, skipped)
        x = stream.add(x, stream.dense(gated, weights(residual, residual), weights(residual)))
    hidden = stream.elementwise(total, "relu")
    hidden = stream.elementwise(stream.dense(hidden, weights(skip, skip), weights(skip)), "relu")
    return _block(stream, stream.dense(hidden, weights(classes, skip), weights(classes)))


def lstm(units: int, classes: int = 65) -> Callable[[], None]:
    stream = ops.Stream(1, 1)
    shapes = (4 * units, units), (4 * units, units), (4 * units,), (4 * units,)
    x = stream.embedding(0, weights(classes, units))
    x = stream.recurrent(x, "lstm", ops.RNNWeights(*(weights(*shape) for shape in shapes)))
    return _block(stream, stream.dense(x, weights(classes, units), weights(classes)))


def _block(stream: ops.Stream, logits: int) -> Callable[[], None]:
    uniforms, prompt = np.random.default_rng(0).random((TOKENS, 1)), np.zeros((1, 1), dtype=np.int64)

    def run() -> None:
        stream.generate(prompt, uniforms, logits)

    return run


def torch_lstm(units: int, classes: int = 65) -> Callable[[], None]:
    import torch

    embedding, cell = torch.nn.Embedding(classes, units), torch.nn.LSTM(units, units)
    head = torch.nn.Linear(units, classes)

    def run() -> None:
        token, state = torch.zeros(1, 1, dtype=torch.long), None
        with torch.no_grad():
            for _ in range(TOKENS):
                y, state = cell(embedding(token), state)
                token = torch.multinomial(torch.softmax(head(y[0, 0]), 0), 1).reshape(1, 1)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="for each network")
    seconds = parser.parse_args().seconds
    runs = {}
    for precision in ("highest", "medium"):
        with config_context(precision=precision):
            runs |= {f"WaveNet, {precision}": wavenet()}
            runs |= {f"LSTM {units}, {precision}": lstm(units) for units in (256, 512)}
    if installed("torch"):
        runs |= {f"LSTM {units}, PyTorch": torch_lstm(units) for units in (256, 512)}
    times: dict[str, list[float]] = {name: [] for name in runs}
    with limited_to(1):
        end = time.perf_counter() + seconds * len(runs)
        while time.perf_counter() < end:
            for name, run in runs.items():
                run()
                begun = time.perf_counter()
                run()
                times[name].append((time.perf_counter() - begun) / TOKENS)
    for name, samples in times.items():
        median = float(np.median(samples))
        peer = times.get(f"{name.split(',')[0]}, PyTorch", samples)
        ratio = float(np.median(np.divide(peer, samples)))
        print(
            f"{name:18} {median * 1e6:8.1f} microseconds a token, {1 / median:8,.0f} a second, "
            f"best {min(samples) * 1e6:8.1f}" + (f", PyTorch {ratio:.1f} times as long" if ratio != 1 else "")
        )


if __name__ == "__main__":
    main()
