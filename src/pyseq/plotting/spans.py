"""Where the labels of known transcriptions lie: sequences as images, labels as boxes below them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyseq.plotting._matplotlib import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_alignment"]

Array = NDArray[Any]
Labels = Sequence[Hashable]

INK, MUTED, BOX, UNSURE = "#1d2433", "#6e7786", "#0b6bcb", "#d1242f"

# The layout, in inches.
WIDTH, LEFT, RIGHT = 10.0, 0.5, 0.15
TITLE, TOP, BOTTOM = 0.5, 0.15, 0.5
IMAGE, BOXES, SPACE = 0.6, 0.42, 0.3

FAINTEST = 0.12  # opacity of a box of confidence 0
UNSURE_BELOW = 0.5  # confidences that are written in red


def plot_alignment(
    X: Sequence[ArrayLike],
    text: Sequence[Labels],
    spans: Sequence[ArrayLike],
    confidences: Sequence[ArrayLike] | None = None,
    *,
    title: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw sequences as images, and below each its labels as boxes over the frames that they last.

    Parameters
    ----------
    X : sequence of n_sequences array_like of shape (T_i, n_features)
        Drawn as images: features from top to bottom, large values dark, one scale for all.
    text : sequence of n_sequences strings or label sequences
        The labels, in order.
    spans : sequence of n_sequences array_like of shape (n_labels_i, 2)
        First frame of each label and the one after its last, as in :class:`pyseq.ops.Alignment`; negative for
        labels that are nowhere, which are not drawn.
    confidences : sequence of n_sequences array_like of shape (n_labels_i,), optional
        From 0 to 1: how dark the box is. Those below one half are written under it, in red.
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
    images = [np.asarray(x, dtype=np.float64) for x in X]
    places = [np.asarray(span).reshape(-1, 2) for span in spans]
    sure = None if confidences is None else [np.asarray(c, dtype=np.float64) for c in confidences]
    _check(images, text, places, sure)

    top = TITLE if title else TOP
    each = IMAGE + BOXES + SPACE
    height = top + len(images) * each - SPACE + BOTTOM
    page = new_figure() if figure is None else figure
    page.set_size_inches((WIDTH, height))
    if title:
        page.text(LEFT / WIDTH, 1 - 0.14 / height, title, size=12, weight="bold", color=INK, va="top")

    def axes_at(down: float, tall: float) -> Axes:
        width = (WIDTH - LEFT - RIGHT) / WIDTH
        return page.add_axes((LEFT / WIDTH, 1 - (down + tall) / height, width, tall / height))

    scale = min(image.min() for image in images), max(image.max() for image in images)
    longest = max(len(image) for image in images)
    for i, image in enumerate(images):
        picture, boxes = axes_at(top + i * each, IMAGE), axes_at(top + i * each + IMAGE, BOXES)
        picture.imshow(image.T, cmap="Greys", aspect="auto", interpolation="nearest", clim=scale)
        picture.axis("off")
        _draw_boxes(picture, boxes, text[i], places[i], None if sure is None else sure[i])
        for axes in (picture, boxes):
            axes.set_xlim(-0.5, longest - 0.5)
    boxes.tick_params(axis="x", labelbottom=True, bottom=True)
    boxes.set_xlabel("time step", color=MUTED, size=9)
    return page


def _draw_boxes(picture: Axes, boxes: Axes, text: Labels, places: Array, sure: Array | None) -> None:
    for j, (label, (start, end)) in enumerate(zip(text, places.tolist(), strict=True)):
        if start < 0:
            continue
        confidence = 1.0 if sure is None else float(np.clip(sure[j], 0, 1))
        # frame t is drawn around t
        boxes.axvspan(
            start - 0.5, end - 0.5, ymin=0.4, color=BOX, alpha=FAINTEST + (0.6 - FAINTEST) * confidence, lw=0
        )
        middle = (start + end - 1) / 2
        boxes.text(middle, 0.7, str(label), color=INK, size=11, weight="bold", ha="center", va="center")
        if confidence < UNSURE_BELOW:
            boxes.text(middle, 0.2, f"{confidence:.2f}", color=UNSURE, size=7, ha="center", va="center")
        for edge in (start, end):
            picture.axvline(edge - 0.5, color=BOX, linewidth=0.8, alpha=0.8)
    boxes.set_ylim(0, 1)
    boxes.set_yticks([])
    boxes.tick_params(colors=MUTED, labelsize=8, length=0)
    boxes.tick_params(axis="x", labelbottom=False, bottom=False)
    boxes.spines[:].set_visible(False)


def _check(
    images: list[Array], text: Sequence[Labels], places: list[Array], sure: list[Array] | None
) -> None:
    if not images:
        raise ValueError("X has no sequences, expected at least one")
    for name, given in (("text", text), ("spans", places), ("confidences", sure)):
        if given is not None and len(given) != len(images):
            raise ValueError(f"{name} has {len(given)} sequences, expected {len(images)} (as many as X)")
    for i, image in enumerate(images):
        if image.ndim != 2 or 0 in image.shape:
            raise ValueError(
                f"X[{i}] has shape {image.shape}, expected (time steps, features), none of them 0"
            )
        for name, given in (("spans", places), ("confidences", sure)):
            if given is not None and len(given[i]) != len(text[i]):
                raise ValueError(
                    f"{name}[{i}] has {len(given[i])} labels, expected {len(text[i])} (as many as text[{i}])"
                )
        if (places[i] > len(image)).any():
            raise ValueError(
                f"spans[{i}] ends on frame {places[i].max()}, but X[{i}] has {len(image)} frames"
            )
