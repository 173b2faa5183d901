"""Settings of the calling thread, as scikit-learn keeps its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pyseq import _core

__all__ = ["config_context", "get_config", "precision_code", "set_config"]

_CODES = {name: code for code, name in enumerate(_core.PRECISIONS)}


class _Settings(threading.local):
    precision = "highest"
    code = _CODES["highest"]


_settings = _Settings()


def precision_code() -> int:
    """The precision in force in this thread, as kernels number them."""
    return _settings.code


def get_config() -> dict[str, str]:
    """The settings in force in the calling thread.

    Returns
    -------
    dict
        A copy; "precision" is its one key.

    Examples
    --------
    >>> import pyseq
    >>> pyseq.get_config()
    {'precision': 'highest'}
    """
    return {"precision": _settings.precision}


def set_config(*, precision: str | None = None) -> None:
    """Change settings for the calling thread, from now on.

    Every thread starts with the defaults, whatever other threads have set.

    Parameters
    ----------
    precision : {"highest", "high", "medium"}, optional
        How exact the products of recurrent layers and convolutions on float32 data must be; unchanged if
        None. It is a permission: kernels may be more exact, and are where that is not slower.
        `ops.runtime.native_precisions()` names those that differ on this machine.

        - "highest", the default: float32 operands. Relative error near 1e-6.
        - "high": operands as the sum of two bfloat16 numbers, three products (bf16x3). Relative error near
          7e-6. It needs a matrix unit (AMX) and at least 64 units. With vector instructions, three products
          of bfloat16 take longer than one of float32 and are less exact.
        - "medium": bfloat16 operands. Relative error near 3e-3. It needs AVX512-BF16 and at least 48 units
          (up to 1.8 times as fast), or AMX and at least 64.

        The lower two serve the cells elman, elman_relu, elman_leaky, lstm, lstm_peephole, lstm_coupled and
        gru, and convolutions of at least 24 channels in and out, "high" where there is AMX, "medium" with AMX
        or AVX512-BF16; for all else they mean "highest". In all of them sums, biases, gates and states are
        float32, float64 data stay float64, and results do not depend on batch, padding or threads. A backward
        pass is as precise as its forward pass was.

        Streams (`Layer.stream`, `SequenceGenerator.generate`) have the precision in force when they are made.
        In "medium" they also keep the float32 weights of all convolutions and dense layers in bfloat16, on
        every processor, and multiply them with float32 frames: half the memory to read for a frame.

    Raises
    ------
    ValueError
        If `precision` is none of these.

    See Also
    --------
    config_context : the same for a block of code.
    """
    if precision is None:
        return
    if not isinstance(precision, str) or precision not in _CODES:
        names = ", ".join(repr(name) for name in _CODES)
        raise ValueError(f"precision is {precision!r}, expected one of {names}")
    _settings.precision, _settings.code = precision, _CODES[precision]


@contextmanager
def config_context(*, precision: str | None = None) -> Iterator[None]:
    """Settings of the calling thread for a `with` block; afterwards those from before hold again.

    Parameters
    ----------
    precision : {"highest", "high", "medium"}, optional
        As for `set_config`.

    Raises
    ------
    ValueError
        As `set_config`.

    Examples
    --------
    >>> import pyseq
    >>> with pyseq.config_context(precision="medium"):
    ...     pyseq.get_config()["precision"]
    'medium'
    >>> pyseq.get_config()["precision"]
    'highest'
    """
    before = get_config()
    set_config(precision=precision)
    try:
        yield
    finally:
        set_config(**before)
