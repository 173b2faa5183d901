"""Threads beside other work: how many, when they are held back, what a region that gives up computes."""

import os
import subprocess
import sys

import numpy as np
import pytest
from helpers import assert_same_bits
from rnn_cases import CELLS, as_list, problem
from threadpoolctl import threadpool_limits

from pyseq import _core, config_context, ops
from pyseq.layers import LSTM
from pyseq.ops import runtime
from pyseq.ragged import Ragged

MS, S = 1_000_000, 1_000_000_000
PROOF = 50 * MS  # of regions without loss
# So few rows that threads split the units; so many that they split the rows.
BY_UNITS, BY_ROWS = (2, 9, 20, 200), (24, 30, 16, 96)
needs_affinity = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system has no affinities"
)


def pauses(*events):
    """How long threads are held back after each event (now, lost, kept)."""
    return [
        max(0, end - now)
        for end, (now, _, _) in zip(_core.replay_patience(list(events)), events, strict=True)
    ]


class TestPatience:
    def test_nothing_is_held_back_before_a_loss(self):
        assert pauses((S, 0, 10 * S)) == [0]

    def test_a_pause_is_twice_the_loss_and_doubles(self):
        times = [S, 2 * S, 3 * S, 4 * S]
        assert pauses(*[(t, 3 * MS, 0) for t in times]) == [6 * MS, 12 * MS, 24 * MS, 48 * MS]

    def test_pauses_grow_to_a_second_or_to_sixteen_times_the_loss(self):
        assert max(pauses(*[(t * 2 * S, 5 * MS, 0) for t in range(1, 30)])) == S
        assert max(pauses(*[(t * 9 * S, 100 * MS, 0) for t in range(1, 30)])) == 1600 * MS

    def test_a_process_that_was_stopped_waits_no_longer(self):
        assert pauses((S, 3600 * S, 0)) == [500 * MS]

    def test_a_loss_within_a_pause_is_not_counted_again(self):
        first, within, after = pauses((S, 10 * MS, 0), (S + MS, 10 * MS, 0), (2 * S, 10 * MS, 0))
        assert (first, within, after) == (20 * MS, 19 * MS, 40 * MS)

    def test_regions_without_loss_end_it(self):
        *_, proven, again = pauses(
            *[(t * S, 10 * MS, 0) for t in range(1, 5)], (6 * S, 0, PROOF), (7 * S, 10 * MS, 0)
        )
        assert proven == 0
        assert again == 20 * MS  # as if it were the first

    def test_a_little_luck_is_no_proof(self):
        first, _, second = pauses((S, 10 * MS, 0), (2 * S, 0, PROOF - 1), (3 * S, 10 * MS, 0))
        assert second == 2 * first

    def test_regions_within_a_pause_prove_nothing(self):
        first, _, second = pauses((S, 10 * MS, 0), (S + MS, 0, PROOF), (3 * S, 10 * MS, 0))
        assert second == 2 * first


@pytest.mark.parametrize(
    ("words", "cores"),
    [
        ("max 100000", 0), ("100000 100000", 1), ("150000 100000\n", 2), ("50000 100000", 1),
        ("400000 50000", 8), ("", 0), ("max", 0), ("-1 100000", 0), ("100000 0", 0), ("nonsense", 0),
        ("9223372036854775807 1", 0),
    ],
)  # fmt: skip
def test_a_quota_is_worth_so_many_cores(words, cores):
    assert _core.cores_of_quota(words) == cores


