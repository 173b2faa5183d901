"""The lines of digits: real scans, divided between training and test, in an order that the seed fixes."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from pyseq.datasets import load_digit_lines


@pytest.fixture(scope="module")
def lines():
    return load_digit_lines(n_train=400, n_test=150, random_state=3)


def parts(lines):
    for part in ("train", "test"):
        yield lines[f"X_{part}"], lines[f"y_{part}"], lines[f"scans_{part}"]


def test_there_are_as_many_lines_as_asked_for(lines):
    assert [len(part) for part in (lines.X_train, lines.y_train, lines.scans_train)] == [400] * 3
    assert [len(part) for part in (lines.X_test, lines.y_test, lines.scans_test)] == [150] * 3


def test_no_scan_of_a_test_line_is_in_a_training_line(lines):
    used_in_training, used_in_test = (set(np.concatenate(scans)) for _, _, scans in parts(lines))
    assert not used_in_training & used_in_test
    assert len(used_in_training) + len(used_in_test) == 1797  # so many lines that all scans are used


def test_every_digit_is_in_both_parts_in_proportion(lines):
    target = load_digits().target
    for _, _, scans in parts(lines):
        share = np.bincount(target[np.unique(np.concatenate(scans))], minlength=10)
        np.testing.assert_allclose(share / share.sum(), np.bincount(target) / len(target), atol=0.004)


def test_scans_are_used_evenly(lines):
    for _, _, scans in parts(lines):
        times_used = np.bincount(np.concatenate(scans))
        assert np.ptp(times_used[times_used > 0]) <= 1


def test_a_line_holds_its_scans_unchanged_and_in_order(lines):
    digits = load_digits()
    for X, y, scans in parts(lines):
        for line, text, chosen in zip(X, y, scans, strict=True):
            assert text == "".join(map(str, digits.target[chosen]))
            side_by_side = np.hstack(digits.images[chosen]).T / 16
            np.testing.assert_array_equal(without_empty_columns(line), without_empty_columns(side_by_side))


def without_empty_columns(line):
    return line[line.any(axis=1)]


def test_columns_are_time_steps_of_eight_pixels_from_0_to_1(lines):
    for X, _, _ in parts(lines):
        assert all(line.dtype == np.float32 and line.shape[1] == 8 for line in X)
        assert min(line.min() for line in X) == 0
        assert max(line.max() for line in X) == 1


def test_lines_have_three_to_nine_digits_and_gaps_of_up_to_four_columns(lines):
    for X, y, _ in parts(lines):
        assert {len(text) for text in y} == set(range(3, 10))
        gaps = np.array([len(line) - 8 * len(text) for line, text in zip(X, y, strict=True)])
        n_gaps = np.array([len(text) + 1 for text in y])
        assert (gaps >= 0).all()
        assert (gaps <= 4 * n_gaps).all()
        assert abs(gaps.sum() / n_gaps.sum() - 2) < 0.2


def test_numbers_of_digits_and_gaps_can_be_chosen():
    lines = load_digit_lines(20, 0, min_digits=2, max_digits=2, min_gap=3, max_gap=3)
    assert [line.shape for line in lines.X_train] == [(2 * 8 + 3 * 3, 8)] * 20
    assert lines.X_test == lines.y_test == lines.scans_test == []


def test_the_seed_fixes_the_lines():
    first, same, other = (load_digit_lines(30, 10, random_state=seed) for seed in (1, 1, 2))
    assert first.y_train == same.y_train
    assert first.y_test == same.y_test
    assert all(np.array_equal(a, b) for a, b in zip(first.X_train, same.X_train, strict=True))
    assert first.y_train != other.y_train


def test_the_description_tells_the_settings():
    description = load_digit_lines(1, 1, max_digits=4).DESCR
    assert "3 to 4 scans" in description
    assert "{" not in description


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_train": -1}, ValueError, "n_train is -1, expected at least 0"),
        ({"n_test": 2.5}, TypeError, "n_test is 2.5, expected an integer"),
        ({"n_train": True}, TypeError, "n_train is True, expected an integer"),
        ({"min_digits": 0}, ValueError, "min_digits is 0, expected at least 1"),
        ({"max_gap": "3"}, TypeError, "max_gap is '3', expected an integer"),
        (
            {"min_digits": 5, "max_digits": 4},
            ValueError,
            "min_digits is 5, expected at most max_digits, which is 4",
        ),
        ({"min_gap": 5}, ValueError, "min_gap is 5, expected at most max_gap, which is 4"),
    ],
)
def test_a_wrong_setting_is_named(options, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        load_digit_lines(**options)
