"""Elementwise functions after a product. Derivatives are functions of the result: no input is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pyseq.layers.arrays import get_namespace


class Activation(NamedTuple):
    """apply(y) works in place; backward(y, grad) -> gradient before the activation, y being its result."""

    apply: Callable[[Any], Any]
    backward: Callable[[Any, Any], Any]


def _relu(y: Any) -> Any:
    return get_namespace(y).maximum(y, 0, out=y)


def _relu_backward(y: Any, grad: Any) -> Any:
    return grad * (y > 0)


def _tanh(y: Any) -> Any:
    return get_namespace(y).tanh(y, out=y)


def _tanh_backward(y: Any, grad: Any) -> Any:
    return grad * (1 - y * y)


ACTIVATIONS: Mapping[str | None, Activation] = {
    None: Activation(lambda y: y, lambda y, grad: grad),
    "relu": Activation(_relu, _relu_backward),
    "tanh": Activation(_tanh, _tanh_backward),
}


def initialiser_before(activation: str | None) -> str:
    """Name of the usual initialiser of weights that feed `activation`."""
    return "he_uniform" if activation == "relu" else "glorot_uniform"
