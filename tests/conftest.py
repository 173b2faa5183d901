"""Tests run on as many threads as they ask for, whatever cores the machine has and whatever else runs."""

import os

import pytest

from pyseq import _core

CORES = max(8, os.cpu_count() or 1)


def pytest_configure():
    _core.assume_threads(cores=CORES, busy=0)


@pytest.fixture
def assume_threads():
    """Lets one test assume something else of the machine."""
    yield lambda busy=0, alone_from=0: _core.assume_threads(cores=CORES, busy=busy, alone_from=alone_from)
    _core.assume_threads(cores=CORES, busy=0)
