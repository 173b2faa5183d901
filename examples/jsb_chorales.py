"""Bach's chorales: which of 88 keys sound next, given all that sounded before.

    python examples/jsb_chorales.py FOLDER [--model tcn|gru] [--seed 0]

FOLDER holds JSB_Chorales.mat: 229 chorales for training, 76 for validation, 77 for the test, as piano rolls
(Boulanger-Lewandowski, Bengio & Vincent 2012). The loss is the negative log-likelihood of a frame, summed
over its keys, in nats. It is taken on the test part, with the weights that did best on the validation part.
Published: TCN 8.10, GRU 8.43 (Bai, Kolter & Koltun 2018), as the mean over all frames of the part; the mean
over chorales of each one's mean is printed beside it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from scipy.io import loadmat
from training import machine

from pyseq import GRU, TCN, Chain, Dropout, SequenceTagger

SETTINGS = {
    "tcn": (
        Chain([Dropout(0.1), TCN(250, kernel_size=3, num_blocks=3, dropout=0.5)]),
        {"learning_rate_init": 2e-3, "batch_size": 2, "max_grad_norm": 0.4},
    ),
    "gru": (
        Chain([Dropout(0.1), GRU(200, recurrent_dropout=0.3), Dropout(0.4)]),
        {"learning_rate_init": 5e-3, "batch_size": 2, "max_grad_norm": 1.0},
    ),
}


def chorales(folder: Path, part: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Piano rolls (T, 88) without their last frame, and without their first: what comes next."""
    rolls = loadmat(folder / "JSB_Chorales.mat")[f"{part}data"].ravel()
    return [roll[:-1].astype(np.float32) for roll in rolls], [roll[1:] for roll in rolls]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", choices=tuple(SETTINGS), default="tcn")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    (X, y), (X_val, y_val), (X_test, y_test) = (
        chorales(options.folder, part) for part in ("train", "valid", "test")
    )

    encoder, settings = SETTINGS[options.model]

    def watch(info):
        print(
            f"epoch {info.epoch:3d}: loss {info.loss:.3f}, validation {-info.validation_score:.3f}",
            flush=True,
        )

    model = SequenceTagger(
        encoder,
        scoring="log_likelihood",
        standardize=False,
        early_stopping=True,
        n_iter_no_change=np.inf,
        max_iter=options.epochs,
        learning_rate="cosine",
        random_state=options.seed,
        callbacks=[watch],
        **settings,
    )
    begun = time.perf_counter()
    model.fit(X, y, X_val=X_val, y_val=y_val)
    seconds = time.perf_counter() - begun
    best = int(np.argmax(model.validation_scores_))
    print(f"{encoder!r}, {model.n_parameters_} parameters, seed {options.seed}; {machine()}")
    print(f"{seconds:.0f} s; best validation {-model.validation_scores_[best]:.3f} in epoch {best + 1}")
    by_chorale = [-model.score([x], [keys]) for x, keys in zip(X_test, y_test, strict=True)]
    test = -model.score(X_test, y_test)
    print(f"test: {test:.3f} nats a frame ({np.mean(by_chorale):.3f} as a mean over chorales)")


if __name__ == "__main__":
    main()
