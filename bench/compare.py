"""pyseq beside every installed peer: values compared, then times taken in turn in one process.

    python -m bench.compare [--threads 1,2] [--only lstm] [--precision highest,high] [--seconds 2]
                            [--json out.json] [--markdown]
    python -m bench.compare --grid [--threads 1,2] [--only "gru training"] [--hidden 8,16] [--batch 1,32]
    python -m bench.compare --sweep [--only gru] [--threads 1]
    python -m bench.compare --accuracy

Ends with status 1 if a system computes other values than the reference; its ratio is not printed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench import accuracy, grid, rnn_pyseq, sweep, tables
from bench.contest import PRECISIONS, Workload, select
from bench.machine import best_peaks, busy_elsewhere, describe
from bench.measure import measure
from bench.threads import limited_to
from pyseq.ops import runtime

ROUNDS = 7  # at least, of each workload


def integers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def known_precisions(text: str) -> list[str]:
    """Those asked for that this version of pyseq has, most exact first."""
    asked = [part.strip() for part in text.split(",")]
    unknown = set(asked) - set(PRECISIONS)
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: expected {', '.join(PRECISIONS)}")
    return [p for p in PRECISIONS if p in asked and p in rnn_pyseq.precisions()]


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--grid", action="store_true", help="every size, ratios as matrices")
    mode.add_argument(
        "--sweep", action="store_true", help="time against steps, batch and units, as a picture"
    )
    mode.add_argument("--accuracy", action="store_true", help="errors against float64 instead of times")
    parser.add_argument("--threads", type=integers, default=[1], metavar="N,N", help="one after the other")
    parser.add_argument("--only", metavar="PART,PART", help="workloads whose name contains one of these")
    parser.add_argument("--precision", type=known_precisions, default=",".join(PRECISIONS), metavar="P,P")
    parser.add_argument("--seconds", type=float, help="for each workload (2; in grid and sweep less)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    parser.add_argument("--hidden", type=integers, metavar="N,N", help="rows of the grid")
    parser.add_argument("--batch", type=integers, metavar="N,N", help="columns of the grid")
    return parser


def run(
    kind: str,
    workloads: Sequence[Workload],
    threads: Sequence[int],
    precisions: Sequence[str],
    time_of: Callable[[Workload], tuple[float, int]],
    save_as: Path | None = None,
) -> dict[str, Any]:
    """Measure every workload with every number of threads. `time_of` gives seconds and least rounds."""
    result: dict[str, Any] = {"kind": kind, "machine": describe(), "peaks": {}, "busy": {}, "records": []}
    for n in threads:
        with limited_to(n):
            busy = [busy_elsewhere()]
            before = runtime.machine_peaks(n)
            for workload in workloads:
                progress(f"{workload.name}, threads: {n}")
                result["records"].append(measure(workload, n, precisions, *time_of(workload)))
                save(result, save_as)
            result["peaks"][str(n)] = best_peaks(before, runtime.machine_peaks(n))._asdict()
            result["busy"][str(n)] = [*busy, busy_elsewhere()]
            save(result, save_as)
    progress("")
    return result


def save(result: dict[str, Any], path: Path | None) -> None:
    if path:
        path.write_text(json.dumps(result, indent=1))


def progress(line: str) -> None:
    """What is being measured, on a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


def main() -> None:
    parser = arguments()
    options = parser.parse_args()
    if options.accuracy:
        print(accuracy.report(options.precision))
        return
    if options.grid:
        kind, workloads = "grid", grid.workloads(options.hidden, options.batch)
        time_of: Callable[[Workload], tuple[float, int]] = grid.time_of(options.seconds)
    elif options.sweep:
        kind, workloads, time_of = "sweep", sweep.workloads(), sweep.time_of(options.seconds)
    else:
        kind, workloads = "comparison", select(None)

        def time_of(_: Workload) -> tuple[float, int]:
            return options.seconds or 2.0, ROUNDS

    chosen = select(options.only, workloads)
    if not chosen:
        parser.error(f"--only {options.only}: no workload has this in its name")
    result = run(kind, chosen, options.threads, options.precision, time_of, options.json)
    print(report_of(result, options.markdown))
    if tables.differences(result["records"]):
        sys.exit(1)


def report_of(result: dict[str, Any], markdown: bool = False) -> str:
    """The text for a result of any kind."""
    if result["kind"] == "grid":
        return tables.grid(result)
    if result["kind"] == "sweep":
        return sweep.report(result)
    return tables.comparison(result, markdown)


if __name__ == "__main__":
    main()
