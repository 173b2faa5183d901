"""The fit loop: when it stops, what it keeps, whom it tells."""

import io
import math
import warnings

import numpy as np
import pytest
from helpers import assert_same_bits

from pyseq.layers import Dense, FlatParameters
from pyseq.ragged import Ragged
from pyseq.training import (
    Callback,
    Examples,
    FitSettings,
    LossValue,
    ProgressBar,
    StopTraining,
    TrainingDivergedError,
    fit_network,
    make_optimizer,
    resolve_schedule,
)

N = 20


class Bowl:
    """A network of one weight matrix whose loss is half its squared norm, or what `losses` says instead."""

    def __init__(self, losses=None):
        self.parameters = FlatParameters(Dense(2).build(3, dtype="float64", random_state=0))
        self.losses = losses or {}
        self.batches = []

    def loss_and_gradients(self, batch, rng):
        loss = self.losses.get(
            len(self.batches), 0.5 * float(self.parameters.values @ self.parameters.values)
        )
        self.batches.append(batch.targets.tolist())
        self.parameters.gradients += self.parameters.values
        return LossValue(loss, None, len(batch))


def examples():
    return Examples(Ragged(np.zeros((N, 1)), np.ones(N, dtype=int)), np.arange(N))


def fit(network=None, validate=None, callbacks=(), solver="sgd", seed=0, **settings):
    network = network or Bowl()
    settings = FitSettings(
        **{"batch_size": 10, "max_iter": 5, "learning_rate_init": 0.1, "tol": 0.0, **settings}
    )
    optimizer = make_optimizer(
        (solver, {"momentum": 0.0, "nesterov": False}), network.parameters, weight_decay=0.0
    )
    rng = np.random.default_rng(seed)
    history = fit_network(
        network, examples(), settings, rng, optimizer=optimizer, validate=validate, callbacks=callbacks
    )
    return network, history


def test_each_epoch_visits_every_sequence_once():
    network, history = fit()
    assert history.n_iter == 5
    assert history.stopped_by == "max_iter"
    for epoch in range(5):
        assert sorted(network.batches[2 * epoch] + network.batches[2 * epoch + 1]) == list(range(N))


def test_loss_curve_is_the_mean_over_the_sequences_of_each_epoch():
    _, history = fit(Bowl({0: 3.0, 1: 1.0, 2: 5.0, 3: 1.0}), batch_size=15, max_iter=2)
    assert history.loss_curve[0] in (pytest.approx((3 * 15 + 5) / 20), pytest.approx((3 * 5 + 15) / 20))


def test_updates_follow_the_gradient_scaled_to_the_bound():
    network = Bowl()
    start = network.parameters.values.copy()
    fit(network, max_iter=1, batch_size=N, max_grad_norm=1e-3)
    step = start - network.parameters.values
    assert np.linalg.norm(step) == pytest.approx(0.1 * 1e-3)


def test_schedule_counts_updates_over_all_planned_epochs():
    seen = []

    def schedule(i, n_steps):
        seen.append((i, n_steps))
        return 1.0

    fit(schedule=schedule, max_iter=3)
    assert seen == [(i, 6) for i in range(6)]


def test_learning_rate_is_told_to_callbacks():
    rates = []
    fit(schedule=resolve_schedule(("cosine", {})), callbacks=[lambda info: rates.append(info.learning_rate)])
    assert rates[-1] == 0
    assert (np.diff(rates) < 0).all()


def test_stops_when_the_loss_no_longer_improves_by_tol():
    _, history = fit(max_iter=1000, tol=1e-4, n_iter_no_change=3)
    assert history.stopped_by == "no_change"
    curve = history.loss_curve
    assert all(later > min(curve[: -5 + i + 1]) - 1e-4 for i, later in enumerate(curve[-4:]))
    _, endless = fit(max_iter=300, tol=1e-4, n_iter_no_change=math.inf)
    assert endless.n_iter == 300


def scripted(scores):
    remaining = iter(scores)
    return lambda: next(remaining)


def test_early_stopping_restores_the_best_weights():
    network, weights = Bowl(), []
    scores = [0.1, 0.5, 0.9, 0.8, 0.7, 0.9, 0.2]
    _, history = fit(
        network,
        validate=scripted(scores),
        callbacks=[lambda info: weights.append(network.parameters.values.copy())],
        max_iter=50,
        early_stopping=True,
        n_iter_no_change=3,
    )
    assert history.validation_scores == scores[: history.n_iter]
    assert history.best_epoch == 3
    assert history.stopped_by == "no_change"
    assert_same_bits(network.parameters.values, weights[2])


def test_early_stopping_restores_the_best_weights_also_at_max_iter():
    network, weights = Bowl(), []
    fit(
        network,
        validate=scripted([0.9, 0.1, 0.1]),
        callbacks=[lambda info: weights.append(network.parameters.values.copy())],
        max_iter=3,
        early_stopping=True,
    )
    assert_same_bits(network.parameters.values, weights[0])


