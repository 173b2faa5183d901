"""A network one frame at a time: stages in a row, each with what it needs of the past."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseq import _core
from pyseq._config import get_config, precision_code
from pyseq.ops.cells import CELLS, extra_rows

__all__ = ["Stream"]

_ELEMENTWISE = {"relu": 0, "tanh": 1, "sigmoid": 2}
_BOUND = {"float32": _core.Stream32, "float64": _core.Stream64}


class Stream:
    """Frames in, frames out, with constant work and memory a frame.

    Stages are added in the order they run in. Each reads the frame of an earlier one, says which by its
    number, and returns the number of its own; 0 is the input. Results are those of the whole-sequence ops to
    the bit, on the same tier and in the same precision. A stage has the precision in force when it is added.

    In "medium", convolutions and dense stages of float32 keep their weights in bfloat16, on every processor:
    half the memory to read for a frame. Frames and sums stay float32, so results are nearer to "highest" than
    those of the whole-sequence ops in "medium", and are not their bits. They are the same for any number of
    rows and any chunks.

    Parameters
    ----------
    rows : int
        Streams side by side; each has a row in every frame and a past of its own.
    inputs : int
        Columns of the input.
    dtype : {"float32", "float64"}

    Examples
    --------
    >>> import numpy as np
    >>> from pyseq.ops import Stream
    >>> stream = Stream(rows=1, inputs=1)
    >>> out = stream.convolution(0, np.ones((1, 1, 2), dtype="float32"))
    >>> stream.push(np.array([[[1.0]], [[2.0]], [[4.0]]], dtype="float32"), out).ravel()
    array([1., 3., 6.], dtype=float32)
    """

    def __init__(self, rows: int, inputs: int, dtype: str = "float32") -> None:
        self.rows, self.inputs, self.dtype = rows, inputs, np.dtype(dtype)
        self._native = _BOUND[self.dtype.name](rows, inputs)

    def width(self, frame: int) -> int:
        """Columns of a frame."""
        return int(self._native.width(frame))

    @property
    def n_frames(self) -> int:
        """Frames taken since the start."""
        return int(self._native.frames())

    def embedding(self, frame: int, weight: NDArray[Any]) -> int:
        """Rows of `weight` (vocabulary, dim), by the token in column 0."""
        return int(self._native.embedding(frame, self._array(weight)))

    def convolution(
        self,
        frame: int,
        weight: NDArray[Any],
        bias: NDArray[Any] | None = None,
        *,
        dilation: int = 1,
        brief: bool | None = None,
    ) -> int:
        """As `causal_conv1d`, with `weight` (outputs, inputs, taps) and `bias` (outputs,).

        `brief` keeps the weights in bfloat16: half the memory to read, relative error 2e-3 a weight. None:
        where the precision in force is "medium".
        """
        if brief is None:
            brief = get_config()["precision"] == "medium"
        bias = None if bias is None else self._array(bias)
        return int(self._native.convolution(frame, self._array(weight), bias, dilation, brief))

    def dense(
        self, frame: int, weight: NDArray[Any], bias: NDArray[Any] | None = None, *, brief: bool | None = None
    ) -> int:
        """An affine layer: `weight` (outputs, inputs), `bias` (outputs,); `brief` as in `convolution`."""
        return self.convolution(frame, self._array(weight)[:, :, np.newaxis], bias, brief=brief)

    def recurrent(
        self,
        frame: int,
        cell: str,
        weights: Any,
        *,
        zoneout_h: NDArray[Any] | None = None,
        zoneout_c: NDArray[Any] | None = None,
    ) -> int:
        """A recurrent layer, from the state of zeros on; arguments as `rnn_forward` takes them.

        `zoneout_h` and `zoneout_c` are one rate for each unit.

        Behind an `embedding`, what each token adds is computed once and then looked up, where that fits in
        8 MB: a token then reads the recurrent weights alone.
        """
        info = CELLS[cell]
        named: Any = info.weights(*map(self._array, weights))
        w_ih, w_hh, b_ih, b_hh = named[:4]
        output = w_hh.shape[1] if info.recurrent_gates else len(w_ih) // info.gates
        extra = extra_rows(named, info)
        precision = precision_code()
        rates = (None if rate is None else self._array(rate) for rate in (zoneout_h, zoneout_c))
        return int(
            self._native.recurrent(frame, info.code, precision, output, w_ih, w_hh, b_ih, b_hh, extra, *rates)
        )

    def elementwise(self, frame: int, function: str) -> int:
        """ "relu", "tanh" or "sigmoid" of every number."""
        return int(self._native.elementwise(frame, _ELEMENTWISE[function]))

    def gate(self, frame: int) -> int:
        """tanh of the first half of the columns times the sigmoid of the second."""
        return int(self._native.gate(frame))

    def add(self, a: int, b: int) -> int:
        """The sum of two frames."""
        return int(self._native.add(a, b))

    def join(self, a: int, b: int) -> int:
        """Two frames side by side."""
        return int(self._native.join(a, b))

    def part(self, frame: int, first: int, width: int) -> int:
        """`width` columns of a frame, from `first` on."""
        return int(self._native.part(frame, first, width))

    def affine(self, frame: int, offset: NDArray[Any], scale: NDArray[Any]) -> int:
        """``(x - offset) * scale``, column by column."""
        return int(self._native.affine(frame, self._array(offset), self._array(scale)))

    def constant(self, values: NDArray[Any]) -> int:
        """A frame that is always `values` (rows, columns)."""
        return int(self._native.constant(self._array(values)))

    def reset(self) -> None:
        """Forget the past."""
        self._native.reset()

    def push(self, x: NDArray[Any], frame: int) -> NDArray[Any]:
        """Take frames and return what `frame` is at each of them.

        Parameters
        ----------
        x : array of shape (T, rows, inputs)
        frame : int
            Number of the frame to return.

        Returns
        -------
        array of shape (T, rows, width(frame))
        """
        if x.ndim != 3 or x.shape[1:] != (self.rows, self.inputs):
            raise ValueError(f"x has shape {x.shape}, expected (frames, {self.rows}, {self.inputs})")
        y: NDArray[Any] = self._native.push(self._array(x), frame)
        return y

    def generate(
        self,
        prompt: NDArray[np.int64],
        uniforms: NDArray[np.float64],
        frame: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        stops: Any = (),
    ) -> NDArray[np.int64]:
        """Feed a prompt, then draw tokens from the softmax of `frame`, each of them the next input.

        Parameters
        ----------
        prompt : array of shape (rows, n), n >= 1, int64
            Tokens; the last is the input that the first draw follows.
        uniforms : array of shape (length, rows), float64 in [0, 1)
            What the draws are decided by.
        frame : int
            Number of the frame that holds logits.
        temperature : float
            Divides the logits; above 0.
        top_k : int, optional
            Draw from the most probable so many.
        top_p : float in (0, 1], optional
            Draw from the fewest most probable that hold so much of the probability (Holtzman et al. 2020).
        stops : integers
            A row that has drawn one of these is done.

        Returns
        -------
        array of shape (rows, length), int64
            -1 behind a row's stop.
        """
        return np.asarray(
            self._native.generate(
                np.ascontiguousarray(prompt, dtype=np.int64),
                np.ascontiguousarray(uniforms, dtype=np.float64),
                np.asarray(stops, dtype=np.int64).reshape(-1),
                frame,
                float(temperature),
                int(top_k or 0),
                1.0 if top_p is None else float(top_p),
            )
        )

    def generate_values(
        self,
        prompt: NDArray[Any],
        noise: NDArray[np.float64],
        frame: int,
        *,
        n_components: int,
        least_scale: float = 0.0,
        temperature: float = 1.0,
        limits: Any = (-np.inf, np.inf),
    ) -> NDArray[Any]:
        """Feed a prompt, then draw numbers from the mixture of Gaussians in `frame`, each the next input.

        ``p(x) = sum_k softmax(a)_k prod_d N(x_d; m_kd, (exp(u_kd) + least_scale)^2)``. The columns of `frame`
        are a (n_components,), which is missing where there is one component, m and u (n_components, inputs).

        Parameters
        ----------
        prompt : array of shape (n, rows, inputs), n >= 1
            Frames; the last is the input that the first draw follows.
        noise : array of shape (length, rows, 1 + inputs), float64
            What the draws are decided by: a number in [0, 1) that chooses the component, and standard normal
            ones.
        frame : int
            Number of the frame that holds the mixture.
        n_components : int
        least_scale : float
        temperature : float
            Divides the logits a and multiplies the variances; above 0.
        limits : pair of numbers, or of arrays of shape (inputs,)
            Numbers drawn below the first or above the second count as these.

        Returns
        -------
        array of shape (rows, length, inputs)
        """
        low, high = (np.array(np.broadcast_to(limit, self.inputs), dtype=np.float64) for limit in limits)
        return np.asarray(
            self._native.generate_values(
                self._array(prompt),
                np.ascontiguousarray(noise, dtype=np.float64),
                frame,
                n_components,
                least_scale,
                float(temperature),
                low,
                high,
            )
        )

    def _array(self, a: Any) -> NDArray[Any]:
        return np.ascontiguousarray(a, dtype=self.dtype)
