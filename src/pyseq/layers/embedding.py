"""From integer tokens to vectors."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from pyseq import ops
from pyseq.layers.base import Layer
from pyseq.layers.initialisers import initial
from pyseq.ragged import Ragged


class Embedding(Layer):
    """y[t] = weight[token[t]]: every token has a vector, which is learned.

    Takes sequences of integers, values (N,) or (N, 1) int64, so it comes first in a network.

    Parameters
    ----------
    num_embeddings : int
        Number of different tokens; they are 0 .. num_embeddings - 1.
    dim : int
        Columns of the output.

    Notes
    -----
    Parameters: `weight` (num_embeddings, dim), which begins normal with variance 1 / dim.

    Examples
    --------
    >>> from pyseq.layers import Embedding
    >>> Embedding(100, dim=16).build(1, random_state=0).n_features_out_
    16
    """

    takes_tokens: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "num_embeddings": [Interval(Integral, 1, None, closed="left")],
        "dim": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, num_embeddings: int, dim: int) -> None:
        self.num_embeddings = num_embeddings
        self.dim = dim

    @property
    def receptive_field(self) -> int:
        """One: a frame sees itself."""
        return 1

    def _initial_parameters(
        self, n_features: int, rng: np.random.Generator
    ) -> tuple[int, dict[str, NDArray[np.float64]]]:
        if n_features != 1:
            raise ValueError(f"Embedding takes one integer token a frame, got {n_features} features")
        return self.dim, {"weight": initial("unit_normal", rng, (self.num_embeddings, self.dim))}

    def forward(
        self, x: Ragged, *, training: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Ragged, Any]:
        tokens = x.values.reshape(-1)
        y = ops.embedding(tokens, self._built("parameters_")["weight"])
        return x.with_values(y), (tokens if training else None)

    def backward(self, tape: Any, grad: Ragged, *, need_grad_x: bool = True) -> Ragged | None:
        """Add the gradient of the table; tokens have none, so the result is always None."""
        self._add_gradient("weight", ops.embedding_backward(tape, grad.values, self.num_embeddings))
        return None

    def add_stages(self, stream: ops.Stream, frame: int) -> int:
        """Add the table."""
        return stream.embedding(frame, self._built("parameters_")["weight"])
