"""Language models, lexica, hot words and scorers: against the score of every label sequence."""

import pickle
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.decoding import (
    brute_force,
    hot_word_score,
    in_lexicon,
    prefix_beam_search,
    random_ngrams,
)
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from pyseq.decoding import BeamSearch, GreedySearch, Lexicon, NGramLanguageModel
from pyseq.ragged import Ragged

LABELS = ("-", "a", "b", " ")  # the blank, two letters, and what separates words
LN10 = np.log(10)


def language_model(folder, seed, words, order=3, special=("<s>", "</s>", "<unk>"), **options):
    reference = random_ngrams(np.random.default_rng(seed), words, order, 0.5, special)
    path = folder / "model.arpa"
    path.write_text(reference.text())
    return reference, NGramLanguageModel.from_arpa(path, **options)


def expected_of(logits, extra, n=10**6, labels=LABELS):
    """Label sequences with their scores, best first: CTC's and what `extra(labels)` adds."""
    totals, _ = brute_force(logits)
    scored = {tuple(labels[k] for k in found): score for found, score in totals.items()}
    scored = {found: score + extra(found) for found, score in scored.items()}
    return sorted(((f, s) for f, s in scored.items() if s > -np.inf), key=lambda pair: -pair[1])[:n]


def check(search, logits, extra):
    """All label sequences and their scores, from a beam wide enough."""
    expected = dict(expected_of(logits, extra))
    (found,) = search.set_params(beam_width=3000).decode(logits[np.newaxis], LABELS, n_best=3000)
    assert len(found) == len(expected)
    for hypothesis in found:
        text = tuple(LABELS[k] for k in hypothesis.labels)
        assert hypothesis.score == pytest.approx(expected[text], abs=2e-4)


def random_logits(seed, steps=5, classes=4):
    return 2 * np.random.default_rng(seed).standard_normal((steps, classes))


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from([("<s>", "</s>", "<unk>"), ("</s>",), ("<unk>",)]),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.5, 2.0]),
    st.sampled_from([0.0, 1.5]),
    st.integers(0, 2**31),
)
def test_language_model_of_labels(tmp_path_factory, special, order, weight, bonus, seed):
    folder = tmp_path_factory.mktemp("arpa")
    reference, model = language_model(
        folder, seed, ["a", "<space>"], order, special, symbols={" ": "<space>"}
    )
    search = BeamSearch(language_model=model, language_model_weight=weight, word_bonus=bonus)

    def extra(labels):
        words = ["<space>" if label == " " else label for label in labels]
        return weight * LN10 * reference.sequence(words) + bonus * len(labels)

    check(search, random_logits(seed), extra)


def words_of(labels):
    return "".join(labels).split(" ")


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from([("<s>", "</s>", "<unk>"), ("</s>",), ("<unk>",)]),
    st.integers(1, 3),
    st.integers(0, 2**31),
)
def test_language_model_of_words(tmp_path_factory, special, order, seed):
    folder = tmp_path_factory.mktemp("arpa")
    reference, model = language_model(folder, seed, ["a", "ab", "ba"], order, special, unit="word")
    search = BeamSearch(language_model=model, language_model_weight=0.7, word_bonus=0.9, delimiter=" ")

    def extra(labels):
        words = [word for word in words_of(labels) if word]
        return 0.7 * LN10 * reference.sequence(words) + 0.9 * len(words)

    check(search, random_logits(seed), extra)


@pytest.mark.parametrize("delimiter", [None, " "])
@pytest.mark.parametrize("seed", range(4))
def test_lexicon(delimiter, seed):
    words = ["a", "ab", "bab", "aa"]
    search = BeamSearch(lexicon=words if seed % 2 else Lexicon(words), delimiter=delimiter)
    check(
        search, random_logits(seed), lambda labels: 0.0 if in_lexicon(labels, words, delimiter) else -np.inf
    )


@pytest.mark.parametrize("delimiter", [None, " "])
@pytest.mark.parametrize("seed", range(6))
def test_hot_words(delimiter, seed):
    boosts = {"ab": 2.0, "a": 1.0, "bab": 3.5, "abab": -2.0, "aa": 0.5}
    if delimiter:
        boosts["a b"] = 1.25
    search = BeamSearch(hot_words=boosts, delimiter=delimiter)
    check(search, random_logits(seed, steps=6), lambda labels: hot_word_score(labels, boosts, delimiter))
    alike = BeamSearch(hot_words=list(boosts), hot_word_boost=1.5, delimiter=delimiter)
    equal = dict.fromkeys(boosts, 1.5)
    check(alike, random_logits(seed), lambda labels: hot_word_score(labels, equal, delimiter))


