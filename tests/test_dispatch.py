"""Choice of the instruction-set tier at import."""

import os
import subprocess
import sys

import pytest

from pyseq.ops import runtime


def python(code, **environment):
    env = {k: v for k, v in os.environ.items() if k != "PYSEQ_ISA"} | environment
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)


def test_the_best_tier_is_taken_by_itself():
    done = python("from pyseq.ops import runtime; print(runtime.active_tier())")
    assert done.stdout.strip() == runtime.available_tiers()[-1]  # an emulated one comes first


@pytest.mark.parametrize("tier", runtime.available_tiers())
def test_a_tier_can_be_forced(tier):
    done = python("from pyseq.ops import runtime; print(runtime.active_tier())", PYSEQ_ISA=tier)
    assert done.stdout.strip() == tier


def test_an_absent_tier_raises_and_names_those_there_are():
    done = python("import pyseq", PYSEQ_ISA="sparkle")
    assert done.returncode != 0
    assert "ImportError: PYSEQ_ISA is 'sparkle', but this build on this CPU has: " in done.stderr
    assert "baseline" in done.stderr


def test_threads_follow_threadpoolctl():
    from threadpoolctl import threadpool_limits

    for n in (1, 2, 3):
        with threadpool_limits(n, user_api="openmp"):
            assert runtime.get_num_threads() == n


def test_threads_follow_the_environment():
    code = "from pyseq import _core; _core.assume_threads(cores=4); print(_core.get_num_threads())"
    for wanted, got in (("3", "3"), ("9", "4")):
        assert python(code, OMP_NUM_THREADS=wanted).stdout.strip() == got


def test_the_bound_on_spinning_does_not_stay_in_the_environment():
    code = "import os, pyseq; print(os.environ.get('GOMP_SPINCOUNT'))"
    assert python(code).stdout.strip() == "None"
    assert python(code, GOMP_SPINCOUNT="77").stdout.strip() == "77"
