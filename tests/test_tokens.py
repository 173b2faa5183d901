"""Labels to ids: every label once, in a stable order, and unknown ones named."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from pyseq._tokens import build_vocabulary, encode_tokens


def test_labels_are_sorted_if_they_can_be_and_else_in_order_of_appearance():
    assert build_vocabulary(["cab", "d"], first_id=1) == {"a": 1, "b": 2, "c": 3, "d": 4}
    assert list(build_vocabulary([[3, 1], [2]])) == [1, 2, 3]
    assert build_vocabulary([["b", 1], [None, "b"]]) == {"b": 0, 1: 1, None: 2}
    assert build_vocabulary(["", []]) == {}


@given(st.lists(st.one_of(st.text(), st.lists(st.text(max_size=2))), max_size=8))
def test_ids_lead_back_to_the_labels(sequences):
    vocabulary = build_vocabulary(sequences, first_id=5)
    labels = {i: label for label, i in vocabulary.items()}
    assert sorted(labels) == list(range(5, 5 + len(vocabulary)))
    ragged = encode_tokens(sequences, vocabulary)
    assert ragged.dtype == np.int64
    assert [[labels[i] for i in ids.tolist()] for ids in ragged] == [list(sequence) for sequence in sequences]


@pytest.mark.parametrize(
    "sequences",
    [
        [[2, 1], [3]],
        ((2, 1), (3,)),
        [np.array([2, 1]), np.array([3], "i1")],
        pd.Series([[2, 1], [3]]),
        [pd.Series([2, 1]), pd.Series([3])],
    ],
    ids=["lists", "tuples", "arrays", "series", "list of series"],
)
def test_sequences_of_labels_come_in_many_forms(sequences):
    assert_array_equal(encode_tokens(sequences, build_vocabulary(sequences)).values, [1, 0, 2], strict=True)


def test_arrays_of_strings_are_strings():
    y = np.array(["ab", "b"])
    assert_array_equal(encode_tokens(y, build_vocabulary(y)).values, [0, 1, 1])


BAD = {
    "one string": ("abc", TypeError, "y has type str, expected a list of strings or label sequences"),
    "a number": (3, TypeError, "y has type int, expected a list of strings or label sequences"),
    "numbers": (
        [1, 2],
        TypeError,
        "y[0] has type int, expected a string or a list, tuple or 1-D array of labels",
    ),
    "None": (["a", None], TypeError, "y[1] has type NoneType, expected a string or a list"),
    "a set": (["a", {"b"}], TypeError, "y[1] has type set, expected a string or a list"),
    "a table": ([np.zeros((2, 2), int)], TypeError, "y[0] has type ndarray, expected a string or a list"),
    "unhashable": (
        ["a", ["a", ["b"]]],
        TypeError,
        "y[1] has a label of type list at position 1, expected labels",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_sequence_of_labels_is_named(case):
    sequences, error, message = BAD[case]
    for call in (build_vocabulary, lambda y: encode_tokens(y, {"a": 0})):
        with pytest.raises(error, match=re.escape(message)):
            call(sequences)


def test_unknown_labels_are_named_with_what_is_known():
    message = "y_val[1] has the label 'x' at position 2, expected one of the 3 known labels ('a', 'b', 'c')"
    with pytest.raises(ValueError, match=re.escape(message)):
        encode_tokens(["abc", "abx", "z"], build_vocabulary(["abc"]), name="y_val")
    with pytest.raises(ValueError, match=r"one of the 26 known labels \('a', .*'h', \.\.\.\)$"):
        encode_tokens(["A"], build_vocabulary(["abcdefghijklmnopqrstuvwxyz"]))
