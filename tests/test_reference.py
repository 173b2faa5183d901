"""The float64 twins are right: central differences, brute force, and PyTorch where it is installed."""

import numpy as np
import pytest
import reference
from helpers import (
    assert_close,
    assert_gradients_match,
    pack,
    padding_mask,
    random_padded,
    random_rnn_weights,
)
from numpy.testing import assert_allclose, assert_array_equal

LENGTHS = [3, 0, 5, 1]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def as_parts(state):
    return state if isinstance(state, tuple) else (state,)


def from_parts(parts):
    return parts[0] if len(parts) == 1 else tuple(parts)


def assert_parts_equal(state, expected):
    for part, other in zip(as_parts(state), as_parts(expected), strict=True):
        assert_array_equal(part, other)


def shapes_of(cell, n_features, hidden_size):
    """Shapes of a cell's weights, and lengths of the parts of its state; a projection has 2/3 H numbers."""
    twin = reference.CELLS[cell]
    sizes = [hidden_size] * twin.n_states
    if cell == "lstm_projected":
        sizes[0] = 2 * hidden_size // 3
        return twin.shapes(n_features, hidden_size, sizes[0]), sizes
    return twin.shapes(n_features, hidden_size), sizes


def rnn_case(rng, cell, n_features=3, hidden_size=3, lengths=LENGTHS):
    """x, weights, parts of the initial state; gradients of a linear loss by output and final state."""
    x = random_padded(rng, lengths, n_features)
    shapes, sizes = shapes_of(cell, n_features, hidden_size)
    weights = random_rnn_weights(rng, shapes)
    initial = [rng.standard_normal((len(lengths), size)) for size in sizes]
    grad_output = rng.standard_normal((*x.shape[:2], sizes[0]))
    grad_final = [rng.standard_normal((len(lengths), size)) for size in sizes]
    return x, weights, initial, grad_output, grad_final


def random_masks(rng, x, initial):
    """A recurrent mask, and zoneout of every part of the state; also fractions, as at inference."""
    batch, steps, _ = x.shape
    recurrent = rng.integers(0, 2, initial[0].shape) * 1.25
    zones = [rng.choice([0.0, 0.3, 1.0], (batch, steps, part.shape[1])) for part in initial]
    return reference.Masks(recurrent, *zones)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", reference.CELLS)
def test_rnn_gradients_are_central_differences(rng, cell, reverse, masked):
    x, weights, initial, grad_output, grad_final = rnn_case(rng, cell)
    options = {"initial_state": from_parts(initial), "lengths": LENGTHS, "reverse": reverse}
    if masked:
        options["masks"] = random_masks(rng, x, initial)

    def loss():
        output, final = reference.rnn_forward(cell, x, weights, **options)
        final_terms = sum(np.sum(g * s) for g, s in zip(grad_final, as_parts(final), strict=True))
        return np.sum(grad_output * output) + final_terms

    grad_x, grad_weights, grad_initial = reference.rnn_backward(
        cell, x, weights, grad_output, from_parts(grad_final), **options
    )
    assert_gradients_match(loss, [x, *weights, *initial], [grad_x, *grad_weights, *as_parts(grad_initial)])


@pytest.mark.parametrize("cell", reference.CELLS)
def test_rnn_absent_states_and_gradients_are_zeros(rng, cell):
    x, weights, initial, grad_output, _ = rnn_case(rng, cell)
    zeros = from_parts([np.zeros_like(part) for part in initial])
    given = reference.rnn_forward(cell, x, weights, zeros, LENGTHS)
    absent = reference.rnn_forward(cell, x, weights, None, LENGTHS)
    assert_array_equal(given[0], absent[0])
    assert_parts_equal(given[1], absent[1])

    given = reference.rnn_backward(cell, x, weights, 0 * grad_output, zeros, zeros, LENGTHS)
    absent = reference.rnn_backward(cell, x, weights, lengths=LENGTHS)
    assert_array_equal(given[0], absent[0])
    assert not np.any(absent[0])


@pytest.mark.parametrize("cell", reference.CELLS)
def test_rnn_reverse_is_forward_of_the_mirrored_sequence(rng, cell):
    x, weights, initial, _, _ = rnn_case(rng, cell, lengths=[4, 4])
    mirrored, final = reference.rnn_forward(cell, x[:, ::-1], weights, from_parts(initial))
    output, final_reverse = reference.rnn_forward(cell, x, weights, from_parts(initial), reverse=True)
    assert_array_equal(output, mirrored[:, ::-1])
    assert_parts_equal(final_reverse, final)


