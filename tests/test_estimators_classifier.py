"""SequenceClassifier: what it learns, and that its answers depend on nothing they should not."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from helpers import assert_same_bits
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import threadpool_limits

from pyseq.estimators import SequenceClassifier
from pyseq.layers import GRU, LSTM, Chain, Conv1d, Dropout, Embedding
from pyseq.ragged import Ragged
from pyseq.training import Callback, TrainingDivergedError


def ramps(n=60, seed=0, n_features=2):
    """Rising or falling noisy ramps of random length, hard to tell by any single frame."""
    rng = np.random.default_rng(seed)
    y = np.array(["falling", "rising"])[np.arange(n) % 2]
    X = []
    for label in y:
        steps = np.linspace(-1, 1, rng.integers(4, 12)) * (1 if label == "rising" else -1)
        X.append(
            (steps[:, np.newaxis] + 0.3 * rng.standard_normal((len(steps), n_features))).astype(np.float32)
        )
    return X, y


def small(**options):
    return SequenceClassifier(
        **{"encoder": GRU(8), "max_iter": 15, "learning_rate_init": 0.02, "random_state": 0, **options}
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_learns_ramps(dtype, pooling):
    X, y = ramps()
    model = small(pooling=pooling, dtype=dtype).fit(X, y)
    X_new, y_new = ramps(seed=1)
    assert model.score(X_new, y_new) > 0.95
    probabilities = model.predict_proba(X_new)
    assert probabilities.shape == (60, 2)
    assert probabilities.dtype == dtype
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    assert (model.classes_[probabilities.argmax(axis=1)] == model.predict(X_new)).all()


def test_fitted_attributes():
    X, y = ramps()
    model = small(tol=0.0).fit(X, y)
    assert model.classes_.tolist() == ["falling", "rising"]
    assert model.n_features_in_ == 2
    assert model.n_iter_ == 15
    assert len(model.loss_curve_) == 15
    assert model.loss_ == model.loss_curve_[-1] < model.loss_curve_[0]
    assert model.validation_scores_ == []
    assert model.n_parameters_ == 3 * 8 * (2 + 8 + 2) + 8 * 2 + 2


def test_the_same_sequences_in_any_form_give_the_same_bits():
    rng = np.random.default_rng(0)
    array, y = rng.standard_normal((20, 5, 3)).astype(np.float32), np.arange(20) % 3
    forms = {
        "list": list(array),
        "float64": array.astype(np.float64),
        "object": Ragged.from_padded(array).to_object_array(),
        "Ragged": Ragged.from_padded(array),
        "nested": array.tolist(),
        "fortran": np.asfortranarray(array),
    }
    expected = small(max_iter=3).fit(array, y).predict_proba(array)
    for name, form in forms.items():
        assert_same_bits(small(max_iter=3).fit(form, y).predict_proba(form), expected, name)


@pytest.mark.parametrize("encoder", [GRU(8, bidirectional=True), Chain([Conv1d(8, 3), LSTM(5)])])
def test_prediction_does_not_depend_on_the_sequences_beside_it(encoder, monkeypatch):
    X, y = ramps()
    model = small(encoder=encoder, max_iter=2).fit(X, y)
    expected = model.predict_proba(X)
    order = np.random.default_rng(0).permutation(len(X))
    assert_same_bits(model.predict_proba([X[i] for i in order]), expected[order])
    for i in (0, 17):
        assert_same_bits(model.predict_proba(X[i : i + 1]), expected[i : i + 1])
    monkeypatch.setattr("pyseq.training.network.PREDICTED_FRAMES", 30)
    assert_same_bits(model.predict_proba(X), expected)


def test_random_state_fixes_every_bit():
    X, y = ramps()
    encoder = Chain([Dropout(0.3), GRU(8)])
    first, second = (small(encoder=encoder, early_stopping=True).fit(X, y) for _ in range(2))
    assert first.loss_curve_ == second.loss_curve_
    assert_same_bits(first.predict_proba(X), second.predict_proba(X))
    other = small(encoder=encoder, early_stopping=True, random_state=1).fit(X, y)
    assert other.loss_curve_ != first.loss_curve_


@pytest.mark.parametrize("n_threads", [2, 3])
def test_number_of_threads_changes_no_bit(n_threads):
    X, y = ramps(90)
    curves = []
    for limit in (1, n_threads):
        with threadpool_limits(limit):
            curves.append(small(encoder=GRU(20, bidirectional=True), max_iter=4).fit(X, y).loss_curve_)
    assert curves[0] == curves[1]


def test_order_of_the_training_set_changes_no_bit():
    X, y = ramps()
    order = np.random.default_rng(0).permutation(len(X))
    expected = small().fit(X, y).predict_proba(X)
    assert_same_bits(small().fit([X[i] for i in order], y[order]).predict_proba(X), expected)


def test_a_weight_is_a_number_of_copies():
    X, y = ramps()
    weights = np.random.default_rng(0).integers(0, 4, size=len(X))
    copies = np.repeat(np.arange(len(X)), weights)
    weighted = small().fit(X, y, sample_weight=weights)
    copied = small().fit([X[i] for i in copies], y[copies])
    assert_same_bits(weighted.predict_proba(X), copied.predict_proba(X))


def test_without_shuffling_batches_come_in_the_order_given():
    X, y = ramps()
    order = np.arange(len(X))[::-1]
    forwards = small(shuffle=False).fit(X, y)
    backwards = small(shuffle=False).fit([X[i] for i in order], y[order])
    assert forwards.loss_curve_ != backwards.loss_curve_


@pytest.mark.parametrize("class_weight", ["balanced", {"falling": 3.0, "rising": 0.5}])
def test_class_weight_is_a_sample_weight(class_weight):
    X, y = ramps()
    X, y = X[:31], np.r_[y[:20], np.repeat("falling", 11)]
    by_class = small(class_weight=class_weight).fit(X, y)
    by_sample = small().fit(X, y, sample_weight=compute_sample_weight(class_weight, y))
    assert_same_bits(by_class.predict_proba(X), by_sample.predict_proba(X))


def test_units_of_the_features_do_not_matter():
    X, y = ramps()
    scaled = [frames * np.float32([1e-4, 1e4]) + np.float32([7, -3e4]) for frames in X]
    assert small().fit(scaled, y).score(scaled, y) > 0.95
    raw = small(standardize=False).fit(X, y)
    assert raw.network_.standardisation is None


def test_tables_are_univariate_sequences():
    rng = np.random.default_rng(0)
    table = np.cumsum(
        rng.standard_normal((80, 10)) + np.where(np.arange(80) % 2, 1, -1)[:, np.newaxis], axis=1
    )
    y = np.arange(80) % 2
    model = small().fit(table, y)
    assert model.n_features_in_ == 10
    assert model.network_.encoder.n_features_in_ == 1
    assert model.score(table, y) > 0.95
    expected = model.predict_proba(table)
    assert_same_bits(model.predict_proba(list(table)), expected)
    assert_same_bits(model.predict_proba(table[:, :, np.newaxis]), expected)
    assert model.predict_proba([row[: 3 + i % 7] for i, row in enumerate(table)]).shape == (80, 2)
    with pytest.raises(ValueError, match="X has 9 features, but SequenceClassifier is expecting 10 features"):
        model.predict(table[:, 1:])


def test_a_model_of_univariate_sequences_takes_tables_of_any_width():
    X = [np.arange(n, dtype=float) for n in (3, 4, 5, 6)]
    model = small(max_iter=1).fit(X, [0, 1, 0, 1])
    assert model.n_features_in_ == 1
    assert model.predict(np.zeros((2, 9))).shape == (2,)


def test_data_frames_name_their_columns():
    frame = pd.DataFrame(np.random.default_rng(0).standard_normal((12, 4)), columns=list("abcd"))
    model = small(max_iter=1).fit(frame, np.arange(12) % 2)
    assert model.feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"a": "z"}))
    model.fit(frame.to_numpy()[:, :, np.newaxis], np.arange(12) % 2)
    assert not hasattr(model, "feature_names_in_")


def test_tokens_with_an_embedding():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, size=80)
    X = [rng.integers(0, 5, size=rng.integers(3, 9)) for _ in y]
    X = [np.r_[tokens, 5 + label, tokens] for tokens, label in zip(X, y, strict=True)]
    model = small(encoder=Chain([Embedding(7, 4), GRU(8)]), pooling="max").fit(X, y)
    assert model.score(X, y) > 0.95
    with pytest.raises(TypeError, match=r"X\[0\] has dtype float64, expected integer tokens"):
        model.predict([np.zeros(3)])


def test_partial_fit_goes_on_where_the_call_before_stopped():
    X, y = ramps()
    model = small(encoder=Chain([GRU(8), Dropout(0.2)]))
    for _ in range(15):
        model.partial_fit(X, y, classes=["falling", "rising"])
    assert model.n_iter_ == 15
    assert len(set(model.loss_curve_)) == 15
    assert model.score(X, y) > 0.95
    again = small(encoder=Chain([GRU(8), Dropout(0.2)]))
    for _ in range(7):
        again.partial_fit(X, y, classes=["falling", "rising"])
    again = pickle.loads(pickle.dumps(again))
    for _ in range(8):
        again.partial_fit(X, y)
    assert again.loss_curve_ == model.loss_curve_


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_calls_of_partial_fit_are_the_epochs_of_fit(solver):
    X, y = ramps()
    options = {"shuffle": False, "solver": solver, "learning_rate": "cosine", "max_iter": 5, "tol": 0.0}
    whole, by_epoch = small(**options).fit(X, y), small(**options)
    for _ in range(5):
        by_epoch.partial_fit(X, y, classes=whole.classes_)
    assert by_epoch.loss_curve_ == whole.loss_curve_
    assert_same_bits(by_epoch.predict_proba(X), whole.predict_proba(X))


def test_calls_of_partial_fit_draw_new_random_numbers():
    X, y = ramps()
    model = small(encoder=Chain([GRU(8), Dropout(0.5)]), learning_rate_init=1e-30)
    for _ in range(4):
        model.partial_fit(X, y, classes=["falling", "rising"])
    assert len(set(model.loss_curve_)) == 4


def test_partial_fit_sees_classes_to_come():
    X, y = ramps()
    falling = [i for i, label in enumerate(y) if label == "falling"]
    model = small().partial_fit([X[i] for i in falling], y[falling], classes=["rising", "falling", "flat"])
    assert model.classes_.tolist() == ["falling", "flat", "rising"]
    assert model.partial_fit(X, y).predict_proba(X).shape == (60, 3)


def test_warm_start_goes_on_from_the_weights():
    X, y = ramps()
    model = small(warm_start=True, max_iter=3, tol=0.0).fit(X, y)
    before = list(model.loss_curve_)
    model.fit(X, y)
    assert model.loss_curve_[:3] == before
    assert model.n_iter_ == 6
    assert model.loss_curve_[3] < before[0]
    cold = small(max_iter=3, tol=0.0).fit(X, y).fit(X, y)
    assert cold.n_iter_ == 3
    with pytest.raises(ValueError, match=r"encoder is GRU\(hidden_size=9\), expected GRU\(hidden_size=8\)"):
        model.set_params(encoder__hidden_size=9).fit(X, y)
    assert model.n_iter_ == 6


def test_early_stopping_holds_out_a_part_and_keeps_the_best():
    X, y = ramps(100)
    model = small(early_stopping=True, max_iter=60, n_iter_no_change=4).fit(X, y)
    assert len(model.validation_scores_) == model.n_iter_ < 60
    assert max(model.validation_scores_) == 1.0


def test_a_validation_set_is_scored_after_each_epoch():
    (X, y), (X_val, y_val) = ramps(), ramps(seed=1)
    scores = []

    class Check(Callback):
        def on_epoch_end(self, info):
            scores.append(info.validation_score)

    model = small(max_iter=6, tol=0.0, callbacks=[Check()]).fit(X, y, X_val=X_val, y_val=y_val)
    assert model.validation_scores_ == scores
    assert scores[-1] == model.score(X_val, y_val)
    assert model.n_iter_ == 6
    stopped = small(max_iter=60, early_stopping=True, n_iter_no_change=2).fit(X, y, X_val=X_val, y_val=y_val)
    assert max(stopped.validation_scores_) == stopped.score(X_val, y_val)


def test_divergence_leaves_an_estimator_fitted_with_good_weights():
    X, y = ramps()

    def poison(info):
        if info.epoch == 3:
            info.network.head.parameters_["weight"][...] = np.nan

    model = small(callbacks=[poison])
    with pytest.raises(
        TrainingDivergedError, match="training diverged in epoch 4: the loss became NaN"
    ) as caught:
        model.fit(X, y)
    assert caught.value.weights_kept
    assert model.n_iter_ == 3
    assert np.isfinite(model.predict_proba(X)).all()


def test_a_huge_learning_rate_ends_in_a_clear_error_and_a_usable_estimator():
    X, y = ramps()
    model = small(encoder=Conv1d(8, 3), pooling="mean", learning_rate_init=1e30, max_grad_norm=None)
    with pytest.raises(TrainingDivergedError, match=r"Try a smaller learning_rate_init \(it is 1e\+30\)"):
        model.fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()


def test_an_interrupt_leaves_an_estimator_fitted():
    X, y = ramps()

    def interrupt(info):
        raise KeyboardInterrupt

    model = small(callbacks=[interrupt])
    with pytest.warns(UserWarning, match="interrupted after 1 epochs"):
        model.fit(X, y)
    assert model.n_iter_ == 1
    assert model.predict(X).shape == (60,)


def test_progress_goes_to_stderr(capsys):
    X, y = ramps()
    small(verbose=1, max_iter=2).fit(X, y)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "SequenceClassifier" in shown.err
    assert "sequences/s" in shown.err


def test_copies_are_independent_and_pickles_are_complete():
    X, y = ramps()
    model = small().fit(X, y)
    expected = model.predict_proba(X)
    restored, copied = pickle.loads(pickle.dumps(model)), copy.deepcopy(model)
    model.network_.head.parameters_["weight"][...] = 0
    for other in (restored, copied):
        assert_same_bits(other.predict_proba(X), expected)
    assert len(pickle.dumps(restored)) < 4 * restored.n_parameters_ + 5_000
    assert not hasattr(clone(model), "network_")


def test_settings_are_not_changed_by_fit():
    X, y = ramps()
    encoder = GRU(8)
    small(encoder=encoder).fit(X, y)
    assert not hasattr(encoder, "parameters_")


def test_column_vectors_of_labels_warn():
    X, y = ramps()
    with pytest.warns(DataConversionWarning):
        small(max_iter=1).fit(X, y[:, np.newaxis])


def test_one_class_is_always_predicted():
    X, _ = ramps()
    model = small(max_iter=2).fit(X, np.full(len(X), 7))
    assert (model.predict(X) == 7).all()
    assert (model.predict_proba(X) == 1).all()


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_predict_before_fit(method):
    with pytest.raises(NotFittedError, match="SequenceClassifier instance is not fitted yet"):
        getattr(SequenceClassifier(), method)([np.zeros((3, 2))])
