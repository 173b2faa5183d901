"""The demonstration: a model that learns to read lines of handwritten digits while one watches."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyseq.datasets import load_digit_lines
from pyseq.metrics import character_error_rate, edit_distances
from pyseq.plotting import MISSING, plot_transcription

if TYPE_CHECKING:
    from pyseq.estimators import CTCTranscriber

__all__ = ["make_transcriber", "run_demo"]

N_TRAIN = 2000
N_TEST = 500
EPOCHS = 12
DROPOUT, CHANNELS, KERNEL_SIZE, HIDDEN_SIZE = 0.1, 32, 5, 64
N_SHOWN = 5
DOTS_PER_INCH = 130


def make_transcriber(*, epochs: int = EPOCHS, seed: int = 0, verbose: int = 0) -> CTCTranscriber:
    """The model of the demonstration: convolution, bidirectional LSTM, CTC.

    Parameters
    ----------
    epochs : int
        The learning rate rises and falls once in them.
    seed : int
        Fixes initial weights, batches and dropout.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    CTCTranscriber
    """
    from pyseq.estimators import CTCTranscriber
    from pyseq.layers import LSTM, Chain, Conv1d, Dropout

    # The dropped pixels stand in for the handwriting that 1,437 scans do not show.
    strokes = Conv1d(CHANNELS, KERNEL_SIZE, causal=False)
    encoder = Chain([Dropout(DROPOUT), strokes, LSTM(HIDDEN_SIZE, bidirectional=True)])
    return CTCTranscriber(
        encoder,
        learning_rate="one_cycle",
        learning_rate_init=0.01,
        max_grad_norm=5.0,
        batch_size=32,
        max_iter=epochs,
        verbose=verbose,
        random_state=seed,
    )


def run_demo(*, output: Path | None, epochs: int = EPOCHS, seed: int = 0) -> float:
    """Train the model, print how well it reads lines of unseen scans, and draw five of them.

    Parameters
    ----------
    output : Path or None
        Where to write the picture; None for no picture.
    epochs : int
        Passes over the training lines.
    seed : int
        Fixes the lines and the training.

    Returns
    -------
    error_rate : float
        Character error rate on the test lines.

    Raises
    ------
    ImportError
        If a picture is wanted and matplotlib is not installed; after the results are printed.
    OSError
        If the picture cannot be written. `check_output` finds most reasons for it beforehand.
    """
    lines = load_digit_lines(N_TRAIN, N_TEST, random_state=seed)
    print(f"{N_TRAIN} lines of 3 to 9 handwritten digits to learn from, {N_TEST} of other scans to read.")

    model = make_transcriber(epochs=epochs, seed=seed, verbose=1)
    encoder: Any = model.encoder
    print("Model:", *(f"{layer!r} >" for layer in encoder.layers), "CTC")
    started = time.perf_counter()
    model.fit(lines.X_train, lines.y_train)
    seconds = time.perf_counter() - started

    read: list[str] = model.predict(lines.X_test).tolist()
    error_rate: float = character_error_rate(lines.y_test, read)
    per_epoch = seconds / model.n_iter_
    print(f"Trained {model.n_parameters_:,} parameters in {seconds:.1f} s, {per_epoch:.2f} s an epoch.")
    print(f"Character error rate on lines of unseen scans: {error_rate:.1%}")
    print()
    print(transcription_table(read[:N_SHOWN], lines.y_test[:N_SHOWN]))
    if output is not None:
        title = f"Lines of handwritten digits never seen in training ({error_rate:.1%} character errors)"
        _draw(model, lines.X_test[:N_SHOWN], read[:N_SHOWN], lines.y_test[:N_SHOWN], title, output)
        print(f"\nPicture: {output}")
    return error_rate


def check_output(output: Path) -> None:
    """Raise ValueError if a picture could not be written there: better before the training than after."""
    folder = output.parent
    if not folder.is_dir():
        raise ValueError(f"output is '{output}', but there is no folder '{folder}'")
    if output.is_dir():
        raise ValueError(f"output is '{output}', which is a folder, expected a file name")
    if not os.access(output if output.exists() else folder, os.W_OK):
        raise ValueError(f"output is '{output}', which may not be written")
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError:
        return  # told after the results
    formats = sorted(FigureCanvasBase.get_supported_filetypes())
    if output.suffix[1:].lower() not in formats:
        raise ValueError(f"output is '{output}', expected a name that ends in one of: .{', .'.join(formats)}")


def transcription_table(read: Sequence[str], truth: Sequence[str]) -> str:
    """Transcriptions beside the truth, a line each, with the number of edits where they differ."""
    width = max(5, *(len(line) for line in [*read, *truth]))
    rows = [f"  {'truth':{width}}  read"]
    for true_line, read_line, n_edits in zip(truth, read, edit_distances(truth, read), strict=True):
        remark = f"  {n_edits} edit{'s' if n_edits > 1 else ''}" if n_edits else ""
        rows.append(f"  {true_line:{width}}  {read_line:{width}}{remark}".rstrip())
    return "\n".join(rows)


def _draw(
    model: CTCTranscriber, X: list[Any], read: Sequence[str], truth: list[str], title: str, output: Path
) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(MISSING) from error
    # A figure outside pyplot: no window system is asked for.
    figure = plot_transcription(
        X, list(model.predict_proba(X)), read, truth, classes=model.classes_, title=title, figure=Figure()
    )
    figure.savefig(output, dpi=DOTS_PER_INCH)
