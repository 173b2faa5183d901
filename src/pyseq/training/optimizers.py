"""Optimizers: one fused update over the flat buffers of parameters and gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseq import ops
from pyseq.layers import FlatParameters
from pyseq.training._options import name_and_options

__all__ = ["OPTIMIZERS", "SGD", "Adam", "AdamW", "Optimizer", "make_optimizer"]


class Optimizer:
    """Changes parameters in place, given their gradients.

    Parameters
    ----------
    parameters : FlatParameters
        The buffers to read gradients from and to update.
    weight_decay : float
        Strength of the L2 penalty, on every parameter.
    """

    _buffers: tuple[str, ...] = ()

    def __init__(self, parameters: FlatParameters, *, weight_decay: float = 0.0) -> None:
        self.parameters = parameters
        self.weight_decay = weight_decay
        self.n_updates = 0
        for name in self._buffers:
            setattr(self, name, np.zeros_like(parameters.values))

    def update(self, learning_rate: float, scale: float) -> None:
        """Make one step.

        Parameters
        ----------
        learning_rate : float
        scale : float
            Factor of all gradients, from clipping; applied on the way, the gradients stay as they are.
        """
        raise NotImplementedError

    def get_state(self) -> dict[str, Any]:
        """Copies of what the next update depends on besides parameters and gradients."""
        return {"n_updates": self.n_updates, **{name: getattr(self, name).copy() for name in self._buffers}}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `get_state` returned.

        Raises
        ------
        ValueError
            If it is the state of another kind of optimizer, or of another number of parameters.
        """
        if set(state) != {"n_updates", *self._buffers}:
            raise ValueError(
                f"state has {sorted(state)}, {type(self).__name__} needs {['n_updates', *self._buffers]}"
            )
        for name in self._buffers:
            buffer: NDArray[Any] = getattr(self, name)
            if state[name].shape != buffer.shape:
                raise ValueError(f"state[{name!r}] has {state[name].size} entries, expected {buffer.size}")
            buffer[:] = state[name]
        self.n_updates = int(state["n_updates"])


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015): steps scaled by running moments of the gradient.

    Parameters
    ----------
    parameters : FlatParameters
    beta1, beta2 : float, default=0.9, 0.999
        Decay of the running mean of the gradient and of its square.
    eps : float, default=1e-8
        Added to the root of the second moment.
    weight_decay : float, default=0.0
        L2 penalty: ``weight_decay * parameter`` is added to the gradient.
    """

    _buffers = ("first_moment", "second_moment")
    _decoupled = False
    first_moment: NDArray[Any]
    second_moment: NDArray[Any]

    def __init__(
        self,
        parameters: FlatParameters,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, weight_decay=weight_decay)
        self.beta1, self.beta2, self.eps = beta1, beta2, eps

    def update(self, learning_rate: float, scale: float) -> None:
        self.n_updates += 1
        ops.adam_update(
            self.parameters.values,
            self.parameters.gradients,
            self.first_moment,
            self.second_moment,
            step=self.n_updates,
            lr=learning_rate,
            beta1=self.beta1,
            beta2=self.beta2,
            eps=self.eps,
            weight_decay=self.weight_decay,
            decoupled=self._decoupled,
            scale=scale,
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019).

    A step also takes ``learning_rate * weight_decay`` of the parameters off them, whatever their gradients.
    """

    _decoupled = True


class SGD(Optimizer):
    """Stochastic gradient descent with momentum.

    Parameters
    ----------
    parameters : FlatParameters
    momentum : float, default=0.9
        Decay of the velocity.
    nesterov : bool, default=True
        Look ahead by one step of the velocity (Sutskever et al. 2013).
    weight_decay : float, default=0.0
        L2 penalty: ``weight_decay * parameter`` is added to the gradient.
    """

    _buffers = ("velocity",)
    velocity: NDArray[Any]

    def __init__(
        self,
        parameters: FlatParameters,
        *,
        momentum: float = 0.9,
        nesterov: bool = True,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, weight_decay=weight_decay)
        self.momentum, self.nesterov = momentum, nesterov

    def update(self, learning_rate: float, scale: float) -> None:
        self.n_updates += 1
        ops.sgd_update(
            self.parameters.values,
            self.parameters.gradients,
            self.velocity,
            lr=learning_rate,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            scale=scale,
        )


OPTIMIZERS: dict[str, type[Optimizer]] = {"adam": Adam, "adamw": AdamW, "sgd": SGD}


def make_optimizer(
    solver: str | tuple[str, Mapping[str, Any]], parameters: FlatParameters, *, weight_decay: float
) -> Optimizer:
    """The optimizer that a `solver` parameter means.

    Parameters
    ----------
    solver : str or (str, dict)
        A name in `OPTIMIZERS`, or a name and its options.
    parameters : FlatParameters
    weight_decay : float

    Raises
    ------
    ValueError
        If the name or an option is unknown.
    """
    name, options = name_and_options(solver, "solver")
    if name not in OPTIMIZERS:
        raise ValueError(f"solver is {name!r}, expected one of {sorted(OPTIMIZERS)}")
    try:
        return OPTIMIZERS[name](parameters, weight_decay=weight_decay, **options)
    except TypeError as error:
        raise ValueError(f"solver={name!r} does not take the options {dict(options)!r}: {error}") from error
