"""N-gram models: what they say, and what ARPA files must not contain."""

import copy
import gzip
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.decoding import Ngrams, random_ngrams

from pyseq.decoding import NGramLanguageModel

WORDS = ["a", "b", "c", "<space>", "ß", "\\x", "-1.5"]
TEXT = random_ngrams(np.random.default_rng(0), WORDS, 3).text()


def written(tmp_path, text, name="model.arpa"):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 5),
    st.sampled_from([("<s>", "</s>", "<unk>"), ("<s>", "</s>"), ("<unk>",), ()]),
    st.integers(0, 2**31),
)
def test_probabilities_are_those_of_the_backoff_formula(tmp_path_factory, order, special, seed):
    rng = np.random.default_rng(seed)
    reference = random_ngrams(rng, WORDS[:5], order, 0.6, special)
    path = written(tmp_path_factory.mktemp("arpa"), reference.text(rng))
    model = NGramLanguageModel.from_arpa(path)
    assert model.order == max(len(ngram) for ngram in reference.log10)
    assert model.n_ngrams == len(reference.log10)
    assert set(model.words) == {ngram[0] for ngram in reference.log10 if len(ngram) == 1}
    for _ in range(20):
        words = rng.choice([*WORDS[:5], "unknown"], size=rng.integers(0, 7)).tolist()
        for begin in (False, True):
            for end in (False, True):
                expected = reference.sequence(words, begin, end)
                assert model.log10_prob(words, begin=begin, end=end) == pytest.approx(expected, abs=1e-4)


def test_histories_that_are_not_n_grams_are_backed_off(tmp_path):
    text = (
        "\\data\\\nngram 1=3\nngram 2=1\nngram 3=1\n\\1-grams:\n-1 a -0.5\n-2 b -0.25\n-3 c\n"
        "\\2-grams:\n-0.5 c a -0.125\n\\3-grams:\n-0.75 a b c\n\\end\\\n"
    )
    model = NGramLanguageModel.from_arpa(written(tmp_path, text))
    assert model.log10_prob(["a", "b", "c"]) == pytest.approx(-1 + (-0.5 - 2) - 0.75)
    assert model.log10_prob(["a", "b", "a"]) == pytest.approx(-1 + (-0.5 - 2) + (-0.25 - 1))
    assert model.log10_prob(["c", "a", "b"]) == pytest.approx(-3 - 0.5 + (-0.125 - 0.5 - 2))


def test_gzip_and_other_line_ends_are_read_alike(tmp_path):
    plain = NGramLanguageModel.from_arpa(written(tmp_path, TEXT))
    packed = NGramLanguageModel.from_arpa(written(tmp_path, gzip.compress(TEXT.encode()), "packed"))
    windows = NGramLanguageModel.from_arpa(written(tmp_path, TEXT.replace("\n", "\r\n")))
    spaced = NGramLanguageModel.from_arpa(written(tmp_path, "by some tool\n\n" + TEXT.replace("\t", "  ")))
    unfinished = NGramLanguageModel.from_arpa(written(tmp_path, TEXT.rstrip("\n")))
    words = ["a", "c", "ß", "\\x", "-1.5", "<space>", "b", "?"]
    for other in (packed, windows, spaced, unfinished):
        assert other.words == plain.words
        assert other.log10_prob(words) == plain.log10_prob(words)


def test_numbers_in_every_notation(tmp_path):
    for number, value in [
        ("-1.5", -1.5),
        ("-15e-1", -1.5),
        ("-.5", -0.5),
        ("-0", 0),
        ("-1.", -1),
        ("-inf", -99),
    ]:
        text = f"\\data\\\nngram 1=1\n\\1-grams:\n{number}\ta\n\\end\\\n"
        assert NGramLanguageModel.from_arpa(written(tmp_path, text)).log10_prob(["a"]) == pytest.approx(value)
    long = "-0.30102999566398119521373889472449302676818988146210854131"
    text = f"\\data\\\nngram 1=1\n\\1-grams:\n{long}\ta\n\\end\\\n"
    assert NGramLanguageModel.from_arpa(written(tmp_path, text)).log10_prob(["a"]) == np.float32(float(long))