def test_all_together(tmp_path):
    reference, model = language_model(tmp_path, 3, ["a", "b", "<space>"], 3, symbols={" ": "<space>"})
    boosts, words = {"ab": 2.0, "b": -1.0}, ["a", "b", "ab", "bb"]
    search = BeamSearch(
        language_model=model, lexicon=words, hot_words=boosts, delimiter=" ", scorers=[Parity()]
    )

    def extra(labels):
        if not in_lexicon(labels, words, " "):
            return -np.inf
        spelled = ["<space>" if label == " " else label for label in labels]
        score = 0.5 * LN10 * reference.sequence(spelled) + hot_word_score(labels, boosts, " ")
        return score + parity(labels)

    for seed in range(3):
        check(search, random_logits(seed), extra)


class Parity:
    """Likes an even number of "a", and "b" after an odd one; states are numbers."""

    def __repr__(self):
        return "Parity()"

    def start(self, labels):
        self.labels = labels
        return 0

    def advance(self, state, label):
        return (state + (label == "a")) % 2

    def score(self, states):
        return [[0.3 * state if label == "b" else 0.0 for label in self.labels] for state in states]

    def finish(self, states):
        return [-0.8 if state else 0.0 for state in states]


def parity(labels):
    count, score = 0, 0.0
    for label in labels:
        score += 0.3 * (count % 2) if label == "b" else 0.0
        count += label == "a"
    return score - 0.8 * (count % 2)


@pytest.mark.parametrize("seed", range(3))
def test_scorers(seed):
    check(BeamSearch(scorers=[Parity(), Parity()]), random_logits(seed), lambda labels: 2 * parity(labels))


@pytest.mark.parametrize("width", [3, 8, 20])
def test_narrow_beams_keep_what_the_dictionary_keeps(width, tmp_path):
    letters = [f"x{k}" for k in range(1, 12)]
    reference, model = language_model(tmp_path, 1, letters, 3)
    boosts = {("x1", "x2"): 2.0, ("x3", "x3", "x4"): 3.0}
    search = BeamSearch(width, language_model=model, hot_words=boosts, scorers=None)
    partial = {(): 0.0}

    def score(prefix):
        if prefix not in partial:
            spelled = [f"x{k}" for k in prefix]
            lm = 0.5 * LN10 * reference.sequence(spelled, end=False)
            partial[prefix] = lm + hot_word_score(spelled, boosts) + held(spelled, boosts)
        return partial[prefix]

    def finish(prefix):
        spelled = [f"x{k}" for k in prefix]
        return 0.5 * LN10 * reference.sequence(spelled) + hot_word_score(spelled, boosts) - score(prefix)

    for seed in range(4):
        compare(search, random_logits(seed, steps=25, classes=12), score, finish)


def held(spelled, boosts):
    """What is granted for the time being: part of the boosts of words that are being spelled."""
    begun = [
        boost * k / len(word)
        for word, boost in boosts.items()
        for k in range(1, len(word))
        if tuple(spelled[len(spelled) - k :]) == word[:k]
    ]
    return max(begun, default=0.0)


def compare(search, logits, score, finish):
    """The best hypothesis of a narrow beam, and that of a search with a dictionary of prefixes."""
    expected = prefix_beam_search(logits, search.beam_width, score=score, finish=finish)
    labels = ["", *[f"x{k}" for k in range(1, logits.shape[1])]]
    (found,) = search.decode(logits[np.newaxis], labels, n_best=2)
    assert found[0].score == pytest.approx(expected[0][1], abs=1e-3)
    if expected[0][1] - expected[1][1] > 1e-3:
        assert tuple(found[0].labels.tolist()) == expected[0][0]


