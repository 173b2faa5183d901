"""Results as tables, for a terminal or in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bench import results
from bench.contest import PRECISIONS
from bench.machine import busy_in_words, peaks_in_words, threads_in_words
from bench.measure import Record

SCALING_FROM = 1e6  # operations of a step from which a second thread must bring SCALING_TARGET
SCALING_TARGET = 1.8

FORMULA = (
    "Times: medians in milliseconds. Ratio: the best peer's time over ours, median of the rounds' ratios. "
    "GF/s: operations of the matrix products over the median time; training counts three times its forward "
    "pass. Peak: float32 multiply-adds, measured in this run with as many threads. "
    "Spread: distance of the quartiles of our times over their median; large on a machine that is busy."
)


def milliseconds(seconds: float) -> str:
    """Three digits."""
    ms = 1e3 * seconds
    return f"{ms:.4f}" if ms < 0.1 else f"{ms:.3f}" if ms < 1 else f"{ms:.2f}" if ms < 100 else f"{ms:.0f}"


def as_text(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """First column to the left, others to the right."""
    lines = [list(headers), *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headers))]
    return "\n".join(
        "  ".join(
            cell.rjust(w) if i else cell.ljust(w)
            for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def as_markdown(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(headers), ["---"] * len(headers), *[list(row) for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _target(ratio: float | None, target: float | None) -> tuple[str, str]:
    if target is None:
        return "", ""
    return f"{target:g}", "" if ratio is None else "met" if ratio >= target else "NOT met"


def _spread(system: Record | None) -> str:
    """Distance of the quartiles over the median."""
    if system is None or not system["agrees"]:
        return ""
    low, high = system["quartiles"]
    return f"{100 * (high - low) / system['median']:.0f} %"


def _row(record: Record, precision: str, systems: list[str], peak: float, records: list[Record]) -> list[str]:
    by_name = {s["name"]: s for s in record["systems"] if not s["ours"]}
    shown = {s["name"] for s in results.peers(record, precision)}
    mine = results.ours(record, precision)
    times = [mine, *[by_name.get(name) if name in shown else None for name in systems]]
    ratio, rate = results.ratio(record, precision), results.gflops(record, precision)
    speedup = results.speedup(record, records, precision)
    scaling = "" if speedup is None else f"{speedup:.2f}"
    if speedup is not None and record["step_operations"] > SCALING_FROM and speedup < SCALING_TARGET:
        scaling += "!"
    return [
        record["workload"],
        precision,
        *[milliseconds(s["median"]) if s and s["agrees"] else "" for s in times],
        "none" if ratio is None else f"{ratio:.2f}",
        *_target(ratio, record["targets"].get(precision)),
        "" if rate is None else f"{rate:.0f}",
        "" if rate is None else f"{100 * rate / peak:.0f} %",
        _spread(mine),
        scaling,
    ]


def comparison(run: dict[str, Any], markdown: bool = False) -> str:
    """The whole report of a comparison: machine, and for each number of threads its peaks and its table."""
    lines = [f"{key}: {text}" for key, text in run["machine"].items()] + [FORMULA]
    records: list[Record] = run["records"]
    for threads, peaks in run["peaks"].items():
        chosen = [record for record in records if record["threads"] == int(threads)]
        systems = list(dict.fromkeys(s["name"] for r in chosen for s in r["systems"] if not s["ours"]))
        headers = [
            "workload", "precision", "pyseq ms", *[f"{name} ms" for name in systems],
            "ratio", "target", "", "GF/s", "of peak", "spread", "x 1 thread",
        ]  # fmt: skip
        rows = [
            _row(record, precision, systems, peaks["float32_gflops"], records)
            for record in chosen
            for precision in PRECISIONS
            if results.ours(record, precision)
        ]
        if not any(row[-1] for row in rows):
            headers, rows = headers[:-1], [row[:-1] for row in rows]
        lines += ["", f"{threads_in_words(int(threads))}. Peaks: {peaks_in_words(peaks)}."]
        lines += [busy_in_words(run["busy"][threads]), ""]
        lines += [(as_markdown if markdown else as_text)(headers, rows), *differences(chosen)]
    if len({record["threads"] for record in records}) > 1:
        lines += [
            "",
            f"x 1 thread: our own gain; ! below {SCALING_TARGET} where a step has over 1 million operations.",
        ]
    return "\n".join(lines)


def differences(records: Iterable[Record]) -> list[str]:
    """A line for each comparison that was refused."""
    return [
        f"no ratio for {record['workload']} ({precision}): {words}"
        for record in records
        for precision in PRECISIONS
        if results.ours(record, precision) and (words := results.disagreement(record, precision))
    ]


def grid(run: dict[str, Any]) -> str:
    """Ratios by hidden units and batch, a matrix for each cell, kind and number of threads."""
    lines = [f"{key}: {text}" for key, text in run["machine"].items()]
    lines += [
        "Ratio of the best peer's time to ours; * below 1. Rows: hidden units; columns: batch. 64 inputs."
    ]
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in run["records"]:
        labels = record["labels"]
        groups.setdefault((record["threads"], labels["cell"], labels["training"]), []).append(record)
    lost = 0
    for (threads, cell, training), records in groups.items():
        for precision in PRECISIONS:
            cells = {
                (r["labels"]["hidden"], r["labels"]["batch"]): results.ratio(r, precision)
                for r in records
                if results.ours(r, precision)
            }
            if not cells:
                continue
            lost += sum(value is not None and value < 1 for value in cells.values())
            lines += [
                "",
                f"{cell} {'training' if training else 'inference'}, {precision}, {threads_in_words(threads)}",
            ]
            lines += [_matrix(cells)]
        lines += differences(records)
    return "\n".join([*lines, "", f"below 1: {lost} of {len(run['records'])} points"])


def _matrix(cells: dict[tuple[int, int], float | None]) -> str:
    batches = sorted({batch for _, batch in cells})

    def shown(value: float | None) -> str:
        return "none" if value is None else f"{value:.2f}{'*' if value < 1 else ' '}"

    rows = [
        [str(hidden), *[shown(cells[hidden, b]) if (hidden, b) in cells else "" for b in batches]]
        for hidden in sorted({hidden for hidden, _ in cells})
    ]
    return as_text(["H", *[f"B {b} " for b in batches]], rows)
