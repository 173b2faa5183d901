"""Weighted examples as a set, and the scale of features."""

import numpy as np
import pytest
from helpers import assert_same_bits

from pyseq.ragged import Ragged
from pyseq.training import Examples, distinct_examples, scaling
from pyseq.training.scaling import measure_standardisation


def sequences(*items):
    return Ragged.from_list([np.asarray(item, dtype=float).reshape(len(item), -1) for item in items])


def as_set(examples):
    return sorted(
        (frames.tolist(), np.asarray(target).tolist(), float(weight))
        for frames, target, weight in zip(examples.x, examples.targets, examples.weights, strict=True)
    )


def test_equal_examples_become_one_with_the_sum_of_their_weights():
    x = sequences([1, 2], [3], [1, 2], [1, 2], [1, 2, 0])
    merged = distinct_examples(Examples(x, np.array([0, 1, 0, 1, 0]), np.array([1, 2, 0.5, 4, 8])))
    assert as_set(merged) == sorted(
        [([[1], [2]], 0, 1.5), ([[3]], 1, 2), ([[1], [2]], 1, 4), ([[1], [2], [0]], 0, 8)]
    )


def test_without_weights_each_counts_one_and_zero_weights_go():
    x = sequences([1], [2], [1])
    assert as_set(distinct_examples(Examples(x, np.zeros(3, dtype=np.int64)))) == [
        ([[1]], 0, 2),
        ([[2]], 0, 1),
    ]
    only = distinct_examples(Examples(x, np.zeros(3, dtype=np.int64), np.array([0, 3.0, 0])))
    assert as_set(only) == [([[2]], 0, 3)]


def test_label_sequences_tell_examples_apart():
    x = sequences([1], [1], [1])
    merged = distinct_examples(Examples(x, Ragged(np.array([1, 2, 1, 2]), [2, 0, 2])))
    assert as_set(merged) == [([[1]], [], 1), ([[1]], [1, 2], 2)]


def test_order_of_examples_does_not_matter():
    rng = np.random.default_rng(0)
    x = Ragged(rng.standard_normal((60, 2)).astype(np.float32), np.full(20, 3))
    y, weights, order = rng.integers(0, 3, size=20), rng.integers(1, 4, size=20), rng.permutation(20)
    one = distinct_examples(Examples(x, y, weights.astype(float)))
    other = distinct_examples(Examples(x[order], y[order], weights[order].astype(float)))
    assert_same_bits(one.x.values, other.x.values)
    assert_same_bits(one.targets, other.targets)
    assert_same_bits(one.weights, other.weights)


def test_weights_of_mean_one_and_none_if_they_are_equal():
    x, y = sequences([1], [2]), np.array([0, 1])
    assert Examples(x, y, np.array([3.0, 3.0])).with_mean_weight_one().weights is None
    assert Examples(x, y, np.array([1.0, 3.0])).with_mean_weight_one().weights.tolist() == [0.5, 1.5]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_standardised_features_have_mean_zero_and_variance_one(dtype):
    rng = np.random.default_rng(0)
    frames = (rng.standard_normal((500, 3)) * [1e-3, 1.0, 1e4] + [5.0, 0.0, -1e5]).astype(dtype)
    x = Ragged(frames, [100, 300, 100])
    scaled = measure_standardisation(Examples(x, np.zeros(3))).apply(x)
    assert scaled.dtype == dtype
    assert scaled.lengths.tolist() == [100, 300, 100]
    tolerance = 1e-3 if dtype == "float32" else 1e-9
    np.testing.assert_allclose(scaled.values.mean(axis=0), 0, atol=tolerance)
    np.testing.assert_allclose(scaled.values.std(axis=0), 1, rtol=tolerance)


def test_standardisation_counts_frames_with_the_weight_of_their_sequence(monkeypatch):
    rng = np.random.default_rng(0)
    x = Ragged(rng.standard_normal((60, 2)), [10, 20, 30])
    weights = np.array([2.0, 0.0, 1.0])
    monkeypatch.setattr(scaling, "BLOCK_FRAMES", 7)
    weighted = measure_standardisation(Examples(x, np.zeros(3), weights))
    repeated = np.concatenate([x[0], x[0], x[2]])
    np.testing.assert_allclose(weighted.mean, repeated.mean(axis=0))
    np.testing.assert_allclose(weighted.scale, 1 / repeated.std(axis=0))


@pytest.mark.parametrize("value", [0.0, 0.1, -1e30])
def test_a_constant_feature_is_shifted_but_not_scaled(value):
    x = Ragged(np.full((50, 1), value, dtype=np.float32), [50])
    found = measure_standardisation(Examples(x, np.zeros(1)))
    assert found.scale.tolist() == [1.0]
    assert (found.apply(x).values == 0).all()


def test_huge_features_do_not_overflow():
    x = Ragged(np.array([[1e300], [-1e300], [1e300], [-1e300]]), [4])
    np.testing.assert_allclose(
        measure_standardisation(Examples(x, np.zeros(1))).apply(x).values[:, 0], [1, -1, 1, -1]
    )