def edited(line, replacement):
    lines = TEXT.split("\n")
    lines[line - 1] = replacement
    return "\n".join(lines)


SECTION = TEXT.split("\n").index("\\1-grams:") + 1  # its line, counted from 1
NGRAM = SECTION + 1
BIGRAM = TEXT.split("\n").index("\\2-grams:") + 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"line 0 is the last one, but there was no \\data\\"),
        ("hello\nworld\n", r"line 2 is the last one, but there was no \\data\\: this is not an ARPA file"),
        (edited(2, "ngram 2=4"), "line 2 is 'ngram 2=4', expected 'ngram 1=COUNT'"),
        (edited(2, "ngram 1=four"), "line 2 is 'ngram 1=four', expected 'ngram 1=COUNT'"),
        (edited(2, "ngram 1=-4"), "line 2 is 'ngram 1=-4'"),
        (edited(2, "ngram 1=99999999999999999999999"), "line 2 announces more than 2147483646 1-grams"),
        (
            edited(2, "ngram 1=3"),
            f"line {NGRAM + 3} is one more of the 1-grams than the 3 that line 2 announced",
        ),
        (
            edited(2, "ngram 1=2000000000"),
            r"line \d+ ends the 1-grams after 10 of them, but line 2 announced 2000000000",
        ),
        (edited(SECTION, "\\2-grams:"), rf"line {SECTION} is '\\2-grams:', expected '\\1-grams:'"),
        (edited(SECTION, "\\end\\"), rf"line {SECTION} is '\\end\\', expected '\\1-grams:'"),
        ("\\data\\\n\\1-grams:\n", "line 2 begins a section, expected 'ngram 1=COUNT'"),
        (edited(NGRAM, "nan\ta"), f"line {NGRAM} has 'nan' as logarithm of a probability, expected a number"),
        (
            edited(NGRAM, "-1e999\ta"),
            f"line {NGRAM} has '-1e999' as logarithm of a probability, which is too large",
        ),
        (
            edited(NGRAM, "-1e99\ta"),
            f"line {NGRAM} has '-1e99' as logarithm of a probability, which is too large",
        ),
        (
            edited(NGRAM, "0.5\ta"),
            f"line {NGRAM} has '0.5' as logarithm of a probability, expected at most 0",
        ),
        (edited(NGRAM, "-1.5x\ta"), f"line {NGRAM} has '-1.5x' as logarithm"),
        (edited(NGRAM, "-1.5"), f"line {NGRAM} has 0 words, expected 1"),
        (edited(NGRAM, "-1.5 a b c"), f"line {NGRAM} has 'b' as backoff, expected a number"),
        (edited(NGRAM, "-1.5 a NaN"), f"line {NGRAM} has 'NaN' as backoff, expected a number"),
        (edited(NGRAM, "-1.5 a inf"), f"line {NGRAM} has 'inf' as backoff"),
        (edited(NGRAM, "-1.5 a -1 -1"), f"line {NGRAM} goes on with '-1', expected 1 words and a backoff"),
        (edited(NGRAM + 1, "-1.5 <s>"), f"line {NGRAM + 1} has an n-gram that occurred before"),
        (edited(BIGRAM, "-1.5 a"), f"line {BIGRAM} has 1 words, expected 2 in the 2-grams"),
        (edited(BIGRAM, "-1.5 a new"), f"line {BIGRAM} has the word 'new', which is not among the 1-grams"),
        (TEXT.replace("\\end\\", ""), r"but there was no \\end\\: the file is truncated"),
        ("\\data\\\nngram 1=1\n\\1-grams:\n-1 " + "a" * 2_000_000, "line 4 is longer than 1048576 bytes"),
    ],
)
def test_malformed_files_are_refused_with_the_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as error:
        NGramLanguageModel.from_arpa(written(tmp_path, text))
    assert "model.arpa" in str(error.value)


