"""The kernel tests once more under every other tier that this machine runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyseq.ops import runtime

TESTS = Path(__file__).resolve().parent
KERNEL_TESTS = [
    "test_activations.py",
    "test_conv_*.py",
    "test_ctc_*.py",
    "test_decoding_search.py",
    "test_dense.py",
    "test_rnn_*.py",
    "test_stream.py",
    "test_updates.py",
]
OTHER_TIERS = [t for t in runtime.available_tiers() if t != runtime.active_tier()]


@pytest.mark.skipif("PYSEQ_ISA" in os.environ, reason="PYSEQ_ISA forces one tier")
@pytest.mark.parametrize("tier", OTHER_TIERS)
def test_kernel_tests_pass_under_tier(tier):
    files = sorted(str(f) for pattern in KERNEL_TESTS for f in TESTS.glob(pattern))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", *files],
        env=os.environ | {"PYSEQ_ISA": tier},
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
