"""Language models: likelihoods that add up, gradients, carried states, drawing, bad input."""

import numpy as np
import pytest
from sklearn.base import clone

from pyseq import GRU, LSTM, TCN, Chain, Conv1d, Dense, Dropout, Memoryless, SequenceGenerator, WaveNet
from pyseq.layers.base import FlatParameters
from pyseq.ragged import Ragged
from pyseq.training.language import LanguageNetwork
from pyseq.training.windows import WindowBatch, Windows

TEXTS = ["abcab", "bca", "", "cabcabcabca", "b"]


def small(encoder=None, **settings):
    settings = {"embedding_dim": 6, "max_iter": 3, "random_state": 0, "learning_rate_init": 0.02, **settings}
    return SequenceGenerator(GRU(8) if encoder is None else encoder, **settings)


@pytest.fixture(scope="module")
def fitted():
    return small(max_iter=60, learning_rate_init=0.03).fit(["abcabcabcabc"] * 8)


def test_a_pattern_is_learned_and_goes_on(fitted):
    assert fitted.loss_curve_[-1] < 0.3
    assert fitted.generate("ab", 7, top_k=1) == "cabcabc"
    assert fitted.generate(["a", "b"], 4, top_k=1) == "cabc"
    assert fitted.perplexity(["abcabcabcabc"]) < 1.4 < fitted.perplexity(["cba"])


def test_probabilities_of_all_sequences_add_up():
    model = small(GRU(4)).fit(["ab", "ba", "a"])
    total, level = 0.0, [""]
    for _ in range(9):
        total += np.exp(model.score_samples(level)).sum()
        level = [text + symbol for text in level for symbol in "ab"]
    alive = np.exp(model.score_samples([text[:-1] for text in level])).sum()
    assert 0.8 < total <= 1 + 1e-6
    assert alive < 0.4


@pytest.mark.parametrize(
    "encoder",
    [
        GRU(5),
        LSTM(4, num_layers=2),
        Conv1d(5, 2, dilation=2),
        Chain([Conv1d(4, 3), Dropout(0.2), LSTM(5)]),
    ],
    ids=repr,
)
def test_every_causal_encoder_fits_and_generates(encoder):
    model = small(encoder).fit(TEXTS)
    assert np.isfinite(model.score_samples(TEXTS)).all()
    assert set(model.generate("ab", 30, random_state=0)) <= set("abc")
    assert model.score(["ab"]) == pytest.approx(model.score_samples(["ab"])[0] / 3)


def test_sequences_are_drawn_as_often_as_they_are_likely():
    model = small(GRU(4)).fit(["ab", "ba", "a", ""])
    drawn = model.generate("", 30, n_samples=3000, random_state=0)
    for text in ("", "a", "b", "ab", "ba"):
        p = np.exp(model.score_samples([text])[0])
        assert drawn.count(text) / 3000 == pytest.approx(p, abs=4 * np.sqrt(p / 3000))


def test_the_same_seed_draws_the_same(fitted):
    a, b, c = (fitted.generate("a", 30, random_state=s, temperature=3.0) for s in (1, 1, 2))
    assert a == b != c
    many = fitted.generate("a", 30, random_state=1, temperature=3.0, n_samples=3)
    assert len(many) == 3
    assert len(set(many)) == 3


def test_a_callback_hears_every_symbol(fitted):
    heard = []
    text = fitted.generate("a", 30, random_state=1, temperature=2.0, callback=heard.append)
    assert "".join(heard) == text == fitted.generate("a", 30, random_state=1, temperature=2.0)
    heard = []
    texts = fitted.generate("", 20, random_state=1, n_samples=2, callback=heard.append, stop="c")
    for row in range(2):
        assert "".join(symbols[row] or "" for symbols in heard) == texts[row]


def test_stop(fitted):
    assert fitted.generate("a", 9, top_k=1, stop="c") == "bc"
    assert fitted.generate("a", 9, top_k=1, stop=["b", "c"]) == "b"


def test_symbols_may_be_anything_hashable():
    model = small().fit([["to", "be", 1], [("x", 2), "be"]] * 3)
    assert set(model.symbols_) == {"to", "be", 1, ("x", 2)}
    assert isinstance(model.generate(["to"], 3, random_state=0), list)


def test_real_numbers_are_companded():
    t = np.arange(60)
    X = np.sin(t * 0.3)[np.newaxis] * np.array([[1.0], [2.0], [0.5]])
    model = small(n_levels=32).fit(X)
    assert len(model.symbols_) == 32
    assert max(model.symbols_) == pytest.approx(2.0, rel=1e-3)
    drawn = model.generate(X[0, :5], 20, random_state=0)
    assert drawn.dtype == float
    assert set(drawn) <= set(model.symbols_)
    assert model.score_samples([X[0], X[1, :7]]).shape == (2,)
    for x in (0.0, 0.01, 1.0, 1.99, -2.0):
        level = int(model._alphabet.levels_of(np.array([x]))[0])
        steps = np.abs(np.array(model.symbols_) - x)
        assert steps[level] <= steps.min() * 2 + 1e-12