@pytest.mark.parametrize("cell", reference.CELLS)
def test_rnn_masks_that_change_nothing_and_everything(rng, cell):
    x, weights, initial, _, _ = rnn_case(rng, cell)
    state = from_parts(initial)
    plain, final = reference.rnn_forward(cell, x, weights, state, LENGTHS)
    ones = reference.Masks(np.ones_like(initial[0]), *[np.zeros(part.shape[1]) for part in initial])
    same, same_final = reference.rnn_forward(cell, x, weights, state, LENGTHS, masks=ones)
    assert_array_equal(same, plain)
    assert_parts_equal(same_final, final)
    still = reference.Masks(None, *[np.ones(part.shape[1]) for part in initial])
    output, still_final = reference.rnn_forward(cell, x, weights, state, LENGTHS, masks=still)
    for b, length in enumerate(LENGTHS):
        assert_array_equal(output[b, :length], np.tile(initial[0][b], (length, 1)))
    assert_parts_equal(still_final, tuple(initial))


@pytest.mark.parametrize("cell", ["elman", "elman_relu", "lstm", "lstm_projected", "gru"])
def test_rnn_equals_pytorch(rng, cell):
    torch = pytest.importorskip("torch")
    lengths = [3, 5, 1]
    x, weights, initial, grad_output, grad_final = rnn_case(rng, cell, lengths=lengths)
    modules = {
        "elman": lambda i, h: torch.nn.RNN(i, h, batch_first=True),
        "elman_relu": lambda i, h: torch.nn.RNN(i, h, batch_first=True, nonlinearity="relu"),
        "lstm": lambda i, h: torch.nn.LSTM(i, h, batch_first=True),
        "lstm_projected": lambda i, h: torch.nn.LSTM(i, h, batch_first=True, proj_size=2),
        "gru": lambda i, h: torch.nn.GRU(i, h, batch_first=True),
    }
    module = modules[cell](3, 3).double()
    with torch.no_grad():
        for name, value in weights._asdict().items():
            getattr(module, f"{name}_l0").copy_(torch.from_numpy(value))
    torch_x = torch.from_numpy(np.nan_to_num(x)).requires_grad_()
    torch_initial = [torch.from_numpy(part[np.newaxis]).requires_grad_() for part in initial]
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch_x, lengths, batch_first=True, enforce_sorted=False)
    torch_output, torch_final = module(packed, from_parts(torch_initial))
    torch_output, _ = torch.nn.utils.rnn.pad_packed_sequence(torch_output, batch_first=True)
    loss = (torch_output * torch.from_numpy(grad_output)).sum()
    for part, grad in zip(as_parts(torch_final), grad_final, strict=True):
        loss = loss + (part[0] * torch.from_numpy(grad)).sum()
    loss.backward()

    output, final = reference.rnn_forward(cell, x, weights, from_parts(initial), lengths)
    grad_x, grad_weights, grad_initial = reference.rnn_backward(
        cell, x, weights, grad_output, from_parts(grad_final), from_parts(initial), lengths
    )
    assert_close(output, torch_output.detach().numpy())
    for part, expected in zip(as_parts(final), as_parts(torch_final), strict=True):
        assert_close(part, expected[0].detach().numpy())
    assert_close(grad_x, torch_x.grad.numpy(), "gradient")
    for name, grad in grad_weights._asdict().items():
        assert_close(grad, getattr(module, f"{name}_l0").grad.numpy(), "gradient", what=name)
    for part, expected in zip(as_parts(grad_initial), torch_initial, strict=True):
        assert_close(part, expected.grad[0].numpy(), "gradient")


CONVOLUTIONS = [(True, 3, 1), (True, 2, 2), (True, 1, 1), (False, 3, 1), (False, 5, 2)]


@pytest.mark.parametrize(("causal", "kernel_size", "dilation"), CONVOLUTIONS)
def test_conv1d_gradients_are_central_differences(rng, causal, kernel_size, dilation):
    x = random_padded(rng, LENGTHS, 3)
    weight, bias = rng.standard_normal((2, 3, kernel_size)), rng.standard_normal(2)
    grad_y = rng.standard_normal((*x.shape[:2], 2))
    options = {"dilation": dilation, "causal": causal, "lengths": LENGTHS}
    gradients = reference.conv1d_backward(x, weight, grad_y, **options)
    assert_gradients_match(
        lambda: np.sum(grad_y * reference.conv1d(x, weight, bias, **options)), [x, weight, bias], gradients
    )


