"""What every layer is, and the one buffer in which a network keeps its parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from pyseq.layers.arrays import get_namespace
from pyseq.layers.carrying import behind_past, last_frames, with_frames_before, without_frames_before
from pyseq.layers.initialisers import as_generator
from pyseq.layers.streaming import LayerStream
from pyseq.ops import Stream
from pyseq.ragged import Ragged

LayerT = TypeVar("LayerT", bound="Layer")

DTYPES = ("float32", "float64")


class Layer(BaseEstimator):
    """A function of ragged sequences with parameters: `forward`, `backward`, and the settings to make it.

    A subclass stores its settings in `__init__`, declares them in `_parameter_constraints`, and
    implements `_initial_parameters`, `forward` and `backward`. Neither pass leaves anything on the
    layer: what `backward` needs travels in the tape, so that many threads may call `forward` at once.

    Attributes
    ----------
    n_features_in_, n_features_out_ : int
        Columns of the sequences that come in and go out. Set by `build`, as are all below.
    parameters_ : dict of str to ndarray
        The weights by name.
    gradients_ : dict of str to ndarray
        Sums of gradients by name; present after `zero_gradients` or once bound by `FlatParameters`.
    reversed_columns_ : slice
        Columns of the output that run backwards in time, where the last visited frame is frame 0.
    """

    takes_tokens: ClassVar[bool] = False
    """Whether a frame is one integer token; such a layer comes first and has no gradient to pass down."""

    keeps_columns: ClassVar[bool] = False
    """Whether column j of the output depends on column j of the input alone, in the same frame."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {}

    parameters_: dict[str, NDArray[Any]]
    gradients_: dict[str, NDArray[Any]]
    n_features_in_: int
    n_features_out_: int
    reversed_columns_: slice

    def build(self: LayerT, n_features: int, *, dtype: str = "float32", random_state: Any = None) -> LayerT:
        """Check the settings and make the parameters.

        Parameters
        ----------
        n_features : int
            Columns of the sequences to come.
        dtype : {"float32", "float64"}
            Type of the parameters, and of the data that `forward` will take.
        random_state : int, Generator, RandomState or None
            Source of the initial weights.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a setting is out of range.
        MemoryError
            If the parameters are larger than memory, or than any address.
        """
        self._validate_params()
        n_features = check_positive_int(n_features, "n_features")
        dtype = check_dtype(dtype)
        try:
            n_out, parameters = self._initial_parameters(n_features, as_generator(random_state))
        except MemoryError as error:
            raise MemoryError(f"not enough memory for the parameters of {self!r}: {error}") from error
        self.parameters_ = {name: value.astype(dtype) for name, value in parameters.items()}
        self.n_features_in_, self.n_features_out_ = n_features, n_out
        self.reversed_columns_ = self._reversed_columns()
        self.__dict__.pop("gradients_", None)
        return self

    def forward(
        self, x: Ragged, *, training: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Ragged, Any]:
        """Apply the layer.

        Parameters
        ----------
        x : Ragged of (T_i, n_features_in_)
            Sequences in the dtype of the parameters.
        training : bool
            Keep what `backward` needs, and apply dropout.
        rng : Generator or None
            Source of dropout masks; needed when training with dropout.

        Returns
        -------
        y : Ragged of (T_i, n_features_out_)
        tape : object
            To be handed to `backward`, once; None unless `training`.
        """
        raise NotImplementedError

    def forward_carrying(
        self, x: Ragged, state: Any, *, training: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Ragged, Any, Any]:
        """Apply the layer to sequences that go on, as with truncated backpropagation through time.

        Parameters
        ----------
        x, training, rng
            As in `forward`.
        state : object
            What came back for the frames before, or None at the start. Its arrays have a row for each
            sequence.

        Returns
        -------
        y : Ragged
            As from `forward`.
        tape : object
            For `backward_carrying`.
        state : object
            To go on from; None if the layer keeps none. A layer with a `receptive_field` keeps the input
            frames that it still needs.
        """
        reach = (self.receptive_field or 1) - 1
        if reach == 0:
            y, tape = self.forward(x, training=training, rng=rng)
            return y, tape, None
        x, before = behind_past(x, state)
        y, tape = self.forward(x, training=training, rng=rng)
        return without_frames_before(y, before), (tape, before), last_frames(x, reach)

    def backward_carrying(self, tape: Any, grad: Ragged, *, need_grad_x: bool = True) -> Ragged | None:
        """As `backward`, for a tape of `forward_carrying`; no gradient goes back into the state."""
        if self.receptive_field in (None, 1):
            return self.backward(tape, grad, need_grad_x=need_grad_x)
        inner, before = tape
        grad_x = self.backward(inner, with_frames_before(grad, before), need_grad_x=need_grad_x)
        return None if grad_x is None else without_frames_before(grad_x, before)

    def backward(self, tape: Any, grad: Ragged, *, need_grad_x: bool = True) -> Ragged | None:
        """Add the gradients of the parameters to `gradients_` and return the gradient of the input.

        Parameters
        ----------
        tape : object
            From `forward(x, training=True)`; good for one call, which may use up its memory.
        grad : Ragged of (T_i, n_features_out_)
            Gradient of the loss by the output.
        need_grad_x : bool
            False saves the work for the gradient of the input.

        Returns
        -------
        grad_x : Ragged of (T_i, n_features_in_), or None if not needed
        """
        raise NotImplementedError

    def add_stages(self, stream: Stream, frame: int) -> int:
        """Add to a stream what `forward` does without training, frame by frame.

        Parameters
        ----------
        stream : Stream
            Of the layer's dtype.
        frame : int
            Number of the frame that is the input.

        Returns
        -------
        int
            Number of the frame that is the output.

        Raises
        ------
        ValueError
            If an output needs frames that come later.
        """
        raise ValueError(f"{self!r} cannot run frame by frame")

    def stream(self, n_streams: int = 1) -> LayerStream:
        """A copy of the layer that takes sequences frame by frame, as they come.

        It has the precision that is in force now, and keeps it. In "medium" it reads half as much memory
        for a frame: see :func:`pyseq.set_config`.

        Parameters
        ----------
        n_streams : int
            Sequences side by side.

        Raises
        ------
        ValueError
            If an output needs frames that come later, as with a bidirectional layer.

        Examples
        --------
        >>> import numpy as np
        >>> from pyseq.layers import GRU
        >>> stream = GRU(4).build(2, random_state=0).stream()
        >>> stream.step([0.5, -1.0]).shape
        (4,)
        """
        self._built("n_features_in_")
        return LayerStream(self, check_positive_int(n_streams, "n_streams"))

    def named_parameters(self) -> Iterator[tuple[str, Layer, str]]:
        """Yield (full name, layer that owns the parameter, its name there)."""
        for name in self._built("parameters_"):
            yield name, self, name

    @property
    def receptive_field(self) -> int | None:
        """Frames, from first to last, that a frame of the output sees; None where that has no bound."""
        return None

    @property
    def n_parameters(self) -> int:
        """Number of trainable numbers."""
        return sum(layer.parameters_[name].size for _, layer, name in self.named_parameters())

    def zero_gradients(self) -> None:
        """Set the gradients to zero, making them if there are none."""
        if hasattr(self, "gradients_"):
            for gradient in self.gradients_.values():
                gradient[...] = 0
        else:
            parameters = self._built("parameters_")
            self.gradients_ = {name: get_namespace(p).zeros_like(p) for name, p in parameters.items()}

    def __getstate__(self) -> dict[str, Any]:
        # gradients belong to a fit in progress; copies and pickles hold the weights alone
        return {key: value for key, value in super().__getstate__().items() if key != "gradients_"}

    def _initial_parameters(
        self, n_features: int, rng: np.random.Generator
    ) -> tuple[int, dict[str, NDArray[np.float64]]]:
        """Columns of the output, and the initial parameters in float64."""
        raise NotImplementedError

    def _reversed_columns(self) -> slice:
        return slice(0, 0)

    def _add_gradient(self, name: str, gradient: Any) -> None:
        if not hasattr(self, "gradients_"):
            raise AttributeError(
                f"{type(self).__name__} has no gradients to add to: call zero_gradients() before backward()"
            )
        self.gradients_[name] += gradient

    def _add_gradients(self, gradients: Mapping[str, Any]) -> None:
        for name, gradient in gradients.items():
            self._add_gradient(name, gradient)

    def _built(self, attribute: str) -> Any:
        """An attribute that `build` sets."""
        try:
            return self.__dict__[attribute]
        except KeyError:
            raise NotFittedError(
                f"{type(self).__name__} is not built yet: call build(n_features) first"
            ) from None