def test_a_condition_decides():
    X, context = [["x", "y"], ["p", "q"]] * 10, [[1.0, 0.0], [0.0, 1.0]] * 10
    model = small(GRU(8), max_iter=60).fit(X, context=context)
    assert model.generate([], 5, context=[1.0, 0.0], top_k=1) == ["x", "y"]
    assert model.generate([], 5, context=np.eye(2), top_k=1, n_samples=2) == [["x", "y"], ["p", "q"]]
    right, wrong = (model.score_samples([["x", "y"]], context=[c])[0] for c in ([1.0, 0.0], [0.0, 1.0]))
    assert right > wrong + 3
    for c, why in ((None, "None"), ([1.0], "shape"), ([1.0, np.nan], "NaN")):
        with pytest.raises(ValueError, match=f"context.*{why}"):
            model.generate([], 5, context=c)


# --------------------------------------------------------------------------------------------- training


def corpus(lengths, steps=7, n_tokens=5, seed=0):
    rng = np.random.default_rng(seed)
    x, y = (Ragged(rng.integers(0, n_tokens, sum(lengths)), lengths) for _ in range(2))
    return Windows(x, y, None, steps=steps)


@pytest.mark.parametrize("lengths", [[1000], [3, 1, 9, 2, 2, 40, 7], [1] * 50, [300, 5]])
@pytest.mark.parametrize("shuffle", [True, False])
def test_an_epoch_reads_every_frame_once_and_windows_follow_each_other(lengths, shuffle):
    windows = corpus(lengths)
    seen = np.zeros(sum(lengths), dtype=int)
    starts = np.cumsum(lengths) - lengths
    before = None
    sizes = []
    for plan in windows.batches(4, np.random.default_rng(0), shuffle=shuffle):
        batch = windows.take(plan)
        begins = starts[plan.owner] + plan.begin
        for row, (begin, n) in enumerate(zip(begins, plan.lengths, strict=True)):
            seen[begin : begin + n] += 1
            assert 1 <= n <= 7
            np.testing.assert_array_equal(batch.x[row], windows.x.values[begin : begin + n].ravel())
            if plan.carried[row] >= 0:
                assert before[plan.carried[row]] == begin
        before = begins + plan.lengths
        sizes.append(len(batch))
    assert (seen == 1).all()
    assert max(sizes) <= 4


@pytest.mark.parametrize("lengths", [[1000], [1] * 50, [40, 3, 90, 7, 200, 11] * 10])
def test_lanes_end_together(lengths):
    for seed in range(5):
        plans = corpus(lengths).batches(4, np.random.default_rng(seed), shuffle=True)
        assert np.mean([len(plan.lengths) for plan in plans]) > 3.6  # of 4: none goes on alone


def network(encoder, **settings):
    settings = {"embedding_dim": 4, "n_context": 0, "tie_weights": False, "carry": True, **settings}
    return LanguageNetwork(encoder, 5, dtype="float64", rng=np.random.default_rng(0), **settings)


def test_a_carried_state_gives_what_the_whole_gives():
    net = network(LSTM(6, num_layers=2))
    windows = corpus([50], steps=7)
    whole = net.log_likelihoods(windows.x, windows.targets)[0]
    net.flat_parameters()
    total = 0.0
    for plan in windows.batches(1, np.random.default_rng(0), shuffle=False):
        value = net.loss_and_gradients(windows.take(plan), np.random.default_rng(0))
        total -= value.loss * value.n_counted
    assert total == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("n_context", [0, 3])
def test_gradients_are_central_differences(tied, n_context):
    net = network(GRU(4), tie_weights=tied, n_context=n_context)
    parameters: FlatParameters = net.flat_parameters()
    windows = corpus([6, 3, 1])
    context = np.random.default_rng(1).standard_normal((3, n_context)) if n_context else None
    batch = WindowBatch(windows.x, windows.targets, None, np.full(3, -1), context)
    rng = np.random.default_rng(0)
    parameters.zero_gradients()
    net.loss_and_gradients(batch, rng)
    gradients = parameters.gradients.copy()
    for i in rng.choice(parameters.n_parameters, 60, replace=False):
        kept, losses = parameters.values[i], []
        for step in (1e-5, -1e-5):
            parameters.values[i] = kept + step
            losses.append(net.loss_and_gradients(batch, rng).loss)
        parameters.values[i] = kept
        assert gradients[i] == pytest.approx((losses[0] - losses[1]) / 2e-5, abs=1e-8)


