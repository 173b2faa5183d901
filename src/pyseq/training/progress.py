"""The progress bar of a fit."""

from __future__ import annotations

from typing import Any

from pyseq.training.callbacks import Callback, EpochInfo, FitInfo, History

__all__ = ["ProgressBar"]


class ProgressBar(Callback):
    """One tqdm bar a fit: epochs done, loss, validation score and sequences per second.

    Parameters
    ----------
    description : str
        Text before the bar.
    **options
        Passed to `tqdm.auto.tqdm`, e.g. `file=`.
    """

    def __init__(self, description: str = "fit", **options: Any) -> None:
        self.description = description
        self.options = options

    def on_fit_begin(self, info: FitInfo) -> None:
        from tqdm.auto import tqdm

        self._bar = tqdm(total=info.max_iter, desc=self.description, unit="epoch", **self.options)

    def on_epoch_end(self, info: EpochInfo) -> None:
        shown = {"loss": f"{info.loss:.4f}"}
        if info.validation_score is not None:
            shown["validation"] = f"{info.validation_score:.4f}"
        shown["sequences/s"] = f"{info.sequences_per_second:,.0f}"
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update()

    def on_fit_end(self, history: History) -> None:
        self._bar.refresh()
        self._bar.close()
        del self._bar
