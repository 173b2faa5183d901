"""Optimizers against their float64 twins, their state, and clipping."""

import numpy as np
import pytest
from helpers import assert_close, assert_same_bits
from reference import optimizers as twins

from pyseq.layers import Dense, FlatParameters
from pyseq.training import OPTIMIZERS, SGD, Adam, AdamW, clipping_scale, make_optimizer

DTYPES = ["float32", "float64"]


def parameters(dtype="float64", n=70):
    flat = FlatParameters(Dense(n).build(n, dtype=dtype, random_state=0))
    flat.gradients[...] = np.random.default_rng(1).standard_normal(flat.gradients.shape)
    return flat


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cls", [Adam, AdamW])
def test_adam_equals_its_twin_over_several_steps(dtype, cls):
    flat = parameters(dtype)
    optimizer = cls(flat, beta1=0.8, beta2=0.95, eps=1e-6, weight_decay=0.1)
    expected, m, v = flat.values.astype(float), np.zeros(flat.n_parameters), np.zeros(flat.n_parameters)
    for step, rate in enumerate([0.1, 0.1, 0.02], 1):
        optimizer.update(rate, 0.5)
        expected, m, v = twins.adam_update(
            expected,
            flat.gradients,
            m,
            v,
            step=step,
            lr=rate,
            beta1=0.8,
            beta2=0.95,
            eps=1e-6,
            weight_decay=0.1,
            decoupled=cls is AdamW,
            scale=0.5,
        )
        assert_close(flat.values, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_equals_its_twin_over_several_steps(dtype, nesterov):
    flat = parameters(dtype)
    optimizer = SGD(flat, momentum=0.8, nesterov=nesterov, weight_decay=0.1)
    expected, velocity = flat.values.astype(float), np.zeros(flat.n_parameters)
    for rate in (0.1, 0.1, 0.02):
        optimizer.update(rate, 0.5)
        expected, velocity = twins.sgd_update(
            expected,
            flat.gradients,
            velocity,
            lr=rate,
            momentum=0.8,
            nesterov=nesterov,
            weight_decay=0.1,
            scale=0.5,
        )
        assert_close(flat.values, expected)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_state_goes_on_where_it_was(name):
    first = parameters()
    optimizer = make_optimizer(name, first, weight_decay=0.01)
    optimizer.update(0.1, 1.0)
    second = parameters()
    second.values[...] = first.values
    resumed = make_optimizer(name, second, weight_decay=0.01)
    resumed.set_state(optimizer.get_state())
    optimizer.update(0.1, 1.0)
    resumed.update(0.1, 1.0)
    assert resumed.n_updates == 2
    assert_same_bits(first.values, second.values)


def test_state_of_another_optimizer_or_size_is_refused():
    state = make_optimizer("sgd", parameters(), weight_decay=0.0).get_state()
    with pytest.raises(ValueError, match="Adam needs"):
        make_optimizer("adam", parameters(), weight_decay=0.0).set_state(state)
    with pytest.raises(ValueError, match=r"state\['velocity'\] has 4970 entries, expected 6"):
        make_optimizer("sgd", parameters(n=2), weight_decay=0.0).set_state(state)


def test_options_come_with_the_name():
    optimizer = make_optimizer(("sgd", {"momentum": 0.5}), parameters(), weight_decay=0.0)
    assert isinstance(optimizer, SGD)
    assert optimizer.momentum == 0.5
    with pytest.raises(ValueError, match="solver='adam' does not take the options"):
        make_optimizer(("adam", {"momentum": 0.5}), parameters(), weight_decay=0.0)
    with pytest.raises(ValueError, match=r"solver is \('adam',\), expected a name or"):
        make_optimizer(("adam",), parameters(), weight_decay=0.0)
    with pytest.raises(ValueError, match="solver is 'lbfgs', expected one of"):
        make_optimizer("lbfgs", parameters(), weight_decay=0.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_beyond_the_bound_are_scaled_to_it(dtype):
    gradients = np.array([3.0, 4.0], dtype=dtype)
    assert clipping_scale(gradients, 1.0) == (5.0, 0.2)
    assert clipping_scale(gradients, 5.0) == (5.0, 1.0)
    assert clipping_scale(gradients, None) == (5.0, 1.0)
    assert clipping_scale(np.zeros(2, dtype=dtype), 1.0) == (0.0, 1.0)
