"""The network of a generator, by what its sequences are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone

from pyseq.estimators._alphabets import Alphabet
from pyseq.estimators._values import RealValues
from pyseq.training.densities import GaussianMixture
from pyseq.training.language import DensityNetwork, LanguageNetwork

__all__ = ["density_of", "new_network"]


def new_network(
    estimator: Any, alphabet: Alphabet, n_context: int, rng: np.random.Generator
) -> LanguageNetwork | DensityNetwork:
    """The network that the settings of a `SequenceGenerator` ask for.

    Raises
    ------
    ValueError
        If the encoder takes tokens, or cannot run frame by frame, as generation does.
    """
    encoder = clone(estimator._encoder())
    if encoder.takes_tokens:
        raise ValueError(
            f"encoder {encoder!r} takes tokens, expected one without an Embedding: it is built in"
        )
    common: dict[str, Any] = {
        "n_context": n_context,
        "carry": estimator.carry_state,
        "dtype": estimator.dtype,
        "rng": rng,
    }
    network: LanguageNetwork | DensityNetwork
    if isinstance(alphabet, RealValues):
        density = density_of(estimator, alphabet)
        network = DensityNetwork(encoder, density, alphabet.standardisation, **common)
    else:
        network = LanguageNetwork(
            encoder,
            len(alphabet.all) + 1,
            embedding_dim=int(estimator.embedding_dim),
            tie_weights=estimator.tie_weights,
            **common,
        )
    network.stream(1, np.zeros((1, n_context)) if n_context else None)  # better now than after training
    return network


def density_of(estimator: Any, values: RealValues) -> GaussianMixture:
    """Of the next frame."""
    n_components = 1 if estimator.values == "gaussian" else int(estimator.n_components)
    return GaussianMixture(n_components, values.n_values)
