"""Draws what one frame of a TCN's output sees: the frames of every layer that reach it, and by which taps.

    python examples/receptive_field.py [--out docs/receptive_field.png]

The lower part asks the network itself: it shows the size of the gradient of the last output frame by every
input frame, on a logarithmic scale, for random weights. It is exactly zero beyond `TCN.receptive_field`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from pyseq import TCN
from pyseq.ragged import Ragged

FRAMES = 34
DARK, LIGHT, FAINT = "#1f4e79", "#9dc3e6", "#d9d9d9"


def tap_frames(tcn: TCN) -> list[set[int]]:
    """Frames of each level that reach the last output frame, output first, input last."""
    levels = [{FRAMES - 1}]
    for block in reversed(range(tcn.num_blocks)):
        dilation = tcn.dilation_base**block
        for _ in range(2):
            levels.append({t - k * dilation for t in levels[-1] for k in range(tcn.kernel_size)})
    return levels


def draw_taps(axes: plt.Axes, tcn: TCN) -> None:
    levels, height = tap_frames(tcn), 2 * tcn.num_blocks
    for depth, reached in enumerate(levels):
        level = height - depth
        axes.scatter(range(FRAMES), [level] * FRAMES, s=18, color=FAINT, zorder=2)
        axes.scatter(sorted(reached), [level] * len(reached), s=26, color=DARK, zorder=3)
        if level == 0:
            break
        dilation = tcn.dilation_base ** ((level - 1) // 2)
        for t in reached:
            for k in range(tcn.kernel_size):
                axes.plot([t, t - k * dilation], [level, level - 1], color=LIGHT, linewidth=1, zorder=1)
        axes.text(FRAMES + 0.2, level - 0.5, f"dilation {dilation}", va="center", fontsize=8, color="#555555")
    axes.set_yticks(range(height + 1), ["input", *[f"conv {n}" for n in range(1, height)], "output"])
    axes.set_title(f"{tcn!r} sees {tcn.receptive_field} frames", fontsize=10)
    axes.set_xlim(-1, FRAMES + 5)


def draw_gradient(axes: plt.Axes, tcn: TCN) -> None:
    tcn.build(1, dtype="float64", random_state=0)
    x = Ragged(np.random.default_rng(0).standard_normal((FRAMES, 1)), [FRAMES])
    tcn.zero_gradients()
    y, tape = tcn.forward(x, training=True)
    last = np.zeros_like(y.values)
    last[-1] = 1
    size = np.abs(tcn.backward(tape, y.with_values(last)).values[:, 0])
    seen = np.flatnonzero(size)
    axes.bar(seen, size[seen], color=DARK, width=0.8)
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.3 * size[seen].min(), top=3 * size[seen].max())
    axes.set_xticks(range(0, FRAMES, 5))
    axes.set_xlabel("frame")
    axes.set_ylabel("gradient of the last\noutput by the input")
    axes.axvspan(-1, FRAMES - tcn.receptive_field - 0.5, color=FAINT, alpha=0.4, linewidth=0)
    axes.text(0, size[seen].max(), "not seen", va="center", fontsize=8, color="#555555")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs/receptive_field.png"))
    options = parser.parse_args()
    tcn = TCN(8, kernel_size=3, num_blocks=3)
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(9, 5.2), sharex=True, height_ratios=(3, 1.2), layout="constrained"
    )
    draw_taps(above, tcn)
    draw_gradient(below, tcn)
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(options.out, dpi=110)
    print(f"{options.out}: {tcn.receptive_field} frames")


if __name__ == "__main__":
    main()
