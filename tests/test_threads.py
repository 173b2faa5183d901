"""Threads of a region move apart where they meet on one core, and for a second stay apart."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from pyseq import ops

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no affinities")

WORK = """
import json, os, time
{before}
import numpy as np
from threadpoolctl import threadpool_limits
from pyseq import ops
rng = np.random.default_rng(0)
x = rng.standard_normal((8, 40, 64)).astype(np.float32)
shapes = (512, 64), (512, 128), (512,), (512,)
weights = ops.RNNWeights(*(rng.uniform(-0.1, 0.1, s).astype(np.float32) for s in shapes))
begun = time.monotonic()
with threadpool_limits(2, user_api="openmp"):
    while True:
        y = ops.rnn_forward("lstm", x, weights)[0]
        affinities = [sorted(os.sched_getaffinity(int(t))) for t in os.listdir("/proc/self/task")]
        free = all(cores == affinities[0] for cores in affinities)
        if time.monotonic() > begun + {seconds} and (free or time.monotonic() > begun + 30):
            break
print(json.dumps([sorted(os.sched_getaffinity(0)), affinities, float(y.sum())]))
"""


def run(before="", seconds=0.0):
    """Cores of the process and of each of its threads after its work, and the work's result."""
    code = WORK.format(before=before, seconds=seconds)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="this system has no /proc")
def test_threads_get_back_the_cores_they_were_allowed():
    allowed = sorted(os.sched_getaffinity(0))
    cores, affinities, total = run(seconds=1.5)
    assert cores == allowed
    assert len(affinities) >= 2
    assert all(of_thread == allowed for of_thread in affinities)
    core = allowed[-1]  # two threads have one core: nobody can move
    cores, affinities, pinned = run(f"os.sched_setaffinity(0, {{{core}}})")
    assert cores == [core]
    assert all(of_thread == [core] for of_thread in affinities)
    assert pinned == total


def test_more_threads_than_cores():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 20, 16)).astype(np.float32)
    shapes = (1024, 16), (1024, 256), (1024,), (1024,)
    weights = ops.RNNWeights(*(rng.uniform(-0.1, 0.1, s).astype(np.float32) for s in shapes))
    results = []
    for threads in (1, 2, len(os.sched_getaffinity(0)) + 3):
        with threadpool_limits(threads, user_api="openmp"):
            results.append(ops.rnn_forward("lstm", x, weights)[0])
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])
