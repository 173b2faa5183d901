"""scikit-learn's own checks, all of them, on every estimator: no expected failures, no patched checks."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from pyseq.estimators import CTCTranscriber, SequenceClassifier, SequenceGenerator, SequenceTagger
from pyseq.layers import GRU, LSTM, TCN, Chain, Conv1d

ESTIMATORS = [
    SequenceClassifier(),
    SequenceClassifier(
        Chain([Conv1d(8, 3, causal=False), LSTM(8)]),
        pooling="mean",
        solver="adamw",
        alpha=0.01,
        learning_rate_init=0.03,
        learning_rate="one_cycle",
        max_iter=30,
        dtype="float64",
    ),
    CTCTranscriber(),
    CTCTranscriber(LSTM(8), standardize=False, learning_rate_init=0.02, max_iter=10, dtype="float64"),
    SequenceTagger(),
    SequenceTagger(TCN(6, 3, 2), scoring="log_likelihood", standardize=False, max_iter=10, dtype="float64"),
    SequenceGenerator(GRU(4), embedding_dim=4, max_iter=2),
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_check(estimator, check):
    check(estimator)
