"""Transcribers with decoders: beams, language models, n-best lists, timestamps."""

import pickle

import numpy as np
import pytest
from reference.decoding import Ngrams
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

from pyseq.datasets import load_digit_lines
from pyseq.decoding import BeamSearch, GreedySearch, NGramLanguageModel
from pyseq.estimators import CTCTranscriber, LabelSpan, Transcript
from pyseq.layers import LSTM, Chain, Conv1d
from pyseq.metrics import character_error_rate


@pytest.fixture(scope="module")
def lines():
    return load_digit_lines(300, 60, random_state=0)


@pytest.fixture(scope="module")
def reader(lines):
    encoder = Chain([Conv1d(16, 5, causal=False), LSTM(24, bidirectional=True)])
    model = CTCTranscriber(
        encoder, learning_rate="one_cycle", learning_rate_init=0.02, max_iter=12, random_state=0
    )
    return model.fit(lines.X_train, lines.y_train)


def with_decoder(reader, decoder):
    """The fitted reader with another decoder."""
    return pickle.loads(pickle.dumps(reader)).set_params(decoder=decoder)


@pytest.fixture(scope="module")
def trigram(lines, tmp_path_factory):
    """A character 3-gram of the training lines: each order counts as 30 observations of the next."""
    counts, weight = {}, 30.0
    for text in lines.y_train:
        words = ["<s>", *text, "</s>"]
        for n in (1, 2, 3):
            for i in range(len(words) - n + 1):
                counts[tuple(words[i : i + n])] = counts.get(tuple(words[i : i + n]), 0) + 1
    total = sum(count for ngram, count in counts.items() if len(ngram) == 1 and ngram != ("<s>",))
    probabilities, backoff = {}, {}
    for ngram in sorted((ngram for ngram in counts if ngram != ("<s>",)), key=len):
        before = counts.get(ngram[:-1], total)
        shorter = probabilities[ngram[1:]] if len(ngram) > 1 else 0.1
        probabilities[ngram] = (counts[ngram] + weight * shorter) / (before + weight)
        if len(ngram) < 3 and ngram[-1] != "</s>":
            backoff[ngram] = float(np.log10(weight / (counts[ngram] + weight)))
    log10 = {ngram: float(np.log10(probability)) for ngram, probability in probabilities.items()}
    log10 |= {("<s>",): -99.0, ("<unk>",): -5.0}
    backoff[("<s>",)] = float(np.log10(weight / (counts[("<s>",)] + weight)))
    path = tmp_path_factory.mktemp("arpa") / "digits.arpa"
    path.write_text(Ngrams(log10, backoff).text())
    return NGramLanguageModel.from_arpa(path)


def test_a_beam_with_a_3_gram_reads_no_worse_than_greedy_decoding(reader, lines, trigram):
    greedy = character_error_rate(lines.y_test, reader.predict(lines.X_test))
    assert greedy < 0.2
    beam = with_decoder(reader, BeamSearch(32))
    assert character_error_rate(lines.y_test, beam.predict(lines.X_test)) <= greedy
    with_model = with_decoder(
        reader, BeamSearch(32, language_model=trigram, language_model_weight=0.3, word_bonus=0.7)
    )
    assert character_error_rate(lines.y_test, with_model.predict(lines.X_test)) <= greedy
    assert with_model.score(lines.X_test, lines.y_test) >= 1 - greedy


def test_no_decoder_is_greedy(reader, lines):
    X = lines.X_test[:20]
    greedy = with_decoder(reader, GreedySearch())
    assert reader.decoder is None
    assert greedy.predict(X).tolist() == reader.predict(X).tolist()
    assert [t.text for t in reader.transcribe(X)] == reader.predict(X).tolist()


