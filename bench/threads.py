"""One number of threads for every system."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from threadpoolctl import threadpool_limits


def installed(package: str) -> bool:
    return find_spec(package) is not None


@contextmanager
def limited_to(threads: int) -> Iterator[None]:
    """pyseq and PyTorch on so many threads. ONNX Runtime takes the number when a session is made."""
    if installed("torch"):
        import torch

        torch.set_num_threads(threads)
    with threadpool_limits(threads, user_api="openmp"):
        yield