@needs_affinity
def test_no_more_threads_than_cores_of_the_process():
    code = """
import os, time
from pyseq import _core
allowed = os.sched_getaffinity(0)
before = _core.get_num_threads(), _core.cores_allowed()
os.sched_setaffinity(0, {min(allowed)})
time.sleep(0.3)  # how many there are is looked up again after a tenth of a second
print(*before, _core.get_num_threads(), _core.cores_allowed())
"""
    environment = os.environ | {"OMP_NUM_THREADS": "500"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    threads, cores, threads_later, cores_later = map(int, done.stdout.split())
    assert threads == cores <= len(os.sched_getaffinity(0))
    assert threads_later == cores_later == 1


def train(cell, sizes, reverse=False):
    """All results of a forward and a backward pass."""
    x, lengths, weights, initial, grad_y, grad_final = problem(cell, "float32", *sizes)
    y, final, tape = ops.rnn_forward(
        cell, x, weights, initial_state=initial, lengths=lengths, reverse=reverse
    )
    inferred, _, _ = ops.rnn_forward(
        cell, x, weights, initial_state=initial, lengths=lengths, keep_tape=False
    )
    return as_list((y, final, inferred, *ops.rnn_backward(tape, grad_y, grad_final)))


@pytest.mark.parametrize("sizes", [BY_UNITS, BY_ROWS], ids=["by units", "by rows"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_region_that_gives_up_computes_the_same(cell, sizes, assume_threads):
    with threadpool_limits(1, user_api="openmp"):
        expected = train(cell, sizes)
    for threads, wait in ((2, 1), (2, 2), (2, 3), (2, 7), (3, 4), (2, 12)):
        assume_threads(alone_from=wait)
        with threadpool_limits(threads, user_api="openmp"):
            for a, b in zip(train(cell, sizes), expected, strict=True):
                assert_same_bits(a, b, f"{threads} threads, gave up in wait {wait}")


@pytest.mark.parametrize("precision", ["high", "medium"])
@pytest.mark.parametrize("sizes", [BY_UNITS, BY_ROWS], ids=["by units", "by rows"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_so_it_does_in_other_precisions(cell, sizes, precision, assume_threads):
    with config_context(precision=precision):
        test_a_region_that_gives_up_computes_the_same(cell, sizes, assume_threads)


@pytest.mark.parametrize("sizes", [BY_UNITS, BY_ROWS], ids=["by units", "by rows"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "mingru"])
def test_busy_cores_do_not_change_results(cell, sizes, assume_threads):
    results = []
    for busy in (0, 1):
        assume_threads(busy=busy)
        with threadpool_limits(2, user_api="openmp"):
            results.append(train(cell, sizes))
    for a, b in zip(*results, strict=True):
        assert_same_bits(a, b)


def test_busy_cores_do_not_change_convolutions_and_losses(assume_threads):
    rng = np.random.default_rng(0)
    x, weight = (rng.standard_normal(shape).astype("f4") for shape in ((2, 900, 32), (32, 32, 3)))
    logits, targets = rng.standard_normal((6, 200, 30)).astype("f4"), rng.integers(1, 30, (6, 20))
    results = []
    for busy in (0, 1):
        assume_threads(busy=busy)
        with threadpool_limits(2, user_api="openmp"):
            y = ops.causal_conv1d(x, weight)
            results.append(
                [y, *ops.causal_conv1d_backward(x, weight, y), *ops.ctc_loss_and_grad(logits, targets)]
            )
    for a, b in zip(*results, strict=True):
        if a is not None:
            assert_same_bits(a, b)


def test_a_stream_may_meet_busy_cores_on_its_way(assume_threads):
    layer = LSTM(400).build(16)  # a step is worth two threads
    x = np.random.default_rng(0).standard_normal((8, 16)).astype("f4")
    (expected,) = layer.forward(Ragged.from_list([x]))[0]
    stream = layer.stream()
    with threadpool_limits(2, user_api="openmp"):
        for t, frame in enumerate(expected):
            assume_threads(busy=int(t % 3 == 1), alone_from=2 * (t == 6))
            assert_same_bits(stream.push(x[t : t + 1])[0], frame, f"frame {t}")


def test_memory_is_given_back_when_asked():
    runtime.release_memory()
    assert _core.kept_memory() == 0
    y = ops.causal_conv1d(np.ones((1, 20_000, 8), "f4"), np.ones((8, 8, 2), "f4"))
    assert _core.kept_memory() == 0  # it is in use
    del y
    assert _core.kept_memory() >= 20_000 * 8 * 4
    assert runtime.release_memory() >= 20_000 * 8 * 4
    assert _core.kept_memory() == 0
