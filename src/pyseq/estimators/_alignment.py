"""Forced alignment by a fitted transcriber."""

from __future__ import annotations

from pyseq import ops
from pyseq.ops import Alignment
from pyseq.ragged import Ragged
from pyseq.training.network import SequenceNetwork

__all__ = ["aligned"]


def aligned(network: SequenceNetwork, x: Ragged, targets: Ragged, blank: int) -> list[Alignment]:
    """The most probable alignment of each sequence with its target, in the order of x."""
    found: dict[int, Alignment] = {}
    for indices, logits in network.predict(x):
        alignments = ops.ctc_align(logits, targets[indices].packed(), blank=blank)
        found.update(zip(indices.tolist(), alignments, strict=True))
    return [found[i] for i in range(len(x))]
