"""CTCTranscriber: labels without positions, of any hashable type."""

import pickle
import warnings

import numpy as np
import pytest
from helpers import assert_same_bits
from reference.ctc import ctc_brute_force
from sklearn.exceptions import NotFittedError

from pyseq.estimators import CTCTranscriber
from pyseq.layers import LSTM
from pyseq.metrics import character_error_rate

SHAPES = {"a": [0, 1, 1], "b": [0, -1, -1, 0], "c": [0, 2]}


def beeps(n=120, seed=0, symbols=None):
    """Signals of one feature in which each label has a shape; and the labels, strings without `symbols`."""
    rng = np.random.default_rng(seed)
    texts = ["".join(rng.choice(list("abc"), size=rng.integers(1, 5))) for _ in range(n)]
    X = [np.concatenate([SHAPES[label] for label in text]) + 0.1 * rng.standard_normal() for text in texts]
    return X, texts if symbols is None else [[symbols[label] for label in text] for text in texts]


def small(**options):
    return CTCTranscriber(
        **{
            "encoder": LSTM(16, bidirectional=True),
            "max_iter": 25,
            "learning_rate_init": 0.03,
            "random_state": 0,
        }
        | options
    )


@pytest.fixture(scope="module")
def fitted():
    return small().fit(*beeps())


def test_learns_to_transcribe(fitted):
    X, y = beeps(seed=1)
    predicted = fitted.predict(X)
    assert predicted.dtype == object
    assert predicted.shape == (120,)
    assert all(type(text) is str for text in predicted)
    assert fitted.score(X, y) > 0.98
    assert fitted.score(X, y) == 1 - character_error_rate(y, predicted)


def test_fitted_attributes(fitted):
    assert fitted.classes_.tolist() == ["a", "b", "c"]
    assert fitted.n_features_in_ == 1
    assert fitted.network_.head.units == 4
    assert len(fitted.loss_curve_) == fitted.n_iter_
    assert fitted.loss_ == fitted.loss_curve_[-1] < fitted.loss_curve_[0]
    assert fitted.n_parameters_ == 2 * 4 * 16 * (1 + 16 + 2) + 32 * 4 + 4


@pytest.mark.parametrize(
    ("symbols", "classes"),
    [
        ({"a": 30, "b": -1, "c": -2}, [-2, -1, 30]),
        ({"a": "ah", "b": "ee", "c": "oh"}, ["ah", "ee", "oh"]),
        ({"a": ("x", 1), "b": ("x", 0), "c": ("w", 9)}, [("w", 9), ("x", 0), ("x", 1)]),
        ({"a": 1.5, "b": 0.5, "c": -0.5}, [-0.5, 0.5, 1.5]),
    ],
)
def test_labels_may_be_any_hashable(symbols, classes):
    X, y = beeps(symbols=symbols)
    model = small().fit(X, y)
    assert model.classes_.tolist() == classes
    predicted = model.predict(X)
    assert all(type(labels) is list for labels in predicted)
    assert character_error_rate(y, predicted) < 0.02
    as_arrays = small().fit(X, [tuple(labels) for labels in y])
    assert as_arrays.predict(X).tolist() == predicted.tolist()


def test_labels_without_an_order_come_as_they_appear():
    X, y = beeps(symbols={"a": None, "b": "b", "c": 3})
    model = small().fit(X, y)
    appearance = list(dict.fromkeys(label for labels in y for label in labels))
    assert model.classes_.tolist() == appearance
    assert model.score(X, y) > 0.95


def test_labels_come_back_with_their_type():
    X, y = beeps(symbols={"a": 1, "b": 2, "c": 3})
    model = small(max_iter=12).fit(X, [np.array(labels) for labels in y])
    assert model.classes_.dtype == np.int64
    assert {type(label) for labels in model.predict(X) for label in labels} == {int}


def test_posteriors_of_each_frame(fitted):
    X, _ = beeps(10, seed=2)
    posteriors = fitted.predict_proba(X)
    assert posteriors.shape == (10,)
    assert posteriors.dtype == object
    for x, frames in zip(X, posteriors, strict=True):
        assert frames.shape == (len(x), 4)
        np.testing.assert_allclose(frames.sum(axis=1), 1, rtol=1e-6)
    array = np.zeros((3, 5, 1))
    assert fitted.predict_proba(array).shape == (3, 5, 4)
    assert_same_bits(fitted.predict_proba(array)[1], fitted.predict_proba(list(array))[1])


def test_predictions_are_the_collapsed_best_path(fitted):
    X, _ = beeps(20, seed=2)
    for text, frames in zip(fitted.predict(X), fitted.predict_proba(X), strict=True):
        best = frames.argmax(axis=1)
        assert text == "".join("_abc"[k] for i, k in enumerate(best) if k and (i == 0 or best[i - 1] != k))


