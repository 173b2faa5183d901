"""The network of a generator: it reads a token and says how likely each next one is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseq import ops
from pyseq.layers import Dense, Embedding, FlatParameters, Layer
from pyseq.ragged import Ragged
from pyseq.training.batching import batches_of_frames
from pyseq.training.losses import LossValue, softmax_cross_entropy
from pyseq.training.network import PREDICTED_FRAMES
from pyseq.training.windows import WindowBatch

__all__ = ["LanguageNetwork"]


class LanguageNetwork:
    """Embedding, causal encoder, linear head over all tokens.

    Parameters
    ----------
    encoder : Layer
        Built here, in place: hand over a clone. It must be causal.
    n_tokens : int
        Tokens to read, and to choose from.
    embedding_dim : int
    n_context : int
        Columns of the condition that each frame has beside its embedding.
    tie_weights : bool
        Whether the head's weight is the embedding's (Press & Wolf 2017): then the encoder must put out
        `embedding_dim` columns.
    carry : bool
        Whether the encoder's state is carried from window to window.
    dtype : str
    rng : numpy.random.Generator
        Draws the initial weights.
    """

    standardisation = None
    pooling = None
    loss = "softmax_cross_entropy"

    def __init__(
        self,
        encoder: Layer,
        n_tokens: int,
        *,
        embedding_dim: int,
        n_context: int,
        tie_weights: bool,
        carry: bool,
        dtype: str,
        rng: np.random.Generator,
    ) -> None:
        self.encoder, self.dtype, self.n_tokens, self.n_context = encoder, dtype, n_tokens, n_context
        self.tied, self.carry = tie_weights, carry
        self.embedding = Embedding(n_tokens, embedding_dim).build(1, dtype=dtype, random_state=rng)
        encoder.build(embedding_dim + n_context, dtype=dtype, random_state=rng)
        if tie_weights and encoder.n_features_out_ != embedding_dim:
            raise ValueError(
                f"tie_weights=True needs an encoder of as many columns as embedding_dim, "
                f"got {encoder.n_features_out_} and {embedding_dim}"
            )
        self.head = Dense(n_tokens).build(encoder.n_features_out_, dtype=dtype, random_state=rng)
        if tie_weights:
            # N(0, 1) suits an input, not a product: both sides start at the scale of the head
            self.embedding.parameters_["weight"] *= embedding_dim**-0.5
            del self.head.parameters_["weight"]
        self._state: Any = None

    @property
    def n_parameters(self) -> int:
        return sum(layer.n_parameters for layer in self._layers())

    def flat_parameters(self) -> FlatParameters:
        """All parameters and gradients as two flat buffers that the layers' arrays are views of."""
        return FlatParameters(self._layers())

    def _layers(self) -> list[Layer]:
        return [self.embedding, self.encoder, self.head]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_state": None}

    # Training

    def loss_and_gradients(self, batch: WindowBatch, rng: np.random.Generator) -> LossValue:
        """Mean loss of the batch's frames; gradients are added to the bound buffers."""
        x, embedding_tape = self._inputs(batch.x, batch.context, training=True)
        encoded, tape = self._encode(x, batch.carried, rng)
        frames = encoded.values
        logits = ops.dense(frames, self._head_weight(), self.head.parameters_["bias"])
        assert isinstance(batch.targets, Ragged)
        value = softmax_cross_entropy(logits, batch.targets.values.reshape(-1))
        grad, grad_weight, grad_bias = ops.dense_backward(frames, self._head_weight(), value.gradient)
        owner = self.embedding if self.tied else self.head
        assert grad is not None
        owner.gradients_["weight"] += grad_weight
        self.head.gradients_["bias"] += grad_bias
        grad_x = self.encoder.backward(tape, encoded.with_values(grad))
        assert grad_x is not None
        if self.n_context:
            grad_x = grad_x.with_values(np.ascontiguousarray(grad_x.values[:, : self.embedding.dim]))
        self.embedding.backward(embedding_tape, grad_x)
        return value

    def _encode(
        self, x: Ragged, carried: NDArray[np.int64] | None, rng: np.random.Generator
    ) -> tuple[Ragged, Any]:
        if not self.carry:
            return self.encoder.forward(x, training=True, rng=rng)
        state = None if carried is None or (carried < 0).all() else _rows_of(self._state, carried)
        y, tape, self._state = self.encoder.forward_carrying(x, state, training=True, rng=rng)
        return y, tape

    def _inputs(
        self, tokens: Ragged, context: NDArray[Any] | None, *, training: bool = False
    ) -> tuple[Ragged, Any]:
        x, tape = self.embedding.forward(tokens, training=training)
        if context is not None:
            rows = np.repeat(context, tokens.lengths, axis=0).astype(self.dtype)
            x = Ragged(np.concatenate([x.values, rows], axis=1), tokens.lengths)
        return x, tape

    def _head_weight(self) -> NDArray[Any]:
        weight: NDArray[Any] = (self.embedding if self.tied else self.head).parameters_["weight"]
        return weight

    # Predicting

    def log_likelihoods(
        self, x: Ragged, targets: Ragged, context: NDArray[Any] | None = None
    ) -> NDArray[np.float64]:
        """Sum over a sequence's frames of the log-probability of its targets, for each sequence."""
        totals = np.zeros(len(x))
        for indices in batches_of_frames(x.lengths, PREDICTED_FRAMES):
            rows, state = None if context is None else context[indices], None
            for part, wanted in self._parts(x[indices], targets[indices]):
                sums, state = self._of_part(part, wanted, rows, state)
                totals[indices] += sums
        return totals

    def _parts(self, x: Ragged, targets: Ragged) -> Iterator[tuple[Ragged, Ragged]]:
        """A batch as it is; a single long sequence piece by piece, if its state can be carried."""
        length = int(x.lengths.max(initial=0))
        size = PREDICTED_FRAMES if len(x) == 1 and self.carry else max(1, length)
        for first in range(0, length, size):
            lengths = np.minimum(x.lengths - first, size)
            yield (
                Ragged._make(x.buffer, x.starts + first, lengths),
                Ragged._make(targets.buffer, targets.starts + first, lengths),
            )

    def _of_part(
        self, x: Ragged, targets: Ragged, context: NDArray[Any] | None, state: Any
    ) -> tuple[NDArray[Any], Any]:
        inputs, _ = self._inputs(x, context)
        if self.carry:
            encoded, _, state = self.encoder.forward_carrying(inputs, state)
        else:
            encoded, _ = self.encoder.forward(inputs)
        logits = ops.dense(encoded.values, self._head_weight(), self.head.parameters_["bias"])
        shifted = logits - logits.max(axis=1, keepdims=True)
        chosen = shifted[np.arange(len(shifted)), targets.values.reshape(-1)]
        per_frame = chosen.astype(np.float64) - np.log(np.exp(shifted).sum(axis=1, dtype=np.float64))
        owner = np.repeat(np.arange(len(x)), x.lengths)
        return np.bincount(owner, weights=per_frame, minlength=len(x)), state

    def stream(self, n_streams: int, context: NDArray[Any] | None = None) -> tuple[ops.Stream, int]:
        """A copy of the network one token at a time, and the number of the frame of logits."""
        stream = ops.Stream(n_streams, 1, self.dtype)
        frame = self.embedding.add_stages(stream, 0)
        if context is not None:
            frame = stream.join(frame, stream.constant(context))
        frame = self.encoder.add_stages(stream, frame)
        return stream, stream.dense(frame, self._head_weight(), self.head.parameters_["bias"])


def _rows_of(state: Any, rows: NDArray[np.int64]) -> Any:
    """Rows of every array of a state; zeros for row -1."""
    if state is None:
        return None
    if isinstance(state, list | tuple):
        return type(state)(_rows_of(part, rows) for part in state)
    taken = state[np.maximum(rows, 0)]
    taken[rows < 0] = 0
    return taken
