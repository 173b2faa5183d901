"""Forced alignment: brute force, the twin to the frame, promises about threads, segments and bad cases."""

import itertools

import numpy as np
import pytest
from helpers import assert_same_bits, random_lengths, random_padded
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.ctc import _collapse
from reference.ctc_align import ctc_align as twin
from reference.ctc_align import ctc_align_brute_force
from threadpoolctl import threadpool_limits

from pyseq.ops import Alignment, ctc_align
from pyseq.ragged import Ragged

DTYPES = ["float32", "float64"]


def assert_is_alignment_of(alignment, logits, target, blank):
    """Classes spell the target, spans and confidences are those of the classes."""
    classes, spans = alignment.classes, alignment.spans
    labels, starts = _collapse(classes.tolist(), blank)
    assert labels == list(target)
    assert spans[:, 0].tolist() == starts
    x = logits.astype(np.float64)
    p = np.exp(x - x.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    for label, (start, end), confidence in zip(target, spans, alignment.confidences, strict=True):
        assert (classes[start:end] == label).all()
        assert end == len(classes) or classes[end] != label or end in starts
        assert confidence == pytest.approx(p[start:end, label].mean(), rel=1e-4, abs=1e-30)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_score_is_that_of_the_best_of_all_paths(dtype):
    rng = np.random.default_rng(0)
    for steps, classes, labels in itertools.product(range(1, 6), range(2, 5), range(4)):
        blank = int(rng.integers(classes))
        logits = rng.standard_normal((1, steps, classes)).astype(dtype)
        target = rng.choice(np.delete(np.arange(classes), blank), labels)
        best = ctc_align_brute_force(logits[0], target, blank)
        (alignment,) = ctc_align(logits, [target], blank=blank)
        assert alignment.score == pytest.approx(best, rel=1e-6)
        if best > -np.inf:
            assert_is_alignment_of(alignment, logits[0], target, blank)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(0, 60),
    st.integers(0, 40),
    st.integers(2, 40),
    st.sampled_from(DTYPES),
    st.sampled_from([0.0, 0.5, 1.0, 300.0]),
    st.integers(0, 2**31),
)
def test_paths_are_those_of_the_twin_ties_too(batch, steps, labels, classes, dtype, scale, seed):
    rng = np.random.default_rng(seed)
    lengths = random_lengths(rng, batch, steps, shortest=0)
    logits = random_padded(rng, lengths, classes, dtype)
    logits = np.round(logits * np.dtype(dtype).type(scale))  # whole numbers: many alignments are equal
    blank, few = int(rng.integers(classes)), int(rng.integers(1, classes))
    targets = rng.choice(np.delete(np.arange(classes), blank)[:few], (batch, labels))
    target_lengths = rng.integers(0, labels + 1, batch)
    arguments = {"input_lengths": lengths, "target_lengths": target_lengths, "blank": blank}
    for b, alignment in enumerate(ctc_align(logits, targets, **arguments)):
        x, target = logits[b, : lengths[b]], targets[b, : target_lengths[b]]
        classes_expected, score = twin(x, target, blank)
        assert alignment.score == pytest.approx(score, rel=1e-5, abs=1e-5)
        if classes_expected is None:
            assert_nowhere(alignment, lengths[b], target_lengths[b])
        else:
            assert alignment.classes.tolist() == classes_expected
            assert_is_alignment_of(alignment, x, target, blank)


def assert_nowhere(alignment, n_frames, n_labels):
    assert alignment.score == -np.inf
    assert alignment.classes.tolist() == [-1] * n_frames
    assert alignment.spans.tolist() == [[-1, -1]] * n_labels
    assert alignment.confidences.tolist() == [0] * n_labels


def test_types_and_shapes_are_as_documented():
    (alignment,) = ctc_align(np.zeros((1, 4, 3), np.float32), [[1, 2]])
    assert isinstance(alignment, Alignment)
    assert isinstance(alignment.score, float)
    assert (alignment.classes.dtype, alignment.spans.dtype) == (np.int64, np.int64)
    assert (alignment.confidences.dtype, alignment.spans.shape) == (np.float32, (2, 2))
    assert alignment.score == pytest.approx(4 * np.log(1 / 3))


def test_what_cannot_be_aligned_is_nowhere():
    logits = np.zeros((3, 2, 3))
    logits[2, :, 2] = -np.inf
    repeated, long, masked = ctc_align(logits, [[1, 1], [1, 2, 1], [2]])
    assert_nowhere(repeated, 2, 2)
    assert_nowhere(long, 2, 3)
    assert_nowhere(masked, 2, 1)
    empty = ctc_align(np.zeros((2, 0, 3)), [[], [1]])
    assert (empty[0].score, len(empty[0].classes)) == (0.0, 0)
    assert_nowhere(empty[1], 0, 1)


