"""Every recurrent cell beside the LSTM, training, in turn.

    python -m bench.cells [--threads 1] [--seconds 1]

No peer runs most of them on a CPU, so the measure is our own LSTM of the same sizes: a cell is as fast as it
should be if its share of the LSTM's time is about its share of the LSTM's multiply-adds. A projection to half
the units counts as the cell has it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.contest import Contestant
from bench.threads import limited_to
from bench.timing import take_turns
from pyseq import ops

SIZES = ((100, 32, 16, 32), (100, 32, 64, 128), (100, 64, 256, 256))  # steps, sequences, inputs, units


def training(cell: str, sizes: tuple[int, int, int, int]) -> tuple[Callable[[], Any], float]:
    """A call of forward and backward, and its multiply-adds."""
    steps, batch, inputs, hidden = sizes
    rng, info = np.random.default_rng(0), ops.CELLS[cell]
    output = hidden // 2 if info.projects else hidden
    shapes = info.shapes(inputs, hidden, output).values()
    weights = info.weights(*(0.1 * rng.standard_normal(shape).astype(np.float32) for shape in shapes))
    x = rng.standard_normal((batch, steps, inputs)).astype(np.float32)
    grad = rng.standard_normal((batch, steps, output)).astype(np.float32)

    def call() -> Any:
        _, _, tape = ops.rnn_forward(cell, x, weights)
        return ops.rnn_backward(tape, grad)

    projection = hidden * output if info.projects else 0
    frame = hidden * (info.gates * inputs + info.recurrent_gates * output) + projection
    return call, 3.0 * steps * batch * frame


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each cell and size")
    options = parser.parse_args()
    cells = sorted(ops.CELLS, key=lambda cell: cell != "lstm")
    print(f"{'cell':18}{'sizes':>16}{'ms':>9}  of LSTM's time  of its multiply-adds  GF/s")
    for sizes in SIZES:
        calls = [training(cell, sizes) for cell in cells]
        contestants = [Contestant(cell, call, dict) for cell, (call, _) in zip(cells, calls, strict=True)]
        with limited_to(options.threads):
            turns = take_turns(contestants, options.seconds * len(cells), rounds=5)
        # A row for each cell, a column for each round.
        rounds = np.array([[np.median(block) for block in blocks] for blocks in turns])
        for cell, (_, products), seconds in zip(cells, calls, rounds, strict=True):
            share, median = np.median(seconds / rounds[0]), np.median(seconds)
            print(
                f"{cell:18}{'/'.join(map(str, sizes)):>16}{median * 1e3:9.3f}{share:16.2f}"
                f"{products / calls[0][1]:22.2f}{2e-9 * products / median:6.0f}"
            )


if __name__ == "__main__":
    main()
