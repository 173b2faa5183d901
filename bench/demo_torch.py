"""The model of ``pyseq demo`` as a plain PyTorch script, and pyseq beside it.

Both train the same architecture from the same initial weights on the same lines, with the same optimizer,
learning rates, clipping and batch size, each with batches of lines of similar length. They take turns, an
epoch each, in one process with as many threads. Before the first turn the losses of both on one batch are
compared.

PyTorch runs the LSTM over padded lines, its faster way, though the direction that runs backwards then
starts in the padding. With --packed it runs over packed sequences, which is what pyseq computes.

    python bench/demo_torch.py [--epochs 12] [--seed 0] [--threads 2] [--packed]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from pyseq import demo
from pyseq.datasets import load_digit_lines
from pyseq.metrics import character_error_rate
from pyseq.ragged import Ragged
from pyseq.training import Callback, Examples, FitInfo, resolve_schedule, training_batches

N_OUTPUTS = 11  # the blank and ten digits


class LineReader(nn.Module):
    """Convolution, bidirectional LSTM, and a linear layer to the blank and ten digits."""

    def __init__(self, packed: bool) -> None:
        super().__init__()
        self.packed = packed
        self.dropout = nn.Dropout(demo.DROPOUT)
        self.strokes = nn.Conv1d(8, demo.CHANNELS, demo.KERNEL_SIZE, padding="same")
        self.context = nn.LSTM(demo.CHANNELS, demo.HIDDEN_SIZE, bidirectional=True, batch_first=True)
        self.head = nn.Linear(2 * demo.HIDDEN_SIZE, N_OUTPUTS)

    def forward(self, lines: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """(B, T, 8) to the logits (B, T, 11)."""
        x = self.strokes(self.dropout(lines).transpose(1, 2)).relu().transpose(1, 2)
        if not self.packed:
            return self.head(self.context(x)[0])
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        encoded, _ = pad_packed_sequence(self.context(packed)[0], batch_first=True)
        return self.head(encoded)

    def take_weights(self, network) -> None:
        """Copy those of a pyseq network."""
        _, convolution, recurrent = network.encoder.layers
        with torch.no_grad():
            for module, layer in (
                (self.strokes, convolution), (self.context, recurrent), (self.head, network.head)
            ):  # fmt: skip
                for name, parameter in module.named_parameters():
                    parameter.copy_(torch.from_numpy(layer.parameters_[name]))


def batch_loss(model: LineReader, X: list[torch.Tensor], targets: list[torch.Tensor]) -> torch.Tensor:
    """Mean CTC loss of a batch."""
    lengths = torch.tensor([len(x) for x in X])
    log_probabilities = model(pad_sequence(X, batch_first=True), lengths).log_softmax(-1)
    losses = nn.functional.ctc_loss(
        log_probabilities.transpose(0, 1), torch.cat(targets), lengths,
        torch.tensor([len(target) for target in targets]), reduction="none",
    )  # fmt: skip
    return losses.mean()


def epochs(
    model: LineReader, X: list[torch.Tensor], targets: list[torch.Tensor], settings
) -> Iterator[float]:
    """Train; yields the mean loss after each epoch."""
    rng = np.random.default_rng(settings.random_state)
    schedule = resolve_schedule(settings.learning_rate)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate_init)
    lengths = np.array([len(x) for x in X])
    n_steps = settings.max_iter * -(-len(X) // settings.batch_size)
    step = 0
    model.train()
    for _ in range(settings.max_iter):
        total = 0.0
        for batch in training_batches(lengths, settings.batch_size, rng):
            optimizer.param_groups[0]["lr"] = settings.learning_rate_init * schedule(step, n_steps)
            optimizer.zero_grad()
            loss = batch_loss(model, [X[i] for i in batch], [targets[i] for i in batch])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
            optimizer.step()
            total += loss.item() * len(batch)
            step += 1
        yield total / len(X)


@torch.no_grad()
def read(model: LineReader, X: list[torch.Tensor]) -> list[str]:
    """Greedy transcriptions."""
    model.eval()
    texts = []
    for x in X:
        best = model(x[None], torch.tensor([len(x)]))[0].argmax(-1)
        labels = torch.unique_consecutive(best)
        texts.append("".join(str(label - 1) for label in labels[labels > 0].tolist()))
    return texts


class Turns(Callback):
    """After each epoch of pyseq, an epoch of PyTorch; keeps the seconds of both."""

    def __init__(self, model: LineReader, lines, settings) -> None:
        self.model, self.settings = model, settings
        self.lines = lines
        self.targets = [torch.tensor([int(digit) + 1 for digit in text]) for text in lines.y_train]
        self.seconds = {"pyseq": [], "PyTorch": []}

    @staticmethod
    def standardised(network, lines: list[np.ndarray]) -> list[torch.Tensor]:
        """Lines as the layers of pyseq get them."""
        return [torch.from_numpy(line) for line in network.standardise(Ragged.from_list(lines))]

    def on_fit_begin(self, info: FitInfo) -> None:
        self.model.take_weights(info.network)
        self.X = self.standardised(info.network, self.lines.X_train)
        self._compare_losses(info.network)
        self.turns = epochs(self.model, self.X, self.targets, self.settings)
        self.begun = time.perf_counter()

    def on_epoch_end(self, info) -> None:
        self.seconds["pyseq"].append(time.perf_counter() - self.begun)
        self.begun = time.perf_counter()
        loss = next(self.turns)
        self.seconds["PyTorch"].append(time.perf_counter() - self.begun)
        times = ", ".join(f"{name} {seconds[-1]:.2f} s" for name, seconds in self.seconds.items())
        print(f"epoch {info.epoch:2}: {times}; losses {info.loss:.3f} and {loss:.3f}", flush=True)
        self.begun = time.perf_counter()

    def _compare_losses(self, network) -> None:
        part = slice(0, self.settings.batch_size)
        x = Ragged.from_list([line.numpy() for line in self.X[part]])
        targets = Ragged(np.concatenate(self.targets[part]), [len(target) for target in self.targets[part]])
        ours = network._loss_of(network.forward(x)[0], Examples(x, targets)).loss
        self.model.eval()
        packed, self.model.packed = self.model.packed, True
        theirs = batch_loss(self.model, self.X[part], self.targets[part]).item()
        self.model.packed = packed
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=demo.EPOCHS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--packed", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)

    lines = load_digit_lines(demo.N_TRAIN, demo.N_TEST, random_state=options.seed)
    ours = demo.make_transcriber(epochs=options.epochs, seed=options.seed)
    theirs = LineReader(options.packed)
    turns = Turns(theirs, lines, ours)
    with threadpool_limits(options.threads):
        ours.set_params(callbacks=[turns]).fit(lines.X_train, lines.y_train)
        texts = {
            "pyseq": ours.predict(lines.X_test),
            "PyTorch": read(theirs, turns.standardised(ours.network_, lines.X_test)),
        }

    medians = {name: float(np.median(seconds)) for name, seconds in turns.seconds.items()}
    for name, median in medians.items():
        errors = character_error_rate(lines.y_test, texts[name])
        print(f"{name:8} {median:.3f} s an epoch (median of {options.epochs}), {errors:.1%} character errors")
    print(f"ratio    {medians['PyTorch'] / medians['pyseq']:.2f}")


if __name__ == "__main__":
    main()
