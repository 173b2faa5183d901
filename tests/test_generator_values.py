"""Generators of real numbers: densities in the numbers' own units, drawing, conditions, bad input."""

import numpy as np
import pytest
from sklearn.base import clone

from pyseq import GRU, LSTM, TCN, Chain, Conv1d, Memoryless, SequenceGenerator
from pyseq.layers.base import FlatParameters
from pyseq.ragged import Ragged
from pyseq.training.densities import GaussianMixture
from pyseq.training.language import DensityNetwork
from pyseq.training.scaling import Standardisation
from pyseq.training.windows import WindowBatch


def waves(n=6, frames=50, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(frames)
    return [40 + 3 * np.sin(0.4 * t + p) + 0.2 * rng.standard_normal(frames) for p in rng.uniform(0, 6, n)]


def small(encoder=None, **settings):
    settings = {
        "values": "gaussian",
        "max_iter": 30,
        "random_state": 0,
        "learning_rate_init": 0.02,
    } | settings
    return SequenceGenerator(GRU(8) if encoder is None else encoder, n_components=3, batch_size=4, **settings)


@pytest.fixture(scope="module", params=["gaussian", "mixture"])
def fitted(request):
    return small(values=request.param).fit(waves())


def test_a_wave_is_learned_and_goes_on(fitted):
    X = waves(seed=1)
    assert fitted.symbols_ == []
    assert fitted.score(X) > 0.2 + -0.5 * np.log(2 * np.pi * np.e * 4.5)  # better than one Gaussian for all
    drawn = fitted.generate(X[0][:20], 200, random_state=0)
    assert drawn.shape == (200,)
    assert drawn.dtype == float
    assert drawn.mean() == pytest.approx(40, abs=1.5)
    assert 0.5 < drawn.std() < 6


def test_likelihoods_are_in_the_units_of_the_numbers(fitted):
    X = waves(2, seed=1)
    alone = np.array([fitted.score_samples([x])[0] for x in X])
    np.testing.assert_allclose(fitted.score_samples(X), alone, rtol=1e-6)
    assert fitted.score(X) == pytest.approx(alone.sum() / 100)
    assert fitted.perplexity(X) == pytest.approx(np.exp(-fitted.score(X)))
    # the density of the first frame, whatever it is, has integral 1 over the numbers as they are
    grid = np.linspace(0, 80, 4001)[:, np.newaxis]
    assert np.exp(fitted.score_samples(list(grid))).sum() * 0.02 == pytest.approx(1, abs=1e-4)


def test_other_units_give_the_same_model():
    X = waves()
    a, b = small(max_iter=3).fit(X), small(max_iter=3).fit([1000 * x - 7 for x in X])
    np.testing.assert_allclose(
        a.score_samples(X), b.score_samples([1000 * x - 7 for x in X]) + 50 * np.log(1000), rtol=1e-3
    )
    drawn = [m.generate(None, 20, random_state=0) for m in (a, b)]
    np.testing.assert_allclose(1000 * drawn[0] - 7, drawn[1], rtol=1e-3)


def test_numbers_are_drawn_from_the_density():
    model = small(max_iter=20).fit(waves())
    first = np.array(model.generate(None, 1, n_samples=4000, random_state=0))[:, 0]
    grid = np.linspace(first.min() - 1, first.max() + 1, 2001)
    p = np.exp(model.score_samples(list(grid[:, np.newaxis])))
    p /= p.sum()
    assert first.mean() == pytest.approx(p @ grid, abs=0.15)
    assert first.std() == pytest.approx(np.sqrt(p @ (grid - p @ grid) ** 2), rel=0.05)
    cold = np.array(model.generate(None, 1, n_samples=1000, temperature=0.01, random_state=0))
    assert cold.std() == pytest.approx(first.std() / 10, rel=0.1)


@pytest.mark.parametrize(
    "encoder", [LSTM(5), TCN(5, 2, 2), Memoryless(4, 8), Chain([Conv1d(4, 3), LSTM(5)])], ids=repr
)
def test_every_causal_encoder_fits_and_generates(encoder):
    model = small(encoder, max_iter=2, dtype="float64").fit(waves())
    assert np.isfinite(model.generate(waves()[0][:4], 30, random_state=0)).all()
    assert np.isfinite(model.score_samples(waves())).all()


def test_what_is_drawn_stays_near_the_data():
    model = small(TCN(5, 2, 2), max_iter=1, learning_rate_init=1.0).fit(waves())  # runs away
    drawn = model.generate(None, 500, random_state=0)
    low, high = np.min(waves()), np.max(waves())
    assert np.isfinite(drawn).all()
    assert low - (high - low) - 1e-3 <= drawn.min() <= drawn.max() <= high + (high - low) + 1e-3


def test_frames_of_several_numbers():
    X = [np.stack([x, -x], axis=1) for x in waves()]
    model = small(values="mixture").fit(X)
    assert model.n_features_in_ == 2
    drawn = model.generate(X[0][:10], 50, random_state=0)
    assert drawn.shape == (50, 2)
    assert np.corrcoef(drawn.T)[0, 1] < -0.8
    with pytest.raises(ValueError, match=r"prompt.* 3 features"):
        model.generate(np.zeros((2, 3)), 5)


def test_tables_and_samples_and_callbacks(fitted):
    model = small(max_iter=1).fit(np.stack(waves()))
    assert model.n_features_in_ == 50
    heard = []
    a = fitted.generate([40.0, 41.0], 9, random_state=1, callback=heard.append)
    np.testing.assert_array_equal(heard, a)
    np.testing.assert_array_equal(a, fitted.generate([40.0, 41.0], 9, random_state=1))
    heard = []
    many = fitted.generate(None, 5, n_samples=3, random_state=1, callback=heard.append)
    assert [len(drawn) for drawn in many] == [5, 5, 5]
    np.testing.assert_array_equal(np.array(heard).T, many)
    np.testing.assert_array_equal(many, fitted.generate("", 5, n_samples=3, random_state=1))


def test_a_condition_decides():
    X = [
        np.full(8, level) + 0.1 * np.random.default_rng(i).standard_normal(8)
        for i, level in enumerate([3.0, -3.0] * 10)
    ]
    context = [[1.0], [-1.0]] * 10
    model = small(max_iter=40).fit(X, context=context)
    up, down = model.generate(None, 8, n_samples=2, context=[[1.0], [-1.0]], random_state=0)
    assert up.mean() > 1.5
    assert down.mean() < -1.5
    for c, why in ((None, "None"), ([1.0, 2.0], "shape"), ([np.nan], "NaN")):
        with pytest.raises(ValueError, match=f"context.*{why}"):
            model.generate(None, 5, context=c)


def test_settings_are_kept_and_reproduce():
    model = small(values="mixture", max_iter=3, early_stopping=True)
    a, b = (clone(model).fit(waves()) for _ in range(2))
    assert a.loss_curve_ == b.loss_curve_
    assert len(a.validation_scores_) == 3
    a.set_params(warm_start=True).fit(waves())
    assert a.n_iter_ == 6
    with pytest.raises(ValueError, match="loss is"):
        a.set_params(n_components=5).fit(waves())


@pytest.mark.parametrize("n_context", [0, 2])
def test_gradients_are_central_differences(n_context):
    units = Standardisation(np.zeros(2), np.ones(2))
    net = DensityNetwork(
        GRU(4),
        GaussianMixture(3, 2),
        units,
        n_context=n_context,
        carry=True,
        dtype="float64",
        rng=np.random.default_rng(0),
    )
    parameters: FlatParameters = net.flat_parameters()
    rng = np.random.default_rng(1)
    x, targets = (Ragged(rng.standard_normal((9, 2)), [5, 3, 1]) for _ in range(2))
    context = rng.standard_normal((3, n_context)) if n_context else None
    batch = WindowBatch(x, targets, None, np.full(3, -1), context)
    parameters.zero_gradients()
    net.loss_and_gradients(batch, rng)
    gradients = parameters.gradients.copy()
    for i in rng.choice(parameters.n_parameters, 50, replace=False):
        kept, losses = parameters.values[i], []
        for step in (1e-5, -1e-5):
            parameters.values[i] = kept + step
            losses.append(net.loss_and_gradients(batch, rng).loss)
        parameters.values[i] = kept
        assert gradients[i] == pytest.approx((losses[0] - losses[1]) / 2e-5, abs=1e-8)


# --------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"top_k": 3}, "top_k is 3, expected None"),
        ({"top_p": 0.5}, "top_p is 0.5, expected None"),
        ({"stop": 1.0}, "stop is 1.0, expected None"),
        ({"temperature": 0}, "temperature"),
        ({"prompt": [np.nan]}, r"prompt\[0\] contains NaN"),
        ({"prompt": "ab"}, "prompt"),
        ({"length": 0}, "length"),
    ],
    ids=str,
)
def test_bad_generation(fitted, options, why):
    with pytest.raises((ValueError, TypeError), match=why):
        fitted.generate(**options)


def test_bad_settings():
    for settings, why in (({"values": "student"}, "values"), ({"n_components": 0}, "n_components")):
        with pytest.raises(ValueError, match=why):
            clone(small()).set_params(**settings).fit(waves())
    for X, why in (([], "X is empty"), ([[]], r"X\[0\] has length 0"), ([[0.5, np.nan]], "NaN")):
        with pytest.raises(ValueError, match=why):
            small().fit(X)
    for X in ("abc", ["abc"], [["a", "b"]]):
        with pytest.raises((TypeError, ValueError), match=r"X.* expected"):
            small().fit(X)
    assert small(max_iter=1).fit([[1, 2, 3], [2, 3]]).symbols_ == []  # integers are numbers
    with pytest.raises(ValueError, match="univariate sequences; values="):
        small(values="mu-law").fit([np.zeros((4, 2))])