@pytest.mark.parametrize("width", [3, 8])
@pytest.mark.parametrize("classes", [40, 70, 300])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_hot_words_among_many_labels(classes, width, dtype):
    """Prefixes with the same row are looked at together, where rows are long and few."""
    rng = np.random.default_rng(classes)
    boosts = {
        tuple(f"x{k}" for k in rng.integers(1, classes, n)): b for n, b in ((2, 2.0), (3, 4.0), (4, -3.0))
    }
    boosts |= {(f"x{k}", f"x{k + 1}"): 1.0 for k in range(1, classes - 1, classes // 8)}

    @cache
    def score(prefix):
        spelled = [f"x{k}" for k in prefix]
        return hot_word_score(spelled, boosts) + held(spelled, boosts)

    def finish(prefix):
        return hot_word_score([f"x{k}" for k in prefix], boosts) - score(prefix)

    for seed in range(2):
        logits = random_logits(seed, steps=10, classes=classes)
        for word in list(boosts)[:3]:
            at = rng.integers(0, 10 - len(word))
            logits[at + np.arange(len(word)), [int(label[1:]) for label in word]] += 3
        compare(BeamSearch(width, hot_words=boosts), logits.astype(dtype), score, finish)


def decoders(folder):
    _, model = language_model(folder, 3, ["a", "b", "<space>"], 3, symbols={" ": "<space>"})
    _, words = language_model(folder, 4, ["a", "ab", "bb"], 2, unit="word")
    return [
        GreedySearch(),
        BeamSearch(7),
        BeamSearch(9, min_log_prob=-2.0, language_model=model),
        BeamSearch(9, language_model=words, delimiter=" "),
        BeamSearch(9, language_model=model, hot_words=["ab", "b"], delimiter=" "),
        BeamSearch(9, lexicon=["ab", "b", "a"], delimiter=" "),
        BeamSearch(9, scorers=[Parity()]),
    ]


def outcome(hypothesis):
    return (hypothesis.labels.tobytes(), hypothesis.score, *[a.tobytes() for a in hypothesis[2:]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_stream_says_what_the_whole_does(dtype, tmp_path):
    rng = np.random.default_rng(2)
    x = 2 * rng.standard_normal((1, 60, 4)).astype(dtype)
    for decoder in decoders(tmp_path):
        (expected,) = decoder.decode(x, LABELS)
        (best,) = decoder.decode(x, LABELS, n_best=3)
        for cuts in ([], [0], [60], [1, 2, 3], sorted(rng.integers(0, 61, 5)), range(60)):
            stream = decoder.start(LABELS, dtype=dtype)
            seen = 0
            for chunk in np.split(x[0], list(cuts)):
                partial = stream.push(chunk)
                seen += len(chunk)
                (so_far,) = GreedySearch().decode(x[:, :seen], LABELS)
                if isinstance(decoder, GreedySearch):
                    assert partial.labels.tolist() == so_far.labels.tolist()
                    assert partial.frames.tolist() == so_far.frames.tolist()
                    assert partial.ends.tolist() == so_far.ends.tolist()
                    assert partial.score == pytest.approx(so_far.score, rel=1e-5, abs=1e-5)
                    np.testing.assert_allclose(partial.confidences, so_far.confidences, rtol=1e-4)
            assert outcome(stream.finish()) == outcome(expected)
            assert [outcome(h) for h in stream.finish(3)] == [outcome(h) for h in best]


def test_results_do_not_depend_on_threads_or_batch(tmp_path):
    rng = np.random.default_rng(6)
    ragged = Ragged.from_list(
        [2 * rng.standard_normal((n, 4)).astype("float32") for n in rng.integers(0, 50, 13)]
    )
    for decoder in decoders(tmp_path):
        expected = [outcome(h) for h in decoder.decode(ragged, LABELS)]
        for threads in (1, 2, 3):
            with threadpool_limits(threads, user_api="openmp"):
                assert [outcome(h) for h in decoder.decode(ragged, LABELS)] == expected
        assert [outcome(decoder.decode(ragged[[b]], LABELS)[0]) for b in range(13)] == expected


def test_rows_that_do_not_fit_are_made_again(tmp_path):
    """A lexicon whose nodes have more rows than are kept."""
    rng = np.random.default_rng(1)
    words = [tuple(word) for word in rng.integers(1, 400, (400, 40)).tolist()]
    x = 0.1 * rng.standard_normal((300, 401)).astype("float32")
    for k, word in enumerate(words[:7]):
        x[40 * k + np.arange(40), word] += 9
    ((best, *_),) = BeamSearch(40, lexicon=[*words, *words[0:1]]).decode(x[np.newaxis, :40], n_best=2)
    assert best.labels.tolist() == list(words[0])
    search = BeamSearch(40, lexicon=words, delimiter=400)
    x[40 * np.arange(1, 7) - 1, 400] += 12
    (found,) = search.decode(x[np.newaxis, :280])
    assert set(found.labels.tolist()) <= set(range(1, 401))


@pytest.mark.parametrize("scorers", [None, "silent"])
def test_rows_of_several_sources_that_do_not_fit_are_made_again(scorers, tmp_path):
    """Beside a silent language model hot words say what they say alone; there are more rows than are kept."""
    rng = np.random.default_rng(7)
    classes = 3000
    labels = ["", *[f"l{k}" for k in range(1, classes)]]
    (tmp_path / "model.arpa").write_text("\\data\\\nngram 1=1\n\n\\1-grams:\n-1\tl1\n\n\\end\\\n")
    model = NGramLanguageModel.from_arpa(tmp_path / "model.arpa")
    boosts = {(f"l{k}",): 1.0 for k in range(1, classes, 3)} | {("l2", "l3"): 2.0}
    boosts |= {(f"l{a}", f"l{b}"): 1.5 for a, b in rng.integers(1, classes, (3000, 2))}
    x = 2 * rng.standard_normal((120, 15, classes)).astype("float32")
    alone = BeamSearch(24, hot_words=boosts)
    joined = BeamSearch(24, hot_words=boosts, language_model=model, language_model_weight=0.0)
    joined.set_params(scorers=[Silent()] if scorers else None)
    with threadpool_limits(1, user_api="openmp"):  # which keeps the rows of one sequence for the next
        expected, found = alone.decode(x, labels, n_best=24), joined.decode(x, labels, n_best=24)
    assert [[outcome(h) for h in best] for best in found] == [[outcome(h) for h in best] for best in expected]


class Silent:
    def start(self, labels):
        self.scores = np.zeros(len(labels))
        return 0

    def advance(self, state, label):
        return 0

    def score(self, states):
        return [self.scores for _ in states]

    def finish(self, states):
        return [0.0 for _ in states]


def test_without_timestamps_only_those_are_missing():
    x = random_logits(0, 30)[np.newaxis]
    (with_them,) = BeamSearch(5).decode(x, LABELS)
    (without,) = BeamSearch(5).decode(x, LABELS, timestamps=False)
    assert without[2:] == (None, None, None)
    assert without.labels.tolist() == with_them.labels.tolist()
    assert without.score == with_them.score
    assert BeamSearch(5).start(4, dtype="float64", timestamps=False).push(x[0]).frames is None


def test_what_nothing_is_allowed_in_has_no_labels():
    x = np.full((1, 4, 4), -30.0)
    x[:, :, 1] = 0
    (found,) = BeamSearch(1, lexicon=["b"]).decode(x, LABELS)
    assert found.labels.tolist() == []
    assert found.score == -np.inf
    assert BeamSearch(1, lexicon=["bbbbbb"]).decode(x, LABELS, n_best=3) == [[]]


def test_decoders_are_settings(tmp_path):
    for decoder in decoders(tmp_path):
        x = random_logits(3, 40)[np.newaxis]
        expected = outcome(decoder.decode(x, LABELS)[0])
        copied = clone(decoder)
        assert repr(copied) == repr(decoder)
        assert copied.get_params().keys() == decoder.get_params().keys()
        assert outcome(copied.decode(x, LABELS)[0]) == expected
        if not decoder.get_params().get("scorers"):
            assert outcome(pickle.loads(pickle.dumps(decoder)).decode(x, LABELS)[0]) == expected
    search = BeamSearch(4)
    assert repr(BeamSearch(4)) == "BeamSearch(beam_width=4)"
    before = outcome(search.decode(x, LABELS)[0])
    after = outcome(search.set_params(hot_words={"ab": 5.0}).decode(x, LABELS)[0])
    assert before != after
    search.hot_words["ab"] = 0.0
    assert outcome(search.decode(x, LABELS)[0])[0] == before[0]


class Broken(Parity):
    def __init__(self, scores):
        self.scores = scores

    def score(self, states):
        return self.scores


X = random_logits(0)[np.newaxis]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"beam_width": 0}, ValueError, "beam_width is 0, expected a number from 1"),
        ({"beam_width": 2.5}, TypeError, "beam_width is 2.5, expected an int"),
        ({"min_log_prob": 1}, ValueError, "min_log_prob is 1, expected"),
        ({"language_model": "model.arpa"}, TypeError, "language_model is 'model.arpa', expected an NGram"),
        (
            {"language_model_weight": -1},
            ValueError,
            "language_model_weight is -1, expected a finite number of at",
        ),
        ({"language_model_weight": np.nan}, ValueError, "language_model_weight is nan"),
        ({"word_bonus": "much"}, TypeError, "word_bonus is 'much', expected a number"),
        ({"lexicon": "ab"}, TypeError, "lexicon is 'ab', expected a collection"),
        ({"lexicon": []}, ValueError, "words is empty"),
        ({"lexicon": ["a", ""]}, ValueError, r"lexicon\[1\] is empty"),
        ({"lexicon": ["a", 3]}, TypeError, r"lexicon\[1\] is 3, expected a string or a sequence"),
        ({"lexicon": ["a", "ac"]}, ValueError, r"lexicon\[1\]\[1\] is 'c', expected one of the 3 labels"),
        (
            {"hot_words": ["ab", ["a", "b"]]},
            ValueError,
            r"hot_words\[1\] is .*, which is hot_words\[0\] again",
        ),
        ({"hot_words": {"ab": np.inf}}, ValueError, r"hot_words\['ab'\] is inf"),
        ({"hot_words": {"xy": 1}}, ValueError, r"hot_words\[0\]\[0\] is 'x'"),
        ({"hot_words": 7}, TypeError, "hot_words is 7, expected a collection"),
        ({"hot_word_boost": None}, TypeError, "hot_word_boost is None, expected a number"),
        ({"delimiter": "_"}, ValueError, "delimiter is '_', expected one of the 3 labels"),
        ({"delimiter": "-"}, ValueError, "delimiter is '-', expected one of the 3 labels"),
        ({"delimiter": [1]}, ValueError, r"delimiter is \[1\]"),
        ({"scorers": Parity()}, TypeError, "scorers is .*, expected a list"),
        ({"scorers": [3]}, TypeError, r"scorers\[0\] is 3, which has no method start"),
        (
            {"scorers": [Broken(np.zeros((1, 3)))]},
            ValueError,
            r"scorers\[0\].score returned an array of shape \(1, 3\)",
        ),
        ({"scorers": [Broken(np.full((1, 4), np.nan))]}, ValueError, r"scorers\[0\].score returned NaN"),
    ],
)
def test_bad_settings_are_named(options, error, message):
    with pytest.raises(error, match=message):
        BeamSearch(**options).decode(X, LABELS)


