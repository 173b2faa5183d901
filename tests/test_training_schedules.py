"""Learning-rate schedules: what factor each update gets."""

import math

import numpy as np
import pytest

from pyseq.training import SCHEDULES, resolve_schedule

N_STEPS = 200


def curve(learning_rate, n_steps=N_STEPS):
    schedule = resolve_schedule(learning_rate)
    return np.array([schedule(i, n_steps) for i in range(n_steps)])


@pytest.mark.parametrize("name", sorted(SCHEDULES))
@pytest.mark.parametrize("n_steps", [1, 2, 3, 7, 1000])
def test_factor_is_finite_and_between_zero_and_one(name, n_steps):
    factors = curve(name, n_steps)
    assert np.isfinite(factors).all()
    assert factors.min() >= 0
    assert factors.max() <= 1


def test_constant_is_one():
    assert (curve("constant") == 1).all()


def test_cosine_goes_from_one_to_final_along_a_half_cosine():
    factors = curve(("cosine", {"final": 0.1}))
    assert factors[0] == 1
    assert factors[-1] == pytest.approx(0.1)
    expected = 0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * np.arange(N_STEPS) / (N_STEPS - 1)))
    np.testing.assert_allclose(factors, expected)


def test_step_drops_at_its_milestones():
    factors = curve(("step", {"milestones": (0.5, 0.75), "gamma": 0.1}))
    assert (factors[:100] == 1).all()
    np.testing.assert_allclose(factors[100:150], 0.1)
    np.testing.assert_allclose(factors[150:], 0.01)


def test_one_cycle_warms_up_and_comes_down():
    factors = curve(("one_cycle", {"warmup": 0.25, "initial": 0.1, "final": 0.001}))
    assert factors[0] == pytest.approx(0.1)
    assert factors.argmax() == 50
    assert factors[50] == 1
    assert factors[-1] == pytest.approx(0.001)
    assert (np.diff(factors[:51]) > 0).all()
    assert (np.diff(factors[50:]) < 0).all()


@pytest.mark.parametrize("name", ["constant", "cosine", "step"])
def test_warm_up_rises_linearly(name):
    factors = curve((name, {"warmup": 0.1}))
    np.testing.assert_allclose(factors[:20], np.arange(1, 21) / 20)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_more_steps_than_planned_stay_at_the_end(name):
    schedule = resolve_schedule(name)
    assert schedule(10 * N_STEPS, N_STEPS) == pytest.approx(schedule(N_STEPS - 1, N_STEPS))


def test_a_callable_is_used_as_it_is():
    def halving(i, n_steps):
        return 0.5**i

    assert resolve_schedule(halving) is halving


@pytest.mark.parametrize(
    ("learning_rate", "message"),
    [
        ("linear", "learning_rate is 'linear', expected one of"),
        (("cosine", {"period": 3}), "learning_rate='cosine' has no option 'period', expected some of"),
        (("cosine", {"warmup": 1.0}), r"got warmup=1.0, expected a part in \[0, 1\)"),
        (("cosine", 0.1), r"expected a name or a \(name, options\) pair"),
        (3, "learning_rate is 3"),
    ],
)
def test_errors_say_what_was_expected(learning_rate, message):
    with pytest.raises(ValueError, match=message):
        resolve_schedule(learning_rate)


def test_one_cycle_from_its_definition():
    schedule = resolve_schedule(("one_cycle", {"warmup": 0.5, "initial": 0.0, "final": 0.0}))
    assert schedule(25, 100) == pytest.approx(0.5 * (1 - math.cos(math.pi / 2)))
