"""Drawing sequences from the network of a generator: in one native loop, or frame by frame for a callback."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from pyseq.estimators._corpus import at_least_one
from pyseq.layers import Chain, Layer, Memoryless
from pyseq.training.densities import LEAST_SCALE
from pyseq.training.language import DensityNetwork, LanguageNetwork

__all__ = ["check_choice", "check_prompt", "draw_symbols", "draw_values"]

Callback = Callable[[Any], Any]


def check_choice(temperature: Any, top_k: Any, top_p: Any) -> None:
    """Raise a ValueError if one of them is out of range."""
    if not (np.isreal(temperature) and 0 < temperature < np.inf):
        raise ValueError(f"temperature is {temperature!r}, expected a finite number above 0")
    if top_k is not None:
        at_least_one(top_k, "top_k")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p!r}, expected a number in (0, 1]")


def check_prompt(n: int, encoder: Layer) -> None:
    """Raise a ValueError if a network of a fixed window cannot see all of a prompt."""
    window = _window(encoder)
    if window is not None and n > window:
        raise ValueError(
            f"prompt has {n} symbols, expected at most {window}, the window of {encoder!r}: what is before "
            f"that has no say in what follows; pass prompt[-{window}:]"
        )


def _window(encoder: Layer) -> int | None:
    """Of `Memoryless`, if that is all that looks back."""
    layers = list(encoder.layers) if isinstance(encoder, Chain) else [encoder]
    looking_back = [layer for layer in layers if layer.receptive_field != 1]
    if len(looking_back) == 1 and isinstance(looking_back[0], Memoryless):
        return int(looking_back[0].window)
    return None


def draw_symbols(
    network: LanguageNetwork,
    begin: NDArray[np.int64],
    n_samples: int,
    length: int,
    *,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    stops: Sequence[int],
    end: int,
    context: NDArray[Any] | None,
    random_state: Any,
    hear: Callback | None,
) -> NDArray[np.int64]:
    """Tokens (n_samples, length) that go on from `begin`; -1 behind a stop.

    `hear` is called with the tokens of all samples as they come, -1 for those that have ended.
    """
    stream, logits = network.stream(n_samples, context)
    uniforms = check_random_state(random_state).random_sample((length, n_samples))
    draw = partial(
        stream.generate, frame=logits, temperature=temperature, top_k=top_k, top_p=top_p, stops=stops
    )
    prompt = np.tile(begin, (n_samples, 1))
    if hear is None:
        return draw(prompt, uniforms)
    drawn = np.full((n_samples, length), -1, dtype=np.int64)
    done = np.zeros(n_samples, dtype=bool)
    for i, u in enumerate(uniforms):
        column = draw(prompt, u[np.newaxis])[:, 0]
        drawn[~done, i] = column[~done]
        said = np.where(done | (column == end), -1, column)
        if (said >= 0).any():
            hear(said)
        done |= np.isin(column, stops)
        if done.all():
            break
        prompt = column[:, np.newaxis]
    return drawn


def draw_values(
    network: DensityNetwork,
    begin: NDArray[Any],
    n_samples: int,
    length: int,
    *,
    limits: Any,
    temperature: float,
    context: NDArray[Any] | None,
    random_state: Any,
    hear: Callback | None,
) -> NDArray[Any]:
    """Standardised frames (n_samples, length, n_values) that go on from `begin` (n, n_values).

    `hear` is called with the frames (n_samples, n_values) as they come.
    """
    density = network.density
    stream, frame = network.stream(n_samples, context)
    random = check_random_state(random_state)
    noise = np.empty((length, n_samples, 1 + density.n_values))
    noise[:, :, 0] = random.random_sample((length, n_samples))
    noise[:, :, 1:] = random.standard_normal((length, n_samples, density.n_values))
    draw = partial(
        stream.generate_values,
        frame=frame,
        n_components=density.n_components,
        least_scale=LEAST_SCALE,
        temperature=temperature,
        limits=limits,
    )
    prompt = np.repeat(begin[:, np.newaxis], n_samples, axis=1)
    if hear is None:
        return draw(prompt, noise)
    drawn = np.empty((n_samples, length, density.n_values), dtype=begin.dtype)
    for i, row in enumerate(noise):
        drawn[:, i] = draw(prompt, row[np.newaxis])[:, 0]
        hear(drawn[:, i])
        prompt = drawn[np.newaxis, :, i]
    return drawn
