"""The examples in the docstrings run and print what they say."""

import doctest
import importlib
import pkgutil

import pytest

import pyseq

MODULES = sorted(
    m.name
    for m in pkgutil.walk_packages(pyseq.__path__, "pyseq.")
    if not m.name.endswith(("__main__", "_core", "_ragged"))
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of(name):
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failed == 0


def test_the_public_face_has_examples():
    without = [
        name
        for name in pyseq.__all__
        if isinstance(getattr(pyseq, name), type) and ">>>" not in (getattr(pyseq, name).__doc__ or "")
    ]
    assert not without, "public classes show how they are used"
