"""What pictures of sequences have in common: a line for each, its image on top, all on one time axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyseq.plotting._matplotlib import new_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["INK", "LEFT", "MUTED", "WIDTH", "Lines", "as_images", "check_numbers"]

Array = NDArray[Any]

INK, MUTED = "#1d2433", "#6e7786"

# The layout, in inches.
WIDTH, LEFT = 10.0, 0.5
TITLE, TOP, BOTTOM, SPACE = 0.5, 0.15, 0.5, 0.3


class Lines:
    """A page of lines, laid out in inches, top down.

    Parameters
    ----------
    images : list of n_lines ndarray of shape (T_i, n_features)
    height : float
        Of a line.
    title : str or None
    figure : matplotlib Figure or None
        Where to draw; by default a new one.
    """

    def __init__(self, images: list[Array], height: float, title: str | None, figure: Figure | None) -> None:
        self._images = images
        self._scale = min(image.min() for image in images), max(image.max() for image in images)
        self._longest = max(len(image) for image in images)
        self._top, self._step = TITLE if title else TOP, height + SPACE
        self._size = WIDTH, self._top + len(images) * self._step - SPACE + BOTTOM
        self.figure = new_figure() if figure is None else figure
        self.figure.set_size_inches(self._size)
        if title:
            x, y = LEFT / WIDTH, 1 - 0.14 / self._size[1]
            self.figure.text(x, y, title, size=12, weight="bold", color=INK, va="top")

    def add(self, line: int, left: float, down: float, width: float, height: float) -> Axes:
        """Axes in a line, `down` inches below its upper edge."""
        across, tall = self._size
        bottom = self._top + line * self._step + down + height
        return self.figure.add_axes((left / across, 1 - bottom / tall, width / across, height / tall))

    def draw_image(self, line: int, picture: Axes, below: Axes) -> None:
        """The line's image: features from top to bottom, large values dark, one scale for all.

        `below` gets the same time axis; that of the last line is labelled.
        """
        picture.imshow(
            self._images[line].T, cmap="Greys", aspect="auto", interpolation="nearest", clim=self._scale
        )
        picture.axis("off")
        for axes in (picture, below):
            axes.set_xlim(-0.5, self._longest - 0.5)
        is_last = line == len(self._images) - 1
        below.tick_params(colors=MUTED, labelsize=8, length=0)
        below.tick_params(axis="x", labelbottom=is_last, bottom=is_last)
        below.spines[:].set_visible(False)
        if is_last:
            below.set_xlabel("time step", color=MUTED, size=9)


def as_images(X: Sequence[ArrayLike]) -> list[Array]:
    """Sequences as float64 arrays (T_i, n_features), at least one, none of them empty."""
    images = [np.asarray(x, dtype=np.float64) for x in X]
    if not images:
        raise ValueError("X has no sequences, expected at least one")
    for i, image in enumerate(images):
        if image.ndim != 2 or 0 in image.shape:
            raise ValueError(
                f"X[{i}] has shape {image.shape}, expected (time steps, features), none of them 0"
            )
    return images


def check_numbers(n_images: int, **given: Sequence[Any] | None) -> None:
    """Refuse arguments that are not about as many sequences as X has."""
    for name, sequences in given.items():
        if sequences is not None and len(sequences) != n_images:
            raise ValueError(f"{name} has {len(sequences)} sequences, expected {n_images} (as many as X)")