def test_prediction_does_not_depend_on_the_sequences_beside_it(fitted, monkeypatch):
    X, _ = beeps(40, seed=2)
    expected = fitted.predict_proba(X)
    backwards = fitted.predict_proba(X[::-1])[::-1]
    monkeypatch.setattr("pyseq.training.network.PREDICTED_FRAMES", 17)
    bounded = fitted.predict_proba(X)
    for i in range(40):
        assert_same_bits(backwards[i], expected[i])
        assert_same_bits(bounded[i], expected[i])
        assert_same_bits(fitted.predict_proba([X[i]])[0], expected[i])


def test_a_weight_is_a_number_of_copies_and_order_does_not_matter():
    X, y = beeps(30)
    weights = np.random.default_rng(0).integers(0, 3, size=30)
    copies = np.random.default_rng(1).permutation(np.repeat(np.arange(30), weights))
    weighted = small(max_iter=4).fit(X, y, sample_weight=weights)
    copied = small(max_iter=4).fit([X[i] for i in copies], [y[i] for i in copies])
    assert weighted.loss_curve_ == copied.loss_curve_


def test_pickles_transcribe_alike(fitted):
    X, _ = beeps(20, seed=2)
    restored = pickle.loads(pickle.dumps(fitted))
    assert restored.predict(X).tolist() == fitted.predict(X).tolist()


def test_empty_transcriptions_are_transcriptions():
    X, y = beeps(100)
    X, y = [*X, *([np.full(6, 5.0)] * 3)], [*y, "", "", ""]
    model = small().fit(X, y)
    assert model.predict([np.full(6, 5.0)])[0] == ""


def test_weighted_score(fitted):
    X, y = beeps(3)
    wrong = [y[0], y[1], "cccccccc"]
    assert fitted.score(X, wrong, sample_weight=[1, 1, 0]) == fitted.score(X[:2], y[:2])
    assert fitted.score(X, wrong, sample_weight=[1, 1, 1]) == fitted.score(X, wrong)


def test_unknown_labels_count_as_errors_in_score(fitted):
    X, y = beeps(5)
    assert fitted.score(X, ["z" * len(text) for text in y]) <= 0


def test_targets_too_long_for_their_sequences_are_left_out_with_one_warning():
    X, y = beeps(40)
    y[7], y[9] = "abcabcabcabcabcabc", "a" * len(X[9])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = small(max_iter=3).fit(X, y)
    (warning,) = caught
    assert str(warning.message) == (
        "2 of 40 sequences have fewer frames than their targets need, first X[7]: "
        f"it has {len(X[7])} frames, y[7] needs 18. They are left out."
    )
    assert warning.filename == __file__
    kept = [i for i in range(40) if i not in (7, 9)]
    without = small(max_iter=3).fit([X[i] for i in kept], [y[i] for i in kept])
    assert model.loss_curve_ == without.loss_curve_


def test_nothing_to_learn_from_is_an_error():
    with pytest.raises(ValueError, match="2 of 2 sequences have fewer frames than their targets need"):
        small().fit([np.zeros(2), np.zeros(3)], ["abc", "aaa"])
    with pytest.raises(ValueError, match="y holds no labels"):
        small().fit([np.zeros(2)], [""])


def test_early_stopping_scores_the_error_rate():
    (X, y), (X_val, y_val) = beeps(), beeps(seed=1)
    model = small(early_stopping=True, n_iter_no_change=3, max_iter=60).fit(X, y, X_val=X_val, y_val=y_val)
    assert max(model.validation_scores_) == pytest.approx(model.score(X_val, y_val))
    inside = small(early_stopping=True, max_iter=3).fit(X, y)
    assert len(inside.validation_scores_) == 3


def test_partial_fit_knows_labels_to_come():
    X, y = beeps()
    model = small()
    only_a = [i for i, text in enumerate(y) if set(text) == {"a"}]
    model.partial_fit([X[i] for i in only_a], [y[i] for i in only_a], classes="cab")
    assert model.classes_.tolist() == ["a", "b", "c"]
    for _ in range(25):
        model.partial_fit(X, y)
    assert model.score(X, y) > 0.95
    with pytest.raises(ValueError, match=r"y\[1\] has the label 'd' at position 2"):
        model.partial_fit(X[:2], ["a", "abd"])


def test_warm_start():
    X, y = beeps()
    model = small(warm_start=True, max_iter=5, tol=0.0).fit(X, y).fit(X, y)
    assert model.n_iter_ == 10
    assert model.loss_curve_[5] < model.loss_curve_[0]


def test_single_labels_are_transcriptions_of_one_label():
    rng = np.random.default_rng(0)
    y = rng.integers(3, 6, size=60)
    X = [np.r_[np.zeros(rng.integers(1, 4)), label, label, 0] for label in y]
    model = small().fit(X, y)
    assert model.classes_.tolist() == [3, 4, 5]
    predicted = model.predict(X)
    assert predicted.dtype == y.dtype
    assert (predicted == y).mean() > 0.95
    assert model.score(X, y) == pytest.approx((predicted == y).mean())


