"""CTC decoding with dictionaries, and what a beam search adds to it, one prefix at a time.

    p(labels | logits) = sum over paths that collapse to the labels of prod_t softmax(logits[t])[path[t]]

A prefix search keeps for each prefix the log-probability of its paths that end in a blank and of those that
end in its last label (Graves & Jaitly 2014; Hannun et al. 2014). Other sources score a prefix with
`score(prefix)`, the end of a sequence with `finish(prefix)`.
"""

import itertools

import numpy as np

from reference.ctc import _collapse, _log_softmax
from reference.sequences import as_float64

NONE = -np.inf


def brute_force(logits, blank=0):
    """Log-probability of every label sequence that logits (T, C) can spell, by all C**T paths."""
    log_probs = _log_softmax(as_float64(logits))
    totals, best_paths = {}, {}
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        log_prob = sum(log_probs[t, k] for t, k in enumerate(path))
        labels = tuple(_collapse(path, blank)[0])
        totals[labels] = np.logaddexp(totals.get(labels, NONE), log_prob)
        best_paths[labels] = max(best_paths.get(labels, (NONE, ())), (log_prob, path))
    return totals, {labels: path for labels, (_, path) in best_paths.items()}


def prefix_beam_search(logits, width, blank=0, least=NONE, score=None, finish=None):
    """[(labels, score)] best first, of logits (T, C).

    Of equal scores, prefixes that were in the beam go first, then new ones in the order of the prefix that
    they extend, then of their label.
    """
    log_probs = _log_softmax(as_float64(logits)) if len(logits) else np.zeros((0, 1))
    beam = {(): (0.0, NONE)}
    score, finish = score or (lambda prefix: 0.0), finish or (lambda prefix: 0.0)
    for row in log_probs:
        allowed = {k for k in range(len(row)) if row[k] >= min(least, row.max()) and k != blank}
        found = {}
        for prefix, (in_blank, in_label) in beam.items():
            total = np.logaddexp(in_blank, in_label)
            found[prefix] = total + row[blank], in_label + row[prefix[-1]] if prefix else NONE
        for prefix, (in_blank, in_label) in beam.items():
            for k in sorted(allowed):
                from_score = in_blank if prefix and prefix[-1] == k else np.logaddexp(in_blank, in_label)
                longer = (*prefix, k)
                step = from_score + row[k] + score(longer) - score(prefix)
                before = found.get(longer, (NONE, NONE))
                found[longer] = before[0], np.logaddexp(before[1], step)
        found = {p: scores for p, scores in found.items() if np.logaddexp(*scores) > NONE}
        kept = sorted(found, key=lambda p: -np.logaddexp(*found[p]))[:width]
        beam = {p: found[p] for p in found if p in set(kept)}
    ranked = [(p, np.logaddexp(*scores) + finish(p)) for p, scores in beam.items()]
    return sorted([r for r in ranked if r[1] > NONE], key=lambda r: -r[1])


class Ngrams:
    """A backoff model as two dictionaries of tuples of words: log10 p and log10 backoff (Katz 1987)."""

    def __init__(self, log10, backoff, unknown=-7.0):
        self.log10, self.backoff, self.unknown = log10, backoff, unknown

    def word(self, word, history):
        if (word,) not in self.log10:
            if ("<unk>",) not in self.log10:
                return sum(self.backoff.get(history[i:], 0.0) for i in range(len(history))) + self.unknown
            word = "<unk>"
        if (*history, word) in self.log10:
            return self.log10[(*history, word)]
        return self.backoff.get(history, 0.0) + self.word(word, history[1:])

    def known(self, word):
        return word if (word,) in self.log10 else "<unk>"

    def sequence(self, words, begin=True, end=True):
        order = max(len(ngram) for ngram in self.log10)
        history = ("<s>",) if begin and ("<s>",) in self.log10 else ()
        total = 0.0
        for word in [*words, *(["</s>"] if end and ("</s>",) in self.log10 else [])]:
            total += self.word(word, history[-(order - 1) :] if order > 1 else ())
            # without <unk>, an unknown word hides what stands before it
            history = (*history, self.known(word)) if (self.known(word),) in self.log10 else ()
        return total

    def text(self, rng=None):
        """As an ARPA file; lines of a section in random order if `rng` is given."""
        orders = range(1, max(len(ngram) for ngram in self.log10) + 1)
        by_order = [[ngram for ngram in self.log10 if len(ngram) == n] for n in orders]
        lines = [
            "\\data\\",
            *[f"ngram {n}={len(ngrams)}" for n, ngrams in zip(orders, by_order, strict=True)],
        ]
        for n, ngrams in zip(orders, by_order, strict=True):
            lines += ["", f"\\{n}-grams:"]
            for i in range(len(ngrams)) if rng is None else rng.permutation(len(ngrams)):
                ngram = ngrams[i]
                backoff = f"\t{self.backoff[ngram]:.9g}" if ngram in self.backoff else ""
                lines.append(f"{self.log10[ngram]:.9g}\t{' '.join(ngram)}{backoff}")
        return "\n".join([*lines, "", "\\end\\", ""])


def random_ngrams(rng, words, order, density=0.5, special=("<s>", "</s>", "<unk>")):
    """A model with random weights: every word a 1-gram, longer n-grams of known histories by chance."""

    def weight(low, high):
        return float(np.float32(rng.uniform(low, high)))

    log10, backoff = {}, {}
    ngrams = [(word,) for word in [*special, *words]]
    for n in range(1, order + 1):
        for ngram in ngrams:
            log10[ngram] = -99.0 if ngram == ("<s>",) else weight(-3, -0.1)
            if n < order and ngram[-1] != "</s>" and rng.random() < 0.9:
                backoff[ngram] = weight(-1, 0.2)
        later = [word for word in [*special, *words] if word != "<s>"]
        ngrams = [
            (*ngram, word)
            for ngram in ngrams
            if ngram[-1] != "</s>"
            for word in later
            if rng.random() < density
        ]
    return Ngrams(log10, backoff)


def hot_word_score(labels, boosts, delimiter=None):
    """Boosts of all places where a word stands; with a delimiter, as a word."""
    text = tuple(labels) if delimiter is None else (delimiter, *labels, delimiter)
    total = 0.0
    for word, boost in boosts.items():
        wanted = tuple(word) if delimiter is None else (delimiter, *word, delimiter)
        total += boost * sum(text[i : i + len(wanted)] == wanted for i in range(len(text)))
    return total


def in_lexicon(labels, words, delimiter=None):
    """Whether labels are a word; with a delimiter, words with one between them, and perhaps one last."""
    words = {tuple(word) for word in words}
    if delimiter is None:
        return tuple(labels) in words
    parts = [
        tuple(group) for is_word, group in itertools.groupby(labels, lambda k: k != delimiter) if is_word
    ]
    runs = [
        len(list(group))
        for is_word, group in itertools.groupby(labels, lambda k: k != delimiter)
        if not is_word
    ]
    starts_well = not labels or labels[0] != delimiter
    return starts_well and all(part in words for part in parts) and all(run == 1 for run in runs)
