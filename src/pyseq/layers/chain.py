"""Layers one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np

from pyseq.layers.base import Layer, check_positive_int
from pyseq.layers.initialisers import as_generator
from pyseq.ops import Stream
from pyseq.ragged import Ragged

ChainT = TypeVar("ChainT", bound="Chain")


class Chain(Layer):
    """The output of each layer is the input of the next.

    In `get_params` and `set_params` a layer goes by its position:
    `chain.set_params(**{"0__hidden_size": 64})`, or `encoder__0__hidden_size` in the grid of an
    estimator's search.

    Parameters
    ----------
    layers : list of Layer
        At least one.

    Examples
    --------
    >>> from pyseq.layers import GRU, Chain, Conv1d
    >>> encoder = Chain([Conv1d(16, kernel_size=3), GRU(32)])
    >>> encoder.set_params(**{"1__hidden_size": 8})
    Chain(layers=[Conv1d(channels=16, kernel_size=3), GRU(hidden_size=8)])
    >>> [name for name, _, _ in encoder.build(4, random_state=0).named_parameters()][:3]
    ['0.weight', '0.bias', '1.weight_ih_l0']
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {"layers": [list, tuple]}

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = layers

    @property
    def takes_tokens(self) -> bool:  # type: ignore[override]
        """Whether the first layer takes integer tokens; also asked before `build` has checked the layers."""
        return bool(self.layers) and bool(getattr(self.layers[0], "takes_tokens", False))

    @property
    def keeps_columns(self) -> bool:  # type: ignore[override]
        """Whether every layer leaves columns where they are."""
        return all(layer.keeps_columns for layer in self.layers)

    @property
    def receptive_field(self) -> int | None:
        """Frames, from first to last, that a frame of the output sees; None if a layer has no bound."""
        fields = [layer.receptive_field for layer in self.layers]
        known = [field - 1 for field in fields if field is not None]
        return 1 + sum(known) if len(known) == len(fields) else None

    def build(self: ChainT, n_features: int, *, dtype: str = "float32", random_state: Any = None) -> ChainT:
        """Check the settings and build the layers in order, each for the columns of the one before it."""
        self._validate_params()
        _check_layers(self.layers)
        n_features = check_positive_int(n_features, "n_features")
        rng = as_generator(random_state)
        columns, reversed_columns = n_features, slice(0, 0)
        for layer in self.layers:
            layer.build(columns, dtype=dtype, random_state=rng)
            columns = layer.n_features_out_
            if not layer.keeps_columns:
                reversed_columns = layer.reversed_columns_
        self.n_features_in_, self.n_features_out_ = n_features, columns
        self.reversed_columns_ = reversed_columns
        return self

    def forward(
        self, x: Ragged, *, training: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Ragged, Any]:
        tapes = []
        for layer in self.layers:
            x, tape = layer.forward(x, training=training, rng=rng)
            tapes.append(tape)
        return x, (tapes if training else None)

    def forward_carrying(
        self, x: Ragged, state: Any, *, training: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Ragged, Any, Any]:
        tapes, states = [], []
        for layer, before in zip(self.layers, state or [None] * len(self.layers), strict=True):
            x, tape, after = layer.forward_carrying(x, before, training=training, rng=rng)
            tapes.append(tape)
            states.append(after)
        return x, (tapes if training else None), states

    def backward(self, tape: Any, grad: Ragged, *, need_grad_x: bool = True) -> Ragged | None:
        grad_x: Ragged | None = grad
        for position in reversed(range(len(self.layers))):
            assert grad_x is not None
            needed = need_grad_x or position > 0
            grad_x = self.layers[position].backward(tape[position], grad_x, need_grad_x=needed)
        return grad_x

    def backward_carrying(self, tape: Any, grad: Ragged, *, need_grad_x: bool = True) -> Ragged | None:
        """As `backward`, for a tape of `forward_carrying`."""
        grad_x: Ragged | None = grad
        for position in reversed(range(len(self.layers))):
            assert grad_x is not None
            needed = need_grad_x or position > 0
            grad_x = self.layers[position].backward_carrying(tape[position], grad_x, need_grad_x=needed)
        return grad_x

    def add_stages(self, stream: Stream, frame: int) -> int:
        """Add the stages of all layers."""
        for layer in self.layers:
            frame = layer.add_stages(stream, frame)
        return frame

    def named_parameters(self) -> Iterator[tuple[str, Layer, str]]:
        """Yield (full name, layer that owns the parameter, its name there); names begin with positions."""
        for position, layer in enumerate(self.layers):
            for full_name, owner, name in layer.named_parameters():
                yield f"{position}.{full_name}", owner, name

    def zero_gradients(self) -> None:
        """Set the gradients of all layers to zero, making them if there are none."""
        for layer in self.layers:
            layer.zero_gradients()

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Settings by name; with `deep` also the layers by position, and theirs as `position__name`."""
        params: dict[str, Any] = super().get_params(deep=False)
        if deep:
            for position, layer in enumerate(self.layers):
                params[str(position)] = layer
                for name, value in layer.get_params(deep=True).items():
                    params[f"{position}__{name}"] = value
        return params

    def set_params(self: ChainT, **params: Any) -> ChainT:
        """Set `layers`, a layer by its position, or a setting of one as `position__name`."""
        if "layers" in params:
            self.layers = params.pop("layers")
        replaced = {int(name): params.pop(name) for name in list(params) if self._is_position(name)}
        if replaced:
            # a new list: the one given to the constructor may be the caller's
            self.layers = [replaced.get(position, layer) for position, layer in enumerate(self.layers)]
        super().set_params(**params)
        return self

    def _is_position(self, name: str) -> bool:
        return name.isdecimal() and int(name) < len(self.layers)


def _check_layers(layers: Sequence[Any]) -> None:
    if not layers:
        raise ValueError("layers of Chain must hold at least one layer, got an empty list")
    for position, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise ValueError(f"layers[{position}] of Chain must be a Layer, got {layer!r}")
        if any(layer is other for other in layers[:position]):
            raise ValueError(f"layers[{position}] of Chain is the same object as an earlier one: {layer!r}")
        if position > 0 and layer.takes_tokens:
            raise ValueError(
                f"layers[{position}] of Chain takes integer tokens, so it must be first: {layer!r}"
            )
