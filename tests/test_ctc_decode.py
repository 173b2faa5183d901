"""Greedy CTC decoding."""

import numpy as np
import pytest
import reference
from helpers import assert_close, random_lengths, random_padded
from hypothesis import given, settings
from hypothesis import strategies as st

from pyseq.ops.ctc_decode import Hypothesis, ctc_best_path, ctc_decode
from pyseq.ragged import Ragged


def one_hot(classes, best, dtype="float32"):
    return np.eye(classes, dtype=dtype)[best][np.newaxis]


@pytest.mark.parametrize(
    ("best", "blank", "labels", "frames"),
    [
        ([0, 0, 0], 0, [], []),
        ([1, 1, 0, 1, 2, 2], 0, [1, 1, 2], [0, 3, 4]),
        ([1, 1, 0, 1, 2, 2], 2, [1, 0, 1], [0, 2, 3]),
        ([2], 0, [2], [0]),
    ],
)
def test_repeats_merge_and_blanks_drop(best, blank, labels, frames):
    (hypothesis,) = ctc_decode(one_hot(3, best), blank=blank)
    assert isinstance(hypothesis, Hypothesis)
    assert hypothesis.labels.tolist() == labels
    assert hypothesis.frames.tolist() == frames
    assert hypothesis.score == pytest.approx(len(best) * (1 - np.log(np.e + 2)), rel=1e-6)


@pytest.mark.parametrize("classes", [3, 16, 33, 100, 1000])
def test_ties_go_to_the_lower_class(classes):
    logits = np.zeros((1, 2, classes), dtype=np.float32)
    logits[0, 1, [classes // 2, classes - 1]] = 1
    (hypothesis,) = ctc_decode(logits, blank=classes - 1)
    assert hypothesis.labels.tolist() == [0, classes // 2]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 5),
    st.integers(0, 40),
    st.integers(1, 150),
    st.sampled_from(["float32", "float64"]),
    st.integers(0, 2**31),
)
def test_matches_the_twin(batch, steps, classes, dtype, seed):
    rng = np.random.default_rng(seed)
    lengths = random_lengths(rng, batch, steps, shortest=0)
    logits = np.round(random_padded(rng, lengths, classes, dtype), 1)  # rounded: ties occur
    blank = int(rng.integers(classes))
    hypotheses = ctc_decode(logits, lengths=lengths, blank=blank)
    expected = reference.ctc_greedy_decode(logits, lengths, blank)
    ragged = ctc_decode(Ragged.from_padded(logits, lengths), blank=blank)
    for b, (labels, frames) in enumerate(expected):
        x = logits[b, : lengths[b]].astype(np.float64)
        score = -np.log(np.exp(x - x.max(axis=1, keepdims=True)).sum(axis=1)).sum() if len(x) else 0.0
        for hypothesis in (hypotheses[b], ragged[b]):
            assert hypothesis.labels.tolist() == labels
            assert hypothesis.frames.tolist() == frames
            assert_close(np.dtype(dtype).type(hypothesis.score), score)


def test_a_frame_with_nan_counts_as_blank():
    logits = one_hot(4, [1, 1, 1, 2])
    logits[0, 1, 3] = np.nan
    (hypothesis,) = ctc_decode(logits)
    assert hypothesis.labels.tolist() == [1, 1, 2]
    assert np.isnan(hypothesis.score)


def test_masked_classes_are_never_chosen():
    logits = one_hot(4, [1, 3, 3])
    logits[:, :, 3] = -np.inf
    (hypothesis,) = ctc_decode(logits)
    assert hypothesis.labels.tolist() == [1]
    assert np.isfinite(hypothesis.score)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("classes", [1, 2, 8, 16, 30, 33, 64, 65, 300])
def test_the_best_path_alone_is_that_of_decoding(classes, dtype):
    rng = np.random.default_rng(classes)
    logits = np.round(rng.standard_normal((6, 37, classes)), 1).astype(dtype)
    logits[1, 5] = -np.inf  # nothing is possible
    logits[2, 7, classes // 2] = np.nan
    logits[3, 9, classes - 1] = np.inf
    logits[4, :, 0] = -np.inf  # masked
    logits[5, 3:20] = np.finfo(dtype).max  # sums over frames overflow
    lengths = np.array([37, 37, 36, 17, 33, 21])
    blank = classes // 3
    expected = ctc_decode(logits, lengths=lengths, blank=blank)
    assert np.isnan([hypothesis.score for hypothesis in expected[1:4]]).all()
    untimed = ctc_decode(logits, lengths=lengths, blank=blank, timestamps=False)
    labels = ctc_best_path(logits, lengths=lengths, blank=blank)
    for b in range(6):
        assert np.array_equal(labels[b], expected[b].labels)
        assert np.array_equal(untimed[b].labels, expected[b].labels)
        assert np.array_equal(untimed[b].score, expected[b].score, equal_nan=True)
        assert untimed[b].frames is untimed[b].ends is untimed[b].confidences is None