class FlatParameters:
    """All parameters of a network in one flat array, and all its gradients in another.

    The entries of `parameters_` and `gradients_` of every layer become views of the two, so that
    clipping and the optimizer's update are one pass each. A copy or a pickle of the layers has arrays
    of its own again.

    Parameters
    ----------
    layers : Layer, or sequence of Layer
        Built layers of one dtype. The names of a sequence's parameters begin with the layer's position.

    Attributes
    ----------
    values, gradients : ndarray of shape (n_parameters,)
    names : list of str
        In the order of the buffer.
    slices : dict of str to slice
        Where in the buffer each parameter lies.

    Raises
    ------
    ValueError
        If the layers have different dtypes, or one of them occurs twice.
    """

    def __init__(self, layers: Layer | Sequence[Layer]) -> None:
        entries = list(_named_parameters_of(layers))
        arrays = [layer.parameters_[name] for _, layer, name in entries]
        _check_entries(entries, arrays)
        self.names = [full_name for full_name, _, _ in entries]
        dtype = arrays[0].dtype if arrays else np.dtype("float32")
        xp = get_namespace(arrays[0]) if arrays else np
        self.values = xp.empty(sum(array.size for array in arrays), dtype=dtype)
        self.gradients = xp.zeros_like(self.values)

        self.slices: dict[str, slice] = {}
        begin = 0
        for (full_name, layer, name), array in zip(entries, arrays, strict=True):
            part = slice(begin, begin + array.size)
            begin = part.stop
            self.slices[full_name] = part
            self.values[part] = array.ravel()
            layer.parameters_[name] = self.values[part].reshape(array.shape)
            layer.__dict__.setdefault("gradients_", {})[name] = self.gradients[part].reshape(array.shape)

    @property
    def n_parameters(self) -> int:
        """Number of trainable numbers."""
        return int(self.values.size)

    def zero_gradients(self) -> None:
        """Set all gradients to zero."""
        self.gradients[...] = 0


