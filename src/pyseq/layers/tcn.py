"""The temporal convolutional network   (Bai, Kolter & Koltun 2018)."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from pyseq import ops
from pyseq.layers.arrays import get_namespace
from pyseq.layers.base import Layer
from pyseq.layers.conv_unit import ConvUnit
from pyseq.layers.convolution import check_causal, check_taps
from pyseq.layers.dropout import RATE, channel_dropout, dropout_backward
from pyseq.ragged import Ragged


class Block(NamedTuple):
    """Two convolutions of one dilation, and the 1x1 convolution beside them where widths differ."""

    first: ConvUnit
    second: ConvUnit
    projection: ConvUnit | None


class BlockTape(NamedTuple):
    """What the backward pass of a block needs."""

    first: Any
    second: Any
    projection: Any
    masks: tuple[Any, Any]
    rectified: NDArray[Any] | None  # the output, where a ReLU ends the block


class TCN(Layer):
    """Residual blocks of dilated convolutions: a long, finite memory that trains in parallel over time.

    Block b, with all convolutions of dilation ``dilation_base**b`` and weight-normalised if asked for:

        h = dropout(relu(conv_1(x))),   y = relu(dropout(relu(conv_2(h))) + x)

    where x goes through a 1x1 convolution if it has another width than y, and is left out, with the outer
    ReLU, without `residual`   (Bai, Kolter & Koltun 2018, "An Empirical Evaluation of Generic Convolutional
    and Recurrent Networks for Sequence Modeling", section 3).

    Parameters
    ----------
    channels : int
        Columns of the output, and of all blocks.
    kernel_size : int
        Taps of each convolution; odd unless causal.
    num_blocks : int
        Blocks one after the other.
    dilation_base : int
        Dilation of a block over that of the block before; the first has 1.
    dropout : float
        Rate of spatial dropout after each convolution: while training, a channel is zeroed in all frames of a
        sequence, drawn anew for each sequence and channel.
    weight_norm : bool
        Whether the weights are a direction and a length for each channel (Salimans & Kingma 2016); the 1x1
        convolution's never are.
    residual : bool
        Whether a block adds its input to its output.
    causal : bool
        Look at the present and the past only; else at both sides alike.

    Notes
    -----
    Parameters of block b: `block{b}.conv1.weight_v`, `.weight_g`, `.bias`, the same for `conv2`; without
    `weight_norm`, `.weight` in place of the first two; `block{b}.projection.weight` and `.bias` where widths
    differ, which is in block 0 alone. Shapes and how they begin: see `Conv1d`.

    Examples
    --------
    >>> from pyseq.layers import TCN
    >>> TCN(25, kernel_size=7, num_blocks=6).receptive_field
    757
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "channels": [Interval(Integral, 1, None, closed="left")],
        "kernel_size": [Interval(Integral, 1, None, closed="left")],
        "num_blocks": [Interval(Integral, 1, None, closed="left")],
        "dilation_base": [Interval(Integral, 1, None, closed="left")],
        "dropout": [RATE],
        "weight_norm": ["boolean"],
        "residual": ["boolean"],
        "causal": ["boolean"],
    }

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        num_blocks: int,
        dilation_base: int = 2,
        dropout: float = 0.0,
        weight_norm: bool = True,
        residual: bool = True,
        causal: bool = True,
    ) -> None:
        self.channels = channels
        self.kernel_size = kernel_size
        self.num_blocks = num_blocks
        self.dilation_base = dilation_base
        self.dropout = dropout
        self.weight_norm = weight_norm
        self.residual = residual
        self.causal = causal

    @property
    def receptive_field(self) -> int:
        """Frames from the first to the last that a frame of the output sees."""
        dilations: list[int] = [self.dilation_base**b for b in range(self.num_blocks)]
        return 1 + 2 * (self.kernel_size - 1) * sum(dilations)

    def _blocks(self, n_features: int) -> list[Block]:
        blocks, inputs, outputs = [], n_features, self.channels
        for b in range(self.num_blocks):
            name, dilation = f"block{b}.", self.dilation_base**b
            taps = (self.kernel_size, dilation, self.causal, "relu", self.weight_norm)
            first = ConvUnit(name + "conv1.", inputs, outputs, *taps)
            second = ConvUnit(name + "conv2.", outputs, outputs, *taps)
            projected = self.residual and inputs != outputs
            projection = ConvUnit(name + "projection.", inputs, outputs) if projected else None
            blocks.append(Block(first, second, projection))
            inputs = outputs
        return blocks

    def _initial_parameters(
        self, n_features: int, rng: np.random.Generator
    ) -> tuple[int, dict[str, NDArray[np.float64]]]:
        check_taps("TCN", self.kernel_size, self.causal)
        parameters: dict[str, NDArray[np.float64]] = {}
        for block in self._blocks(n_features):
            for unit in block:
                parameters.update({} if unit is None else unit.initial_parameters(rng))
        return self.channels, parameters

    def forward(
        self, x: Ragged, *, training: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Ragged, Any]:
        self._built("parameters_")
        tapes = []
        for b, block in enumerate(self._blocks(self.n_features_in_)):
            # A block's output is a sum of rectified numbers: from block 1 on the outer ReLU does nothing.
            x, tape = self._forward_block(block, x, self.residual and b == 0, training, rng)
            tapes.append(tape)
        return x, (tapes if training else None)

    def _forward_block(
        self, block: Block, x: Ragged, rectify: bool, training: bool, rng: np.random.Generator | None
    ) -> tuple[Ragged, BlockTape]:
        parameters, drops = self.parameters_, training and self.dropout > 0
        masks: tuple[Any, Any] = (None, None)
        beside, projection_tape = (x if self.residual else None), None
        if block.projection is not None:
            beside, projection_tape = block.projection.forward(parameters, x, training=training)
        h, first_tape = block.first.forward(parameters, x, training=training)
        if drops:
            h, mask = channel_dropout(h, self.dropout, rng)
            y, second_tape = block.second.forward(parameters, h, training=True)
            y, second_mask = channel_dropout(y, self.dropout, rng)
            masks = (mask, second_mask)
            if beside is not None:
                y.values[...] += beside.values
        else:
            y, second_tape = block.second.forward(parameters, h, residual=beside, training=training)
        if rectify:
            get_namespace(y.values).maximum(y.values, 0, out=y.values)
        return y, BlockTape(first_tape, second_tape, projection_tape, masks, y.values if rectify else None)

    def add_stages(self, stream: ops.Stream, frame: int) -> int:
        """Add all blocks; the layer must be causal."""
        parameters = self._built("parameters_")
        check_causal(self, self.causal)
        for b, block in enumerate(self._blocks(self.n_features_in_)):
            beside = frame if self.residual else None
            if block.projection is not None:
                beside = block.projection.add_stages(stream, frame, parameters)
            frame = block.first.add_stages(stream, frame, parameters)
            frame = block.second.add_stages(stream, frame, parameters, beside)
            if self.residual and b == 0:
                frame = stream.elementwise(frame, "relu")
        return frame

    def backward(self, tape: Any, grad: Ragged, *, need_grad_x: bool = True) -> Ragged | None:
        grad_x: Ragged | None = grad
        for b, block in reversed(list(enumerate(self._blocks(self.n_features_in_)))):
            assert grad_x is not None
            grad_x = self._backward_block(block, tape[b], grad_x, need_grad_x or b > 0)
        return grad_x

    def _backward_block(
        self, block: Block, tape: BlockTape, grad: Ragged, need_grad_x: bool
    ) -> Ragged | None:
        def through(unit: ConvUnit, tape: Any, grad: Ragged, needed: bool, add: Ragged | None = None) -> Any:
            grad_x, gradients = unit.backward(self.parameters_, tape, grad, need_grad_x=needed, add=add)
            self._add_gradients(gradients)
            return grad_x

        if tape.rectified is not None:
            grad = grad.with_values(grad.values * (tape.rectified > 0))
        beside = grad if self.residual else None
        if block.projection is not None:
            beside = through(block.projection, tape.projection, grad, need_grad_x)
        for mask, unit, unit_tape in (
            (tape.masks[1], block.second, tape.second),
            (tape.masks[0], block.first, tape.first),
        ):
            if mask is not None:
                grad = dropout_backward(mask, grad)
            last = unit is block.first
            grad = through(unit, unit_tape, grad, need_grad_x or not last, beside if last else None)
        return grad
