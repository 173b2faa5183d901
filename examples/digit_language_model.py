"""A character 3-gram for lines of digits: what it gains, with its weight chosen on lines set aside.

    python examples/digit_language_model.py [--seeds 5] [--epochs 12] [--train 2000]

For each seed the transcriber of `pyseq demo` learns to read. A 3-gram is counted in the transcriptions it
learned from. Half of the lines of unseen scans choose the weight of the 3-gram and the bonus of a label, by
character error rate; the other half tells what greedy decoding, a beam, and the beam with the 3-gram read
wrong. The halves are different lines of the same scans. The digits are drawn at random, so all that a 3-gram
can know of them is where lines may end.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from pyseq.datasets import load_digit_lines
from pyseq.decoding import BeamSearch, NGramLanguageModel
from pyseq.demo import make_transcriber
from pyseq.metrics import character_error_rate

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0)
BONUSES = (-0.5, 0.0, 0.3, 0.7, 1.5)
PRIOR = 30.0  # an order counts as so many observations of the next
BEGIN, END = "<s>", "</s>"

Ngram = tuple[str, ...]


def ngram_model(texts: list[str], order: int = 3) -> NGramLanguageModel:
    """An n-gram of characters, smoothed by the next shorter one."""
    counts: Counter[Ngram] = Counter()
    for text in texts:
        symbols = [BEGIN, *text, END]
        for n in range(1, order + 1):
            counts.update(tuple(symbols[i : i + n]) for i in range(len(symbols) - n + 1))
    total = sum(counts[ngram] for ngram in counts if len(ngram) == 1 and ngram != (BEGIN,))
    alphabet = len({symbol for text in texts for symbol in text}) + 1
    probabilities: dict[Ngram, float] = {(BEGIN,): 1e-99}
    for ngram in sorted(counts, key=len):
        if ngram != (BEGIN,):
            seen_before = counts[ngram[:-1]] if len(ngram) > 1 else total
            shorter = probabilities[ngram[1:]] if len(ngram) > 1 else 1 / alphabet
            probabilities[ngram] = (counts[ngram] + PRIOR * shorter) / (seen_before + PRIOR)

    rows = ["\\data\\"]
    by_length = {n: sorted(ngram for ngram in counts if len(ngram) == n) for n in range(1, order + 1)}
    rows += [f"ngram {n}={len(ngrams)}" for n, ngrams in by_length.items()]
    for n, ngrams in by_length.items():
        rows += ["", f"\\{n}-grams:"]
        for ngram in ngrams:
            row = f"{np.log10(probabilities[ngram]):.6f}\t{' '.join(ngram)}"
            goes_on = n < order and ngram[-1] != END
            rows.append(f"{row}\t{np.log10(PRIOR / (counts[ngram] + PRIOR)):.6f}" if goes_on else row)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "characters.arpa"
        path.write_text("\n".join([*rows, "", "\\end\\", ""]))
        return NGramLanguageModel.from_arpa(path)


def error_rates(seed: int, epochs: int, n_train: int) -> tuple[list[float], float, float]:
    """Of greedy decoding, of the beam and of the beam with the 3-gram; its weight and bonus."""
    lines = load_digit_lines(n_train, 1000, random_state=seed)
    model = make_transcriber(epochs=epochs, seed=seed).fit(lines.X_train, lines.y_train)
    choosing, telling = slice(0, 500), slice(500, 1000)

    def errors(decoder: BeamSearch | None, part: slice) -> float:
        model.set_params(decoder=decoder)
        return float(character_error_rate(lines.y_test[part], model.predict(lines.X_test[part])))

    def beam(weight: float, bonus: float) -> BeamSearch:
        return BeamSearch(32, language_model=trigram, language_model_weight=weight, word_bonus=bonus)

    trigram = ngram_model(lines.y_train)
    # the first of equal ones: the smaller weight, then the smaller bonus
    pairs = sorted(itertools.product(WEIGHTS, BONUSES), key=lambda pair: (pair[0], abs(pair[1])))
    weight, bonus = min(pairs, key=lambda pair: errors(beam(*pair), choosing))
    decoders = (None, BeamSearch(32), beam(weight, bonus))
    return [errors(decoder, telling) for decoder in decoders], weight, bonus


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="models to train")
    parser.add_argument("--epochs", type=int, default=12, help="of each")
    parser.add_argument("--train", type=int, default=2000, help="lines to learn from")
    arguments = parser.parse_args()
    print("character errors, %:\nseed   greedy     beam   + 3-gram   weight   bonus")
    table = []
    for seed in range(arguments.seeds):
        rates, weight, bonus = error_rates(seed, arguments.epochs, arguments.train)
        table.append(rates)
        greedy, beam, with_model = (100 * rate for rate in rates)
        print(f"{seed:4} {greedy:8.2f} {beam:8.2f} {with_model:10.2f} {weight:8} {bonus:7}", flush=True)
    greedy, beam, with_model = 100 * np.mean(table, axis=0)
    print(f"mean {greedy:8.2f} {beam:8.2f} {with_model:10.2f}")


if __name__ == "__main__":
    main()
