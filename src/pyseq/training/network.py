"""An encoder, an optional pooling over time, and a linear head: what every estimator trains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseq.layers import POOLINGS, Dense, FlatParameters, Layer
from pyseq.ragged import Ragged
from pyseq.training._options import name_and_options
from pyseq.training.batching import batches_of_frames
from pyseq.training.examples import Examples
from pyseq.training.losses import ROW_LOSSES, LossValue, make_loss
from pyseq.training.scaling import Standardisation

__all__ = ["SequenceNetwork"]

# Frames predicted at once. The activations of a layer of 256 units take 32 MB in float32, and a batch is
# still long enough to keep every thread busy.
PREDICTED_FRAMES = 32_768


class SequenceNetwork:
    """From a collection of sequences to logits: one row a sequence with pooling, one row a frame without.

    Parameters
    ----------
    encoder : Layer
        Built here, in place: hand over a clone.
    n_outputs : int
        Units of the linear head.
    pooling : str or None
        A name in `POOLINGS`.
    loss : str or (str, dict)
        A name in `LOSSES`, or that and its options.
    n_features : int
        Features of a frame.
    dtype : str
        "float32" or "float64".
    standardisation : Standardisation or None
        What `standardise` and `predict` do to frames before the encoder sees them.
    rng : numpy.random.Generator
        Draws the initial weights.
    """

    def __init__(
        self,
        encoder: Layer,
        n_outputs: int,
        *,
        pooling: str | None,
        loss: Any,
        n_features: int,
        dtype: str,
        standardisation: Standardisation | None = None,
        rng: np.random.Generator,
    ) -> None:
        self.encoder, self.pooling, self.loss, self.dtype = encoder, pooling, loss, dtype
        self.loss_function = make_loss(loss)
        self.standardisation = standardisation
        encoder.build(n_features, dtype=dtype, random_state=rng)
        self.head = Dense(n_outputs)
        self.head.build(encoder.n_features_out_, dtype=dtype, random_state=rng)

    @property
    def n_parameters(self) -> int:
        return self.encoder.n_parameters + self.head.n_parameters

    def flat_parameters(self) -> FlatParameters:
        """All parameters and gradients as two flat buffers that the layers' arrays are views of."""
        return FlatParameters([self.encoder, self.head])

    def standardise(self, x: Ragged) -> Ragged:
        """Sequences as users have them, as `forward` takes them."""
        return x if self.standardisation is None else self.standardisation.apply(x)

    def forward(
        self, x: Ragged, *, training: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Ragged, Any]:
        """Logits and, when training, what `backward` needs.

        Parameters
        ----------
        x : Ragged of B sequences (T_b, n_features)
            Standardised.
        training : bool
            True: with dropout, and with a tape.
        rng : numpy.random.Generator
            Draws the dropout.

        Returns
        -------
        logits : Ragged
            Sequences of 1 frame with pooling, of T_b frames without.
        tape : object
            None unless training.
        """
        encoded, encoder_tape = self.encoder.forward(x, training=training, rng=rng)
        pooling_tape = None
        if self.pooling is not None:
            pooled, pooling_tape = POOLINGS[self.pooling].forward(encoded, self.encoder.reversed_columns_)
            encoded = Ragged(pooled, np.ones(len(x), dtype=np.int64))
        logits, head_tape = self.head.forward(encoded, training=training, rng=rng)
        return logits, (encoder_tape, pooling_tape, head_tape) if training else None

    def backward(self, tape: Any, gradient: Ragged) -> None:
        """Add the gradients of all parameters, given the gradient of the logits."""
        encoder_tape, pooling_tape, head_tape = tape
        encoded = self.head.backward(head_tape, gradient)
        assert encoded is not None
        if self.pooling is not None:
            encoded = POOLINGS[self.pooling].backward(pooling_tape, encoded.values)
        self.encoder.backward(encoder_tape, encoded, need_grad_x=False)

    def loss_and_gradients(self, batch: Examples, rng: np.random.Generator) -> LossValue:
        """Forward, loss and backward of one batch; gradients are added to the bound buffers."""
        logits, tape = self.forward(batch.x, training=True, rng=rng)
        value = self._loss_of(logits, batch)
        if value.n_counted:
            gradient = value.gradient
            self.backward(tape, gradient if isinstance(gradient, Ragged) else logits.with_values(gradient))
        return value

    def predict(self, x: Ragged) -> Iterator[tuple[NDArray[np.int64], Ragged]]:
        """Logits of any number of sequences, in batches of bounded size.

        Parameters
        ----------
        x : Ragged of n_sequences
            As users have them.

        Yields
        ------
        indices : ndarray, int64
            Which sequences this batch holds.
        logits : Ragged
            Of those, as `forward` gives them.
        """
        for indices in batches_of_frames(x.lengths, PREDICTED_FRAMES):
            yield indices, self.forward(self.standardise(x[indices]))[0]

    def _loss_of(self, logits: Ragged, batch: Examples) -> LossValue:
        targets, weights = batch.targets, batch.weights
        if name_and_options(self.loss, "loss")[0] not in ROW_LOSSES:
            return self.loss_function(logits, targets, weights, overwrite=True)
        if isinstance(targets, Ragged):  # a target a frame; a frame has the weight of its sequence
            weights = None if weights is None else np.repeat(weights, targets.lengths)
            targets = targets.values
        return self.loss_function(logits.values, targets, weights, overwrite=True)
