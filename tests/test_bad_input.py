"""Bad input to the estimators: an error that names it, and an estimator that is as it was before."""

import numpy as np
import pytest
import scipy.sparse

from pyseq.estimators import CTCTranscriber, SequenceClassifier
from pyseq.layers import GRU, LSTM, Chain, Conv1d, Dense, Embedding
from pyseq.ragged import Ragged

N, F = 20, 3


def good(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((rng.integers(4, 8), F)) for _ in range(N)]


def classifier(**options):
    return SequenceClassifier(**{"encoder": GRU(4), "max_iter": 2, "random_state": 0, **options})


def transcriber(**options):
    return CTCTranscriber(**{"encoder": LSTM(4), "max_iter": 2, "random_state": 0, **options})


CLASSES, TEXTS = [i % 2 for i in range(N)], ["ab"[i % 2] for i in range(N)]
KINDS = [
    pytest.param(classifier, CLASSES, id="classifier"),
    pytest.param(transcriber, TEXTS, id="transcriber"),
]


def replaced(index, item):
    X = good()
    X[index] = item
    return X


def spoiled(value):
    X = good()
    X[5][2, 1] = value
    return X


class Column:
    """Not an array, not a list."""


# What is given as X, the error, and what its message has to say.
BAD_X = {
    "NaN": (spoiled(np.nan), ValueError, r"X\[5\] contains NaN at frame 2, feature 1"),
    "inf": (spoiled(-np.inf), ValueError, r"X\[5\] contains -inf at frame 2, feature 1"),
    "beyond float32": (spoiled(1e300), ValueError, r"X\[5\] contains 1e\+300 .* infinity as float32"),
    "ragged features": (replaced(17, np.zeros((4, 2))), ValueError, r"X\[17\] has 2 features, expected 3"),
    "no sequences": ([], ValueError, "X is empty|X has no sequences"),
    "no rows": (np.zeros((0, 4, F)), ValueError, r"X has no sequences.*shape=\(0, 4, 3\)"),
    "no frames": (replaced(3, np.zeros((0, F))), ValueError, r"X\[3\] has length 0"),
    "no steps": (np.zeros((N, 0)), ValueError, r"0 feature\(s\)"),
    "no features": (np.zeros((N, 4, 0)), ValueError, "frames without features"),
    "objects": (replaced(2, np.full((4, F), "a", dtype=object)), TypeError, r"X\[2\] holds str at frame 0"),
    "strings": (replaced(2, np.full((4, F), "a")), TypeError, r"X\[2\] has dtype <U1, expected real numbers"),
    "None": (replaced(2, None), TypeError, r"X\[2\] has type NoneType, expected an array of numbers"),
    "dates": (replaced(2, np.zeros((4, F), "M8[s]")), TypeError, r"X\[2\] has dtype datetime64"),
    "complex": (replaced(2, np.zeros((4, F), complex)), ValueError, r"Complex data not supported: X\[2\]"),
    "four dimensions": (np.zeros((N, 4, F, 2)), ValueError, r"X has shape \(20, 4, 3, 2\)"),
    "an image": (replaced(2, np.zeros((4, F, 2))), ValueError, r"X\[2\] has shape \(4, 3, 2\)"),
    "one dimension": (np.zeros(N), ValueError, "Reshape your data"),
    "a number": (3.0, TypeError, "X has type float"),
    "a string": ("abc", TypeError, "X has type str"),
    "a thing": (Column(), TypeError, "X has type Column"),
    "sparse": (scipy.sparse.csr_array((N, F)), TypeError, "X is sparse"),
    "an empty Ragged": (Ragged(np.zeros((0, F)), []), ValueError, "X has no sequences"),
    "a Ragged with NaN": (
        Ragged(np.full((N, F), np.nan), np.ones(N, int)),
        ValueError,
        r"X\[0\] contains NaN",
    ),
    "a Ragged with a gap": (
        Ragged(np.zeros((N - 1, F)), [1] * (N - 1) + [0]),
        ValueError,
        r"X\[19\] has length 0",
    ),
}


