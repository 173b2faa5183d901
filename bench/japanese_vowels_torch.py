"""`SequenceClassifier` on JapaneseVowels, and the same network in PyTorch beside it.

Both train a bidirectional GRU of 64 units and a linear layer for the same number of epochs with Adam, batches
of 32 and the same clipping, pyseq on ragged lists, PyTorch on packed sequences. They take turns, a fit each,
in one process with as many threads.

    python bench/japanese_vowels_torch.py FOLDER [--epochs 40] [--seeds 5] [--threads 2]

FOLDER holds JapaneseVowels_TRAIN.ts and JapaneseVowels_TEST.ts (UCI Machine Learning Repository).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from pyseq import GRU, SequenceClassifier

HIDDEN_SIZE, BATCH_SIZE, LEARNING_RATE, MAX_NORM = 64, 32, 1e-3, 1.0


def utterances(path: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """Sequences (T_i, 12) float32 and speakers from 0."""
    lines = [line for line in path.read_text().splitlines() if line and line[0] not in "#@"]
    cases = [line.split(":") for line in lines]
    X = [
        np.array([np.fromstring(d, sep=",") for d in case[:-1]], dtype=np.float32).T.copy() for case in cases
    ]
    return X, np.array([int(case[-1]) - 1 for case in cases])


class Speaker(nn.Module):
    """Bidirectional GRU, its two final states, a linear layer."""

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.encoder = nn.GRU(n_features, HIDDEN_SIZE, bidirectional=True)
        self.head = nn.Linear(2 * HIDDEN_SIZE, n_classes)

    def forward(self, X: list[torch.Tensor]) -> torch.Tensor:
        """Logits (B, n_classes)."""
        _, final = self.encoder(pack_sequence(X, enforce_sorted=False))
        return self.head(torch.cat([final[0], final[1]], dim=1))


def fit_torch(
    X: list[np.ndarray], y: np.ndarray, epochs: int, seed: int
) -> tuple[Speaker, torch.Tensor, torch.Tensor]:
    """The trained network, and the mean and scale of the features, as pyseq standardises them."""
    torch.manual_seed(seed)
    frames = torch.from_numpy(np.concatenate(X))
    mean, scale = frames.mean(0), 1 / frames.std(0)
    inputs, targets = [(torch.from_numpy(x) - mean) * scale for x in X], torch.from_numpy(y)
    model = Speaker(frames.shape[1], int(y.max()) + 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    for _ in range(epochs):
        for batch in torch.randperm(len(X)).split(BATCH_SIZE):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model([inputs[i] for i in batch]), targets[batch]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
            optimizer.step()
    return model, mean, scale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    X, y = utterances(options.folder / "JapaneseVowels_TRAIN.ts")
    X_test, y_test = utterances(options.folder / "JapaneseVowels_TEST.ts")
    seconds: dict[str, list[float]] = {"pyseq": [], "PyTorch": []}
    accuracy: dict[str, list[float]] = {"pyseq": [], "PyTorch": []}
    with threadpool_limits(options.threads, user_api="openmp"):
        for seed in range(options.seeds):
            begun = time.perf_counter()
            ours = SequenceClassifier(
                GRU(HIDDEN_SIZE, bidirectional=True),
                batch_size=BATCH_SIZE,
                learning_rate_init=LEARNING_RATE,
                max_grad_norm=MAX_NORM,
                max_iter=options.epochs,
                n_iter_no_change=options.epochs,
                random_state=seed,
            ).fit(X, y)
            seconds["pyseq"].append(time.perf_counter() - begun)
            accuracy["pyseq"].append(ours.score(X_test, y_test))
            begun = time.perf_counter()
            model, mean, scale = fit_torch(X, y, options.epochs, seed)
            seconds["PyTorch"].append(time.perf_counter() - begun)
            with torch.no_grad():
                logits = model([(torch.from_numpy(x) - mean) * scale for x in X_test])
            accuracy["PyTorch"].append(float((logits.argmax(1).numpy() == y_test).mean()))
    for name in seconds:
        low, middle, high = np.quantile(accuracy[name], [0, 0.5, 1])
        print(
            f"{name:8} {np.median(seconds[name]):6.2f} s a fit (median of {options.seeds}), "
            f"accuracy {middle:.3f} (from {low:.3f} to {high:.3f})"
        )
    print(f"ratio    {np.median(seconds['PyTorch']) / np.median(seconds['pyseq']):6.1f}")


if __name__ == "__main__":
    main()
