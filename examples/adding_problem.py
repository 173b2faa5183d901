"""The adding problem: two numbers among hundreds are marked, and their sum is wanted at the end.

    python examples/adding_problem.py [--model tcn|lstm] [--steps 600] [--seed 0]

Each frame holds a number, uniform in [0, 1], and a mark, which is 1 in one frame of each half of the sequence
and 0 elsewhere. Always answering 1, the mean, has an error of 1/6 = 0.167 (Hochreiter & Schmidhuber 1997; the
form and the TCN of 8 blocks, 7 taps and 30 channels: Bai, Kolter & Koltun 2018).
"""

from __future__ import annotations

import argparse

import numpy as np
from training import Network, machine, squared_error, train

from pyseq import LSTM, TCN
from pyseq.ragged import Ragged

GOOD_ENOUGH = 1e-3


def draw(rng: np.random.Generator, n: int, steps: int) -> tuple[Ragged, np.ndarray]:
    """n sequences of (steps, 2), and the sums of their marked numbers."""
    x = np.zeros((n, steps, 2), dtype=np.float32)
    x[:, :, 0] = rng.random((n, steps))
    rows, half = np.arange(n), steps // 2
    first, second = rng.integers(0, half, n), rng.integers(half, steps, n)
    x[rows, first, 1] = x[rows, second, 1] = 1
    sums = x[rows, first, 0] + x[rows, second, 0]
    return Ragged.from_padded(x, np.full(n, steps)), sums


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=("tcn", "lstm"), default="tcn")
    parser.add_argument("--steps", type=int, default=600, help="length of a sequence")
    parser.add_argument("--updates", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    encoder = TCN(30, kernel_size=7, num_blocks=8) if options.model == "tcn" else LSTM(77)
    network = Network(encoder, 2, 1, last=True, seed=options.seed)
    print(f"{encoder!r}, {network.parameters.n_parameters} parameters; {machine()}")
    error = train(
        network,
        lambda rng, n: draw(rng, n, options.steps),
        squared_error,
        n_steps=options.updates,
        batch_size=32,
        learning_rate=4e-3,
        max_grad_norm=1.0,
        seed=options.seed,
        report_every=250,
        good_enough=GOOD_ENOUGH,
    )
    print(f"T={options.steps}, seed {options.seed}: mean squared error {error:.2e} on 1000 new sequences")


if __name__ == "__main__":
    main()
