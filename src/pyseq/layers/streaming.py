"""A built layer, one frame at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyseq.ops import Stream

if TYPE_CHECKING:
    from pyseq.layers.base import Layer

__all__ = ["LayerStream"]


class LayerStream:
    """What `Layer.stream` returns: a copy of the layer's weights, and the past of some streams.

    Frames pushed one by one, or many at a time, give the bits of `Layer.forward` on the whole sequence; but
    in precision "medium" convolutions and dense layers have results of their own (:class:`pyseq.ops.Stream`).

    Parameters
    ----------
    layer : Layer
        Built. Its weights are copied: training it further changes nothing here.
    n_streams : int
        Sequences side by side, in step.
    """

    def __init__(self, layer: Layer, n_streams: int = 1) -> None:
        dtypes = [owner.parameters_[name].dtype.name for _, owner, name in layer.named_parameters()]
        self._stages = Stream(n_streams, layer.n_features_in_, dtypes[0] if dtypes else "float32")
        self._out = layer.add_stages(self._stages, 0)

    @property
    def n_streams(self) -> int:
        """Sequences side by side."""
        return self._stages.rows

    @property
    def n_frames(self) -> int:
        """Frames taken since the start."""
        return self._stages.n_frames

    def push(self, x: Any) -> NDArray[Any]:
        """Take some frames of every stream and return the output at each of them.

        Parameters
        ----------
        x : array of shape (T, n_features) for one stream, or (T, n_streams, n_features)
            The next frames; T may be 0.

        Returns
        -------
        array of shape (T, n_outputs), or (T, n_streams, n_outputs)

        Raises
        ------
        ValueError
            If `x` has another shape, or is not finite.
        """
        a = np.asarray(x)
        shape = (-1, self.n_streams, self._stages.inputs)
        single = a.ndim == 2 and self.n_streams == 1
        if not single and (a.ndim != 3 or a.shape[1] != self.n_streams):
            raise ValueError(f"x has shape {a.shape}, expected (frames, {self.n_streams}, {shape[2]})")
        if a.shape[-1] != shape[2]:
            raise ValueError(f"x has {a.shape[-1]} features, expected {shape[2]}")
        frames = np.ascontiguousarray(a, dtype=self._stages.dtype).reshape(len(a), *shape[1:])
        if not np.isfinite(frames).all():
            raise ValueError("x holds NaN or infinity, expected finite numbers")
        y: NDArray[Any] = self._stages.push(frames, self._out)
        return y[:, 0] if single else y

    def step(self, frame: Any) -> NDArray[Any]:
        """`push` of a single frame: (n_features,) or (n_streams, n_features), and likewise the output."""
        y: NDArray[Any] = self.push(np.asarray(frame)[np.newaxis])[0]
        return y

    def reset(self) -> None:
        """Begin new sequences."""
        self._stages.reset()