@pytest.mark.parametrize("decoder", [None, GreedySearch(), BeamSearch(16)])
def test_transcripts_have_scores_and_places(reader, lines, decoder):
    X = lines.X_test[:20]
    model = with_decoder(reader, decoder)
    plain, placed = model.transcribe(X), model.transcribe(X, timestamps=True)
    posteriors = model.predict_proba(X)
    for i, (without, with_spans) in enumerate(zip(plain, placed, strict=True)):
        assert isinstance(with_spans, Transcript)
        assert without.spans is None
        assert without.text == with_spans.text == "".join(span.label for span in with_spans.spans)
        assert without.score == with_spans.score < 0
        end = 0
        for span in with_spans.spans:
            assert isinstance(span, LabelSpan)
            assert end <= span.start < span.end <= len(X[i])
            assert 0 < span.confidence <= 1
            column = 1 + model.classes_.tolist().index(span.label)
            expected = np.exp(np.log(posteriors[i][span.start : span.end, column]).mean())
            assert span.confidence == pytest.approx(expected, rel=1e-4)
            end = span.end


def test_n_best_lists(reader, lines):
    X = lines.X_test[:12]
    model = with_decoder(reader, BeamSearch(16))
    found = model.predict_nbest(X, 4, timestamps=True)
    assert found.shape == (12,)
    for transcripts, best in zip(found, model.predict(X), strict=True):
        assert [len(t.text) == len(t.spans) for t in transcripts] == [True] * 4
        assert transcripts[0].text == best
        assert len({t.text for t in transcripts}) == 4
        scores = [t.score for t in transcripts]
        assert scores == sorted(scores, reverse=True)
    assert [len(transcripts) for transcripts in reader.predict_nbest(X)] == [1] * 12
    assert [len(transcripts) for transcripts in model.predict_nbest(X, 1)] == [1] * 12


def test_hot_words_and_lexica_speak_of_labels(reader, lines):
    X, y = lines.X_test[:12], lines.y_test[:12]
    closed = with_decoder(reader, BeamSearch(64, lexicon=y))
    assert set(closed.predict(X)) <= set(y)
    pushed = with_decoder(reader, BeamSearch(64, hot_words={"99": 60.0}))
    assert all("99" in text for text in pushed.predict(X))


def test_labels_that_are_not_characters():
    rng = np.random.default_rng(0)
    texts = [rng.integers(0, 2, size=rng.integers(1, 4)).tolist() for _ in range(60)]
    X = [np.concatenate([[0, 1 - 2 * label, 1 - 2 * label, 0] for label in text]) for text in texts]
    model = CTCTranscriber(
        LSTM(12), learning_rate_init=0.05, max_iter=40, random_state=0, decoder=BeamSearch(8)
    )
    model.fit(X, texts)
    assert model.predict(X[:9]).tolist() == texts[:9]
    assert model.transcribe(X[:1])[0].text == texts[0]
    model.set_params(decoder=BeamSearch(8, lexicon=[[0, 1, 0]]))
    assert model.predict(X[:3]).tolist() == [[0, 1, 0]] * 3


def test_decoders_are_parameters(lines, trigram):
    model = CTCTranscriber(LSTM(4), decoder=BeamSearch(8, language_model=trigram), max_iter=1, random_state=0)
    assert model.get_params()["decoder__beam_width"] == 8
    copied = clone(model)
    assert copied.decoder is not model.decoder
    assert copied.decoder.language_model is trigram
    assert "BeamSearch(beam_width=8" in repr(model)
    search = GridSearchCV(
        model, {"decoder__language_model_weight": [0.0, 0.5], "decoder__beam_width": [2]}, cv=2
    )
    search.fit(lines.X_train[:40], np.array(lines.y_train[:40], dtype=object))
    assert search.best_params_["decoder__beam_width"] == 2


def test_bad_decoders_are_named(reader, lines):
    with pytest.raises(ValueError, match="'decoder' parameter"):
        CTCTranscriber(LSTM(4), decoder="beam").fit(lines.X_train[:4], lines.y_train[:4])
    with pytest.raises(TypeError, match="decoder is 'beam', expected a Decoder"):
        with_decoder(reader, "beam").predict(lines.X_test[:2])
    for n in (0, 1.5, True):
        with pytest.raises(ValueError, match=f"n is {n}, expected a positive int"):
            reader.predict_nbest(lines.X_test[:2], n)
    with pytest.raises(NotFittedError):
        CTCTranscriber().transcribe(lines.X_test[:2])
    with pytest.raises(ValueError, match=r"lexicon\[0\]\[0\] is 'x', expected one of the 10 labels"):
        with_decoder(reader, BeamSearch(lexicon=["x"])).predict(lines.X_test[:2])
