"""What is kept of the old state of a recurrent layer at random: checks of the masks that kernels take."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pyseq.ops._frames import FloatArray, Frames, as_frames, as_parameter, rows_beside
from pyseq.ops.cells import CellInfo


class Masks(NamedTuple):
    """As kernels take them: (B, H); and rows beside the frames of the output, or one row for all."""

    recurrent: FloatArray | None
    zoneout_h: FloatArray | None
    zoneout_c: FloatArray | None


NO_MASKS = Masks(None, None, None)


def check_masks(
    info: CellInfo, y: Frames, hidden: int, recurrent_mask: Any, zoneout_h: Any, zoneout_c: Any
) -> Masks:
    """The masks of a call whose output is `y`; ValueError or TypeError names the one that does not fit."""
    if recurrent_mask is None and zoneout_h is None and zoneout_c is None:
        return NO_MASKS
    if recurrent_mask is not None:
        if info.recurrent_gates == 0:
            raise ValueError(f"recurrent_mask must be None: {info.name!r} has no recurrent product")
        shape = (len(y.lengths), y.width)
        recurrent_mask = as_parameter(recurrent_mask, shape, y.rows.dtype, "recurrent_mask")
    if zoneout_c is not None and not info.has_cell:
        raise ValueError(f"zoneout_c must be None: {info.name!r} has no cell state")
    return Masks(
        recurrent_mask,
        None if zoneout_h is None else _zoneout(zoneout_h, y, y.width, "zoneout_h"),
        None if zoneout_c is None else _zoneout(zoneout_c, y, hidden, "zoneout_c"),
    )


def _zoneout(values: Any, y: Frames, width: int, name: str) -> FloatArray:
    if isinstance(values, np.ndarray) and values.ndim == 1:
        return as_parameter(values, (width,), y.rows.dtype, name)[np.newaxis]
    return rows_beside(as_frames(values, None, name=name), y, width, name)
