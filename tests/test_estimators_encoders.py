"""Every recurrent layer, masks included, as the encoder of an estimator."""

import numpy as np
import pytest
from helpers import assert_same_bits, one_line
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from pyseq import (
    GRU,
    LSTM,
    TCN,
    Chain,
    Conv1d,
    CoupledLSTM,
    CTCTranscriber,
    Elman,
    LayerNormLSTM,
    Memoryless,
    MinGRU,
    PeepholeLSTM,
    ProjectedLSTM,
    SequenceClassifier,
    WaveNet,
)

ENCODERS = [
    Elman(12, leak_rate=0.5, recurrent_dropout=0.1),
    LSTM(12, recurrent_dropout=0.1, zoneout=0.05, zoneout_cell=0.1),
    PeepholeLSTM(12, bidirectional=True),
    CoupledLSTM(12, zoneout_cell=0.1),
    ProjectedLSTM(12, 6, num_layers=2),
    LayerNormLSTM(12, recurrent_dropout=0.1),
    GRU(12, reset="before", zoneout=0.1),
    MinGRU(12, num_layers=2, bidirectional=True),
    Chain([Conv1d(6, 3), MinGRU(8), PeepholeLSTM(8, zoneout=0.1)]),
    TCN(8, 3, 3, dropout=0.1),
    WaveNet(8, 8, dilation_cycle=3, num_cycles=1),
    Memoryless(12),
    Chain([WaveNet(6, 6, 2, 1), GRU(6), TCN(6, 3, 1, causal=False)]),
]


def oscillations(n=80):
    """Sequences of a slow or a fast wave, and which it is."""
    rng = np.random.default_rng(0)
    y = np.repeat(["slow", "fast"], n // 2)
    speed = {"slow": 0.2, "fast": 0.5}
    return [np.sin(speed[name] * np.arange(rng.integers(20, 40)) + rng.uniform(0, 6)) for name in y], y


@pytest.mark.parametrize("encoder", ENCODERS, ids=one_line)
def test_encoder_learns_and_predicts_the_same_alone(encoder):
    X, y = oscillations()
    model = SequenceClassifier(
        encoder=encoder, pooling="mean", max_iter=30, learning_rate_init=0.02, random_state=0
    )
    model.fit(X, y)
    assert model.score(X, y) > 0.9
    assert_same_bits(model.predict_proba(X[:1]), model.predict_proba(X)[:1])
    again = clone(model).fit(X, y)
    assert_same_bits(again.predict_proba(X), model.predict_proba(X))


def test_masks_are_settings_to_search_over():
    X, y = oscillations(24)
    model = SequenceClassifier(encoder=LSTM(4), max_iter=2, random_state=0)
    search = GridSearchCV(model, {"encoder__zoneout": [0.0, 0.1], "encoder__recurrent_dropout": [0.2]}, cv=2)
    assert search.fit(X, y).best_params_["encoder__recurrent_dropout"] == 0.2


def test_transcriber_takes_them_too():
    rng = np.random.default_rng(0)
    X = [rng.standard_normal((rng.integers(8, 12), 3)) for _ in range(8)]
    for encoder in (
        ProjectedLSTM(8, 5, bidirectional=True, zoneout=0.1, recurrent_dropout=0.1),
        TCN(8, 3, 2, dropout=0.1, causal=False),
    ):
        model = CTCTranscriber(encoder, max_iter=2, random_state=0).fit(X, ["ab", "ba"] * 4)
        assert len(model.predict(X)) == 8
