"""Nine speakers told apart by two vowels: 12 cepstra a frame, 7 to 29 frames, 270 training utterances."""

import os
from pathlib import Path

import numpy as np
import pytest

from pyseq.estimators import SequenceClassifier
from pyseq.layers import GRU

FOLDER = Path(os.environ.get("PYSEQ_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))


def utterances(part):
    """Sequences (T_i, 12) and speakers. A line: dimensions between colons, values between commas, speaker."""
    path = FOLDER / f"JapaneseVowels_{part}.ts"
    if not path.exists():
        pytest.skip(f"{path} is absent (PYSEQ_DATA names its folder)")
    lines = [line for line in path.read_text().splitlines() if line and line[0] not in "#@"]
    cases = [line.split(":") for line in lines]
    X = [np.array([[float(v) for v in dimension.split(",")] for dimension in case[:-1]]).T for case in cases]
    return X, np.array([case[-1] for case in cases])


def test_speakers_are_told_apart():
    (X, y), (X_test, y_test) = utterances("TRAIN"), utterances("TEST")
    assert (len(X), len(X_test)) == (270, 370)
    assert {x.shape[1] for x in X} == {12}
    models = [
        SequenceClassifier(encoder=GRU(64, bidirectional=True), random_state=seed).fit(X, y)
        for seed in range(5)
    ]
    accuracy = [model.score(X_test, y_test) for model in models]
    assert np.median(accuracy) >= 0.97, accuracy
