"""With the weights copied over, layers compute what PyTorch's modules compute."""

import numpy as np
import pytest
from helpers import assert_close, pack, pad, random_lengths

from pyseq.layers import GRU, LSTM, TCN, Conv1d, Elman, Embedding, ProjectedLSTM, WaveNet
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


def causal(module, x):
    """A PyTorch convolution of (1, C, T) that sees the present and the past."""
    return module(torch.nn.functional.pad(x, ((module.kernel_size[0] - 1) * module.dilation[0], 0)))


def torch_conv(parameters, name, dilation=1, weight_norm=False):
    """PyTorch's module with a unit's weights, and its own weight normalisation where there is one."""
    shape = parameters[name + (".weight_v" if weight_norm else ".weight")].shape
    module = torch.nn.Conv1d(shape[1], shape[0], shape[2], dilation=dilation, dtype=torch.float64)
    if weight_norm:
        module = torch.nn.utils.parametrizations.weight_norm(module)
    values = {"bias": module.bias}
    if weight_norm:
        length, direction = module.parametrizations.weight.original0, module.parametrizations.weight.original1
        values |= {"weight_g": length, "weight_v": direction}
    else:
        values |= {"weight": module.weight}
    with torch.no_grad():
        for key, value in values.items():
            value.copy_(torch.from_numpy(parameters[f"{name}.{key}"]).reshape(value.shape))
    return module, {f"{name}.{key}": value for key, value in values.items()}


def assert_equals_pytorch(rng, layer, network, n_frames=40):
    """Values and all gradients. network(parameters, x) -> y, its tensors by name, over (1, C, T)."""
    layer.build(N_FEATURES, dtype="float64", random_state=0)
    for value in layer.parameters_.values():
        value += 0.1 * rng.standard_normal(value.shape)
    x = rng.standard_normal((n_frames, N_FEATURES))
    grad = rng.standard_normal((n_frames, layer.n_features_out_))
    torch_x = torch.from_numpy(x.T.copy())[None].requires_grad_()
    expected, tensors = network(layer.parameters_, torch_x)
    expected.backward(torch.from_numpy(grad.T.copy())[None])
    layer.zero_gradients()
    y, tape = layer.forward(Ragged(x, [n_frames]), training=True)
    grad_x = layer.backward(tape, y.with_values(grad))
    assert_close(y.values, expected[0].detach().numpy().T)
    assert_close(grad_x.values, torch_x.grad[0].numpy().T, "gradient")
    assert tensors.keys() == layer.parameters_.keys()
    for name, gradient in layer.gradients_.items():
        assert_close(gradient, tensors[name].grad.numpy().reshape(gradient.shape), "gradient", what=name)


@pytest.mark.parametrize("weight_norm", [True, False])
@pytest.mark.parametrize("channels", [N_FEATURES, 7])
def test_tcn_equals_pytorch(rng, channels, weight_norm):
    def network(parameters, x):
        tensors = {}
        for b in range(3):
            convs = []
            for name in ("conv1", "conv2"):
                module, named = torch_conv(parameters, f"block{b}.{name}", 2**b, weight_norm)
                convs.append(module)
                tensors |= named
            beside = x
            if x.shape[1] != channels:
                projection, named = torch_conv(parameters, f"block{b}.projection")
                tensors |= named
                beside = projection(x)
            h = torch.relu(causal(convs[0], x))
            x = torch.relu(torch.relu(causal(convs[1], h)) + beside)
        return x, tensors

    assert_equals_pytorch(rng, TCN(channels, 3, 3, weight_norm=weight_norm), network)


def test_wavenet_equals_pytorch(rng):
    def network(parameters, x):
        module, tensors = torch_conv(parameters, "input")
        x, total = causal(module, x), 0
        for n, dilation in enumerate([1, 2, 1, 2]):
            gated, named = torch_conv(parameters, f"layer{n}.gated", dilation)
            tensors |= named
            filters, gates = causal(gated, x).chunk(2, dim=1)
            z = torch.tanh(filters) * torch.sigmoid(gates)
            skip, named = torch_conv(parameters, f"layer{n}.skip")
            tensors |= named
            total = total + skip(z)
            if n < 3:
                residual, named = torch_conv(parameters, f"layer{n}.residual")
                tensors |= named
                x = x + residual(z)
        return torch.relu(total), tensors

    assert_equals_pytorch(rng, WaveNet(6, 4, dilation_cycle=2, num_cycles=2), network)


def test_embedding_equals_pytorch(rng):
    layer = Embedding(9, 4).build(1, random_state=0)
    module = torch.nn.Embedding(9, 4)
    copy_weights(layer, module)
    tokens = rng.integers(0, 9, size=7)
    y, _ = layer.forward(Ragged(tokens, [3, 4]))
    assert_close(y.values, module(torch.from_numpy(tokens)).detach().numpy())
