"""Parameters that are a name, or a name with options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["name_and_options"]


def name_and_options(value: Any, parameter: str) -> tuple[str, Mapping[str, Any]]:
    """A name and its options, given as `name` or as `(name, options)`.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if isinstance(value, str):
        return value, {}
    if isinstance(value, tuple | list) and len(value) == 2:
        name, options = value
        if isinstance(name, str) and isinstance(options, Mapping):
            return name, options
    raise ValueError(f"{parameter} is {value!r}, expected a name or a (name, options) pair")
