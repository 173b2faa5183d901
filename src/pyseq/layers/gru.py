"""Gated recurrent units."""

from __future__ import annotations

from typing import Any, ClassVar

from sklearn.utils._param_validation import StrOptions

from pyseq.layers.recurrent import RecurrentLayer


class GRU(RecurrentLayer):
    """Gated recurrent unit   (Cho et al. 2014).

    Gates in the order r z n:  h' = (1 - z) * n + z * h.

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
    reset : {"after", "before"}
        Whether r scales the recurrent product of n, as in PyTorch and cuDNN, or h before the product, as
        first published.

    Notes
    -----
    Input weights begin Glorot-uniform and recurrent weights orthogonal, gate by gate; biases 0.

    Examples
    --------
    >>> from pyseq.layers import GRU
    >>> GRU(16, num_layers=2).build(5, random_state=0).n_parameters
    2736
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **RecurrentLayer._parameter_constraints,
        "reset": [StrOptions({"after", "before"})],
    }

    def __init__(
        self,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        reset: str = "after",
    ) -> None:
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.zoneout = zoneout
        self.reset = reset

    def _cell(self) -> str:
        return "gru_reset_before" if self.reset == "before" else "gru"


class MinGRU(RecurrentLayer):
    """A GRU without recurrent products: given its gates, h is a linear recurrence   (Feng et al. 2024).

    z = sigmoid(a_z),  h' = (1 - z) * h + z * a_v  with  a = weight_ih x + bias_ih.

    All products run ahead of time, so it is the fastest of the recurrent layers; stack two or more. There is
    no `weight_hh` to speak of (0 rows), and so no `recurrent_dropout`.

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
    zoneout : float
        Probability of a unit of h to stay as it was for a frame, in [0, 1); its expectation at inference
        (Krueger et al. 2017).

    Examples
    --------
    >>> from pyseq.layers import MinGRU
    >>> MinGRU(16).build(5, random_state=0).parameters_["weight_ih_l0"].shape
    (32, 5)
    """

    def __init__(
        self,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        zoneout: float = 0.0,
    ) -> None:
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.zoneout = zoneout

    def _cell(self) -> str:
        return "mingru"