@pytest.mark.parametrize("name", BAD_X)
@pytest.mark.parametrize(("make", "y"), KINDS)
def test_bad_sequences_are_named_by_fit_and_by_predict(make, y, name):
    X, error, message = BAD_X[name]
    model = make()
    with pytest.raises(error, match=message):
        model.fit(X, y)
    assert not [attribute for attribute in vars(model) if attribute.endswith("_")]
    model.fit(good(), y)
    with pytest.raises(error, match=message):
        model.predict(X)


@pytest.mark.parametrize(("make", "y"), KINDS)
def test_integers_and_booleans_are_cast(make, y):
    integers = [np.arange(12).reshape(4, F) % 5 + i for i in range(N)]
    expected = make().fit([x.astype(float) for x in integers], y).predict_proba(integers)
    for dtype in (np.int8, np.uint16, np.int64):
        found = make().fit([x.astype(dtype) for x in integers], y).predict_proba(integers)
        for a, b in zip(found, expected, strict=True):
            assert np.array_equal(a, b)
    make().fit([x > 3 for x in integers], y)


BAD_Y = [
    pytest.param(classifier, CLASSES[:-1], ValueError, "y has 19 labels, expected 20", id="short"),
    pytest.param(
        classifier, None, ValueError, "requires y to be passed, but the target y is None", id="none"
    ),
    pytest.param(classifier, np.zeros((N, 2)), ValueError, r"shape \(20, 2\)", id="two columns"),
    pytest.param(classifier, np.linspace(0, 1, N), ValueError, "Unknown label type", id="continuous"),
    pytest.param(classifier, [np.nan] * N, ValueError, r"y\[0\] is nan, expected a class", id="NaN"),
    pytest.param(classifier, [np.inf] * N, ValueError, r"y\[0\] is inf", id="inf"),
    pytest.param(transcriber, TEXTS[:-1], ValueError, "y has 19 targets, expected 20", id="short texts"),
    pytest.param(transcriber, None, ValueError, "requires y to be passed", id="no texts"),
    pytest.param(
        transcriber, "ab" * 10, TypeError, "y is 'abab.*', expected a list of strings", id="one text"
    ),
    pytest.param(
        transcriber, [*TEXTS[:7], ["a"], *TEXTS[8:]], TypeError, r"y\[7\] is a sequence of labels", id="mix"
    ),
    pytest.param(transcriber, [*TEXTS[:7], None, *TEXTS[8:]], TypeError, r"y\[7\] is None", id="missing"),
    pytest.param(
        transcriber, [[["a"]]] * N, TypeError, r"y\[0\] has a label of type list", id="not hashable"
    ),
    pytest.param(transcriber, [1.0] * 19 + [np.nan], ValueError, r"y\[19\] is nan", id="NaN label"),
    pytest.param(transcriber, np.zeros((N, 2, 2)), ValueError, r"y has shape \(20, 2, 2\)", id="cube"),
    pytest.param(transcriber, [""] * N, ValueError, "y holds no labels", id="no labels"),
]


@pytest.mark.parametrize(("make", "y", "error", "message"), BAD_Y)
def test_bad_targets(make, y, error, message):
    model = make()
    with pytest.raises(error, match=message):
        model.fit(good(), y)
    assert not [attribute for attribute in vars(model) if attribute.endswith("_")]


BAD_WEIGHTS = [
    (np.ones(N - 1), r"sample_weight has shape \(19,\), expected \(20,\)"),
    (np.ones((N, 1)), r"sample_weight has shape \(20, 1\)"),
    (np.r_[np.ones(N - 1), -1], r"sample_weight\[19\] is -1.0, expected a finite number of at least 0"),
    (np.r_[np.nan, np.ones(N - 1)], r"sample_weight\[0\] is nan"),
    (np.zeros(N), "sample_weight is zero for every sequence"),
    (["a"] * N, "sample_weight must be an array of numbers"),
]


