"""The networks of a generator: they read a frame and say how likely each next one is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseq import ops
from pyseq.layers import Dense, Embedding, FlatParameters, Layer
from pyseq.layers.carrying import with_frames_before, without_frames_before
from pyseq.ragged import Ragged
from pyseq.training.batching import batches_of_frames
from pyseq.training.densities import GaussianMixture
from pyseq.training.losses import LossValue, log_likelihoods, softmax_cross_entropy
from pyseq.training.network import PREDICTED_FRAMES
from pyseq.training.scaling import Standardisation
from pyseq.training.windows import WindowBatch

__all__ = ["DensityNetwork", "LanguageNetwork"]


class AutoregressiveNetwork:
    """A causal encoder of what has been read, and a linear head that says what comes next.

    A subclass says how frames become inputs of the encoder, and what the head's outputs mean.

    Parameters
    ----------
    encoder : Layer
        Built here, in place: hand over a clone. It must be causal.
    n_inputs : int
        Columns that frames become.
    n_context : int
        Columns of the condition that each frame has beside them.
    n_outputs : int
    carry : bool
        Whether the encoder's state is carried from window to window.
    dtype : str
    rng : numpy.random.Generator
        Draws the initial weights.
    """

    standardisation: Standardisation | None = None
    pooling = None
    loss: str

    def __init__(
        self,
        encoder: Layer,
        *,
        n_inputs: int,
        n_context: int,
        n_outputs: int,
        carry: bool,
        dtype: str,
        rng: np.random.Generator,
    ) -> None:
        self.encoder, self.dtype, self.carry = encoder, dtype, carry
        self.n_inputs, self.n_context = n_inputs, n_context
        encoder.build(n_inputs + n_context, dtype=dtype, random_state=rng)
        self.head = Dense(n_outputs).build(encoder.n_features_out_, dtype=dtype, random_state=rng)
        self._state: Any = None

    # What a subclass answers

    def _read(self, frames: Ragged, training: bool) -> tuple[Ragged, Any]:
        """Inputs of the encoder, and what `_read_backward` needs."""
        raise NotImplementedError

    def _read_backward(self, tape: Any, grad: Ragged) -> None:
        raise NotImplementedError

    def _loss_of(self, outputs: NDArray[Any], targets: NDArray[Any]) -> LossValue:
        """Mean over the rows."""
        raise NotImplementedError

    def _log_likelihoods_of(self, outputs: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.float64]:
        """Of each row."""
        raise NotImplementedError

    def _layers(self) -> list[Layer]:
        return [self.encoder, self.head]

    def _head_weight(self) -> tuple[Layer, NDArray[Any]]:
        """The head's weight and the layer it belongs to."""
        return self.head, self.head.parameters_["weight"]

    # What all have

    @property
    def reach(self) -> int:
        """Frames before a window that the encoder is shown again in training, for the sake of its past."""
        return (self.encoder.receptive_field or 1) - 1 if self.carry else 0

    @property
    def _carries(self) -> bool:
        """Whether windows in training go on from a state: the past of a recurrent encoder has no bound."""
        return self.carry and self.encoder.receptive_field is None

    @property
    def n_parameters(self) -> int:
        return sum(layer.n_parameters for layer in self._layers())

    def flat_parameters(self) -> FlatParameters:
        """All parameters and gradients as two flat buffers that the layers' arrays are views of."""
        return FlatParameters(self._layers())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_state": None}

    def loss_and_gradients(self, batch: WindowBatch, rng: np.random.Generator) -> LossValue:
        """Mean loss of the batch's frames; gradients are added to the bound buffers."""
        inputs, read_tape = self._inputs(batch.x, batch.context, training=True)
        encoded, tape = self._encode(inputs, batch.carried, rng)
        if batch.before is not None:
            encoded = without_frames_before(encoded, batch.before)
        frames = encoded.values
        owner, weight = self._head_weight()
        outputs = ops.dense(frames, weight, self.head.parameters_["bias"])
        assert isinstance(batch.targets, Ragged)
        value = self._loss_of(outputs, batch.targets.values)
        grad, grad_weight, grad_bias = ops.dense_backward(frames, weight, value.gradient)
        assert grad is not None
        owner.gradients_["weight"] += grad_weight
        self.head.gradients_["bias"] += grad_bias
        grad_encoded = encoded.with_values(grad)
        if batch.before is not None:
            grad_encoded = with_frames_before(grad_encoded, batch.before)
        back = self.encoder.backward_carrying if self._carries else self.encoder.backward
        grad_x = back(tape, grad_encoded)
        assert grad_x is not None
        if self.n_context:
            grad_x = grad_x.with_values(np.ascontiguousarray(grad_x.values[:, : self.n_inputs]))
        self._read_backward(read_tape, grad_x)
        return value

    def _encode(
        self, x: Ragged, carried: NDArray[np.int64] | None, rng: np.random.Generator
    ) -> tuple[Ragged, Any]:
        if not self._carries:
            return self.encoder.forward(x, training=True, rng=rng)
        state = None if carried is None or (carried < 0).all() else rows_of(self._state, carried)
        y, tape, self._state = self.encoder.forward_carrying(x, state, training=True, rng=rng)
        return y, tape

    def _inputs(
        self, frames: Ragged, context: NDArray[Any] | None, *, training: bool = False
    ) -> tuple[Ragged, Any]:
        x, tape = self._read(frames, training)
        if context is not None:
            rows = np.repeat(context, frames.lengths, axis=0).astype(self.dtype)
            x = Ragged(np.concatenate([x.values, rows], axis=1), frames.lengths)
        return x, tape

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
        outputs = ops.dense(encoded.values, self._head_weight()[1], self.head.parameters_["bias"])
        by_frame = self._log_likelihoods_of(outputs, targets.values)
        owner = np.repeat(np.arange(len(x)), x.lengths)
        return np.bincount(owner, weights=by_frame, minlength=len(x)), state

    def _stream(self, n_streams: int, width: int, context: NDArray[Any] | None) -> tuple[ops.Stream, int]:
        stream = ops.Stream(n_streams, width, self.dtype)
        frame = self._add_inputs(stream)
        if context is not None:
            frame = stream.join(frame, stream.constant(context))
        frame = self.encoder.add_stages(stream, frame)
        return stream, stream.dense(frame, self._head_weight()[1], self.head.parameters_["bias"])

    def _add_inputs(self, stream: ops.Stream) -> int:
        return 0


