"""With the weights copied over, layers compute what PyTorch's modules compute."""

import numpy as np
import pytest
from helpers import assert_close, pack, pad, random_lengths

from pyseq.layers import GRU, LSTM, Conv1d, Elman, Embedding, ProjectedLSTM
from pyseq.ragged import Ragged

torch = pytest.importorskip("torch")

N_FEATURES, HIDDEN = 5, 7


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def copy_weights(layer, module):
    with torch.no_grad():
        for name, value in layer.parameters_.items():
            getattr(module, name).copy_(torch.from_numpy(value))


MODULES = {
    "elman": (Elman, torch.nn.RNN, {}),
    "elman_relu": (Elman, torch.nn.RNN, {"nonlinearity": "relu"}),
    "lstm": (LSTM, torch.nn.LSTM, {}),
    "gru": (GRU, torch.nn.GRU, {}),
    "lstm_projected": (
        lambda hidden, **options: ProjectedLSTM(hidden, HIDDEN - 2, **options),
        lambda *sizes, **options: torch.nn.LSTM(*sizes, proj_size=HIDDEN - 2, **options),
        {},
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MODULES)
def test_two_bidirectional_layers_equal_packed_pytorch(rng, name, dtype):
    cls, module_cls, extra = MODULES[name]
    stacked = {"num_layers": 2, "bidirectional": True, **extra}
    lengths = random_lengths(rng, 6, 11)
    values = rng.standard_normal((int(lengths.sum()), N_FEATURES)).astype(dtype)
    layer = cls(HIDDEN, **stacked).build(N_FEATURES, dtype=dtype, random_state=0)
    for bias in ("bias_ih_l0", "bias_hh_l1_reverse"):
        layer.parameters_[bias] += rng.standard_normal(layer.parameters_[bias].shape).astype(dtype)
    module = module_cls(N_FEATURES, HIDDEN, batch_first=True, dtype=getattr(torch, dtype), **stacked)
    assert set(layer.parameters_) == set(dict(module.named_parameters()))
    copy_weights(layer, module)
    grad = rng.standard_normal((int(lengths.sum()), layer.n_features_out_)).astype(dtype)

    torch_x = torch.from_numpy(pad(values, lengths)).requires_grad_()
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch_x, lengths, batch_first=True, enforce_sorted=False)
    torch_y, _ = torch.nn.utils.rnn.pad_packed_sequence(module(packed)[0], batch_first=True)
    torch_y.backward(torch.from_numpy(pad(grad, lengths)))

    layer.zero_gradients()
    y, tape = layer.forward(Ragged(values, lengths), training=True)
    grad_x = layer.backward(tape, y.with_values(grad))

    assert y.values.dtype == np.dtype(dtype)
    assert_close(y.values, pack(torch_y.detach().numpy(), lengths))
    assert_close(grad_x.values, pack(torch_x.grad.numpy(), lengths), "gradient")
    for parameter, gradient in layer.gradients_.items():
        assert_close(gradient, getattr(module, parameter).grad.numpy(), "gradient", what=parameter)


@pytest.mark.parametrize(("causal", "kernel_size", "dilation"), [(True, 3, 2), (True, 4, 1), (False, 5, 2)])
def test_conv1d_equals_pytorch(rng, causal, kernel_size, dilation):
    sequences = [rng.standard_normal((length, N_FEATURES)) for length in (12, 3)]
    layer = Conv1d(4, kernel_size, dilation, causal).build(N_FEATURES, dtype="float64", random_state=0)
    module = torch.nn.Conv1d(N_FEATURES, 4, kernel_size, dilation=dilation, dtype=torch.float64)
    copy_weights(layer, module)
    reach = (kernel_size - 1) * dilation
    padding = (reach, 0) if causal else (reach // 2, reach // 2)
    y, _ = layer.forward(Ragged(np.concatenate(sequences), [12, 3]))
    for b, sequence in enumerate(sequences):
        channels_first = torch.nn.functional.pad(torch.from_numpy(sequence.T.copy())[None], padding)
        expected = torch.relu(module(channels_first))[0].detach().numpy().T
        assert_close(y[b], expected)


def test_embedding_equals_pytorch(rng):
    layer = Embedding(9, 4).build(1, random_state=0)
    module = torch.nn.Embedding(9, 4)
    copy_weights(layer, module)
    tokens = rng.integers(0, 9, size=7)
    y, _ = layer.forward(Ragged(tokens, [3, 4]))
    assert_close(y.values, module(torch.from_numpy(tokens)).detach().numpy())
