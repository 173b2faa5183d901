"""The workloads of the table as benches of pytest-benchmark, by as many threads as the environment allows.

    pytest bench/ [-k "lstm and training"] [--benchmark-compare ...]

For watching pyseq change. To compare it with others, `python -m bench.compare` is the tool: it takes turns.
"""

import pytest

from bench.contest import agrees, select
from bench.threads import installed, limited_to
from pyseq.ops import runtime

SYSTEMS = {"pyseq": ("pyseq",), "PyTorch": ("torch",), "ONNX Runtime": ("onnxruntime", "onnx")}


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("workload", select(None), ids=lambda workload: workload.name)
def test_workload(benchmark, workload, system):
    if not all(installed(package) for package in SYSTEMS[system]):
        pytest.skip(f"{system} is not installed")
    threads = runtime.get_num_threads()
    with limited_to(threads):
        contest = workload.prepare(threads, ["highest"])
        contestant = next((c for c in contest.contestants if c.name == system), None)
        if contestant is None:
            pytest.skip(f"{system} does not run this")
        assert agrees(contestant, contestant.values(contestant.call()), contest.reference)
        benchmark.group = workload.name
        benchmark(contestant.call)
