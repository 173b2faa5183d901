"""SequenceTagger: a label, or several, for each frame."""

import pickle

import numpy as np
import pytest
from helpers import assert_same_bits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score

from pyseq import GRU, TCN, Chain, Embedding, SequenceTagger
from pyseq.ragged import Ragged


def walks(n=60, seed=0):
    """Random walks, and for each frame whether it went up."""
    rng = np.random.default_rng(seed)
    X = [rng.standard_normal(rng.integers(3, 20)).cumsum() for _ in range(n)]
    return X, [(np.diff(x, prepend=0) > 0).astype(int) for x in X]


def small(**options):
    return SequenceTagger(
        **{"encoder": GRU(10), "max_iter": 25, "batch_size": 4, "learning_rate_init": 0.03, "random_state": 0}
        | options
    )


@pytest.fixture(scope="module")
def fitted():
    return small().fit(*walks())


def test_learns_a_label_a_frame(fitted):
    X, y = walks(seed=1)
    predicted = fitted.predict(X)
    assert predicted.dtype == object
    assert [len(labels) for labels in predicted] == [len(x) for x in X]
    right = np.concatenate(predicted) == np.concatenate(y)
    assert fitted.score(X, y) == pytest.approx(right.mean())
    assert fitted.score(X, y) > 0.9
    assert fitted.classes_.tolist() == [0, 1]
    assert fitted.loss_ < 0.2


def test_scores_weigh_the_frames_of_a_sequence(fitted):
    X, y = walks(5, seed=1)
    y[0] = 1 - y[0]
    weights = np.array([3.0, 1.0, 0.0, 2.0, 1.0])
    right = [(a == b).sum() for a, b in zip(fitted.predict(X), y, strict=True)]
    expected = (weights @ right) / (weights @ [len(x) for x in X])
    assert fitted.score(X, y, sample_weight=weights) == pytest.approx(expected)


def test_log_likelihood_is_the_mean_over_frames():
    X, y = walks(20)
    model = small(scoring="log_likelihood", max_iter=3).fit(X, y)
    probabilities = np.concatenate(model.predict_proba(X))
    chosen = probabilities[np.arange(len(probabilities)), np.concatenate(y)]
    assert model.score(X, y) == pytest.approx(np.log(chosen.astype(float)).mean(), rel=1e-5)


def test_the_training_loss_is_that_of_a_frame():
    # One batch of frames: the loss before the first update is that of the untrained network.
    X, y = walks(7)
    settings = {"scoring": "log_likelihood", "batch_size": 7, "learning_rate_init": 1e-12, "max_iter": 1}
    model = small(**settings).fit(X, y)
    assert model.loss_ == pytest.approx(-model.score(X, y), rel=1e-5)


@pytest.mark.parametrize(
    ("symbols", "classes"),
    [
        (["down", "up"], ["down", "up"]),
        ([("x", 2), ("x", 1)], [("x", 1), ("x", 2)]),
        ([0.5, -1.5], [-1.5, 0.5]),
    ],
    ids=str,
)
def test_labels_may_be_any_hashable(symbols, classes):
    X, y = walks(20)
    named = [[symbols[k] for k in labels] for labels in y]
    model = small(max_iter=15).fit(X, named)
    assert model.classes_.tolist() == classes
    assert set(model.predict(X)[0].tolist()) <= set(classes)
    assert model.score(X, named) > 0.9


def test_strings_have_a_label_a_character():
    X, y = walks(20)
    texts = ["".join("ab"[k] for k in labels) for labels in y]
    model = small(max_iter=15).fit(X, texts)
    predicted = model.predict(X)
    assert all(type(text) is str for text in predicted)
    assert model.score(X, texts) == model.score(X, [list(text) for text in texts]) > 0.9


def test_arrays_come_back_as_arrays():
    X = np.random.default_rng(0).standard_normal((12, 6))
    y = (X > 0).astype(int)
    model = small(max_iter=20).fit(X, y)
    assert model.predict(X).shape == (12, 6)
    assert model.predict_proba(X).shape == (12, 6, 2)
    assert model.score(X, y) == pytest.approx((model.predict(X) == y).mean())


