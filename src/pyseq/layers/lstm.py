"""Long short-term memory and its relatives."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from pyseq.layers.recurrent import RecurrentLayer


class LSTM(RecurrentLayer):
    """Long short-term memory   (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

    Gates in the order i f g o:  c' = f * c + i * g,  h' = o * tanh(c').

    Parameters
    ----------
    hidden_size : int
        Units H of each direction; the output has H columns, or 2H where bidirectional.
    num_layers : int
        Layers stacked on each other.
    bidirectional : bool
        Scan time in both directions, side by side.
    dropout : float
        Rate of dropout between stacked layers, in [0, 1).
    recurrent_dropout : float
        Rate of dropout of h in the recurrent product, one mask for all frames of a sequence, in [0, 1)
        (Gal & Ghahramani 2016).
    zoneout : float
        Probability of a unit of h to stay as it was for a frame, in [0, 1); its expectation at inference
        (Krueger et al. 2017).
    zoneout_cell : float
        Likewise for c.

    Notes
    -----
    Input weights begin Glorot-uniform and recurrent weights orthogonal, gate by gate; biases 0, but 1
    for the forget gate (in `bias_ih`).

    Examples
    --------
    >>> from pyseq.layers import LSTM
    >>> LSTM(64, bidirectional=True)
    LSTM(bidirectional=True, hidden_size=64)
    >>> LSTM(64, bidirectional=True).build(12, random_state=0).n_features_out_
    128
    """

    def __init__(
        self,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        zoneout_cell: float = 0.0,
    ) -> None:
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.zoneout = zoneout
        self.zoneout_cell = zoneout_cell

    def _cell(self) -> str:
        return "lstm"

    def _initial_bias(self, bias_ih: NDArray[np.float64]) -> None:
        bias_ih[self.hidden_size : 2 * self.hidden_size] = 1.0


class PeepholeLSTM(LSTM):
    """LSTM whose gates see the cell state: i and f the old one, o the new   (Gers & Schmidhuber 2000).

    i = sigmoid(a_i + p_i * c),  f = sigmoid(a_f + p_f * c),  o = sigmoid(a_o + p_o * c').

    Parameters as of `LSTM`. `peephole_l{l}` (3, H) holds p_i, p_f, p_o, which begin at 0.

    Examples
    --------
    >>> from pyseq.layers import PeepholeLSTM
    >>> PeepholeLSTM(8).build(3).parameters_["peephole_l0"].shape
    (3, 8)
    """

    def _cell(self) -> str:
        return "lstm_peephole"


class LayerNormLSTM(LSTM):
    """LSTM that normalises the two products over all 4H sums, and c before its tanh   (Ba et al. 2016).

    a = gain_ih * N(weight_ih x) + gain_hh * N(weight_hh h) + biases,  h' = o * tanh(gain_c * N(c') + bias_c)
    with N(v) = (v - mean(v)) / sqrt(var(v) + 1e-5).

    Parameters as of `LSTM`. Gains begin at 1, `bias_c` at 0.

    Examples
    --------
    >>> from pyseq.layers import LayerNormLSTM
    >>> LayerNormLSTM(8).build(3).parameters_["gain_hh_l0"].shape
    (32,)
    """

    def _cell(self) -> str:
        return "lstm_layer_norm"


class CoupledLSTM(LSTM):
    """LSTM that forgets as much as it takes in: f = 1 - i   (Greff et al. 2017).

    Gates in the order i g o:  c' = (1 - i) * c + i * g,  h' = o * tanh(c').

    Parameters as of `LSTM`. Biases begin at 0, but at -1 for the input gate, which forgets little.

    Examples
    --------
    >>> from pyseq.layers import CoupledLSTM
    >>> CoupledLSTM(8).build(3).parameters_["weight_hh_l0"].shape
    (24, 8)
    """

    def _cell(self) -> str:
        return "lstm_coupled"

    def _initial_bias(self, bias_ih: NDArray[np.float64]) -> None:
        bias_ih[: self.hidden_size] = -1.0


class ProjectedLSTM(LSTM):
    """LSTM whose h is a projection of P numbers of what the H units put out   (Sak et al. 2014).

    h' = weight_hr (o * tanh(c')): the recurrent product reads P numbers in place of H, and so does the next
    layer. PyTorch's `nn.LSTM(proj_size=P)`.

    Parameters
    ----------
    hidden_size : int
        Units H of each direction.
    projection_size : int
        Numbers P that each direction puts out, at most H.
    num_layers, bidirectional, dropout, recurrent_dropout, zoneout, zoneout_cell
        As of `LSTM`.

    Examples
    --------
    >>> from pyseq.layers import ProjectedLSTM
    >>> ProjectedLSTM(32, 8, bidirectional=True).build(3).n_features_out_
    16
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **LSTM._parameter_constraints,
        "projection_size": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        hidden_size: int,
        projection_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        zoneout_cell: float = 0.0,
    ) -> None:
        self.hidden_size = hidden_size
        self.projection_size = projection_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.zoneout = zoneout
        self.zoneout_cell = zoneout_cell

    def _cell(self) -> str:
        return "lstm_projected"

    def _output_size(self) -> int:
        return self.projection_size

    def _initial_weights(self, n_in: int, rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
        if self.projection_size > self.hidden_size:
            raise ValueError(
                f"projection_size of ProjectedLSTM must be at most hidden_size={self.hidden_size}, "
                f"got {self.projection_size}"
            )
        return super()._initial_weights(n_in, rng)
