"""A generator that goes on with a recorded waveform, and a picture of what it draws.

    python examples/waveform.py [--out docs/waveform.png] [--seed 0]

The series is a recording of a nerve cell's membrane potential that comes with matplotlib (`membrane.dat`),
every second sample of the part in which the cell fires. A WaveNet under a GRU learns the density of each
sample given those before it, a mixture of ten Gaussians, from the first four fifths. Prompted with that part,
it goes on by itself. Its log-likelihood is measured on the last fifth, which it never saw.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data
from training import machine

from pyseq import GRU, Chain, SequenceGenerator, WaveNet

FIRST, LAST, EVERY = 2000, 10_800, 2  # samples of the recording
DRAWN, SHOWN = 600, 300  # samples that are generated, and of the recording before them
DARK, LIGHT, WARM, FAINT = "#1f4e79", "#9dc3e6", "#c55a11", "#8c8c8c"


def recording() -> np.ndarray:
    """Membrane potential, in the units of the recording."""
    with get_sample_data("membrane.dat") as file:
        return np.frombuffer(file.read(), np.float32)[FIRST:LAST:EVERY].astype(np.float64)


def spikes(x: np.ndarray, before: int = 22, after: int = 40) -> np.ndarray:
    """Pieces of x around its highest points."""
    peaks = [
        t
        for t in range(before, len(x) - after)
        if x[t] > -0.2 and x[t] == x[t - before : t + after].max() and x[t] > x[t - 1]
    ]
    return np.array([x[t - before : t + after] for t in peaks])


def draw(axes: dict[str, plt.Axes], known: np.ndarray, held_out: np.ndarray, drawn: list[np.ndarray]) -> None:
    shown = known[-SHOWN:]
    after = np.arange(DRAWN) + SHOWN
    for name, (series, color, label) in {
        "recorded": (held_out[:DRAWN], FAINT, "recorded, not shown to the model"),
        "first": (drawn[0], WARM, "generated"),
        "second": (drawn[1], WARM, "generated, another draw"),
    }.items():
        axes[name].plot(shown, color=DARK, linewidth=1)
        axes[name].plot(after, series, color=color, linewidth=1)
        axes[name].axvline(SHOWN, color=FAINT, linewidth=0.8, linestyle=":")
        axes[name].text(SHOWN + 5, 0.12, label, color=color, va="bottom")
        axes[name].set_xlim(-5, SHOWN + DRAWN + 5)
        axes[name].set_ylim(-0.6, 0.19)
    axes["recorded"].text(0, 0.12, "recorded", color=DARK, va="bottom")
    axes["second"].set_xlabel("sample")
    for series, color in ((known, DARK), (np.concatenate(drawn), WARM)):
        around = spikes(series)
        axes["spikes"].plot(around.T, color=color, linewidth=0.5, alpha=0.12)
        axes["spikes"].plot(np.median(around, axis=0), color=color, linewidth=2)
    axes["spikes"].set_title("all spikes, and their medians", fontsize=10)
    axes["spikes"].set_xlabel("sample")
    bins = np.linspace(-0.6, 0.1, 50)
    for series, color, label in (
        (known, DARK, "recorded"),
        (np.concatenate(drawn), WARM, "generated"),
    ):
        axes["values"].hist(
            series, bins, density=True, histtype="step", color=color, linewidth=1.5, label=label
        )
    axes["values"].set_title("distribution of the values", fontsize=10)
    axes["values"].legend(frameon=False, fontsize=9)
    axes["values"].set_yticks([])
    for name in ("recorded", "first"):
        axes[name].tick_params(labelbottom=False)
    for one in axes.values():
        one.spines[["top", "right"]].set_visible(False)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs/waveform.png"))
    parser.add_argument("--epochs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    x = recording()
    cut = int(0.8 * len(x))
    known, held_out = x[:cut], x[cut:]

    encoder = Chain([WaveNet(32, 64, dilation_cycle=6, num_cycles=1), GRU(96)])
    model = SequenceGenerator(
        encoder,
        values="mixture",
        tbptt_steps=128,
        batch_size=8,
        max_iter=options.epochs,
        learning_rate_init=3e-3,
        learning_rate="cosine",
        n_iter_no_change=np.inf,
        random_state=options.seed,
    )
    begun = time.perf_counter()
    model.fit([known])
    seconds = time.perf_counter() - begun
    print(f"{encoder!r}: {model.n_parameters_} parameters; {machine()}")
    print(f"{len(known)} samples learned from in {seconds:.0f} s, seed {options.seed}")
    print(f"log-likelihood: {model.score([known]):.3f} nats a sample, held out {model.score([held_out]):.3f}")
    begun = time.perf_counter()
    drawn = model.generate(known, DRAWN, n_samples=8, random_state=options.seed)
    seconds = time.perf_counter() - begun
    print(f"8 times {DRAWN} samples behind a prompt of {len(known)} drawn in {seconds:.2f} s")

    layout = [["recorded"] * 2, ["first"] * 2, ["second"] * 2, ["spikes", "values"]]
    figure, axes = plt.subplot_mosaic(
        layout, figsize=(9, 7.5), layout="constrained", height_ratios=(1, 1, 1, 1.5)
    )
    draw(axes, known, held_out, drawn)
    figure.savefig(options.out, dpi=110)
    print(options.out)


if __name__ == "__main__":
    main()