@pytest.mark.parametrize("decoder", [GreedySearch(), BeamSearch(3)])
def test_bad_input_is_named(decoder):
    with pytest.raises(ValueError, match="labels has 3 entries, expected 4"):
        decoder.decode(X, "abc")
    with pytest.raises(ValueError, match="labels has 'a' twice, at 1 and 3"):
        decoder.decode(X, "-aba")
    with pytest.raises(TypeError, match=r"labels is 1.5, expected the label of each class"):
        decoder.decode(X, 1.5)
    with pytest.raises(ValueError, match="blank is 4, expected one of the 4 classes"):
        decoder.decode(X, LABELS, blank=4)
    with pytest.raises(ValueError, match="n_best is 0"):
        decoder.decode(X, LABELS, n_best=0)
    with pytest.raises(ValueError, match=r"lengths\[0\] is 9"):
        decoder.decode(X, LABELS, lengths=[9])
    with pytest.raises(ValueError, match="dtype is 'int8'"):
        decoder.start(4, dtype="int8")
    with pytest.raises(ValueError, match="labels is empty"):
        decoder.start([])
    stream = decoder.start(LABELS)
    with pytest.raises(ValueError, match=r"logits has shape \(5, 3\), expected \(frames, 4\)"):
        stream.push(X[0, :, :3])
    with pytest.raises(TypeError, match="logits has dtype"):
        stream.push(np.full((2, 4), "x"))
    with pytest.raises(ValueError, match="n_best is -1"):
        stream.finish(-1)


def test_a_model_of_words_needs_a_delimiter(tmp_path):
    _, model = language_model(tmp_path, 4, ["a", "ab"], 2, unit="word")
    with pytest.raises(ValueError, match="delimiter is None, expected the label between words"):
        BeamSearch(language_model=model).decode(X, LABELS)