def test_single_label_predicted_is_the_most_probable_transcription_of_one_label():
    rng = np.random.default_rng(0)
    X = [rng.standard_normal((rng.integers(1, 6), 2)) for _ in range(60)]
    model = small(max_iter=2).fit(X, np.arange(60) % 3)
    best_frame = []
    for label, posteriors in zip(model.predict(X), model.predict_proba(X), strict=True):
        losses = [ctc_brute_force(np.log(posteriors.astype(float)), [k]) for k in (1, 2, 3)]
        assert label == np.argmin(losses)
        best_frame.append(posteriors[:, 1:].max(axis=0).argmax() == label)
    assert not all(best_frame), "the data do not tell the sum over alignments from the best frame"


def test_predict_before_fit():
    for method in ("predict", "predict_proba"):
        with pytest.raises(NotFittedError, match="CTCTranscriber instance is not fitted yet"):
            getattr(CTCTranscriber(), method)([np.zeros((3, 2))])


def test_alignments_are_those_of_the_network(fitted):
    X, y = beeps(6, seed=3)
    alignments = fitted.align(X, y)
    assert len(alignments) == 6
    for x, text, posterior, found in zip(X, y, fitted.predict_proba(X), alignments, strict=True):
        assert len(found.classes) == len(x)
        assert (np.diff(found.spans.ravel()) >= 0).all()
        for label, (start, end), confidence in zip(text, found.spans, found.confidences, strict=True):
            column = 1 + fitted.classes_.tolist().index(label)
            assert (found.classes[start:end] == column).all()
            assert confidence == pytest.approx(posterior[start:end, column].mean(), rel=1e-4)
    (alone,) = fitted.align(X[4:5], y[4:5])
    assert_same_bits(alone.spans, alignments[4].spans)


def test_labels_lie_on_their_shapes(fitted):
    X, y = beeps(30, seed=4)
    for text, found in zip(y, fitted.align(X, y), strict=True):
        ends = np.cumsum([len(SHAPES[label]) for label in text])
        middles = found.spans.mean(axis=1)
        assert (np.abs(middles - (ends - 1.5)) <= 4).all()


def test_what_cannot_be_aligned(fitted):
    too_short, unknown = fitted.align([np.zeros(2)], ["aaa"]), [["q"]]
    assert too_short[0].score == -np.inf
    assert (too_short[0].spans == -1).all()
    with pytest.raises(ValueError, match="q"):
        fitted.align([np.zeros(2)], unknown)
    with pytest.raises(ValueError, match="y has 1 targets, expected 2"):
        fitted.align([np.zeros(2), np.zeros(3)], ["a"])
    with pytest.raises(NotFittedError):
        small().align([np.zeros(2)], ["a"])


@pytest.mark.parametrize(
    "options", [{"label_smoothing": 0.1}, {"focal_gamma": 1.0}, {"prior_scale": 0.3, "prior_decay": 0.9}]
)
def test_options_of_the_loss_still_learn(options):
    X, y = beeps()
    model = small(loss=("ctc", options)).fit(X[:80], y[:80])
    assert model.score(X[80:], y[80:]) > 0.9
    again = small(loss=("ctc", options)).fit(X[:80], y[:80])
    assert_same_bits(np.array(again.loss_curve_), np.array(model.loss_curve_))
    assert model.loss_ != small().fit(X[:80], y[:80]).loss_
    assert pickle.loads(pickle.dumps(model)).predict(X[80:]).tolist() == model.predict(X[80:]).tolist()


def test_label_priors_make_labels_last():
    X, y = beeps()

    def frames_with_a_label(model):
        return sum((found.classes > 0).sum() for found in model.align(X[80:], y[80:]))

    plain = small().fit(X[:80], y[:80])
    less_peaky = small(loss=("ctc", {"prior_scale": 0.5})).fit(X[:80], y[:80])
    assert frames_with_a_label(less_peaky) > frames_with_a_label(plain)


def test_class_weights_are_sample_weights_of_the_mean_over_labels():
    X, y = beeps(40)
    weights = {"a": 3.0, "b": 0.5}
    weighted = small(class_weight=weights, max_iter=3).fit(X, y)
    by_sample = np.array([np.mean([weights.get(label, 1.0) for label in text]) for text in y])
    same = small(max_iter=3).fit(X, y, sample_weight=by_sample)
    assert_same_bits(np.array(weighted.loss_curve_), np.array(same.loss_curve_))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"loss": ("ctc", {"label_smooth": 0.1})},
            "loss 'ctc' has no option 'label_smooth', expected some of",
        ),
        ({"loss": ("ctc", {"label_smoothing": 2})}, "label_smoothing is 2, expected a number from 0"),
        ({"loss": ("mse", {})}, "loss is 'mse', expected one of .*ctc"),
        ({"loss": "mse"}, "'loss' parameter of CTCTranscriber must be"),
        ({"class_weight": {"q": 2.0}}, "class_weight has label 'q', expected labels of y"),
    ],
)
def test_bad_losses_and_class_weights_are_named(parameters, message):
    X, y = beeps(10)
    with pytest.raises(ValueError, match=message):
        small(**parameters).fit(X, y)
