"""Does a lower precision train as well? Loss curves of the digit lines in every precision, on one picture.

    python -m bench.training_curves [--epochs 12] [--seeds 3]

Within one precision the curves differ by their seeds alone: the spread of `highest` is what the others are
held to. Where `high` has no kernels of its own on this machine it computes what `highest` does, to the bit.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import pyseq
from pyseq.datasets import load_digit_lines
from pyseq.demo import N_TEST, N_TRAIN, make_transcriber
from pyseq.metrics import character_error_rate

PRECISIONS = ("highest", "high", "medium")
STYLES = {"highest": ("#0b6e4f", "-", 3.0), "high": ("#edae49", "--", 1.5), "medium": ("#d1495b", ":", 1.5)}
PICTURE = Path(__file__).parent / "figures" / "training_curves.png"


def fit(precision: str, seed: int, epochs: int) -> tuple[list[float], float]:
    """Loss after each epoch, and the character error rate on unseen lines."""
    lines = load_digit_lines(N_TRAIN, N_TEST, random_state=seed)
    with pyseq.config_context(precision=precision):
        model = make_transcriber(epochs=epochs, seed=seed).fit(lines.X_train, lines.y_train)
        read = model.predict(lines.X_test).tolist()
    return list(model.loss_curve_), character_error_rate(lines.y_test, read)


def draw(curves: dict[str, list[list[float]]]) -> None:
    """One line a precision and seed."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for precision, runs in curves.items():
        colour, style, width = STYLES[precision]
        for i, run in enumerate(runs):
            label = precision if i == 0 else None
            axes.plot(range(1, len(run) + 1), run, style, color=colour, linewidth=width, label=label)
    axes.set(xlabel="epoch", ylabel="CTC loss (nats a line)", yscale="log")
    axes.set_title(
        f"Digit lines, {len(next(iter(curves.values())))} seeds: one line for each precision and seed"
    )
    axes.grid(alpha=0.3)
    axes.legend(title="precision", frameon=False)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    curves: dict[str, list[list[float]]] = {}
    for precision in PRECISIONS:
        runs = [fit(precision, seed, options.epochs) for seed in range(options.seeds)]
        curves[precision] = [curve for curve, _ in runs]
        apart = np.max(np.abs(np.array(curves[precision]) / np.array(curves["highest"]) - 1))
        errors = ", ".join(f"{rate:.1%}" for _, rate in runs)
        print(
            f"{precision:8} error rates {errors}; loss at most {apart:.2%} from that of highest", flush=True
        )
    draw(curves)
    print(f"Picture: {PICTURE}")


if __name__ == "__main__":
    main()