class LanguageNetwork(AutoregressiveNetwork):
    """Embedding, causal encoder, linear head over all tokens.

    Parameters
    ----------
    n_tokens : int
        Tokens to read, and to choose from.
    embedding_dim : int
    tie_weights : bool
        Whether the head's weight is the embedding's (Press & Wolf 2017): then the encoder must put out
        `embedding_dim` columns.
    encoder, n_context, carry, dtype, rng
        As in `AutoregressiveNetwork`.
    """

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
        self.embedding = Embedding(n_tokens, embedding_dim).build(1, dtype=dtype, random_state=rng)
        super().__init__(
            encoder,
            n_inputs=embedding_dim,
            n_context=n_context,
            n_outputs=n_tokens,
            carry=carry,
            dtype=dtype,
            rng=rng,
        )
        self.tied = tie_weights
        if not tie_weights:
            return
        if encoder.n_features_out_ != embedding_dim:
            raise ValueError(
                f"tie_weights=True needs an encoder of as many columns as embedding_dim, "
                f"got {encoder.n_features_out_} and {embedding_dim}"
            )
        # N(0, 1) suits an input, not a product: both sides start at the scale of the head
        self.embedding.parameters_["weight"] *= embedding_dim**-0.5
        del self.head.parameters_["weight"]

    def stream(self, n_streams: int, context: NDArray[Any] | None = None) -> tuple[ops.Stream, int]:
        """A copy of the network one token at a time, and the number of the frame of logits."""
        return self._stream(n_streams, 1, context)

    def _layers(self) -> list[Layer]:
        return [self.embedding, self.encoder, self.head]

    def _head_weight(self) -> tuple[Layer, NDArray[Any]]:
        owner = self.embedding if self.tied else self.head
        return owner, owner.parameters_["weight"]

    def _read(self, frames: Ragged, training: bool) -> tuple[Ragged, Any]:
        return self.embedding.forward(frames, training=training)

    def _read_backward(self, tape: Any, grad: Ragged) -> None:
        self.embedding.backward(tape, grad)

    def _loss_of(self, outputs: NDArray[Any], targets: NDArray[Any]) -> LossValue:
        return softmax_cross_entropy(outputs, targets.reshape(-1))

    def _log_likelihoods_of(self, outputs: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.float64]:
        return log_likelihoods(outputs, targets.reshape(-1))

    def _add_inputs(self, stream: ops.Stream) -> int:
        return self.embedding.add_stages(stream, 0)


class DensityNetwork(AutoregressiveNetwork):
    """Real numbers, causal encoder, linear head that gives the density of the next numbers.

    Parameters
    ----------
    density : GaussianMixture
        Of standardised values.
    standardisation : Standardisation
        Of values as users have them; what the network reads is standardised already.
    encoder, n_context, carry, dtype, rng
        As in `AutoregressiveNetwork`.
    """

    def __init__(
        self,
        encoder: Layer,
        density: GaussianMixture,
        standardisation: Standardisation,
        *,
        n_context: int,
        carry: bool,
        dtype: str,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(
            encoder,
            n_inputs=density.n_values,
            n_context=n_context,
            n_outputs=density.n_outputs,
            carry=carry,
            dtype=dtype,
            rng=rng,
        )
        self.density, self.standardisation = density, standardisation
        self.loss = repr(density)
        self.head.parameters_["bias"][...] = density.initial_bias(rng)

    def log_likelihoods(
        self, x: Ragged, targets: Ragged, context: NDArray[Any] | None = None
    ) -> NDArray[np.float64]:
        """Log-density of each sequence, of values as users have them."""
        assert self.standardisation is not None
        change_of_units = float(np.log(self.standardisation.scale.astype(np.float64)).sum())
        standardised: NDArray[np.float64] = super().log_likelihoods(x, targets, context)
        return standardised + change_of_units * x.lengths

    def stream(self, n_streams: int, context: NDArray[Any] | None = None) -> tuple[ops.Stream, int]:
        """A copy of the network one frame at a time, and the number of the frame of the density."""
        return self._stream(n_streams, self.density.n_values, context)

    def _read(self, frames: Ragged, training: bool) -> tuple[Ragged, Any]:
        return frames.packed(), None

    def _read_backward(self, tape: Any, grad: Ragged) -> None:
        """Frames are data: their gradient goes nowhere."""

    def _loss_of(self, outputs: NDArray[Any], targets: NDArray[Any]) -> LossValue:
        return self.density.loss(outputs, targets)

    def _log_likelihoods_of(self, outputs: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.float64]:
        return self.density.log_likelihoods(outputs, targets)


def rows_of(state: Any, rows: NDArray[np.int64]) -> Any:
    """Rows of every array of a state; zeros for row -1."""
    if state is None:
        return None
    if isinstance(state, list | tuple):
        parts = [rows_of(part, rows) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)
    taken = state[np.maximum(rows, 0)]
    taken[rows < 0] = 0
    return taken
