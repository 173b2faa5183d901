"""Copy memory: ten digits are shown, and wanted again a thousand frames later.

    python examples/copy_memory.py [--delay 1000] [--seed 0]

A sequence is ten digits of 1 to 8, `delay - 1` zeros, and eleven nines; wanted are zeros and then, in the
last ten frames, the ten digits. Knowing when to answer but nothing of the digits costs
10 log(8) / (delay + 20) nats a frame (Hochreiter & Schmidhuber 1997; Arjovsky et al. 2016; the TCN of 8
blocks, 8 taps and 10 channels: Bai, Kolter & Koltun 2018). A frame is the indicator of its symbol, ten
columns; Bai et al. give the symbol as one number, as `--as-number` does.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from training import Network, machine, train

from pyseq import TCN
from pyseq.ragged import Ragged
from pyseq.training.losses import softmax_cross_entropy

SHOWN, MARK, CLASSES = 10, 9, 10
GOOD_ENOUGH = 1e-3


def draw(rng: np.random.Generator, n: int, delay: int, as_number: bool) -> tuple[Ragged, np.ndarray]:
    """n sequences of delay + 20 frames, and the class wanted in each frame, one after the other."""
    digits = rng.integers(1, MARK, (n, SHOWN))
    symbols, wanted = np.zeros((2, n, delay + 2 * SHOWN), np.int64)
    symbols[:, :SHOWN] = digits
    symbols[:, -SHOWN - 1 :] = MARK
    wanted[:, -SHOWN:] = digits
    x = symbols[:, :, None].astype(np.float32) if as_number else np.eye(CLASSES, dtype=np.float32)[symbols]
    return Ragged.from_padded(x, np.full(n, x.shape[1])), wanted.ravel()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--delay", type=int, default=1000)
    parser.add_argument("--updates", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--as-number", action="store_true", help="a symbol comes in as one number")
    options = parser.parse_args()
    encoder = TCN(10, kernel_size=8, num_blocks=8)
    network = Network(encoder, 1 if options.as_number else CLASSES, CLASSES, last=False, seed=options.seed)
    print(f"{encoder!r}, {network.parameters.n_parameters} parameters; {machine()}")
    blind = SHOWN * math.log(8) / (options.delay + 2 * SHOWN)
    print(f"without memory: {blind:.3e} nats a frame")
    loss = train(
        network,
        lambda rng, n: draw(rng, n, options.delay, options.as_number),
        softmax_cross_entropy,
        n_steps=options.updates,
        batch_size=32,
        learning_rate=2e-3,
        max_grad_norm=1.0,
        seed=options.seed,
        report_every=250,
        good_enough=GOOD_ENOUGH,
        n_test=200,
    )
    print(f"delay {options.delay}, seed {options.seed}: {loss:.2e} nats a frame on 200 new sequences")


if __name__ == "__main__":
    main()