@pytest.mark.parametrize(("causal", "kernel_size", "dilation"), CONVOLUTIONS)
def test_conv1d_equals_pytorch(rng, causal, kernel_size, dilation):
    torch = pytest.importorskip("torch")
    x = rng.standard_normal((2, 9, 3))
    weight, bias = rng.standard_normal((4, 3, kernel_size)), rng.standard_normal(4)
    reach = (kernel_size - 1) * dilation
    padding = (reach, 0) if causal else (reach // 2, reach // 2)
    padded = torch.nn.functional.pad(torch.from_numpy(x.transpose(0, 2, 1).copy()), padding)
    expected = torch.nn.functional.conv1d(
        padded, torch.from_numpy(weight), torch.from_numpy(bias), dilation=dilation
    )
    y = reference.conv1d(x, weight, bias, dilation=dilation, causal=causal)
    assert_close(y, expected.numpy().transpose(0, 2, 1))


def test_conv1d_centred_refuses_an_even_kernel(rng):
    with pytest.raises(ValueError, match="odd kernel size, got 2"):
        reference.conv1d(rng.standard_normal((1, 4, 1)), rng.standard_normal((1, 1, 2)), causal=False)


# input length, target; 3 classes
CTC_CASES = [
    (1, []),
    (1, [1]),
    (3, [1, 2]),
    (4, [1, 1]),
    (5, [2]),
    (5, [1, 2, 1]),
    (3, [1, 1]),
    (0, []),
    (4, []),
]


@pytest.mark.parametrize("blank", [0, 1, 2])
@pytest.mark.parametrize(("n_frames", "target"), CTC_CASES)
def test_ctc_loss_is_the_sum_over_all_paths(rng, n_frames, target, blank):
    logits = 2 * rng.standard_normal((n_frames, 3))
    labels = [[k for k in range(3) if k != blank][label - 1] for label in target]
    loss = reference.ctc_loss(logits[np.newaxis], [labels], blank=blank)[0]
    assert_allclose(loss, reference.ctc_brute_force(logits, labels, blank), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("blank", [0, 3])
def test_ctc_gradients_are_central_differences(rng, blank):
    input_lengths, target_lengths = [6, 3, 1], [3, 2, 0]
    targets = np.array([[1, 1, 2], [2, 1, -1], [-1, -1, -1]])
    logits = random_padded(rng, input_lengths, 4)
    weight = rng.standard_normal(3)
    arguments = (targets, input_lengths, target_lengths, blank)
    _, grad = reference.ctc_loss_and_grad(logits, *arguments)
    assert_gradients_match(
        lambda: float(weight @ reference.ctc_loss(logits, *arguments)),
        [logits],
        [grad * weight[:, np.newaxis, np.newaxis]],
    )


def test_ctc_impossible_target_has_infinite_loss_and_no_gradient(rng):
    losses, grad = reference.ctc_loss_and_grad(rng.standard_normal((3, 2, 3)), [[1, 1], [1], [1, 2, 1]])
    assert_array_equal(np.isinf(losses), [True, False, True])
    assert_array_equal(np.any(grad, axis=(1, 2)), [False, True, False])


def test_ctc_equals_pytorch(rng):
    torch = pytest.importorskip("torch")
    input_lengths, target_lengths = [9, 12, 4], [4, 5, 0]
    logits = rng.standard_normal((3, 12, 6))
    targets = rng.integers(0, 5, size=(3, 5))
    torch_logits = torch.from_numpy(logits).requires_grad_()
    expected = torch.nn.functional.ctc_loss(
        torch_logits.log_softmax(-1).transpose(0, 1),
        torch.from_numpy(targets),
        torch.tensor(input_lengths),
        torch.tensor(target_lengths),
        blank=5,
        reduction="none",
    )
    expected.sum().backward()
    losses, grad = reference.ctc_loss_and_grad(logits, targets, input_lengths, target_lengths, 5)
    assert_close(losses, expected.detach().numpy())
    assert_close(grad, torch_logits.grad.numpy(), "gradient")


def test_ctc_greedy_merges_repeats_and_drops_blanks():
    path = [0, 2, 2, 0, 2, 1, 1, 0]
    logits = np.eye(3)[path][np.newaxis]
    assert reference.ctc_greedy_decode(logits) == [([2, 2, 1], [1, 4, 5])]
    assert reference.ctc_greedy_decode(logits, lengths=[3], blank=2) == [([0], [0])]


def test_dense_gradients_are_central_differences(rng):
    x, weight, bias = rng.standard_normal((4, 3)), rng.standard_normal((2, 3)), rng.standard_normal(2)
    grad_y = rng.standard_normal((4, 2))
    gradients = reference.dense_backward(x, weight, grad_y)
    assert_gradients_match(
        lambda: np.sum(grad_y * reference.dense(x, weight, bias)), [x, weight, bias], gradients
    )


def test_embedding_gradients_are_central_differences(rng):
    tokens, weight, grad_y = np.array([2, 0, 2]), rng.standard_normal((4, 3)), rng.standard_normal((3, 3))
    assert_array_equal(reference.embedding(tokens, weight), weight[tokens])
    gradient = reference.embedding_backward(tokens, grad_y, 4)
    assert_gradients_match(lambda: np.sum(grad_y * reference.embedding(tokens, weight)), [weight], [gradient])


@pytest.mark.parametrize("reversed_columns", [slice(0, 0), slice(1, 3)])
@pytest.mark.parametrize("kind", reference.POOLINGS)
def test_pooling_gradients_are_central_differences(rng, kind, reversed_columns):
    x, grad = random_padded(rng, LENGTHS, 3), rng.standard_normal((len(LENGTHS), 3))
    grad_x = reference.pool_backward(kind, x, grad, LENGTHS, reversed_columns)
    assert_gradients_match(
        lambda: np.sum(grad * reference.pool(kind, x, LENGTHS, reversed_columns)), [x], [grad_x]
    )


def test_pooling_last_takes_the_first_frame_of_reversed_columns():
    x = np.arange(12.0).reshape(1, 4, 3)
    assert_array_equal(reference.pool("last", x, [3], slice(2, 3)), [[6.0, 7.0, 2.0]])


@pytest.mark.parametrize("sample_weight", [None, np.array([1.0, 0.0, 2.0])])
def test_softmax_cross_entropy_gradients_are_central_differences(rng, sample_weight):
    logits, targets = rng.standard_normal((3, 4)), np.array([1, 3, 0])
    _, grad = reference.softmax_cross_entropy(logits, targets, sample_weight)
    assert_gradients_match(
        lambda: reference.softmax_cross_entropy(logits, targets, sample_weight)[0], [logits], [grad]
    )


def test_softmax_cross_entropy_equals_pytorch(rng):
    torch = pytest.importorskip("torch")
    logits, targets = 30 * rng.standard_normal((5, 4)), rng.integers(0, 4, size=5)
    expected = torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(targets))
    assert_close(reference.softmax_cross_entropy(logits, targets)[0], expected.item())


@pytest.mark.parametrize("decoupled", [False, True])
def test_adam_equals_pytorch(rng, decoupled):
    torch = pytest.importorskip("torch")
    params, m, v = rng.standard_normal(6), np.zeros(6), np.zeros(6)
    torch_params = torch.from_numpy(params.copy()).requires_grad_()
    settings = {"lr": 0.05, "weight_decay": 0.1, "eps": 1e-6}
    algorithm = torch.optim.AdamW if decoupled else torch.optim.Adam
    optimizer = algorithm([torch_params], betas=(0.8, 0.9), **settings)
    for step in range(1, 5):
        grads = rng.standard_normal(6)
        torch_params.grad = torch.from_numpy(0.5 * grads)
        optimizer.step()
        options = {"beta1": 0.8, "beta2": 0.9, "decoupled": decoupled, "scale": 0.5, **settings}
        params, m, v = reference.adam_update(params, grads, m, v, step=step, **options)
    assert_close(params, torch_params.detach().numpy())


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_sgd_equals_pytorch(rng, momentum, nesterov):
    torch = pytest.importorskip("torch")
    params, velocity = rng.standard_normal(6), np.zeros(6)
    torch_params = torch.from_numpy(params.copy()).requires_grad_()
    options = {"lr": 0.05, "momentum": momentum, "nesterov": nesterov, "weight_decay": 0.1}
    optimizer = torch.optim.SGD([torch_params], **options)
    for _ in range(4):
        grads = rng.standard_normal(6)
        torch_params.grad = torch.from_numpy(0.5 * grads)
        optimizer.step()
        params, velocity = reference.sgd_update(params, grads, velocity, scale=0.5, **options)
    assert_close(params, torch_params.detach().numpy())


def test_twins_never_read_padding_and_return_zeros_there(rng):
    padding = padding_mask(LENGTHS, max(LENGTHS))
    x, weights, _, grad_output, _ = rnn_case(rng, "gru")
    weight = rng.standard_normal((3, 3, 3))
    results = [
        reference.rnn_forward("gru", x, weights, lengths=LENGTHS)[0],
        reference.rnn_backward("gru", x, weights, grad_output, lengths=LENGTHS)[0],
        reference.conv1d(x, weight, lengths=LENGTHS),
        reference.conv1d_backward(x, weight, grad_output, lengths=LENGTHS)[0],
        reference.ctc_loss_and_grad(x, [[1], [], [1, 2], [2]], LENGTHS)[1],
    ]
    for result in results:
        assert not np.any(result[padding])
        assert np.all(np.isfinite(pack(result, LENGTHS)))
