"""Densities of real numbers: values and gradients against their float64 twin, and as densities."""

import numpy as np
import pytest
from helpers import assert_close, assert_gradients_match
from reference.losses import gaussian_mixture

from pyseq.training.densities import LEAST_SCALE, GaussianMixture

SHAPES = [(1, 1), (1, 3), (2, 1), (10, 1), (4, 3)]  # components, numbers of a value


def problem(density, n=9, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal((n, density.n_outputs)).astype(dtype),
        2 * rng.standard_normal((n, density.n_values)).astype(dtype),
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_losses_and_gradients_equal_their_twin(shape, dtype):
    density = GaussianMixture(*shape)
    outputs, values = problem(density, dtype=dtype)
    found = density.loss(outputs, values)
    loss, gradient = gaussian_mixture(outputs, values, density.n_components, LEAST_SCALE)
    assert found.n_counted == 9
    assert found.gradient.dtype == dtype
    assert found.loss == pytest.approx(loss, rel=1e-6 if dtype == "float32" else 1e-12)
    assert_close(found.gradient, gradient, "gradient")
    assert -density.log_likelihoods(outputs, values).mean() == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_are_central_differences(shape):
    density = GaussianMixture(*shape)
    outputs, values = problem(density, 3)
    gradient = density.loss(outputs, values).gradient
    assert_gradients_match(lambda: density.loss(outputs, values).loss, [outputs], [gradient])


@pytest.mark.parametrize("n_components", [1, 5])
def test_a_density_has_integral_one(n_components):
    density = GaussianMixture(n_components, 1)
    (outputs, _), x = problem(density, 1), np.linspace(-60, 60, 60001)[:, np.newaxis]
    p = np.exp(density.log_likelihoods(np.repeat(outputs, len(x), axis=0), x))
    assert p.sum() * 0.002 == pytest.approx(1, abs=1e-6)


def test_far_values_and_narrow_components_stay_finite_in_float32():
    density = GaussianMixture(2, 1)
    for u in (-1e4, -20.0, 5.0):
        outputs = np.array([[0.0, 80.0, -3.0, 4.0, u, u]], dtype=np.float32)
        for x in (4.0, -3.0, 1e4):
            value = density.loss(outputs, np.array([[x]], dtype=np.float32))
            assert np.isfinite(value.loss)
            assert np.isfinite(value.gradient).all()
            expected, _ = gaussian_mixture(outputs, [[x]], 2, LEAST_SCALE)
            assert value.loss == pytest.approx(expected, rel=1e-4)


def test_components_begin_apart():
    rng = np.random.default_rng(0)
    bias = GaussianMixture(4, 2).initial_bias(rng)
    assert len(set(bias[4:12])) == 8
    assert not bias[:4].any()
    assert not bias[12:].any()
    assert not GaussianMixture(1, 2).initial_bias(rng).any()
