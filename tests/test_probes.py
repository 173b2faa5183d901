"""The measurements of the machine give figures; what they are is the machine's business."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from pyseq.ops import runtime


@pytest.mark.parametrize("threads", [1, None])
def test_peaks_are_positive_numbers(threads):
    peaks = runtime.machine_peaks(threads, seconds=0.002)
    assert peaks.threads == (threads or runtime.get_num_threads())
    figures = [figure for figure in peaks if figure is not None]
    assert np.isfinite(figures).all()
    assert min(figures) > 0


def test_costs_of_threads_are_numbers():
    costs = runtime.thread_costs()
    assert costs.threads == runtime.get_num_threads()
    assert np.isfinite(costs).all()
    assert min(costs) >= 0


@pytest.mark.parametrize(("steps", "operations"), [(0, 0), (3, 0), (2, 1e5)])
def test_a_region_is_timed_so_many_times(steps, operations):
    seconds = runtime.region_seconds(1, steps, operations, samples=5)
    assert seconds.shape == (5,)
    assert (seconds > 0).all()


@pytest.mark.parametrize("threads", [0, 3])
def test_threads_beyond_those_allowed_are_refused(threads):
    with threadpool_limits(2, user_api="openmp"), pytest.raises(ValueError, match="threads is"):
        runtime.machine_peaks(threads)


def test_negative_work_is_refused():
    with pytest.raises(ValueError, match="steps is -1, expected 0 or more"):
        runtime.region_seconds(1, -1, 0)
