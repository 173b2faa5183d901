"""Where the labels of known transcriptions lie: sequences as images, labels as boxes below them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyseq.plotting._lines import INK, LEFT, WIDTH, Lines, as_images, check_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_alignment"]

Array = NDArray[Any]
Labels = Sequence[Hashable]

BOX, UNSURE = "#0b6bcb", "#d1242f"

# The layout, in inches.
RIGHT, IMAGE, BOXES = 0.15, 0.6, 0.42

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
    images = as_images(X)
    places = [np.asarray(span).reshape(-1, 2) for span in spans]
    sure = None if confidences is None else [np.asarray(c, dtype=np.float64) for c in confidences]
    check_numbers(len(images), text=text, spans=places, confidences=sure)
    _check_labels(images, text, places, sure)

    page = Lines(images, IMAGE + BOXES, title, figure)
    width = WIDTH - LEFT - RIGHT
    for i in range(len(images)):
        picture = page.add(i, LEFT, 0, width, IMAGE)
        boxes = page.add(i, LEFT, IMAGE, width, BOXES)
        page.draw_image(i, picture, boxes)
        _draw_boxes(picture, boxes, text[i], places[i], None if sure is None else sure[i])
    return page.figure


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


def _check_labels(
    images: list[Array], text: Sequence[Labels], places: list[Array], sure: list[Array] | None
) -> None:
    for i, image in enumerate(images):
        for name, given in (("spans", places), ("confidences", sure)):
            if given is not None and len(given[i]) != len(text[i]):
                raise ValueError(
                    f"{name}[{i}] has {len(given[i])} labels, expected {len(text[i])} (as many as text[{i}])"
                )
        if (places[i] > len(image)).any():
            raise ValueError(
                f"spans[{i}] ends on frame {places[i].max()}, but X[{i}] has {len(image)} frames"
            )
