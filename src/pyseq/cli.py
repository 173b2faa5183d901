"""The command ``pyseq``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from pyseq import __version__, _core, demo

__all__ = ["info", "main"]

DEPENDENCIES = ("numpy", "scipy", "scikit-learn", "tqdm", "safetensors", "rapidfuzz")
OPTIONAL = ("matplotlib", "pandas", "torch", "onnx", "onnxruntime")
ENVIRONMENT = ("PYSEQ_ISA", "OMP_NUM_THREADS", "OMP_PROC_BIND", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")

INTERRUPTED, READER_GONE = 130, 141  # what a shell reports of programs that SIGINT and SIGPIPE end
LARGEST_SEED = 2**32 - 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        What stands after ``pyseq``; by default what the process was called with.

    Returns
    -------
    status : int
        0 if all went well.
    """
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader, `head` perhaps, has gone. Python would complain once more on flushing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    return status


def info() -> str:
    """What a bug report needs to tell: versions, CPU tier, threads, and settings in the environment.

    Returns
    -------
    text : str
        One "name  value" a line.
    """
    tiers = ", ".join(_core.available_tiers())
    rows = [
        ("pyseq", __version__),
        ("python", f"{platform.python_version()} ({platform.python_implementation()})"),
        ("platform", platform.platform()),
        ("cpu", _cpu_name()),
        ("tier", f"{_core.active_tier()} of {tiers}"),
        ("threads", f"{_core.get_num_threads()} of {os.cpu_count()} processors"),
        ("compiler", _core.compiler()),
    ]
    rows += [(name, os.environ[name]) for name in ENVIRONMENT if name in os.environ]
    rows += [("", ""), *((name, _version(name) or "not installed") for name in DEPENDENCIES)]
    rows += [(name, version) for name in OPTIONAL if (version := _version(name))]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {value}".rstrip() for name, value in rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pyseq", description="Sequence models on ordinary machines.")
    commands = parser.add_subparsers(required=True, metavar="command")

    show = commands.add_parser(
        "demo",
        help="train a model that reads lines of handwritten digits",
        description="Train a convolution, a bidirectional LSTM and CTC on lines of real handwritten digits, "
        "print how well the model reads lines of scans it has never seen, and draw what it does.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    show.add_argument(
        "--output", type=Path, default=Path("pyseq_demo.png"), metavar="FILE", help="the picture"
    )
    show.add_argument("--no-plot", action="store_true", help="draw no picture")
    show.add_argument("--seed", type=_seed, default=0, metavar="N", help="fixes lines and training")
    show.add_argument(
        "--epochs", type=_positive, default=demo.EPOCHS, metavar="N", help="passes over the lines"
    )
    show.set_defaults(run=_demo)

    report = commands.add_parser("info", help="print versions, CPU tier and threads, for a bug report")
    report.set_defaults(run=_info)
    return parser


def _demo(options: argparse.Namespace) -> int:
    output = None if options.no_plot else options.output
    try:
        if output is not None:
            demo.check_output(output)
    except ValueError as error:
        return _failed(error)
    try:
        demo.run_demo(output=output, epochs=options.epochs, seed=options.seed)
    except BrokenPipeError:
        raise
    except (ImportError, OSError) as error:
        return _failed(error)
    return 0


def _failed(error: Exception) -> int:
    print(f"pyseq demo: {error}", file=sys.stderr)
    return 1


def _info(options: argparse.Namespace) -> int:
    print(info())
    return 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive number")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value <= LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"{value} is not a number from 0 to {LARGEST_SEED}")
    return value


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
