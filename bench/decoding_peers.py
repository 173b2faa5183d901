"""Beam searches of others, without language models, for one sequence.

Log-probabilities are made outside the timed call. A peer's value is the exact log-probability of the labels
it found, over all alignments: near our score, but not equal, for beams of one width keep other prefixes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.contest import Contestant, Values
from bench.threads import installed
from pyseq import ops

NEAR = {"score": 0.05}

# The labels of each frame that flashlight looks at: of 1,000 all of them took it hundreds of times as long.
TOKENS = 10


def contestants(logits: np.ndarray, width: int) -> list[Contestant]:
    """Those that are installed."""
    found = []
    if installed("flashlight"):
        found.append(flashlight(logits, width))
    if installed("pyctcdecode"):
        found.append(pyctcdecode(logits, width))
    return found


def flashlight(logits: np.ndarray, width: int) -> Contestant:
    """The search inside torchaudio's `ctc_decoder` (package flashlight-text), which adds up as ours does."""
    from flashlight.lib.text import decoder

    frames, classes = logits.shape
    log_probs = np.ascontiguousarray(_log_softmax(logits))
    options = decoder.LexiconFreeDecoderOptions(
        beam_size=width,
        beam_size_token=min(TOKENS, classes),
        beam_threshold=50.0,
        lm_weight=0.0,
        sil_score=0.0,
        log_add=True,
        criterion_type=decoder.CriterionType.CTC,
    )
    no_silence = classes + 1

    def call() -> Any:
        # Made anew: one that is used again takes as long, and keeps the prefixes of all calls before.
        search = decoder.LexiconFreeDecoder(options, decoder.ZeroLM(), no_silence, 0, [])
        return search.decode(log_probs.ctypes.data, frames, classes)

    def values(result: Any) -> Values:
        path = [k for k in result[0].tokens if k < classes]
        return _values(logits, [b for a, b in zip([0, *path], path, strict=False) if b not in (a, 0)])

    return Contestant("flashlight", call, values, limits=NEAR)


def pyctcdecode(logits: np.ndarray, width: int) -> Contestant:
    """`BeamSearchDecoderCTC.decode` with its own thresholds; its labels are characters."""
    import pyctcdecode as peer

    logging.getLogger("pyctcdecode").setLevel(logging.ERROR)  # that there is no language model
    characters = [chr(0x4E00 + k) for k in range(logits.shape[1])]
    label_of = {character: k for k, character in enumerate(characters)}
    search = peer.build_ctcdecoder(["", *characters[1:]])
    log_probs = _log_softmax(logits)

    def call() -> Any:
        return search.decode(log_probs, beam_width=width)

    return Contestant(
        "pyctcdecode", call, lambda text: _values(logits, [label_of[c] for c in text]), limits=NEAR
    )


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _values(logits: np.ndarray, labels: Sequence[int]) -> Values:
    loss = ops.ctc_loss(logits[np.newaxis].astype(np.float64), [np.array(labels)])
    return {"score": -np.asarray(loss)}
