"""How weights begin. Pure functions (rng, shape) -> float64 array, listed in `INITIALISERS`.

A shape is (n_out, n_in) or, for a convolution, (n_out, n_in, kernel_size). Numbers are drawn in float64
whatever the dtype of the layer, so that a seed means the same weights in float32 and float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

Shape = tuple[int, ...]
Initialiser = Callable[[np.random.Generator, Shape], NDArray[np.float64]]


def zeros(rng: np.random.Generator, shape: Shape) -> NDArray[np.float64]:
    """No randomness: biases."""
    return np.zeros(shape)


def ones(rng: np.random.Generator, shape: Shape) -> NDArray[np.float64]:
    """No randomness: gains."""
    return np.ones(shape)


def glorot_uniform(rng: np.random.Generator, shape: Shape) -> NDArray[np.float64]:
    """U(-b, b), b = sqrt(6 / (fan_in + fan_out))   (Glorot & Bengio 2010)."""
    fan_in, fan_out = _fans(shape)
    bound = math.sqrt(6.0 / (fan_in + fan_out))
    return rng.uniform(-bound, bound, size=shape)


def he_uniform(rng: np.random.Generator, shape: Shape) -> NDArray[np.float64]:
    """U(-b, b), b = sqrt(6 / fan_in), for rectified units   (He et al. 2015)."""
    bound = math.sqrt(6.0 / _fans(shape)[0])
    return rng.uniform(-bound, bound, size=shape)


def unit_normal(rng: np.random.Generator, shape: Shape) -> NDArray[np.float64]:
    """N(0, 1 / n_in): every row has a length near 1. The table of an embedding."""
    return rng.standard_normal(shape) / math.sqrt(shape[1])


def orthogonal(rng: np.random.Generator, shape: Shape) -> NDArray[np.float64]:
    """A random orthogonal matrix, uniform in Haar's measure   (Saxe et al. 2014; signs: Mezzadri 2007)."""
    matrix = rng.standard_normal(shape)
    # the last bits of a threaded factorisation depend on the number of threads; a seed should not
    with threadpool_limits(limits=1, user_api="blas"):
        q, r = np.linalg.qr(matrix)
    result: NDArray[np.float64] = q * np.sign(np.diagonal(r))
    return result


INITIALISERS: Mapping[str, Initialiser] = {
    "glorot_uniform": glorot_uniform,
    "he_uniform": he_uniform,
    "ones": ones,
    "orthogonal": orthogonal,
    "unit_normal": unit_normal,
    "zeros": zeros,
}


def initial(name: str, rng: np.random.Generator, shape: Shape) -> NDArray[np.float64]:
    """A new array by the named entry of `INITIALISERS`; refuses shapes that no address can reach."""
    if math.prod(shape) * np.dtype(np.float64).itemsize > np.iinfo(np.intp).max:
        raise MemoryError(f"an array of shape {shape} is larger than any address")
    return INITIALISERS[name](rng, shape)


def initial_gates(name: str, rng: np.random.Generator, n_gates: int, shape: Shape) -> NDArray[np.float64]:
    """`n_gates` independent matrices of `shape`, one below the other."""
    return np.concatenate([np.zeros((0, *shape[1:])), *[initial(name, rng, shape) for _ in range(n_gates)]])


def as_generator(random_state: Any) -> np.random.Generator:
    """A NumPy Generator from an int, None, a `RandomState` or a `Generator` (returned as it is)."""
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(np.iinfo(np.int32).max, size=4))
    return np.random.default_rng(random_state)


def _fans(shape: Shape) -> tuple[int, int]:
    taps = math.prod(shape[2:])
    return shape[1] * taps, shape[0] * taps