def test_a_number_for_each_sequence_is_the_label_of_all_its_frames():
    rng = np.random.default_rng(0)
    y = np.arange(30) % 3
    X = [rng.standard_normal(rng.integers(3, 8)) + 3 * k for k in y]
    model = small().fit(X, y)
    predicted = model.predict(X)
    assert predicted.shape == (30,)
    sums = [np.log(p.astype(float)).sum(axis=0).argmax() for p in model.predict_proba(X)]
    assert predicted.tolist() == sums
    assert model.score(X, y) == (predicted == y).mean() > 0.9


def test_several_labels_a_frame():
    rng = np.random.default_rng(0)
    X = [rng.standard_normal((rng.integers(3, 12), 2)) for _ in range(60)]
    y = [np.stack([x[:, 0] > 0, x[:, 1] > 0, x.sum(axis=1) > 0], axis=1).astype(int) for x in X]
    model = small(max_iter=40).fit(X, y)
    assert model.classes_.tolist() == [0, 1, 2]
    predicted, probabilities = model.predict(X), model.predict_proba(X)
    for p, labels, target in zip(probabilities, predicted, y, strict=True):
        assert p.shape == labels.shape == target.shape
        assert (labels == (p > 0.5)).all()
    right = np.concatenate([(a == b).all(axis=1) for a, b in zip(predicted, y, strict=True)])
    assert model.score(X, y) == pytest.approx(right.mean())
    assert model.score(X, y) > 0.85
    model.set_params(scoring="log_likelihood")
    p, t = np.concatenate(probabilities).astype(float), np.concatenate(y)
    expected = np.log(np.where(t == 1, p, 1 - p)).sum(axis=1).mean()
    assert model.score(X, y) == pytest.approx(expected, rel=1e-4)
    as_ragged = small(max_iter=40).fit(Ragged.from_list(X), Ragged.from_list(y))
    assert as_ragged.loss_curve_ == model.loss_curve_


def test_a_causal_encoder_answers_from_the_past_alone():
    X, y = walks(20)
    model = small(encoder=TCN(6, 3, 2), max_iter=3).fit(X, y)
    whole = model.predict_proba([X[0]])[0]
    assert_same_bits(model.predict_proba([X[0][:4]])[0], whole[:4])


def test_prediction_does_not_depend_on_the_sequences_beside_it(fitted):
    X, _ = walks(20, seed=2)
    for x, p in zip(X, fitted.predict_proba(X), strict=True):
        assert_same_bits(fitted.predict_proba([x])[0], p)


def test_a_weight_is_a_number_of_copies_and_order_does_not_matter():
    X, y = walks(20)
    weights = np.random.default_rng(0).integers(0, 3, size=20)
    copies = np.random.default_rng(1).permutation(np.repeat(np.arange(20), weights))
    weighted = small(max_iter=3).fit(X, y, sample_weight=weights)
    copied = small(max_iter=3).fit([X[i] for i in copies], [y[i] for i in copies])
    assert weighted.loss_curve_ == copied.loss_curve_


def test_early_stopping_keeps_the_best():
    X, y = walks(40)
    model = small(early_stopping=True, max_iter=8)
    model.fit(X[:30], y[:30], X_val=X[30:], y_val=y[30:])
    assert len(model.validation_scores_) == model.n_iter_
    assert model.score(X[30:], y[30:]) == pytest.approx(max(model.validation_scores_))
    assert len(small(early_stopping=True, max_iter=2).fit(X, y).validation_scores_) == 2


def test_partial_fit_and_warm_start_go_on():
    X, y = walks(20)
    model = small().partial_fit(X, y, classes=[0, 1, 2])
    assert model.predict_proba(X)[0].shape[1] == 3
    assert model.partial_fit(X, y).n_iter_ == 2
    with pytest.raises(ValueError, match=r"classes is .*expected those of the first call"):
        model.partial_fit(X, y, classes=[0, 1])
    again = small(max_iter=2, warm_start=True).fit(X, y).fit(X, y)
    assert again.n_iter_ == 4


