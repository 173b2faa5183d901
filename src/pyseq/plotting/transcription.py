"""What a CTC model reads, and when: the sequence, the posterior over time, the text."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyseq.plotting._lines import INK, LEFT, MUTED, WIDTH, Lines, as_images, check_numbers
from pyseq.plotting.alignment import align

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_transcription"]

Array = NDArray[Any]
Labels = Sequence[Hashable]

BLANK, CORRECT, WRONG = "#b4bac5", "#1a7f37", "#d1242f"
# Ten hues dark enough to be text on white, neighbours far apart.
HUES = (
    "#0b6bcb", "#d9480f", "#2b8a3e", "#c2255c", "#7048e8",
    "#a4690a", "#0c8599", "#e03131", "#5c7a00", "#9c36b5",
)  # fmt: skip

# The layout, in inches.
RIGHT, TEXT_WIDTH, TEXT_INDENT = 0.1, 2.4, 0.95
IMAGE, LABELS, CURVES = 0.52, 0.24, 0.58

MONOSPACE_ADVANCE = 0.602  # width of a character of DejaVu Sans Mono, in units of its size
TEXT_SIZE = 15.0
SHOWN_FROM = 0.01  # smaller probabilities are not drawn


class Peak(NamedTuple):
    """A run of frames that the best path gives to one label."""

    column: int
    frame: int
    """Where in the run the label is most probable."""


def plot_transcription(
    X: Sequence[ArrayLike],
    posteriors: Sequence[ArrayLike],
    text: Sequence[Labels],
    truth: Sequence[Labels] | None = None,
    *,
    classes: Labels | Array,
    blank: int = 0,
    title: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw sequences as images, the CTC posterior over time below each, and the text beside it.

    A coloured curve is the probability of a label, frame by frame; the blank, "no label here", is the grey
    one. Each run of frames in which one label is the most probable has this label written over its peak: read
    from left to right, they are the transcription of greedy decoding. In the text at the right, labels that
    differ from the truth are red, and a dot stands for a missing one.

    Parameters
    ----------
    X : sequence of n_sequences array_like of shape (T_i, n_features)
        Drawn as images: features from top to bottom, large values dark, one scale for all.
    posteriors : sequence of n_sequences array_like of shape (S_i, n_classes + 1)
        Probabilities of the blank and the labels in each frame; a frame stands for T_i / S_i time steps.
    text : sequence of n_sequences strings or label sequences
        What was read.
    truth : sequence of n_sequences strings or label sequences, optional
        What should have been read.
    classes : sequence of n_classes labels
        Labels of the columns of the posteriors, in order, without the blank.
    blank : int, default=0
        Column of the blank.
    title : str, optional
        Written over the picture.
    figure : matplotlib Figure, optional
        Draw into this one, which gets the size that suits the number of sequences. By default pyplot makes
        one.

    Returns
    -------
    figure : matplotlib Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If there are no sequences, or the arguments do not describe the same ones.
    """
    images = as_images(X)
    probabilities = [np.asarray(posterior, dtype=np.float64) for posterior in posteriors]
    check_numbers(len(images), posteriors=probabilities, text=text, truth=truth)
    _check_posteriors(probabilities, len(classes), blank)
    labels = [str(label) for label in classes]
    labels.insert(blank, "")

    page = Lines(images, IMAGE + LABELS + CURVES, title, figure)
    width = WIDTH - LEFT - TEXT_WIDTH - RIGHT
    for i, (image, frames) in enumerate(zip(images, probabilities, strict=True)):
        picture = page.add(i, LEFT, 0, width, IMAGE)
        curves = page.add(i, LEFT, IMAGE + LABELS, width, CURVES)
        words = page.add(i, LEFT + width, 0, TEXT_WIDTH, IMAGE + LABELS + CURVES)
        words.axis("off")
        page.draw_image(i, picture, curves)
        _draw_posterior(curves, frames, labels, blank, len(image))
        _draw_text(words, text[i], None if truth is None else truth[i])
    curves.set_ylabel("probability", color=MUTED, size=8)
    return page.figure


