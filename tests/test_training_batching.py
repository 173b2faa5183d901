"""Batches: every sequence once, similar lengths together, reproducible."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyseq.training import batches_of_frames, split_validation, training_batches

LENGTHS = st.lists(st.integers(1, 50), min_size=1, max_size=400).map(np.array)


@given(LENGTHS, st.integers(1, 40), st.integers(0, 2**32 - 1), st.booleans())
def test_every_sequence_is_in_exactly_one_batch(lengths, batch_size, seed, shuffle):
    batches = training_batches(lengths, batch_size, np.random.default_rng(seed), shuffle=shuffle)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    sizes = [len(batch) for batch in batches]
    assert max(sizes) <= batch_size
    assert sum(size < batch_size for size in sizes) <= 1


def test_same_rng_gives_same_batches_and_the_next_epoch_others():
    lengths = np.random.default_rng(0).integers(1, 90, size=300)
    rng_a, rng_b = np.random.default_rng(1), np.random.default_rng(1)
    first_a, first_b = (training_batches(lengths, 16, rng) for rng in (rng_a, rng_b))
    assert all(np.array_equal(a, b) for a, b in zip(first_a, first_b, strict=True))
    second = training_batches(lengths, 16, rng_a)
    assert any(not np.array_equal(a, b) for a, b in zip(first_a, second, strict=True))


def test_batches_hold_sequences_of_similar_length_in_random_order_of_batches():
    lengths = np.random.default_rng(0).integers(1, 1000, size=2000)
    batches = training_batches(lengths, 20, np.random.default_rng(1))
    within = np.mean([np.ptp(lengths[batch]) for batch in batches])
    assert within < 0.2 * np.ptp(lengths)
    means = np.array([lengths[batch].mean() for batch in batches])
    assert abs(np.corrcoef(np.arange(len(means)), means)[0, 1]) < 0.3


def test_batches_of_one_pool_do_not_come_in_order_of_length():
    lengths = np.arange(1, 41)
    firsts = [training_batches(lengths, 10, np.random.default_rng(seed))[0].min() for seed in range(20)]
    assert len(set(firsts)) == 4


def test_sequences_of_equal_length_are_shuffled():
    batches = training_batches(np.full(100, 7), 10, np.random.default_rng(0))
    assert np.concatenate(batches).tolist() != list(range(100))
    assert len({int(i) // 10 for i in batches[0]}) > 3


def test_without_shuffling_batches_are_consecutive():
    batches = training_batches(np.array([5, 1, 4, 2, 3]), 2, np.random.default_rng(0), shuffle=False)
    assert [batch.tolist() for batch in batches] == [[0, 1], [2, 3], [4]]


@given(LENGTHS, st.integers(1, 200))
def test_prediction_batches_are_bounded_in_frames(lengths, max_frames):
    batches = batches_of_frames(lengths, max_frames)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert lengths[batch].sum() <= max_frames or len(batch) == 1
    assert (np.diff(lengths[np.concatenate(batches)]) >= 0).all()


@given(st.integers(2, 200), st.floats(0.01, 0.6), st.integers(1, 5), st.integers(0, 1000))
def test_validation_part_has_the_classes_in_proportion(n, fraction, n_classes, seed):
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, n_classes, size=n)
    training, validation = split_validation(keys, fraction, rng)
    assert sorted([*training, *validation]) == list(range(n))
    assert len(validation) == max(1, round(fraction * n))
    for key in range(n_classes):
        expected = (keys == key).sum() * len(validation) / n
        assert abs((keys[validation] == key).sum() - expected) < 1 + 1e-9


def test_no_split_that_leaves_nothing_to_train_on():
    with pytest.raises(ValueError, match=r"validation_fraction=0.1 of 1 sequences leaves none to train on"):
        split_validation(np.zeros(1), 0.1, np.random.default_rng(0))
