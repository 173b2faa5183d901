"""The estimators inside scikit-learn's tools, on lists of sequences."""

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from pyseq.estimators import CTCTranscriber, SequenceClassifier
from pyseq.layers import GRU, LSTM, Chain, Conv1d
from pyseq.ragged import Ragged


@pytest.fixture(scope="module")
def signals():
    rng = np.random.default_rng(0)
    y = np.arange(45) % 3
    return [rng.standard_normal((rng.integers(4, 9), 2)) + 2 * label for label in y], y


def classifier(**options):
    return SequenceClassifier(
        **{"encoder": GRU(4), "max_iter": 8, "learning_rate_init": 0.03, "random_state": 0, **options}
    )


def transcriber(**options):
    return CTCTranscriber(
        **{"encoder": LSTM(8), "max_iter": 8, "learning_rate_init": 0.03, "random_state": 0, **options}
    )


def as_text(y):
    return ["ab"[label % 2] * (1 + label // 2) for label in y]


def test_grid_search_over_the_size_of_the_encoder(signals):
    X, y = signals
    search = GridSearchCV(classifier(), {"encoder__hidden_size": [1, 6], "pooling": ["last", "mean"]}, cv=3)
    search.fit(X, y)
    assert search.best_score_ > 0.8
    assert search.best_estimator_.network_.encoder.hidden_size == search.best_params_["encoder__hidden_size"]
    assert search.predict(X).shape == (45,)


def test_grid_search_inside_a_chain(signals):
    X, y = signals
    encoder = Chain([Conv1d(4, 3), GRU(4)])
    search = GridSearchCV(classifier(encoder=encoder), {"encoder__1__hidden_size": [2, 5]}, cv=2).fit(X, y)
    chosen = search.best_params_["encoder__1__hidden_size"]
    assert search.best_estimator_.network_.encoder.layers[1].hidden_size == chosen
    assert encoder.layers[1].hidden_size == 4


def test_grid_search_in_processes_finds_the_same(signals):
    X, y = signals
    grid = {"encoder__hidden_size": [2, 4]}
    here = GridSearchCV(classifier(max_iter=3), grid, cv=2).fit(X, y)
    there = GridSearchCV(classifier(max_iter=3), grid, cv=2, n_jobs=2).fit(X, y)
    assert here.cv_results_["mean_test_score"].tolist() == there.cv_results_["mean_test_score"].tolist()


@pytest.mark.parametrize("form", ["list", "objects", "Ragged"])
def test_cross_validation_of_a_classifier(signals, form):
    X, y = signals
    X = {"list": X, "objects": Ragged.from_list(X).to_object_array(), "Ragged": Ragged.from_list(X)}[form]
    predicted = cross_val_predict(classifier(), X, y, cv=3)
    assert (predicted == y).mean() > 0.8
    probabilities = cross_val_predict(classifier(), X, y, cv=3, method="predict_proba")
    assert (probabilities.argmax(axis=1) == predicted).all()


def test_cross_validation_of_a_transcriber(signals):
    X, y = signals
    predicted = cross_val_predict(transcriber(), X, as_text(y), cv=3)
    assert predicted.shape == (45,)
    assert all(isinstance(text, str) for text in predicted)
    posteriors = cross_val_predict(transcriber(), X, as_text(y), cv=3, method="predict_proba")
    assert [len(frames) for frames in posteriors] == [len(x) for x in X]
    assert len(cross_val_score(transcriber(), X, as_text(y), cv=3)) == 3
    search = GridSearchCV(transcriber(), {"encoder__hidden_size": [2, 8]}, cv=3).fit(X, as_text(y))
    assert search.best_score_ <= 1


def test_pipelines(signals):
    X, y = signals
    differences = FunctionTransformer(lambda sequences: [np.diff(x, axis=0, prepend=0) for x in sequences])
    assert make_pipeline(differences, classifier()).fit(X, y).predict(X).shape == (45,)
    table = np.stack([x[:4, 0] for x in X])
    model = make_pipeline(StandardScaler(), classifier()).fit(table, y)
    assert model.predict_proba(table).shape == (45, 3)


def test_many_threads_predict_with_one_model(signals):
    X, y = signals
    model = classifier().fit(X, y)
    expected = model.predict_proba(X)
    found = Parallel(n_jobs=4, prefer="threads")(delayed(model.predict_proba)(X) for _ in range(12))
    assert all(np.array_equal(expected, other) for other in found)
