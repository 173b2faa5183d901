"""CTC decoding: greedy, and a prefix beam search with what can be added to it.

No library that decodes can be had everywhere (`decoding_peers.py` has those that may be installed), so most
rows have other work of ours as their peer: one read of the logits for greedy decoding, the same search
without hot words or language model for these. A call decodes one sequence of 1,000 frames: milliseconds are
microseconds a frame.

Values are the scores of the best hypotheses, compared with those of the float64 kernels.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench import decoding_peers
from bench.contest import Contest, Contestant, Values
from pyseq import _core, ops
from pyseq.decoding import BeamSearch, Decoder, GreedySearch, NGramLanguageModel

FRAMES, BEAM = 1000, 32
HOT_WORDS, HOT_LENGTHS = 200, (5, 11)


def labels_of(classes: int) -> list[str]:
    """The blank first."""
    return ["", *[f"l{k}" for k in range(1, classes)]]


def logits_of(kind: str, classes: int, batch: int) -> np.ndarray:
    """Normal logits, over which a beam disagrees most; or "peaked", mostly blank with sure labels between."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, FRAMES, classes)).astype(np.float32)
    if kind == "peaked":
        x[..., 0] += 4
        for sequence in x:
            at = np.arange(1, FRAMES, 4)
            sequence[at, rng.integers(1, classes, len(at))] += 7
    return x


@cache
def language_model(classes: int) -> NGramLanguageModel:
    """A 3-gram with every 2-gram and as many 3-grams as 2-grams, of random weights."""
    rng = np.random.default_rng(1)
    words = labels_of(classes)[1:]
    pairs = [(a, b) for a in words for b in words]
    triples = {
        (*pairs[i], words[k]) for i, k in rng.integers(0, (len(pairs), len(words)), (5 * len(pairs), 2))
    }
    sections: list[list[tuple[str, ...]]] = [[(word,) for word in words], pairs, sorted(triples)]
    lines = ["\\data\\", *[f"ngram {n}={len(ngrams)}" for n, ngrams in enumerate(sections, 1)]]
    for n, ngrams in enumerate(sections, 1):
        lines += ["", f"\\{n}-grams:"]
        values = rng.uniform(-2, -0.2, (len(ngrams), 2)).round(4).tolist()
        ends = [f"\t{b}" if n < 3 else "" for _, b in values]
        lines += [f"{p}\t{' '.join(w)}{end}" for (p, _), w, end in zip(values, ngrams, ends, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.arpa"
        path.write_text("\n".join([*lines, "", "\\end\\", ""]))
        return NGramLanguageModel.from_arpa(path)


def hot_words(classes: int) -> dict[tuple[str, ...], float]:
    rng = np.random.default_rng(2)
    labels = labels_of(classes)
    lengths = rng.integers(*HOT_LENGTHS, HOT_WORDS)
    return {tuple(labels[k] for k in rng.integers(1, classes, n)): 3.0 for n in lengths}


def search(classes: int, extras: tuple[str, ...]) -> Decoder:
    options: dict[str, Any] = {}
    if "3-gram" in extras:
        options["language_model"] = language_model(classes)
    if "hot words" in extras:
        options["hot_words"] = hot_words(classes)
    return BeamSearch(BEAM, **options)


@dataclass(frozen=True)
class DecodingWorkload:
    """One decoder over one batch; `extras` name what a search has besides, `beside` those of its peer."""

    kind: str
    classes: int
    greedy: bool = False
    alone: bool = False  # labels without scores, as `predict` wants them
    batch: int = 1
    timestamps: bool = False
    extras: tuple[str, ...] = ()
    beside: tuple[str, ...] | None = None
    targets: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For instance `CTC decode beam 32, C 30 peaked, hot words`."""
        what = "greedy" if self.greedy else f"beam {BEAM}"
        parts = [f"CTC decode {what}, C {self.classes} {self.kind}", *self.extras]
        if self.alone:
            parts.append("labels alone")
        if self.timestamps:
            parts.append("timestamps")
        if self.batch > 1:
            parts.append(f"{self.batch} sequences")
        return ", ".join(parts)

    @property
    def labels(self) -> dict[str, object]:
        return {"kind": self.kind, "classes": self.classes, "batch": self.batch, "greedy": self.greedy}

    @property
    def step_operations(self) -> float:
        """There are no matrix products: the numbers read."""
        return float(self.classes)

    @property
    def operations(self) -> float:
        return self.step_operations * FRAMES * self.batch

    def decoder(self, extras: tuple[str, ...]) -> Decoder:
        return GreedySearch() if self.greedy else search(self.classes, extras)

    def contestant(self, name: str, extras: tuple[str, ...], ours: bool, values: Values) -> Contestant:
        decoder, labels = self.decoder(extras), labels_of(self.classes)
        logits = logits_of(self.kind, self.classes, self.batch)

        def call() -> Any:
            return decoder.decode(logits, labels, timestamps=self.timestamps)

        return Contestant(name, call, scores if ours else lambda _: values, ours=ours)

    def prepare(self, threads: int, precisions: Iterable[str]) -> Contest:
        logits, labels = logits_of(self.kind, self.classes, self.batch), labels_of(self.classes)
        reference = scores(self.decoder(self.extras).decode(logits.astype(np.float64), labels))
        contestants = [self.contestant("pyseq", self.extras, True, reference)]
        if self.alone:
            call, no_scores = (lambda: ops.ctc_best_path(logits)), (lambda _: reference)
            contestants = [Contestant("pyseq", call, no_scores, ours=True)]
        if self.greedy:
            flat = logits.reshape(-1)
            contestants.append(
                Contestant(
                    "one read",
                    lambda: _core.probe_rates("read", threads, 1, flat, 1),
                    lambda _: reference,  # it has no scores: nothing to compare
                )
            )
        if self.beside is not None:
            contestants.append(self.contestant("without", self.beside, False, reference))
        if not self.greedy and not self.extras and not self.timestamps and self.batch == 1:
            contestants += decoding_peers.contestants(logits[0], BEAM)
        return Contest(contestants, reference)


def scores(hypotheses: list[Any]) -> Values:
    return {"score": np.array([hypothesis.score for hypothesis in hypotheses], dtype=np.float64)}


def _table() -> list[DecodingWorkload]:
    W = DecodingWorkload
    rows = [
        W("normal", c, greedy=True, alone=alone, batch=b, targets={"highest": 0.5})
        for c, b in ((30, 64), (1000, 8))
        for alone in (True, False)
    ]
    for kind in ("normal", "peaked"):
        rows += [W(kind, c) for c in (30, 100, 1000)]
        rows.append(W(kind, 30, timestamps=True))
        rows.append(W(kind, 30, extras=("3-gram",), beside=()))
        rows += [
            W(kind, c, extras=("hot words",), beside=(), targets={"highest": 1 / 1.2})
            for c in (30, 100, 1000)
        ]
        rows.append(
            W(kind, 30, extras=("3-gram", "hot words"), beside=("3-gram",), targets={"highest": 1 / 1.2})
        )
    return [*rows, W("peaked", 30, batch=32)]


WORKLOADS = _table()