def peaks(posterior: Array, blank: int = 0) -> list[Peak]:
    """The labels of the best path, in order.

    Parameters
    ----------
    posterior : ndarray of shape (S, n_classes + 1)
    blank : int, default=0

    Returns
    -------
    list of Peak

    Examples
    --------
    >>> import numpy as np
    >>> peaks(np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]]))
    [Peak(column=1, frame=2)]
    """
    best = posterior.argmax(axis=1)
    starts = np.flatnonzero(np.diff(best, prepend=-1))
    ends = np.append(starts[1:], len(best))
    return [
        Peak(int(best[start]), int(start + posterior[start:end, best[start]].argmax()))
        for start, end in zip(starts, ends, strict=True)
        if best[start] != blank
    ]


def _draw_posterior(axes: Axes, frames: Array, labels: list[str], blank: int, n_steps: int) -> None:
    # Frame s stands for time steps s * n_steps / S to (s + 1) * n_steps / S; step t is drawn around t.
    x = (np.arange(len(frames)) + 0.5) * (n_steps / len(frames)) - 0.5
    axes.plot([-0.5, n_steps - 0.5], [0, 0], color=BLANK, linewidth=0.8)
    axes.plot(x, frames[:, blank], color=BLANK, linewidth=1.1)
    for column in range(frames.shape[1]):
        if column != blank:
            curve = _shown(frames[:, column])
            axes.fill_between(x, curve, color=_hue(column, blank), alpha=0.25, linewidth=0)
            axes.plot(x, curve, color=_hue(column, blank), linewidth=1.3)
    for column, frame in peaks(frames, blank):
        color = _hue(column, blank)
        axes.text(
            x[frame], 1.1, labels[column], color=color, size=12, weight="bold", ha="center", va="bottom"
        )
    end = n_steps - 0.5, frames[-1, blank]
    axes.annotate("blank", end, (3, 0), textcoords="offset points", color=MUTED, size=8, va="center")
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0, 1], ["0", "1"])


def _shown(curve: Array) -> Array:
    """The curve without its stretches near zero, where those of all labels would lie in a pile."""
    visible = np.pad(curve >= SHOWN_FROM, 1)
    with_feet = visible[:-2] | visible[1:-1] | visible[2:]
    return np.where(with_feet, curve, np.nan)


def _hue(column: int, blank: int) -> str:
    return HUES[(column - (column > blank)) % len(HUES)]


def _draw_text(axes: Axes, text: Labels, truth: Labels | None) -> None:
    pairs = [(label, label) for label in text] if truth is None else align(text, truth)
    n_wrong = sum(read != true for read, true in pairs)
    _draw_row(axes, 0.62, "read", [(read, read != true) for read, true in pairs])
    if truth is not None:
        _draw_row(axes, 0.36, "truth", [(true, False) for _, true in pairs])
        verdict = "✓" if n_wrong == 0 else "1 edit" if n_wrong == 1 else f"{n_wrong} edits"
        color = WRONG if n_wrong else CORRECT
        axes.text(TEXT_INDENT / TEXT_WIDTH, 0.1, verdict, color=color, size=10, va="baseline")


def _draw_row(axes: Axes, y: float, name: str, row: list[tuple[Hashable | None, bool]]) -> None:
    left = TEXT_INDENT / TEXT_WIDTH
    axes.text(left - 0.03, y, name, color=MUTED, size=9, ha="right", va="baseline")
    words = ["·" if label is None else str(label) for label, _ in row]
    cell = max((len(word) for word in words), default=1)
    cell += cell > 1  # labels of several characters need a space between them
    room = 72 * (TEXT_WIDTH - TEXT_INDENT)  # points
    size = min(TEXT_SIZE, room / (MONOSPACE_ADVANCE * cell * max(1, len(words))))
    for i, (word, (_, is_wrong)) in enumerate(zip(words, row, strict=True)):
        axes.annotate(
            word, (left, y), (i * cell * MONOSPACE_ADVANCE * size, 0), textcoords="offset points",
            family="monospace", size=size, color=WRONG if is_wrong else INK, va="baseline",
        )  # fmt: skip


def _check_posteriors(probabilities: list[Array], n_classes: int, blank: int) -> None:
    if not 0 <= blank <= n_classes:
        raise ValueError(f"blank is {blank}, expected a column from 0 to {n_classes} (n_classes)")
    for i, frames in enumerate(probabilities):
        if frames.ndim != 2 or len(frames) == 0 or frames.shape[1] != n_classes + 1:
            raise ValueError(
                f"posteriors[{i}] has shape {frames.shape}, expected (frames, {n_classes + 1}): "
                "a column for the blank and one for each of classes"
            )