@pytest.mark.parametrize(("weights", "message"), BAD_WEIGHTS)
@pytest.mark.parametrize(("make", "y"), KINDS)
def test_bad_weights(make, y, weights, message):
    with pytest.raises(ValueError, match=message):
        make().fit(good(), y, sample_weight=weights)


@pytest.mark.parametrize(("make", "y"), KINDS)
def test_another_number_of_features_than_in_fit(make, y):
    model = make().fit(good(), y)
    with pytest.raises(ValueError, match=r"X\[17\] has 4 features, expected 3 \(n_features_in_\)"):
        model.predict(replaced(17, np.zeros((5, 4))))
    with pytest.raises(ValueError, match=r"has 4 features, expected 3 \(n_features_in_\)"):
        model.predict(np.zeros((2, 5, 4)))
    with pytest.raises(ValueError, match=r"has 1 feature, expected 3 \(n_features_in_\)"):
        model.predict(np.zeros((2, 5)))
    with pytest.raises(ValueError, match=r"has 4 features, expected 3 \(n_features_in_\)"):
        model.partial_fit(np.zeros((N, 5, 4)), y)


@pytest.mark.parametrize(
    ("make", "y", "y_bad", "message"),
    [
        (
            classifier,
            CLASSES,
            [*CLASSES[:3], 7, *CLASSES[4:]],
            r"y{}\[3\] is 7, expected one of the classes \[0, 1\]",
        ),
        (
            classifier,
            CLASSES,
            list(map(str, CLASSES)),
            r"y{}\[0\] is '0', expected one of the classes \[0, 1\]",
        ),
        (transcriber, TEXTS, [*TEXTS[:3], "bz", *TEXTS[4:]], r"y{}\[3\] has the label 'z' at position 1"),
    ],
)
def test_labels_unseen_in_fit(make, y, y_bad, message):
    with pytest.raises(ValueError, match=message.format("_val")):
        make().fit(good(), y, X_val=good(), y_val=y_bad)
    model = make().fit(good(), y)
    with pytest.raises(ValueError, match=message.format("")):
        model.partial_fit(good(), y_bad)


@pytest.mark.parametrize(("make", "y"), KINDS)
def test_bad_validation_sets(make, y):
    model = make()
    with pytest.raises(ValueError, match="X_val was passed but y_val is None"):
        model.fit(good(), y, X_val=good())
    with pytest.raises(ValueError, match="y_val was passed but X_val is None"):
        model.fit(good(), y, y_val=y)
    with pytest.raises(ValueError, match=r"X_val\[5\] contains NaN"):
        model.fit(good(), y, X_val=spoiled(np.nan), y_val=y)
    with pytest.raises(ValueError, match=r"X_val\[0\] has 2 features, expected 3"):
        model.fit(good(), y, X_val=np.zeros((N, 4, 2)), y_val=y)
    with pytest.raises(ValueError, match=r"y_val has 19"):
        model.fit(good(), y, X_val=good(), y_val=y[:-1])
    with pytest.raises(ValueError, match=r"validation_fraction=0.9 of 1 sequences leaves none"):
        model.set_params(early_stopping=True, validation_fraction=0.9).fit(good()[:1], y[:1])
    assert not [attribute for attribute in vars(model) if attribute.endswith("_")]


