"""Beside other work: pyseq on one thread and on several, and PyTorch, while others keep all cores busy.

    python -m bench.busy [--load 4] [--threads 2] [--seconds 4] [--only lstm]

Starts so many processes that do nothing but run, then times calls in turn, in blocks of two seconds or of
one call. Times are means, not medians: beside other work a call takes as long as it runs, or longer by time
slices of the others, and a training loop pays for both. Threads that meet at every step lose most: one of
them is always waiting for its core.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from bench.conv_pyseq import contestant as conv_ours
from bench.ctc_systems import pyseq as ctc_ours
from bench.ctc_systems import pytorch as ctc_theirs
from bench.machine import describe, threads_in_words
from bench.rnn_pyseq import contestant as rnn_ours
from bench.tables import as_markdown, milliseconds
from bench.threads import installed, limited_to
from bench.workloads_conv import ConvWorkload
from bench.workloads_ctc import CtcWorkload
from bench.workloads_rnn import RnnWorkload
from pyseq import SequenceClassifier, layers

_BLOCK_SECONDS = 2.0
_FIT_SEQUENCES, _FIT_STEPS = 64, 50

Call = Callable[[], Any]


@contextmanager
def busy_cores(processes: int) -> Iterator[None]:
    """Other work: so many processes that run until they are ended."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        time.sleep(0.5)  # until all of them run
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def recurrent(batch: int, hidden: int) -> tuple[str, Call, Call | None]:
    workload = RnnWorkload("lstm", 100, batch, 64, hidden, training=True)
    problem, theirs = workload.problem(), None
    if installed("torch"):
        from bench import rnn_torch

        theirs = rnn_torch.contestant(problem, "float32").call
    return workload.name, rnn_ours(problem, "highest").call, theirs


def ctc(steps: int, batch: int, classes: int, labels: int) -> tuple[str, Call, Call | None]:
    workload = CtcWorkload(steps, batch, classes, labels)
    problem = workload.problem()
    theirs = ctc_theirs(problem).call if installed("torch") else None
    return workload.name, ctc_ours(problem, reuse=False).call, theirs


def convolution(steps: int, batch: int, channels: int) -> tuple[str, Call, Call | None]:
    workload = ConvWorkload(steps, batch, channels, 3, 1, training=True)
    problem, theirs = workload.problem(), None
    if installed("torch"):
        from bench import conv_torch

        theirs = conv_torch.contestant(problem).call
    return workload.name, conv_ours(problem, "highest").call, theirs


def fit() -> tuple[str, Call, Call | None]:
    """An epoch of a small classifier: batches of 8 sequences."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((_FIT_SEQUENCES, _FIT_STEPS, 8), dtype=np.float32)
    y = X.mean(axis=(1, 2)) > 0
    model = SequenceClassifier(layers.LSTM(64), batch_size=8, max_iter=1, random_state=0)
    return "SequenceClassifier(LSTM(64)), an epoch of 8 batches", lambda: model.fit(X, y), None


WORKLOADS: list[Callable[[], tuple[str, Call, Call | None]]] = [
    fit,
    *[lambda b=batch, h=hidden: recurrent(b, h) for batch in (1, 32) for hidden in (64, 256, 512)],  # type: ignore[misc]
    lambda: ctc(500, 32, 30, 50),
    lambda: convolution(16_000, 1, 32),
]


def mean_seconds(calls: Sequence[tuple[Call, int]], seconds: float) -> list[float]:
    """Of each call on its number of threads, in turn."""
    spent, done = [0.0] * len(calls), [0] * len(calls)
    while sum(spent) < seconds * len(calls):
        for i, (call, threads) in enumerate(calls):
            with limited_to(threads):
                begun = time.perf_counter()
                while (passed := time.perf_counter() - begun) < _BLOCK_SECONDS:
                    call()
                    done[i] += 1
            spent[i] += passed
    return [total / n for total, n in zip(spent, done, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.busy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--load", type=int, default=4, help="processes that keep cores busy")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4, help="for each figure")
    parser.add_argument("--only", help="workloads whose name contains this")
    options = parser.parse_args()
    n = threads_in_words(options.threads)
    for key, text in describe().items():
        print(f"{key}: {text}")
    headers = ["workload", "pyseq, 1 thread, ms", f"pyseq, {n}, ms", "gain", f"PyTorch, {n}, ms"]
    rows = []
    for make in WORKLOADS:
        name, ours, theirs = make()
        if options.only and options.only.lower() not in name.lower():
            continue
        calls = [(ours, 1), (ours, options.threads)] + ([(theirs, options.threads)] if theirs else [])
        for call, threads in calls:
            with limited_to(threads):
                call()
        with busy_cores(options.load):
            one, many, *peer = mean_seconds(calls, options.seconds)
        times = [milliseconds(one), milliseconds(many), f"{one / many:.2f}"]
        rows.append([name, *times, milliseconds(peer[0]) if peer else ""])
        print(f"  {' | '.join(rows[-1])}", file=sys.stderr, flush=True)
    print(f"\nBeside {options.load} processes that keep cores busy, mean of calls:\n")
    print(as_markdown(headers, rows))


if __name__ == "__main__":
    main()
