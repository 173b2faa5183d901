"""One recurrent layer with its data, as every system gets it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class CellNames(NamedTuple):
    """What a cell is called, and its gates."""

    title: str
    gates: int


CELLS = {"lstm": CellNames("LSTM", 4), "gru": CellNames("GRU", 3), "elman": CellNames("Elman", 1)}


@dataclass(frozen=True)
class RnnProblem:
    """Float32 throughout. One list of weights in PyTorch's layout for each direction, forwards first."""

    cell: str
    x: np.ndarray  # (B, T, I)
    grad: np.ndarray  # (B, T, D*H), by the output
    weights: list[list[np.ndarray]]
    lengths: np.ndarray  # (B,)
    training: bool
    ragged: bool

    @property
    def hidden(self) -> int:
        return int(self.weights[0][1].shape[1])

    def frames(self, padded: np.ndarray) -> np.ndarray:
        """The frames of a (B, T, N) array that exist, sequence by sequence: (sum of lengths, N)."""
        return padded[np.arange(padded.shape[1]) < self.lengths[:, None]]


def named_weights(direction: int, arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Gradients of one direction's weights under the names that results have."""
    suffix = "_reverse" if direction else ""
    return {f"grad_{name}{suffix}": array for name, array in zip(WEIGHTS, arrays, strict=True)}