BAD_PARAMETERS = [
    ({"encoder": 64}, "The 'encoder' parameter of"),
    ({"encoder": GRU(0)}, "The 'hidden_size' parameter of GRU"),
    ({"encoder": Chain([])}, "layers of Chain must hold at least one layer"),
    ({"encoder": Chain([Dense(2), Embedding(3, 2)])}, "takes integer tokens, so it must be first"),
    ({"solver": "lbfgs"}, "The 'solver' parameter of"),
    ({"solver": ("adam", {"momentum": 0.9})}, "solver='adam' does not take the options"),
    ({"learning_rate_init": 0.0}, "The 'learning_rate_init' parameter of"),
    ({"learning_rate": "linear"}, "The 'learning_rate' parameter of"),
    ({"learning_rate": ("cosine", {"period": 2})}, "has no option 'period'"),
    ({"alpha": -1.0}, "The 'alpha' parameter of"),
    ({"batch_size": 0}, "The 'batch_size' parameter of"),
    ({"max_iter": 0}, "The 'max_iter' parameter of"),
    ({"max_grad_norm": 0.0}, "The 'max_grad_norm' parameter of"),
    ({"validation_fraction": 1.0}, "The 'validation_fraction' parameter of"),
    ({"dtype": "float16"}, "The 'dtype' parameter of"),
    ({"device": "cuda"}, "The 'device' parameter of"),
    ({"callbacks": [3]}, r"callbacks\[0\] is 3"),
    ({"random_state": "seed"}, "The 'random_state' parameter of"),
]


@pytest.mark.parametrize(("options", "message"), BAD_PARAMETERS)
@pytest.mark.parametrize(("make", "y"), KINDS)
def test_bad_parameters_are_named_by_fit(make, y, options, message):
    model = make(**options)
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(good(), y)
    assert not [attribute for attribute in vars(model) if attribute.endswith("_")]


def test_a_pooling_that_does_not_exist():
    with pytest.raises(ValueError, match="The 'pooling' parameter of SequenceClassifier"):
        classifier(pooling="median").fit(good(), CLASSES)


@pytest.mark.parametrize(
    "encoder", [GRU(2**20), LSTM(2**33), Conv1d(2**40, 3), Dense(2**62), Chain([Dense(2**20), Dense(2**20)])]
)
@pytest.mark.parametrize(("make", "y"), KINDS)
def test_sizes_beyond_memory_or_64_bits(make, y, encoder):
    model = make(encoder=encoder)
    with pytest.raises((MemoryError, ValueError, OverflowError), match=r"memory|size|large|bytes|allocate"):
        model.fit(good(), y)
    assert not [attribute for attribute in vars(model) if attribute.endswith("_")]


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(("make", "y"), KINDS)
def test_a_failed_fit_leaves_an_earlier_one_as_it_was(make, y, method):
    model = make(callbacks=[]).fit(good(), y)
    expected, before = model.predict_proba(good()), dict(vars(model))

    def fail(info):
        raise RuntimeError("from a callback")

    attempts = [
        (lambda: getattr(model, method)(spoiled(np.nan), y), ValueError),
        (lambda: getattr(model, method)(good(), y[:-1]), ValueError),
        (lambda: getattr(model, method)(np.zeros((N, 4)), y[:-1]), ValueError),
        (lambda: getattr(model, method)(good(1), y), RuntimeError),
    ]
    for attempt, error in attempts:
        model.callbacks[:] = [fail]
        with pytest.raises(error):
            attempt()
        assert vars(model) == before
        for a, b in zip(model.predict_proba(good()), expected, strict=True):
            assert np.array_equal(a, b)


def test_partial_fit_needs_the_classes_first():
    with pytest.raises(ValueError, match="classes is None, expected all the classes"):
        classifier().partial_fit(good(), CLASSES)
    with pytest.raises(
        ValueError, match=r"classes is \[0, 1, 2\], expected those of the first call: \[0, 1\]"
    ):
        classifier().partial_fit(good(), CLASSES, classes=[0, 1]).partial_fit(
            good(), CLASSES, classes=[0, 1, 2]
        )
    with pytest.raises(ValueError, match="early_stopping is True, expected False for partial_fit"):
        transcriber(early_stopping=True).partial_fit(good(), TEXTS)