def test_scores_without_early_stopping_are_only_recorded():
    network, weights = Bowl(), []
    _, history = fit(
        network,
        validate=scripted([0.9, 0.1, 0.2]),
        callbacks=[lambda info: weights.append(network.parameters.values.copy())],
        max_iter=3,
    )
    assert history.validation_scores == [0.9, 0.1, 0.2]
    assert_same_bits(network.parameters.values, weights[-1])


def test_early_stopping_needs_a_validation_part():
    with pytest.raises(ValueError, match="early_stopping needs a validation part"):
        fit(early_stopping=True)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_divergence_says_when_and_what_to_try_and_goes_back_to_good_weights(bad):
    network, weights = Bowl({7: bad}), []
    with pytest.raises(TrainingDivergedError) as caught:
        fit(network, callbacks=[lambda info: weights.append(network.parameters.values.copy())])
    for part in (
        "epoch 4",
        "the loss became NaN or infinite",
        "learning_rate_init (it is 0.1)",
        "max_grad_norm",
    ):
        assert part in str(caught.value)
    error = caught.value
    assert (error.epoch, error.weights_kept, error.history.n_iter) == (4, True, 3)
    assert error.history.stopped_by == "divergence"
    assert_same_bits(network.parameters.values, weights[2])


def test_divergence_in_the_first_batch_of_an_epoch_goes_back_by_one_epoch_more():
    # the weights at the end of epoch 2 are those that gave the NaN
    network, weights = Bowl({4: math.nan}), []
    with pytest.raises(TrainingDivergedError, match="epoch 3"):
        fit(network, callbacks=[lambda info: weights.append(network.parameters.values.copy())])
    assert_same_bits(network.parameters.values, weights[0])


def test_divergence_in_the_very_first_batch_keeps_nothing():
    with pytest.raises(TrainingDivergedError, match="no weights are kept") as caught:
        fit(Bowl({0: math.nan}))
    assert not caught.value.weights_kept


def test_gradients_that_are_not_finite_are_a_divergence_too():
    network = Bowl()

    def poison(info):
        network.parameters.values[0] = 1e200

    network.losses = {2: 1.0}
    with pytest.raises(TrainingDivergedError, match="epoch 2: the gradient became NaN or infinite"):
        fit(network, callbacks=[poison])
    assert np.isfinite(network.parameters.values).all()


def test_divergence_with_early_stopping_keeps_the_best_weights():
    network, weights = Bowl({9: math.nan}), []
    with pytest.raises(TrainingDivergedError):
        fit(
            network,
            validate=scripted([0.1, 0.9, 0.5, 0.5]),
            callbacks=[lambda info: weights.append(network.parameters.values.copy())],
            early_stopping=True,
        )
    assert_same_bits(network.parameters.values, weights[1])


class Recorder(Callback):
    def __init__(self):
        self.seen = []

    def on_fit_begin(self, info):
        self.seen.append(("begin", info.max_iter, info.n_sequences, info.n_batches))

    def on_epoch_end(self, info):
        self.seen.append(("epoch", info.epoch))

    def on_fit_end(self, history):
        self.seen.append(("end", history.stopped_by))


def test_callbacks_are_told_of_begin_epochs_and_end():
    recorder = Recorder()
    fit(callbacks=[recorder], max_iter=2)
    assert recorder.seen == [("begin", 2, N, 2), ("epoch", 1), ("epoch", 2), ("end", "max_iter")]


def test_callbacks_are_told_of_the_end_also_after_an_error():
    recorder = Recorder()
    with pytest.raises(TrainingDivergedError):
        fit(Bowl({3: math.nan}), callbacks=[recorder])
    assert recorder.seen[-1] == ("end", "divergence")


def raise_stop(info):
    if info.epoch == 2:
        raise StopTraining


@pytest.mark.parametrize("callback", [raise_stop, lambda info: info.epoch == 2])
def test_a_callback_can_stop_the_fit_and_the_others_still_hear_of_the_epoch(callback):
    recorder = Recorder()
    _, history = fit(callbacks=[callback, recorder])
    assert (history.n_iter, history.stopped_by) == (2, "callback")
    assert ("epoch", 2) in recorder.seen


def test_an_interrupt_keeps_the_weights_so_far():
    def interrupt(info):
        if info.epoch == 3:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="training was interrupted after 3 epochs"):
        _, history = fit(callbacks=[interrupt])
    assert (history.n_iter, history.stopped_by) == (3, "interrupt")


def test_the_progress_bar_shows_loss_score_and_speed():
    stream = io.StringIO()
    bar = ProgressBar("SequenceClassifier", file=stream, mininterval=0)
    fit(callbacks=[bar], validate=scripted([0.25, 0.5]), max_iter=2)
    shown = stream.getvalue()
    for part in ("SequenceClassifier", "2/2", "loss=", "validation=0.5000", "sequences/s="):
        assert part in shown


def test_callbacks_that_are_none_are_refused():
    with pytest.raises(TypeError, match=r"callbacks\[1\] is 3, expected a Callback or a function"):
        fit(callbacks=[Recorder(), 3])
    with pytest.raises(TypeError, match=r"callbacks\[0\] is the class Recorder, expected an instance"):
        fit(callbacks=[Recorder])


def test_no_warnings_in_a_quiet_fit():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit()