def _named_parameters_of(layers: Layer | Sequence[Layer]) -> Iterator[tuple[str, Layer, str]]:
    if isinstance(layers, Layer):
        yield from layers.named_parameters()
        return
    for position, layer in enumerate(layers):
        for full_name, owner, name in layer.named_parameters():
            yield f"{position}.{full_name}", owner, name


def _check_entries(entries: list[tuple[str, Layer, str]], arrays: list[NDArray[Any]]) -> None:
    seen: dict[tuple[int, str], str] = {}
    for (full_name, layer, name), array in zip(entries, arrays, strict=True):
        first = seen.setdefault((id(layer), name), full_name)
        if first != full_name:
            raise ValueError(f"layers: {full_name} is the parameter {first} again; a layer may occur once")
        if array.dtype != arrays[0].dtype:
            raise ValueError(
                f"layers: {full_name} is {array.dtype}, but {entries[0][0]} is {arrays[0].dtype}"
            )


def check_positive_int(value: Any, name: str) -> int:
    """`value` as an int, or a ValueError that names it."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} must be a positive int, got {value!r}")
    return int(value)


def check_dtype(dtype: Any) -> str:
    """The name of one of the two dtypes of parameters, or a ValueError."""
    try:
        name = str(np.dtype(dtype).name)
    except TypeError:
        name = ""
    if name not in DTYPES:
        raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
    return name
