"""Pictures: pure functions of arrays that return matplotlib figures.

matplotlib is an option, installed by ``pip install 'pyseq[plot]'``, and is imported when a picture is drawn.
"""

from pyseq.plotting._matplotlib import MISSING
from pyseq.plotting.alignment import align
from pyseq.plotting.spans import plot_alignment
from pyseq.plotting.transcription import plot_transcription

__all__ = ["MISSING", "align", "plot_alignment", "plot_transcription"]
