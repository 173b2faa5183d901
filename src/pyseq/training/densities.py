"""Densities of real numbers that a network's outputs stand for."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyseq.layers.arrays import get_namespace
from pyseq.training.losses import LossValue

__all__ = ["LEAST_SCALE", "GaussianMixture"]

Array = NDArray[Any]

# Of a component, in units of the standardised data. A recorded value repeats to the last digit, and a density
# could grow without bound on it; with this bound, float32 holds every term of the loss.
LEAST_SCALE = 1e-3


class _Parts(NamedTuple):
    """What a row of outputs says, and how the values lie in it."""

    log_weights: Array  # (B, K)
    deviations: Array  # (B, K, D), in scales
    scales: Array  # (B, K, D)
    joint: Array  # (B, K): log of weight times density


class GaussianMixture(NamedTuple):
    """A mixture of Gaussians with diagonal covariances for each row, whose numbers are the row's outputs.

    ``p(x) = sum_k softmax(a)_k prod_d N(x_d; m_kd, s_kd^2)`` with ``s = exp(u) + LEAST_SCALE``
    (Bishop 1994). The columns are a (n_components,), which is missing where there is one component,
    m (n_components, n_values) and u of the same shape.

    Parameters
    ----------
    n_components : int
    n_values : int
        Numbers of a value.

    Examples
    --------
    >>> density = GaussianMixture(n_components=1, n_values=1)
    >>> density.log_likelihoods(np.zeros((1, 2)), np.zeros((1, 1))).round(2)
    array([-0.92])
    """

    n_components: int
    n_values: int

    @property
    def n_outputs(self) -> int:
        """Columns of a row of outputs."""
        return (self.n_components if self.n_components > 1 else 0) + 2 * self.n_components * self.n_values

    def initial_bias(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Outputs to begin with: equal weights, means drawn from N(0, 1) if there are several, scales 1."""
        bias = np.zeros(self.n_outputs)
        if self.n_components > 1:
            k, n = self.n_components, self.n_components * self.n_values
            bias[k : k + n] = rng.standard_normal(n)
        return bias

    def log_likelihoods(self, outputs: Array, values: Array) -> NDArray[np.float64]:
        """log p(x_b) for each row b.

        Parameters
        ----------
        outputs : ndarray of shape (B, n_outputs), float32 or float64
        values : ndarray of shape (B, n_values)
        """
        joint = self._parts(outputs, values).joint
        largest = joint.max(axis=1, keepdims=True)
        sums = np.log(np.exp(joint - largest).sum(axis=1, dtype=np.float64))
        result: NDArray[np.float64] = largest[:, 0].astype(np.float64) + sums
        return result

    def loss(self, outputs: Array, values: Array) -> LossValue:
        """Mean of -log p(x_b), and its gradient by the outputs.

        With the responsibilities ``r_k = softmax_k(log weight_k density_k)`` and ``e = (x - m) / s``, the
        gradient is ``softmax(a) - r`` by a, ``-r e / s`` by m, and ``r (1 - e^2) exp(u) / s`` by u.

        Parameters
        ----------
        outputs, values : as in `log_likelihoods`

        Returns
        -------
        LossValue
            The loss summed in float64; the gradient in the dtype of the outputs.
        """
        xp = get_namespace(outputs)
        n, k = len(outputs), self.n_components
        parts = self._parts(outputs, values)
        largest = parts.joint.max(axis=1, keepdims=True)
        powers = xp.exp(parts.joint - largest)
        total = powers.sum(axis=1, keepdims=True)
        losses = -(largest + xp.log(total)).astype(np.float64)
        shares = powers / total
        shares *= 1.0 / n
        gradient = xp.empty_like(outputs)
        by_component = shares[:, :, np.newaxis]
        by_mean = -by_component * parts.deviations / parts.scales
        by_log = by_component * (1 - parts.deviations**2) * (1 - LEAST_SCALE / parts.scales)
        first = k if k > 1 else 0
        if k > 1:
            gradient[:, :k] = xp.exp(parts.log_weights) / n - shares
        gradient[:, first:] = xp.concatenate([by_mean.reshape(n, -1), by_log.reshape(n, -1)], axis=1)
        return LossValue(float(losses.sum()) / n, gradient, n)

    def _parts(self, outputs: Array, values: Array) -> _Parts:
        xp = get_namespace(outputs)
        n, k, d = len(outputs), self.n_components, self.n_values
        first = k if k > 1 else 0
        log_weights = xp.zeros((n, 1), dtype=outputs.dtype)
        if k > 1:
            shifted = outputs[:, :k] - outputs[:, :k].max(axis=1, keepdims=True)
            log_weights = shifted - xp.log(xp.exp(shifted).sum(axis=1, keepdims=True))
        means = outputs[:, first : first + k * d].reshape(n, k, d)
        scales = xp.exp(outputs[:, first + k * d :].reshape(n, k, d)) + outputs.dtype.type(LEAST_SCALE)
        deviations = (values[:, np.newaxis, :] - means) / scales
        logs = xp.log(scales) + deviations**2 / 2
        joint = log_weights - logs.sum(axis=2) - outputs.dtype.type(d * math.log(2 * math.pi) / 2)
        return _Parts(log_weights, deviations, scales, joint)
