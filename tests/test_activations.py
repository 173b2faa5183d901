"""The vector activations against correctly rounded values, in units in the last place (ulp)."""

import numpy as np
import pytest
from scipy.special import expit

from pyseq import _core

# Largest error on all tiers; simd/activations.h refers to this table.
ACTIVATION_ULP = {
    ("sigmoid", "float32"): 3.5,
    ("tanh", "float32"): 4.0,
    ("exp", "float32"): 2.0,
    ("sigmoid", "float64"): 3.5,
    ("tanh", "float64"): 4.0,
    ("exp", "float64"): 2.0,
}
EXACT = {"sigmoid": expit, "tanh": np.tanh, "exp": np.exp}


def errors_in_ulp(name, x):
    wide = np.longdouble if x.dtype == np.float64 else np.float64
    exact = (1 / (1 + np.exp(-x.astype(wide)))) if name == "sigmoid" else EXACT[name](x.astype(wide))
    got = _core.activation(name, x)
    return np.abs(got.astype(wide) - exact) / np.spacing(np.abs(exact).astype(x.dtype)).astype(wide)


@pytest.mark.parametrize(("name", "dtype"), sorted(ACTIVATION_ULP))
def test_error_stays_within_the_stated_bound(name, dtype):
    rng = np.random.default_rng(0)
    span = {"exp": 80.0, "tanh": 12.0, "sigmoid": 30.0}[name]
    near_zero = 10.0 ** rng.uniform(-30, 0, 20_000) * rng.choice([-1, 1], 20_000)
    x = np.concatenate([rng.uniform(-span, span, 200_000), near_zero, [0.0, -0.0]]).astype(dtype)
    assert errors_in_ulp(name, x).max() <= ACTIVATION_ULP[name, dtype]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_saturation_and_special_values(dtype):
    x = np.array([-np.inf, -1e30, 1e30, np.inf, np.nan], dtype=dtype)
    assert np.array_equal(
        _core.activation("tanh", x), np.array([-1, -1, 1, 1, np.nan], dtype), equal_nan=True
    )
    sigmoid = _core.activation("sigmoid", x)
    assert (sigmoid[:2] >= 0).all()
    assert (sigmoid[:2] < 1e-17).all()
    assert np.array_equal(sigmoid[2:], np.array([1, 1, np.nan], dtype), equal_nan=True)
    exp = _core.activation("exp", x)
    assert exp[0] < 1e-37
    assert exp[3] > 1e38
    assert np.isnan(exp[4])


@pytest.mark.parametrize("name", sorted(EXACT))
def test_a_value_does_not_depend_on_its_lane(name):
    x = np.linspace(-3, 3, 37).astype(np.float32)
    together = _core.activation(name, x)
    alone = np.concatenate([_core.activation(name, x[i : i + 1]) for i in range(len(x))])
    assert np.array_equal(together, alone)
