"""Prefix beam search: against dictionaries in float64, and against all paths."""

import numpy as np
import pytest
from helpers import random_lengths, random_padded
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.decoding import brute_force, prefix_beam_search
from threadpoolctl import threadpool_limits

from pyseq.decoding import BeamSearch
from pyseq.ops import ctc_decode
from pyseq.ragged import Ragged

SCORE = {"float32": 2e-4, "float64": 1e-9}  # sums over some hundred frames of numbers near 10


def logits_of(kind, steps, classes, seed, dtype="float64"):
    """Normal logits, or flat, sharp, or with a blank that most frames prefer."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((steps, classes)) * {"flat": 0.3, "sharp": 20.0}.get(kind, 1.0)
    if kind == "peaked":
        x[:, 0] += 3
        at = rng.choice(steps, steps // 8, replace=False)
        x[at, rng.integers(1, classes, len(at))] += 7
    return x.astype(dtype)


def same_score(a, b, dtype):
    return a == pytest.approx(b, abs=SCORE[dtype], rel=1e-6 if dtype == "float32" else 1e-11)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["normal", "flat", "sharp", "peaked"])
@pytest.mark.parametrize(
    ("steps", "classes", "width", "blank"),
    [(40, 30, 32, 0), (60, 6, 20, 3), (30, 50, 8, 49), (25, 100, 3, 7)],
)
def test_matches_the_dictionary(kind, steps, classes, width, blank, dtype):
    for seed in range(3):
        x = logits_of(kind, steps, classes, seed, dtype)
        expected = prefix_beam_search(x, width, blank)
        (found,) = ctc_decode(x[np.newaxis], beam_width=width, blank=blank, n_best=3)
        for hypothesis, (labels, score) in zip(found, expected, strict=False):
            assert same_score(hypothesis.score, score, dtype)
            if same_score(expected[0][1], expected[1][1], "float32"):
                break  # the order of two that are nearly equal is rounding's
            assert tuple(hypothesis.labels.tolist()) == labels


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 6),
    st.integers(1, 4),
    st.sampled_from([0.1, 1.0, 5.0, 30.0]),
    st.sampled_from(["float32", "float64"]),
    st.integers(0, 2**31),
)
def test_a_wide_beam_finds_the_best_of_all_label_sequences(steps, classes, scale, dtype, seed):
    rng = np.random.default_rng(seed)
    blank = int(rng.integers(classes))
    x = (scale * rng.standard_normal((steps, classes))).astype(dtype)
    totals, _ = brute_force(x, blank)
    (found,) = ctc_decode(x[np.newaxis], beam_width=5000, blank=blank, n_best=5000)
    assert len(found) == len(totals)
    for hypothesis in found:
        assert same_score(hypothesis.score, totals[tuple(hypothesis.labels.tolist())], dtype)
    assert same_score(found[0].score, max(totals.values()), dtype)
    scores = [hypothesis.score for hypothesis in found]
    assert scores == sorted(scores, reverse=True)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 6), st.integers(2, 4), st.integers(0, 2**31))
def test_frames_and_confidences_are_those_of_the_best_path(steps, classes, seed):
    x = 3 * np.random.default_rng(seed).standard_normal((steps, classes))
    _, paths = brute_force(x)
    probabilities = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    (found,) = ctc_decode(x[np.newaxis], beam_width=5000, n_best=20)
    for hypothesis in found:
        path = np.array(paths[tuple(hypothesis.labels.tolist())])
        begins = [t for t in range(steps) if path[t] and (t == 0 or path[t - 1] != path[t])]
        ends = [t + 1 for t in range(steps) if path[t] and (t + 1 == steps or path[t + 1] != path[t])]
        assert hypothesis.frames.tolist() == begins
        assert hypothesis.ends.tolist() == ends
        for k, (begin, end) in enumerate(zip(begins, ends, strict=True)):
            mean = np.exp(np.log(probabilities[np.arange(begin, end), path[begin:end]]).mean())
            assert hypothesis.confidences[k] == pytest.approx(mean, rel=1e-5)


def test_greedy_ends_and_confidences():
    x = logits_of("normal", 50, 4, 3)
    best = x.argmax(axis=1)
    probabilities = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    (found,) = ctc_decode(x[np.newaxis])
    for label, begin, end, confidence in zip(*found[:1], *found[2:], strict=True):
        assert (best[begin:end] == label).all()
        assert end == 50 or best[end] != label
        assert confidence == pytest.approx(np.exp(np.log(probabilities[begin:end, label]).mean()), rel=1e-5)


@pytest.mark.parametrize("least", [-3.0, -1.5, -0.5])
@pytest.mark.parametrize("classes", [4, 30])
def test_labels_below_the_threshold_extend_nothing(least, classes):
    for seed in range(4):
        x = logits_of("normal", 30, classes, seed)
        expected = prefix_beam_search(x, 12, least=least)
        (found,) = ctc_decode(x[np.newaxis], beam_width=12, min_log_prob=least)
        assert tuple(found.labels.tolist()) == expected[0][0]
        assert same_score(found.score, expected[0][1], "float64")


@pytest.mark.parametrize("classes", [3, 8, 20, 40])
def test_equal_scores_go_by_the_rule(classes):
    x = np.zeros((4, classes))  # all labels alike: nearly everything is tied
    for width in (2, 3, 5, 7, 16, 33):
        expected = [labels for labels, _ in prefix_beam_search(x, width)]
        (found,) = ctc_decode(x[np.newaxis, :2], beam_width=width, n_best=1)
        assert len(found) == 1
        first = [labels for labels, _ in prefix_beam_search(x[:1], width)]
        (found,) = ctc_decode(x[np.newaxis, :1], beam_width=width, n_best=width)
        assert [tuple(h.labels.tolist()) for h in found] == first
        assert len(expected) <= width


def test_long_sequences_forget_what_is_no_longer_needed():
    x = logits_of("flat", 3000, 5, 0)
    expected = prefix_beam_search(x[:1200], 6)
    (found,) = ctc_decode(x[np.newaxis, :1200], beam_width=6)
    assert tuple(found.labels.tolist()) == expected[0][0]
    (whole,) = ctc_decode(x[np.newaxis], beam_width=300, n_best=3)
    for hypothesis in whole:
        n = len(hypothesis.labels)
        assert len(hypothesis.frames) == len(hypothesis.ends) == n > 500
        assert (hypothesis.frames[1:] >= hypothesis.ends[:-1]).all()
        assert (hypothesis.frames < hypothesis.ends).all()
        repeats = hypothesis.labels[1:] == hypothesis.labels[:-1]
        assert (hypothesis.frames[1:] > hypothesis.ends[:-1])[repeats].all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_masked_classes_and_certain_ones(dtype):
    x = logits_of("normal", 20, 6, 1, dtype)
    x[:, [2, 4]] = -np.inf
    expected = prefix_beam_search(x, 10)
    (found,) = ctc_decode(x[np.newaxis], beam_width=10)
    assert tuple(found.labels.tolist()) == expected[0][0]
    assert same_score(found.score, expected[0][1], dtype)
    x = np.full((6, 4), -np.inf, dtype=dtype)
    x[np.arange(6), [1, 1, 0, 1, 3, 3]] = 1e4
    (found,) = ctc_decode(x[np.newaxis], beam_width=5, n_best=5)
    assert [h.labels.tolist() for h in found] == [[1, 1, 3]]
    assert found[0].score == 0
    assert found[0].frames.tolist() == [0, 3, 4]
    assert found[0].confidences.tolist() == [1, 1, 1]


def test_without_a_blank_repeats_cannot_be_told_apart():
    x = np.zeros((3, 2))
    x[:, 0] = -np.inf
    (found,) = ctc_decode(x[np.newaxis], beam_width=8, n_best=8)
    assert [h.labels.tolist() for h in found] == [[1]]


def test_a_frame_of_nan_counts_as_blank():
    x = logits_of("sharp", 12, 5, 2)
    for frame in (0, 5, 11):
        broken, certain = x.copy(), x.copy()
        broken[frame, 3] = np.nan
        certain[frame] = [0, *[-np.inf] * 4]
        (found,) = ctc_decode(broken[np.newaxis], beam_width=9)
        (expected,) = ctc_decode(certain[np.newaxis], beam_width=9)
        assert found.labels.tolist() == expected.labels.tolist()
        assert found.frames.tolist() == expected.frames.tolist()
        assert np.isnan(found.score)
    (nothing,) = ctc_decode(np.full((1, 3, 4), -np.inf), beam_width=4)
    assert nothing.labels.tolist() == []
    assert np.isnan(nothing.score)


def test_empty_sequences_and_batches():
    (found,) = ctc_decode(np.zeros((1, 0, 3)), beam_width=4)
    assert found.labels.tolist() == []
    assert found.score == 0
    assert ctc_decode(np.zeros((0, 5, 3)), beam_width=4) == []
    (only_blank,) = ctc_decode(np.zeros((1, 5, 1)), beam_width=4, n_best=2)
    assert [h.labels.tolist() for h in only_blank] == [[]]


def outcome(found):
    return [[(h.labels.tobytes(), h.score, *[a.tobytes() for a in h[2:]]) for h in best] for best in found]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_do_not_depend_on_threads_batch_or_padding(dtype):
    rng = np.random.default_rng(5)
    lengths = random_lengths(rng, 11, 90, shortest=0)
    x = 2 * random_padded(rng, lengths, 19, dtype)  # NaN beyond the lengths
    expected = outcome(ctc_decode(x, lengths=lengths, beam_width=15, n_best=4))
    for threads in (1, 2, 3):
        with threadpool_limits(threads, user_api="openmp"):
            assert outcome(ctc_decode(x, lengths=lengths, beam_width=15, n_best=4)) == expected
    ragged = Ragged.from_padded(x, lengths)
    assert outcome(ctc_decode(ragged, beam_width=15, n_best=4)) == expected
    order = rng.permutation(11)
    assert outcome(ctc_decode(ragged[order], beam_width=15, n_best=4)) == [expected[b] for b in order]
    for b, length in enumerate(lengths):
        assert outcome(ctc_decode(x[b : b + 1, :length], beam_width=15, n_best=4)) == [expected[b]]


def test_the_best_of_many_is_the_best():
    x = logits_of("flat", 20, 7, 4)[np.newaxis]
    (alone,) = ctc_decode(x, beam_width=10)
    ((first, *_),) = ctc_decode(x, beam_width=10, n_best=6)
    assert alone.labels.tolist() == first.labels.tolist()
    assert alone.score == first.score


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("classes", "blank"), [(6, 3), (30, 29), (70, 40)])
def test_hot_words_over_many_frames_do_not_depend_on_where_the_blank_stands(classes, blank, dtype):
    rng = np.random.default_rng(classes)
    logits = rng.standard_normal((1, 1200, classes)).astype(dtype)
    labels = ["", *(f"l{k}" for k in range(1, classes))]
    boosts = {tuple(rng.choice(labels[1:], n)): 1.5 for n in (1, 2, 3, 4, 5, 6, 7, 8)}
    order = [*range(1, blank + 1), 0, *range(blank + 1, classes)]
    search = BeamSearch(24, hot_words=boosts)
    (found,) = search.decode(logits, labels)
    (moved,) = search.decode(
        np.ascontiguousarray(logits[:, :, order]), [labels[k] for k in order], blank=blank
    )
    assert moved.score == pytest.approx(found.score, rel=1e-6 if dtype == "float32" else 1e-11)
    assert [order[k] for k in moved.labels] == found.labels.tolist()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_candidates_of_wide_beams_over_many_classes(dtype):
    # One number says entry and label of a candidate in the first of these beams, two do in the second.
    x = np.random.default_rng(0).standard_normal((1, 3, 2100)) * 4
    x[0, 2, 0] += 10
    narrow, wide = (
        ctc_decode(x.astype(dtype), beam_width=width, min_log_prob=-9, n_best=20)[0] for width in (4000, 4200)
    )
    assert [h.labels.tolist() for h in narrow] == [h.labels.tolist() for h in wide]
    assert {len(h.labels) for h in narrow} >= {2, 3}
    assert all(same_score(a.score, b.score, dtype) for a, b in zip(narrow, wide, strict=True))