def test_early_stopping_holds_out_the_end_or_some():
    one = small(early_stopping=True, max_iter=2).fit("abcabcabc" * 20)
    assert len(one.validation_scores_) == 2
    many = small(early_stopping=True, max_iter=2).fit(["abc", "ab", "b"] * 5)
    assert len(many.validation_scores_) == 2
    given = small(max_iter=2).fit("abcabc", X_val=["ab"])
    assert given.validation_scores_[-1] == pytest.approx(given.score(["ab"]))


def test_settings_are_kept_and_reproduce():
    model = small(LSTM(6), tie_weights=True)
    a, b = (clone(model).fit(TEXTS) for _ in range(2))
    assert a.loss_curve_ == b.loss_curve_
    assert a.generate("a", 9, random_state=0) == b.generate("a", 9, random_state=0)
    a.set_params(warm_start=True).fit(TEXTS)
    assert a.n_iter_ == 6


# --------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("X", "error", "why"),
    [
        ([], ValueError, "empty"),
        ([""], ValueError, "no symbols"),
        ("", ValueError, "no symbols"),
        (3, TypeError, "expected a string"),
        ([["a", {}]], TypeError, "hashed"),
        (np.zeros((2, 3, 2)), ValueError, "univariate"),
    ],
)
def test_bad_corpora(X, error, why):
    model = small()
    with pytest.raises(error, match=why):
        model.fit(X)
    assert not hasattr(model, "symbols_")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"prompt": "abz"}, "label 'z'"),
        ({"stop": "z"}, "label 'z'"),
        ({"temperature": 0}, "temperature"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": np.inf}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"length": 0}, "length"),
        ({"n_samples": 0}, "n_samples"),
        ({"context": [1.0]}, "context"),
    ],
    ids=str,
)
def test_bad_generation(fitted, options, why):
    with pytest.raises(ValueError, match=why):
        fitted.generate(**options)


def test_a_prompt_longer_than_the_window():
    for encoder in (Memoryless(3, 8), Chain([Dense(4), Memoryless(3, 8), Dropout(0.1)])):
        model = small(encoder, max_iter=1).fit(["abcabc"] * 3)
        assert len(model.generate("abc", 2, random_state=0)) <= 2
        with pytest.raises(
            ValueError, match=r"(?s)prompt has 4 symbols, expected at most 3.*pass prompt\[-3:\]"
        ):
            model.generate("abca", 2)
    small(Conv1d(4, 3), max_iter=1).fit(["abcabc"]).generate("abcabc", 2)  # only a window has one by name
    values = small(Memoryless(3, 8), max_iter=1, values="gaussian").fit([[0.5, 1.0, 2.0]])
    with pytest.raises(ValueError, match="prompt has 4 symbols"):
        values.generate(np.zeros(4), 2)


@pytest.mark.parametrize(
    ("encoder", "why"),
    [
        (Conv1d(4, 0), "kernel_size"),
        (Conv1d(4, 3, dilation=0), "dilation"),
        (TCN(4, 0, 2), "kernel_size"),
        (TCN(4, 3, 2, dilation_base=0), "dilation_base"),
        (WaveNet(4, 4, 0, 1), "dilation_cycle"),
        (WaveNet(4, 4, 2, 1, kernel_size=-1), "kernel_size"),
        (Memoryless(0), "window"),
    ],
    ids=repr,
)
def test_bad_convolutions(encoder, why):
    with pytest.raises(ValueError, match=f"'{why}' parameter"):
        small(encoder).fit(TEXTS)


def test_contexts_of_another_width():
    model = small(max_iter=1).fit(["ab", "ba"], context=[[1.0, 0.0], [0.0, 1.0]])
    with pytest.raises(ValueError, match=r"context has shape \(1, 3\), expected \(1, 2\)"):
        model.generate("a", 2, context=[1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"context has shape \(2, 1\), expected \(2, 2\)"):
        model.score_samples(["ab", "ba"], context=[[1.0], [0.0]])
    with pytest.raises(ValueError, match=r"context_val has shape \(1, 1\), expected \(1, 2\)"):
        model.fit(["ab", "ba"], context=np.eye(2), X_val=["ab"], context_val=[[1.0]])


def test_encoders_that_do_not_fit():
    with pytest.raises(ValueError, match="bidirectional"):
        small(GRU(4, bidirectional=True)).fit(TEXTS)
    with pytest.raises(ValueError, match="tie_weights"):
        small(GRU(7), tie_weights=True).fit(TEXTS)
    with pytest.raises(ValueError, match="frame by frame"):
        small(Conv1d(4, 3, causal=False)).fit(TEXTS)
    with pytest.raises(ValueError, match="bidirectional"):
        small(GRU(4, bidirectional=True), carry_state=False).fit(TEXTS)
