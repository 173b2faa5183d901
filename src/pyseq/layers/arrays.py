"""Array functions from the array at hand, so that the device is a property of the data."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np


def get_namespace(array: Any) -> Any:
    """The module whose functions take `array`: `numpy` for a NumPy array, `cupy` for a CuPy one."""
    if isinstance(array, np.ndarray):
        return np
    return importlib.import_module(type(array).__module__.partition(".")[0])