def test_tokens_are_tagged():
    texts = [np.array([1, 2, 0, 2]), np.array([0, 0, 1])] * 10
    model = small(encoder=Chain([Embedding(3, 4), GRU(4)])).fit(texts, [t % 2 for t in texts])
    assert model.score(texts, [t % 2 for t in texts]) == 1


def test_inside_scikit_learn(fitted):
    X, y = walks(30)
    model = small(max_iter=4)
    assert [len(labels) for labels in cross_val_predict(model, X, y, cv=3)] == [len(x) for x in X]
    assert len(cross_val_score(model, X, y, cv=3)) == 3
    assert GridSearchCV(model, {"encoder__hidden_size": [2, 6]}, cv=2).fit(X, y).best_score_ > 0.5
    assert pickle.loads(pickle.dumps(fitted)).score(X, y) == fitted.score(X, y)
    with pytest.raises(NotFittedError):
        small().predict(X)


# --------------------------------------------------------------------------------------------- bad input

X2, Y2 = [np.zeros((4, 2)), np.zeros((3, 2))], [[0, 1, 0, 1], [0, 1, 1]]
SEVERAL = [np.zeros((4, 2)), np.zeros((3, 2))]


@pytest.mark.parametrize(
    ("y", "error", "why"),
    [
        (
            [[0, 1, 0, 1], [0, 1]],
            ValueError,
            r"y\[1\] has 2 targets, expected 3, one for each frame of X\[1\]",
        ),
        ([[0, 1, 0, 1]], ValueError, "y has 1 targets, expected 2"),
        (None, ValueError, "requires y"),
        ([[0, 1, 0, {}], [0, 1, 1]], TypeError, "hashed"),
        ("ab", TypeError, "expected a list"),
        ([0, np.nan], ValueError, "finite"),
        ([SEVERAL[0], SEVERAL[1] + 2], ValueError, r"y\[1\] is 2.0 at frame 0, label 0, expected 0 or 1"),
        ([SEVERAL[0], np.zeros((3, 3))], ValueError, r"y\[1\] has 3 features, expected 2"),
        ([SEVERAL[0], np.zeros((2, 2))], ValueError, r"y\[1\] has 2 targets, expected 3"),
    ],
    ids=str,
)
def test_bad_targets(y, error, why):
    model = small()
    with pytest.raises(error, match=why):
        model.fit(X2, y)
    assert not hasattr(model, "classes_")


def test_bad_validation_parts_and_later_targets():
    model = small(max_iter=1)
    with pytest.raises(ValueError, match=r"y_val\[0\] has 1 targets, expected 4, .* of X_val\[0\]"):
        model.fit(X2, Y2, X_val=X2, y_val=[[0], [1]])
    model.fit(X2, Y2)
    for y, why in (
        ([0, 1], "y holds a number for each sequence, expected sequences of labels"),
        (SEVERAL, "y holds tables of 0 and 1, expected sequences of labels"),
        ([[0, 1, 0], [0, 1, 1]], r"y\[0\] has 3 targets, expected 4"),
    ):
        with pytest.raises(ValueError, match=why):
            model.score(X2, y)
    assert model.score(X2, [[7] * 4, [7] * 3]) == 0  # labels never seen are errors
    model.set_params(scoring="log_likelihood")
    with pytest.raises(ValueError, match="label 7"):
        model.score(X2, [[7] * 4, [7] * 3])
    with pytest.raises(ValueError, match="scoring"):
        small(scoring="f1").fit(X2, Y2)
    several = small(max_iter=1).fit(X2, SEVERAL)
    with pytest.raises(ValueError, match="y has 3 labels a frame, expected 2"):
        several.score(X2, [np.zeros((4, 3)), np.zeros((3, 3))])