def test_files_cut_anywhere_are_refused(tmp_path):
    lines = TEXT.split("\n")
    for n in range(len(lines) - 2):
        with pytest.raises(ValueError, match=f"line {n} is the last one|line {n + 1} "):
            NGramLanguageModel.from_arpa(written(tmp_path, "\n".join(lines[:n]) + "\n" * (n > 0)))
    packed = gzip.compress(TEXT.encode())
    for n in range(10, len(packed), 37):
        with pytest.raises(ValueError, match=r"packed: .*line"):
            NGramLanguageModel.from_arpa(written(tmp_path, packed[:n], "packed"))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**31))
def test_damaged_bytes_are_an_error_or_another_model(tmp_path_factory, seed):
    rng = np.random.default_rng(seed)
    data = bytearray(TEXT.encode())
    for _ in range(rng.integers(1, 6)):
        at = rng.integers(len(data))
        kind = rng.integers(3)
        if kind == 0:
            data[at] = rng.integers(256)
        elif kind == 1:
            del data[at : at + rng.integers(1, 50)]
        else:
            data[at:at] = data[: rng.integers(1, 50)]
    path = written(tmp_path_factory.mktemp("arpa"), bytes(data))
    try:
        model = NGramLanguageModel.from_arpa(path)
    except ValueError as error:
        assert "line" in str(error) or "UTF-8" in str(error)  # noqa: PT017
    else:
        assert np.isfinite(model.log10_prob(["a", "b", "c"]))


def test_words_that_are_not_utf8_are_refused(tmp_path):
    text = b"\\data\\\nngram 1=1\n\\1-grams:\n-1 \xff\n\\end\\\n"
    with pytest.raises(ValueError, match=r"word b'\\xff' is not UTF-8"):
        NGramLanguageModel.from_arpa(written(tmp_path, text))


def test_bad_arguments_are_named(tmp_path):
    path = written(tmp_path, TEXT)
    with pytest.raises(ValueError, match="unit is 'letter', expected 'label' or 'word'"):
        NGramLanguageModel.from_arpa(path, unit="letter")
    with pytest.raises(ValueError, match="unknown is 1, expected"):
        NGramLanguageModel.from_arpa(path, unknown=1)
    with pytest.raises(FileNotFoundError):
        NGramLanguageModel.from_arpa(tmp_path / "none")


def test_saved_and_pickled_models_say_the_same(tmp_path):
    model = NGramLanguageModel.from_arpa(written(tmp_path, TEXT), symbols={" ": "<space>"})
    model.save(tmp_path / "model.npz")
    words = ["a", "c", " ", "b", "b", "?"]
    for other in (NGramLanguageModel.load(tmp_path / "model.npz"), pickle.loads(pickle.dumps(model))):
        assert other.log10_prob(words) == model.log10_prob(words)
        assert repr(other) == repr(model)
    assert copy.deepcopy(model) is model
    assert repr(model) == f"NGramLanguageModel(order=3, n_words=10, n_ngrams={model.n_ngrams}, unit='label')"


def test_damaged_saved_models_are_refused(tmp_path):
    path = tmp_path / "model.npz"
    NGramLanguageModel.from_arpa(written(tmp_path, TEXT)).save(path)
    with np.load(path) as file:
        arrays = dict(file)
    damages = {
        "suffix": lambda a: a + 1,
        "begin": lambda a: a[::-1].copy(),
        "word": lambda a: a[:-1],
        "log10": lambda a: a * np.nan,
        "sizes": lambda a: a * 0,
        "words": lambda a: a[:3],
        "format": lambda a: a + 1,
    }
    for name, damage in damages.items():
        np.savez(path, **{**arrays, name: damage(arrays[name])})
        with pytest.raises(ValueError, match="no saved language model"):
            NGramLanguageModel.load(path)
    path.write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(ValueError, match="no saved language model"):
        NGramLanguageModel.load(path)


def test_the_twin_agrees_with_a_worked_example():
    twin = Ngrams({("a",): -1.0, ("b",): -2.0, ("a", "b"): -0.5}, {("a",): -0.25, ("b",): -0.125})
    assert twin.sequence(["a", "b", "a"]) == -1 - 0.5 + (-0.125 - 1)
