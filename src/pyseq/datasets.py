"""Data sets for examples, tests and the demonstration.

Nothing is downloaded: the lines of handwriting are made from the scans that scikit-learn carries.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["load_digit_lines"]

_GREY_LEVELS = 16.0  # a pixel of the scans counts the inked dots of a 4 x 4 block
_TEST_PART_OF_SCANS = 0.2

_DESCRIPTION = """\
Lines of handwritten digits
---------------------------
Each line sets {min_digits} to {max_digits} scans of handwritten digits side by side, with {min_gap} to
{max_gap} empty columns before, between and after them. The scans are the 1,797 real ones of
`sklearn.datasets.load_digits` (8 x 8 pixels, from the UCI collection "Optical Recognition of Handwritten
Digits", E. Alpaydin and C. Kaynak, 1998); no pixel of them is changed but for the scale, from 0..16 to 0..1.

A line is an array of shape (columns, 8): time runs along the line, and one time step holds the 8 pixels of a
column, from top to bottom. Its target is the string of its digits; where in the line a digit stands is not
told.

A fifth of the scans of every digit is set aside for the test lines: no scan of a test line is in a training
line. No scan is used twice more often than another of its part. Some writers have scans in both parts.
"""


def load_digit_lines(
    n_train: int = 2000,
    n_test: int = 500,
    *,
    min_digits: int = 3,
    max_digits: int = 9,
    min_gap: int = 0,
    max_gap: int = 4,
    random_state: int | np.random.RandomState | None = 0,
) -> Any:
    """Make lines of handwritten digits from real scans, for reading without known positions.

    The scans are the 1,797 of :func:`sklearn.datasets.load_digits`, each 8 pixels wide and 8 high. A line
    sets some of them side by side with random gaps. The scans are divided once, digit by digit, four fifths
    for the training lines and one fifth for the test lines, so an error rate on the test lines is one on
    scans the model has never seen.

    Parameters
    ----------
    n_train, n_test : int
        Number of training and of test lines.
    min_digits, max_digits : int
        A line has so many digits, all counts from the least to the greatest being equally likely.
    min_gap, max_gap : int
        Empty columns before the first, between two and after the last digit, drawn anew for each gap. A scan
        mostly brings an empty first or last column of its own.
    random_state : int, RandomState instance or None, default=0
        Fixes which scans are set aside, the digits, and the gaps.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        X_train, X_test : list of ndarray of shape (n_columns, 8), float32
            The lines: column after column, the pixels of a column from top to bottom, 0 (paper) to 1 (ink).
        y_train, y_test : list of str
            The digits of each line.
        scans_train, scans_test : list of ndarray of shape (n_digits,), int64
            Which scans each line is made of: rows of ``load_digits().images``.
        DESCR : str
            What the data are and where they come from.

    Raises
    ------
    TypeError
        If a count is not an integer.
    ValueError
        If a count is negative, or a range is empty.

    Examples
    --------
    >>> from pyseq.datasets import load_digit_lines
    >>> lines = load_digit_lines(n_train=3, n_test=1)
    >>> lines.X_train[0].shape[1], len(lines.y_train)
    (8, 3)
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from sklearn.utils import Bunch, check_random_state

    _check_count("n_train", n_train, 0)
    _check_count("n_test", n_test, 0)
    _check_range("digits", min_digits, max_digits, 1)
    _check_range("gap", min_gap, max_gap, 0)

    rng = check_random_state(random_state)
    digits = load_digits()
    # Columns as time steps: (scan, row, column) to (scan, column, row).
    scans = np.ascontiguousarray(digits.images.transpose(0, 2, 1) / _GREY_LEVELS, dtype=np.float32)
    pool_train, pool_test = train_test_split(
        np.arange(len(scans)), test_size=_TEST_PART_OF_SCANS, stratify=digits.target, random_state=rng
    )

    data: dict[str, Any] = {}
    for part, pool, n_lines in (("train", pool_train, n_train), ("test", pool_test, n_test)):
        n_digits = rng.randint(min_digits, max_digits + 1, size=n_lines)
        drawn = _draw_evenly(pool, int(n_digits.sum()), rng)
        chosen = np.split(drawn, np.cumsum(n_digits)[:-1]) if n_lines else []
        data[f"X_{part}"] = [_compose_line(scans[line], min_gap, max_gap, rng) for line in chosen]
        data[f"y_{part}"] = ["".join(str(digit) for digit in digits.target[line]) for line in chosen]
        data[f"scans_{part}"] = chosen

    description = _DESCRIPTION.format(
        min_digits=min_digits, max_digits=max_digits, min_gap=min_gap, max_gap=max_gap
    )
    return Bunch(**data, DESCR=description)


def _check_count(name: str, value: object, least: int) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}, expected an integer")
    if value < least:
        raise ValueError(f"{name} is {value}, expected at least {least}")


def _check_range(what: str, low: int, high: int, least: int) -> None:
    _check_count(f"min_{what}", low, least)
    _check_count(f"max_{what}", high, least)
    if low > high:
        raise ValueError(f"min_{what} is {low}, expected at most max_{what}, which is {high}")


def _draw_evenly(pool: NDArray[np.int64], n: int, rng: np.random.RandomState) -> NDArray[np.int64]:
    """Draw n members of the pool, in random order, no member twice more often than another."""
    n_rounds = -(-n // len(pool))
    if n_rounds == 0:
        return pool[:0]
    return np.concatenate([rng.permutation(pool) for _ in range(n_rounds)])[:n]


def _compose_line(
    scans: NDArray[np.float32], min_gap: int, max_gap: int, rng: np.random.RandomState
) -> NDArray[np.float32]:
    """Set scans (n_digits, width, height) side by side: (n_columns, height), gaps at both ends too."""
    n_digits, width, height = scans.shape
    gaps = rng.randint(min_gap, max_gap + 1, size=n_digits + 1)
    line = np.zeros((n_digits * width + int(gaps.sum()), height), dtype=np.float32)
    starts = np.cumsum(gaps[:-1]) + width * np.arange(n_digits)
    for start, scan in zip(starts, scans, strict=True):
        line[start : start + width] = scan
    return line
