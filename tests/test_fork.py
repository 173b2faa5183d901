"""A forked child of a process that ran threads works, on one thread, and does not hang."""

import multiprocessing
import os

import numpy as np
import pytest

from pyseq import ops
from pyseq.ops import runtime

TIMEOUT = 60


def work(_=None):
    """Enough of it for several threads."""
    rng = np.random.default_rng(0)
    weights = ops.RNNWeights(
        *[rng.standard_normal(s).astype("f4") * 0.1 for s in ((512, 64), (512, 128), 512, 512)]
    )
    x = rng.standard_normal((32, 50, 64)).astype("f4")
    y, _, tape = ops.rnn_forward("lstm", x, weights)
    grad_x, _, _ = ops.rnn_backward(tape, y)
    return float(y.sum()), float(grad_x.sum()), runtime.get_num_threads()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_computes_the_same_serially():
    from threadpoolctl import threadpool_limits

    with threadpool_limits(2, user_api="openmp"):
        expected = work()
        assert expected[2] == 2
        with multiprocessing.get_context("fork").Pool(2) as pool:
            for result in pool.map_async(work, range(4)).get(timeout=TIMEOUT):
                assert result[:2] == expected[:2]
                assert result[2] == 1


def test_joblib_loky_workers_compute_the_same():
    joblib = pytest.importorskip("joblib")
    expected = work()
    results = joblib.Parallel(n_jobs=2, backend="loky", timeout=TIMEOUT)(
        joblib.delayed(work)() for _ in range(4)
    )
    for result in results:
        assert result[:2] == expected[:2]
