"""How time grows with steps, batch and hidden units, each doubled by itself: a picture, and a fit in T."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.contest import Workload
from bench.machine import threads_in_words
from bench.measure import Record
from bench.rnn_problem import CELLS
from bench.workloads_rnn import RnnWorkload

FIGURES = Path(__file__).parent / "figures"
BASE = {"steps": 100, "batch": 32, "hidden": 128}
INPUTS = 64
VALUES = {
    "steps": (25, 50, 100, 200, 400, 800, 1600),
    "batch": (1, 2, 4, 8, 16, 32, 64, 128, 256),
    "hidden": (16, 32, 64, 128, 256, 512, 1024),
}
AXES = {"steps": "steps T", "batch": "sequences in the batch B", "hidden": "hidden units H"}
SECONDS, ROUNDS = 0.5, 3
COLOURS = {"pyseq": "#0b6e4f", "PyTorch": "#d1495b", "ONNX Runtime": "#5b6c9d", "PyTorch bfloat16": "#edae49"}
STYLES = {"highest": "-", "high": "--", "medium": ":"}


def workloads() -> list[RnnWorkload]:
    """The base point once, and every other value of each size, of every cell, in inference and training."""
    points = [dict(BASE)]
    for axis, values in VALUES.items():
        points += [{**BASE, axis: value} for value in values if value != BASE[axis]]
    return [
        RnnWorkload(cell, p["steps"], p["batch"], INPUTS, p["hidden"], training)
        for cell in CELLS
        for training in (False, True)
        for p in points
    ]


def time_of(seconds: float | None) -> Callable[[Workload], tuple[float, int]]:
    return lambda _: (seconds or SECONDS, ROUNDS)


Curves = dict[tuple[str, str], list[tuple[int, float]]]


def curves(records: list[Record], axis: str) -> Curves:
    """By system and precision: (size, seconds) along one axis through the base point."""
    found: Curves = {}
    for record in records:
        labels = record["labels"]
        if any(labels[other] != BASE[other] for other in BASE if other != axis):
            continue
        for system in record["systems"]:
            if system["agrees"]:
                key = system["name"], system["precision"]
                found.setdefault(key, []).append((labels[axis], system["median"]))
    return {key: sorted(points) for key, points in found.items()}


def line_through(points: list[tuple[int, float]]) -> tuple[float, float, float]:
    """seconds = a + b T with the least relative errors: a, b, and the largest of these errors."""
    steps, seconds = (np.array(column, dtype=float) for column in zip(*points, strict=True))
    b, a = np.polyfit(steps, seconds, 1, w=1 / seconds)
    return float(a), float(b), float(np.abs((a + b * steps) / seconds - 1).max())


def report(run: dict[str, Any]) -> str:
    """Draws a picture for each cell and number of threads; says where, and how linear time is in T."""
    lines = [f"{key}: {text}" for key, text in run["machine"].items()]
    groups: dict[tuple[str, int], list[Record]] = {}
    for record in run["records"]:
        groups.setdefault((record["labels"]["cell"], record["threads"]), []).append(record)
    for (cell, threads), records in groups.items():
        lines += ["", f"{cell}, {threads_in_words(threads)}"]
        for training in (False, True):
            chosen = [r for r in records if r["labels"]["training"] == training]
            for (name, precision), points in curves(chosen, "steps").items():
                if len(points) < 3:
                    continue
                a, b, error = line_through(points)
                what = f"{'training' if training else 'inference'}, {_label(name, precision)}"
                lines.append(
                    f"  {what}: {1e3 * a:.3f} ms + {1e6 * b:.2f} us * T, off by at most {100 * error:.0f} %"
                )
        lines.append(f"  drawn in {draw(cell, threads, records)}")
    return "\n".join(lines)


def _label(name: str, precision: str) -> str:
    return f"{name}, {precision}" if name == "pyseq" and precision != "highest" else name


def draw(cell: str, threads: int, records: list[Record]) -> Path:
    """One row of panels for inference and one for training, a column for each size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    kinds = [k for k in (False, True) if any(r["labels"]["training"] == k for r in records)]
    figure, axes = plt.subplots(
        len(kinds), len(VALUES), figsize=(11, 1 + 3.1 * len(kinds)), sharey="row", squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for row, training in zip(axes, kinds, strict=True):
        chosen = [r for r in records if r["labels"]["training"] == training]
        for panel, axis in zip(row, VALUES, strict=True):
            _panel(panel, axis, curves(chosen, axis))
        row[0].set_ylabel(f"{'training step' if training else 'inference'}, ms")
    for panel, axis in zip(axes[-1], VALUES, strict=True):
        panel.set_xlabel(AXES[axis])
    handles = {h.get_label(): h for panel in axes.flat for h in panel.get_lines()}
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles), frameon=False
    )
    base = ", ".join(f"{name[0].upper() if name != 'steps' else 'T'} {value}" for name, value in BASE.items())
    figure.suptitle(
        f"{CELLS[cell].title}, {threads_in_words(threads)}; otherwise {base}, I {INPUTS}",
        x=0.01, ha="left", fontsize=11,
    )  # fmt: skip
    FIGURES.mkdir(exist_ok=True)
    path = FIGURES / f"scaling_{cell}_{threads_in_words(threads).replace(' ', '_')}.png"
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path


def _panel(panel: Any, axis: str, found: Curves) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    for (name, precision), points in found.items():
        sizes, seconds = zip(*points, strict=True)
        panel.plot(
            sizes, [1e3 * s for s in seconds], marker="o", markersize=3.5, linewidth=1.6,
            color=COLOURS.get(name, "grey"), linestyle=STYLES[precision] if name == "pyseq" else "-",
            label=_label(name, precision),
        )  # fmt: skip
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.set_xticks(VALUES[axis])
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.grid(alpha=0.25, linewidth=0.6)
    panel.spines[["top", "right"]].set_visible(False)
