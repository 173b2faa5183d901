"""The one place where matplotlib is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MISSING", "new_figure"]

MISSING = "drawing needs matplotlib, which is not installed; install it with: pip install 'pyseq[plot]'"


def new_figure(**options: Any) -> Figure:
    """A figure of pyplot's, so that notebooks and ``plt.show()`` show it."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(MISSING) from error
    figure: Figure = pyplot.figure(**options)
    return figure
