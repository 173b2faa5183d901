"""The door of every estimator: what a user hands over becomes checked arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from pyseq.ragged import Ragged, as_ragged, table_width

__all__ = ["frame_features", "is_rectangular", "read_sample_weight", "read_sequences"]


def read_sequences(estimator: Any, X: Any, *, reset: bool, dtype: str, name: str = "X") -> Ragged:
    """Check X, and that an estimator fitted before can take it.

    A table (a 2-D array, a data frame, a list of equally long rows of numbers) is n univariate sequences of
    as many steps as it has columns. An estimator fitted on one has so many `n_features_in_`, as scikit-learn
    wants it, and takes tables of so many columns only; fitted on anything else, `n_features_in_` is the
    number of features of a frame. Both take univariate sequences of other lengths as a list of (T_i,) or
    (T_i, 1) arrays.

    Parameters
    ----------
    estimator : estimator
        Its `n_features_in_`, `feature_names_in_` and `_fitted_on_table` are set if `reset`, else compared
        with.
    X : list or 1-D object array of arrays, 2-D or 3-D array, data frame or Ragged
    reset : bool
    dtype : str
        "float32", "float64", or "int64" for tokens.
    name : str
        What messages call X.

    Returns
    -------
    Ragged

    Raises
    ------
    ValueError, TypeError
        As :func:`pyseq.ragged.as_ragged`, and for another number of columns or features than in `fit`.
    """
    is_table = table_width(X) is not None
    if reset:
        estimator.__dict__.pop("feature_names_in_", None)
        x = as_ragged(X, dtype=dtype, name=name)
        estimator._fitted_on_table = is_table
        if is_table:
            validate_data(estimator, X, reset=True, skip_check_array=True)
        else:
            estimator.n_features_in_ = x.n_features
        return x
    if is_table and estimator._fitted_on_table:
        x = as_ragged(X, dtype=dtype, name=name)
        validate_data(estimator, X, reset=False, skip_check_array=True)
        return x
    return as_ragged(X, dtype=dtype, name=name, n_features=frame_features(estimator))


def frame_features(estimator: Any) -> int:
    """Features of a frame of the sequences an estimator was fitted on."""
    return 1 if estimator._fitted_on_table else int(estimator.n_features_in_)


def is_rectangular(X: Any) -> bool:
    """Whether X is one array, or a table: then answers for every frame can be one array too."""
    return table_width(X) is not None or getattr(X, "ndim", None) == 3


def read_sample_weight(sample_weight: Any, n: int) -> NDArray[np.float64] | None:
    """Check weights of n sequences.

    Raises
    ------
    ValueError
        If there is not one finite weight >= 0 for each sequence, or all are zero.
    """
    if sample_weight is None:
        return None
    try:
        weights = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"sample_weight must be an array of numbers, got {sample_weight!r}") from error
    if weights.shape != (n,):
        raise ValueError(
            f"sample_weight has shape {weights.shape}, expected ({n},), one weight for each sequence"
        )
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ValueError(f"sample_weight[{i}] is {weights[i]}, expected a finite number of at least 0")
    if not weights.any():
        raise ValueError("sample_weight is zero for every sequence, expected at least one weight above zero")
    return weights