def test_masked_classes_and_huge_logits_are_avoided_where_they_can_be():
    logits = np.zeros((1, 5, 4), dtype=np.float32)
    logits[0, :3, 0] = -np.inf  # no blank at first
    logits[0, 0, 2] = -1e4
    (alignment,) = ctc_align(logits, [[1, 2]])
    assert np.isfinite(alignment.score)
    assert 0 not in alignment.classes[:3]
    assert alignment.classes[0] == 1


@pytest.mark.parametrize("place", [(0, 0), (3, 1), (3, 3)])
def test_a_nan_makes_the_score_nan(place):
    logits = np.zeros((2, 6, 4))
    logits[0][place] = np.nan
    bad, good = ctc_align(logits, [[1, 2], [1, 2]])
    assert np.isnan(bad.score)
    assert np.isfinite(good.score)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "sizes", [(2, 40, 12, 20), (1, 4000, 1500, 30), (3, 1700, 600, 40), (1, 3000, 8, 300)]
)
def test_results_do_not_depend_on_threads_batch_or_segments(sizes, dtype):
    batch, steps, labels, classes = sizes
    rng = np.random.default_rng(1)
    logits = rng.standard_normal((batch, steps, classes)).astype(dtype)
    targets = rng.integers(1, classes, (batch, labels))
    expected = None
    for threads in (1, 2, 3):
        with threadpool_limits(threads, user_api="openmp"):
            found = ctc_align(logits, targets)
        expected = expected or found
        for a, b in zip(found, expected, strict=True):
            for one, other in zip(a, b, strict=True):
                assert_same_bits(one, other, f"{threads} threads")
    for b in range(batch):
        (alone,) = ctc_align(Ragged(logits[b], [steps]), [targets[b]])
        assert_same_bits(alone.classes, expected[b].classes)
        assert_same_bits(alone.confidences, expected[b].confidences)
        assert_is_alignment_of(alone, logits[b], targets[b], 0)


def test_a_long_alignment_that_is_run_in_segments_is_that_of_the_twin():
    rng = np.random.default_rng(2)
    logits = np.round(2 * rng.standard_normal((1, 3000, 8))).astype(np.float32)
    target = rng.integers(1, 8, 700)
    classes, score = vectorised_twin(logits[0].astype(np.float64), target)
    (alignment,) = ctc_align(logits, [target])
    assert alignment.classes.tolist() == classes
    assert alignment.score == pytest.approx(score, rel=1e-6)


def vectorised_twin(logits, target, blank=0):
    """The twin with all states of a frame at once; there is an alignment."""
    states = np.full(2 * len(target) + 1, blank)
    states[1::2] = target
    skips = np.zeros(len(states), dtype=bool)
    skips[3::2] = states[3::2] != states[1:-2:2]
    score = np.full(len(states), -np.inf)
    score[:2] = logits[0, states[:2]]
    steps_back = np.zeros((len(logits), len(states)), dtype=int)
    for t in range(1, len(logits)):
        options = np.full((3, len(states)), -np.inf)
        options[0], options[1, 1:] = score, score[:-1]
        options[2, 2:] = np.where(skips[2:], score[:-2], -np.inf)
        steps_back[t] = options.argmax(axis=0)
        score = options.max(axis=0) + logits[t, states]
    at = len(states) - 2 if score[-2] > score[-1] else len(states) - 1
    path = [at]
    for t in range(len(logits) - 1, 0, -1):
        path.append(path[-1] - steps_back[t, path[-1]])
    classes = states[path[::-1]]
    log_denominators = np.log(np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1))
    log_denominators += logits.max(axis=1)
    return classes.tolist(), float((logits[np.arange(len(logits)), classes] - log_denominators).sum())


def test_nearly_forced_long_alignments():
    target = np.arange(1500) % 29 + 1
    for spare in (0, 1, 40):
        logits = np.random.default_rng(spare).standard_normal((1, 1500 + spare, 30)).astype(np.float32)
        (alignment,) = ctc_align(logits, [target])
        assert alignment.classes.tolist() == vectorised_twin(logits[0].astype(np.float64), target)[0]


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"targets\[0\]\[1\] is 0, which is the blank"):
        ctc_align(np.zeros((1, 4, 3)), [[1, 0]])
    with pytest.raises(ValueError, match=r"input_lengths\[0\] is 5"):
        ctc_align(np.zeros((1, 4, 3)), [[1]], input_lengths=[5])
    assert ctc_align(np.zeros((0, 4, 3)), []) == []
