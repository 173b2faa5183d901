"""Truncated backpropagation: what a window knows of what was before it, whatever the encoder."""

import numpy as np
import pytest
from sklearn.base import clone

from pyseq import GRU, LSTM, TCN, Chain, Conv1d, Dense, Memoryless, SequenceGenerator, WaveNet
from pyseq.layers.base import FlatParameters
from pyseq.ragged import Ragged
from pyseq.training.language import LanguageNetwork
from pyseq.training.windows import Windows

CONVOLUTIONS = [
    Conv1d(5, 2, dilation=3),
    Memoryless(4, 5),
    TCN(4, 2, 3),
    WaveNet(4, 5, dilation_cycle=3, num_cycles=1),
    Chain([Conv1d(4, 3), Dense(6, "tanh"), TCN(4, 2, 2)]),
]
CHAINS = [
    GRU(5),
    Chain([Conv1d(4, 3, dilation=2), LSTM(5)]),
    Chain([LSTM(5), Conv1d(4, 3)]),
    Chain([TCN(4, 2, 2), GRU(4), Dense(3), Conv1d(4, 2)]),
]


def network(encoder, carry=True, n_context=0):
    rng = np.random.default_rng(0)
    settings = {"embedding_dim": 4, "n_context": n_context, "tie_weights": False, "carry": carry}
    return LanguageNetwork(clone(encoder), 5, dtype="float64", rng=rng, **settings)


def corpus(lengths, steps, reach=0, context=None):
    rng = np.random.default_rng(0)
    x, y = (Ragged(rng.integers(0, 5, sum(lengths)), lengths) for _ in range(2))
    return Windows(x, y, None, steps=steps, reach=reach, context=context)


def of_windows(net, windows, batch_size=1, shuffle=False):
    """Loss and gradients summed over an epoch, without updates."""
    parameters: FlatParameters = net.flat_parameters()
    total, gradients, rng = 0.0, 0.0, np.random.default_rng(0)
    for plan in windows.batches(batch_size, rng, shuffle=shuffle):
        parameters.zero_gradients()
        value = net.loss_and_gradients(windows.take(plan), rng)
        total += value.loss * value.n_counted
        gradients += parameters.gradients * value.n_counted
    return total, gradients


@pytest.mark.parametrize("encoder", CONVOLUTIONS, ids=repr)
@pytest.mark.parametrize(("lengths", "batch_size"), [([50], 1), ([50], 4), ([3, 40, 1, 17], 2)])
def test_windows_of_convolutions_give_what_the_whole_gives(encoder, lengths, batch_size):
    net = network(encoder)
    windows = corpus(lengths, 7, net.reach)
    whole = corpus(lengths, 1000)
    expected, gradients = of_windows(net, whole)
    total, found = of_windows(net, windows, batch_size, shuffle=True)
    assert total == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(found, gradients, atol=1e-10)
    assert -net.log_likelihoods(whole.x, whole.targets).sum() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("encoder", CHAINS, ids=repr)
def test_windows_of_chains_lose_nothing_of_what_was_before(encoder):
    net = network(encoder)
    assert net.reach == 0
    windows = corpus([50], 7)
    expected = -net.log_likelihoods(windows.x, windows.targets).sum()
    assert of_windows(net, windows)[0] == pytest.approx(expected, rel=1e-12)
    # two sequences in one lane: the second begins from nothing
    windows = corpus([20, 16], 7)
    expected = -net.log_likelihoods(windows.x, windows.targets).sum()
    assert of_windows(net, windows)[0] == pytest.approx(expected, rel=1e-12)


def test_a_condition_stands_beside_the_frames_before_too():
    context = np.random.default_rng(1).standard_normal((2, 3))
    net = network(TCN(4, 2, 2), n_context=3)
    windows = corpus([30, 9], 5, net.reach, context)
    expected = -net.log_likelihoods(windows.x, windows.targets, context).sum()
    assert of_windows(net, windows, 2)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("encoder", [*CHAINS, TCN(4, 2, 2)], ids=repr)
def test_gradients_of_a_window_behind_a_past_are_central_differences(encoder):
    net = network(encoder)
    parameters: FlatParameters = net.flat_parameters()
    windows = corpus([12, 12], 6, net.reach)
    first, second = (windows.take(plan) for plan in windows.batches(2, None, shuffle=False))
    rng = np.random.default_rng(0)
    net.loss_and_gradients(first, rng)
    state = net._state

    def loss():
        net._state = state  # no gradient goes back into it
        return net.loss_and_gradients(second, rng)

    parameters.zero_gradients()
    loss()
    gradients = parameters.gradients.copy()
    for i in rng.choice(parameters.n_parameters, 60, replace=False):
        kept, losses = parameters.values[i], []
        for step in (1e-5, -1e-5):
            parameters.values[i] = kept + step
            losses.append(loss().loss)
        parameters.values[i] = kept
        assert gradients[i] == pytest.approx((losses[0] - losses[1]) / 2e-5, abs=1e-8)


@pytest.mark.parametrize("encoder", [*CONVOLUTIONS, *CHAINS], ids=repr)
def test_long_sequences_are_scored_piece_by_piece(encoder, monkeypatch):
    net = network(encoder)
    windows = corpus([90], 7)
    expected = net.log_likelihoods(windows.x, windows.targets)
    monkeypatch.setattr("pyseq.training.language.PREDICTED_FRAMES", 11)
    np.testing.assert_allclose(net.log_likelihoods(windows.x, windows.targets), expected, rtol=1e-12)


def test_windows_begin_from_nothing_without_carrying():
    net = network(TCN(4, 2, 3), carry=False)
    assert net.reach == 0
    windows = corpus([50], 7)
    whole, _ = of_windows(net, corpus([50], 1000))
    assert of_windows(net, windows)[0] != pytest.approx(whole, rel=1e-6)


def test_fit_shows_a_convolution_what_was_before():
    # What comes next stands 6 symbols before: beyond a window of 3 steps, inside a field of 7.
    rng = np.random.default_rng(0)
    text = ["".join(rng.choice(list("abcd"), 6)) * 6 for _ in range(20)]
    settings = {"embedding_dim": 8, "max_iter": 25, "learning_rate_init": 0.03, "tbptt_steps": 3}
    with_past, without = (
        SequenceGenerator(Memoryless(7, 16), random_state=0, carry_state=carry, batch_size=8, **settings)
        .fit(text)
        .loss_
        for carry in (True, False)
    )
    assert with_past < 0.4
    assert without > 1.2
