"""Fused optimizer steps against their float64 twins."""

import numpy as np
import pytest
import reference
from helpers import assert_close

from pyseq import ops

SIZES = [1, 15, 64, 1001]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "options", [{}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "decoupled": True}, {"scale": 0.3}]
)
def test_adam_matches_the_twin(options, dtype, size):
    rng = np.random.default_rng(0)
    ours = [rng.standard_normal(size).astype(dtype), *np.zeros((2, size), dtype)]
    twin = [a.astype(float) for a in ours]
    for step in range(1, 6):
        grads = rng.standard_normal(size).astype(dtype)
        settings = {"step": step, "lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, **options}
        ops.adam_update(ours[0], grads, ours[1], ours[2], **settings)
        twin = reference.adam_update(twin[0], grads.astype(float), twin[1], twin[2], **settings)
    for a, b in zip(ours, twin, strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_matches_the_twin(nesterov, dtype, size):
    rng = np.random.default_rng(0)
    ours = [rng.standard_normal(size).astype(dtype), np.zeros(size, dtype)]
    twin = [a.astype(float) for a in ours]
    for _ in range(5):
        grads = rng.standard_normal(size).astype(dtype)
        settings = {"lr": 0.1, "momentum": 0.9, "nesterov": nesterov, "weight_decay": 0.01, "scale": 0.5}
        ops.sgd_update(ours[0], grads, ours[1], **settings)
        twin = reference.sgd_update(twin[0], grads.astype(float), twin[1], **settings)
    for a, b in zip(ours, twin, strict=True):
        assert_close(a, b)


def test_squared_norm():
    values = np.random.default_rng(0).standard_normal(10_001).astype(np.float32)
    assert ops.squared_norm(values) == pytest.approx((values.astype(float) ** 2).sum(), rel=1e-12)


def test_bad_input_is_named():
    a, b = np.zeros(3), np.zeros(4)
    with pytest.raises(ValueError, match=r"grads has shape \(4,\)"):
        ops.adam_update(a, b, a.copy(), a.copy(), step=1, lr=0.1)
    with pytest.raises(ValueError, match="step is 0"):
        ops.adam_update(a, a.copy(), a.copy(), a.copy(), step=0, lr=0.1)
    with pytest.raises(ValueError, match="params has shape"):
        ops.sgd_update(np.zeros((2, 2)), np.zeros((2, 2)), np.zeros((2, 2)), lr=0.1)
