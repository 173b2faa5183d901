"""Edit distances and the character error rate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyseq.metrics import character_error_rate, edit_distances

LABEL_SEQUENCES = st.lists(st.sampled_from([-2, -1, 0, 1, "a", "1", ("a", 1), None, 2.5]), max_size=6)


def levenshtein(a, b):
    """The recurrence as it is defined."""
    previous = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        row = [i]
        for j, right in enumerate(b, 1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (left != right)))
        previous = row
    return previous[-1]


@given(st.lists(st.tuples(LABEL_SEQUENCES, LABEL_SEQUENCES), max_size=5))
def test_edit_distance_is_that_of_the_recurrence_for_any_hashable_labels(pairs):
    references, hypotheses = [a for a, _ in pairs], [b for _, b in pairs]
    assert edit_distances(references, hypotheses).tolist() == [levenshtein(a, b) for a, b in pairs]


def test_labels_of_equal_hash_are_different_labels():
    assert hash(-1) == hash(-2)
    assert edit_distances([[-1, -1]], [[-2, -1]]).tolist() == [1]


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_sequences_may_be_lists_tuples_and_arrays(kind):
    assert edit_distances([kind([1, 2, 3])], [kind([1, 3])]).tolist() == [1]


def test_a_string_is_the_sequence_of_its_characters():
    assert edit_distances(["abc", "naïve"], [["a", "c"], "naive"]).tolist() == [1, 1]


def test_error_rate_is_all_edits_over_all_reference_labels():
    assert character_error_rate(["aaaaaaaa", "bb"], ["aaaaaaaa", "cc"]) == 2 / 10


def test_error_rate_of_empty_references():
    assert character_error_rate([], []) == 0.0
    assert character_error_rate(["", ""], ["", ""]) == 0.0
    assert character_error_rate(["", ""], ["", "a"]) == float("inf")
    assert character_error_rate(["ab"], ["abcdef"]) == 2.0


@pytest.mark.parametrize(
    ("references", "hypotheses", "error", "message"),
    [
        (["a"], ["a", "b"], ValueError, "hypotheses has 2 sequences, references has 1"),
        (
            "ab",
            ["a", "b"],
            TypeError,
            "references must be a list of label sequences, got the single string 'ab'",
        ),
        (
            [["a"], [["b"]]],
            [["a"], ["b"]],
            TypeError,
            r"references\[1\] must be a sequence of hashable labels",
        ),
        (["a", "b"], ["a", 3], TypeError, r"hypotheses\[1\] must be a sequence of hashable labels, got 3"),
    ],
)
def test_errors_name_the_argument(references, hypotheses, error, message):
    with pytest.raises(error, match=message):
        edit_distances(references, hypotheses)
