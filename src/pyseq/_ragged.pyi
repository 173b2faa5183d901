from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

def pack_arrays(
    items: list[Any],
    dtype: np.dtype[Any],
    n_features: int,
    min_length: int,
    ensure_finite: bool,
    convert: Callable[[Any, int], NDArray[Any]],
    allocate: Callable[[tuple[int, ...], np.dtype[Any]], NDArray[Any]],
) -> tuple[NDArray[Any], NDArray[np.int64], None] | tuple[None, None, tuple[Any, ...]]: ...
def first_not_finite(frames: NDArray[Any], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> int: ...
def copy_sequences(
    source: NDArray[Any],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    out: NDArray[Any],
    out_starts: NDArray[np.int64],
) -> None: ...
def encode_tokens(
    sequences: list[Sequence[Hashable]], vocabulary: dict[Any, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[int, int] | None]: ...
