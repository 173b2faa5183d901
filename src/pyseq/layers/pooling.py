"""From the frames of each sequence to one vector, as functions in the table `POOLINGS`.

`reversed_columns` names the columns that a bidirectional layer computed backwards in time
(`reversed_columns_`): their last visited frame is frame 0. A sequence without frames gives zeros. The
sum of a sequence is taken frame by frame in order, so it does not depend on the sequences beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from pyseq.layers.arrays import get_namespace
from pyseq.ragged import Ragged

NO_COLUMNS = slice(0, 0)


class Pooling(NamedTuple):
    """forward(x, reversed_columns) -> pooled (B, F), tape; backward(tape, grad (B, F)) -> grad_x Ragged."""

    forward: Callable[..., tuple[Any, Any]]
    backward: Callable[[Any, Any], Ragged]


def last_forward(x: Ragged, reversed_columns: slice = NO_COLUMNS) -> tuple[Any, Any]:
    """The frame visited last."""
    chosen, first, last = _edges(x)
    pooled = _zeros(x)
    pooled[chosen] = x.buffer[last]
    pooled[chosen, reversed_columns] = x.buffer[first, reversed_columns]
    return pooled, (x, reversed_columns)


def last_backward(tape: Any, grad: Any) -> Ragged:
    """The gradient goes to the frame that was taken."""
    x, reversed_columns = tape
    grad_x = _zero_frames(x, grad)
    chosen, first, last = _edges(grad_x)
    frames = grad_x.buffer
    frames[last] = grad[chosen]
    frames[last, reversed_columns] = 0
    # after the zeros: a sequence of one frame has first and last in the same row
    frames[first, reversed_columns] = grad[chosen, reversed_columns]
    return grad_x


def mean_forward(x: Ragged, reversed_columns: slice = NO_COLUMNS) -> tuple[Any, Any]:
    """The mean over all frames."""
    pooled = _zeros(x)
    for b, frames in _non_empty(x):
        pooled[b] = frames.sum(axis=0) / len(frames)
    return pooled, x


def mean_backward(tape: Any, grad: Any) -> Ragged:
    """Every frame takes an equal share of the gradient."""
    x: Ragged = tape
    shares = grad / x.lengths.clip(min=1)[:, None].astype(grad.dtype)
    return x.with_values(get_namespace(grad).repeat(shares, x.lengths, axis=0))


def max_forward(x: Ragged, reversed_columns: slice = NO_COLUMNS) -> tuple[Any, Any]:
    """The largest value of each column."""
    xp = get_namespace(x.buffer)
    pooled = _zeros(x)
    winners = xp.zeros(pooled.shape, dtype="int64")
    columns = xp.arange(pooled.shape[1])
    for b, frames in _non_empty(x):
        winners[b] = frames.argmax(axis=0)
        pooled[b] = frames[winners[b], columns]
    return pooled, (x, winners, columns)


def max_backward(tape: Any, grad: Any) -> Ragged:
    """The gradient goes to the first frame that holds the maximum."""
    x, winners, columns = tape
    grad_x = _zero_frames(x, grad)
    chosen, first, _ = _edges(grad_x)
    grad_x.buffer[winners[chosen] + first[:, None], columns] = grad[chosen]
    return grad_x


POOLINGS: Mapping[str, Pooling] = {
    "last": Pooling(last_forward, last_backward),
    "mean": Pooling(mean_forward, mean_backward),
    "max": Pooling(max_forward, max_backward),
}


def _zeros(x: Ragged) -> Any:
    """(B, F) zeros beside the data."""
    return get_namespace(x.buffer).zeros((len(x), x.n_features), dtype=x.dtype)


def _zero_frames(x: Ragged, grad: Any) -> Ragged:
    """Packed zeros of the lengths of `x` and the columns of `grad`."""
    return x.with_values(get_namespace(grad).zeros((x.n_frames, grad.shape[1]), dtype=grad.dtype))


def _edges(x: Ragged) -> tuple[Any, Any, Any]:
    """Numbers of the sequences that have frames, and the first and last row of each in the buffer."""
    chosen = x.lengths.nonzero()[0]
    first = x.starts[chosen]
    return chosen, first, first + x.lengths[chosen] - 1


def _non_empty(x: Ragged) -> Iterator[tuple[int, Any]]:
    """Number and frames, as a view, of each sequence that has any."""
    return ((b, frames) for b, frames in enumerate(x) if len(frames) > 0)
