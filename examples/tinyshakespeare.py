"""A character model of Shakespeare's plays, and the same in PyTorch for its time.

    python examples/tinyshakespeare.py FOLDER [--torch] [--epochs 8] [--page page.txt]

FOLDER holds tinyshakespeare.txt. The first 90 % are for training, the rest for validation. The model reads
characters through an embedding, an LSTM of 512 units and dropout. PyTorch gets the same sizes, batches,
clipping and carried states; its time is the median of an update's, times their number.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from pyseq import LSTM, Chain, Dropout, SequenceGenerator

PASSAGE = 4000  # validation is read in passages side by side, each from an empty state
UNITS, DIM, DROPOUT, BATCH, STEPS, RATE = 512, 64, 0.25, 64, 128, 4e-3


def fit(
    training: str, validation: str, epochs: int, seed: int
) -> tuple[SequenceGenerator, list[float], float]:
    """The model, its validation loss after each epoch in nats a character, and the seconds of training."""
    seconds = 0.0
    losses = []

    def watch(info):
        nonlocal seconds, begun
        seconds += time.perf_counter() - begun
        losses.append(-info.validation_score)
        print(
            f"epoch {info.epoch}: loss {info.loss:.3f}, validation {losses[-1]:.3f}, {seconds:.0f} s in all",
            flush=True,
        )
        begun = time.perf_counter()

    model = SequenceGenerator(
        Chain([LSTM(UNITS), Dropout(DROPOUT)]),
        embedding_dim=DIM,
        tbptt_steps=STEPS,
        batch_size=BATCH,
        max_iter=epochs,
        learning_rate_init=RATE,
        learning_rate=("cosine", {"warmup": 0.02}),
        n_iter_no_change=np.inf,
        random_state=seed,
        callbacks=[watch],
    )
    begun = time.perf_counter()
    passages = [validation[i : i + PASSAGE] for i in range(0, len(validation), PASSAGE)]
    return model.fit(training, X_val=passages), losses, seconds


def torch_update_seconds(symbols: int, updates: int = 12) -> float:
    """Median seconds of one update of the same model in PyTorch."""
    import torch

    torch.manual_seed(0)
    embedding, lstm = torch.nn.Embedding(symbols, DIM), torch.nn.LSTM(DIM, UNITS, batch_first=True)
    dropout, head = torch.nn.Dropout(DROPOUT), torch.nn.Linear(UNITS, symbols)
    parameters = [p for module in (embedding, lstm, head) for p in module.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=RATE)
    state = None
    seconds = []
    for _ in range(updates):
        tokens = torch.randint(symbols, (BATCH, STEPS + 1))
        begun = time.perf_counter()
        optimizer.zero_grad()
        y, state = lstm(embedding(tokens[:, :-1]), state)
        state = tuple(s.detach() for s in state)
        logits = head(dropout(y)).reshape(-1, symbols)
        torch.nn.functional.cross_entropy(logits, tokens[:, 1:].reshape(-1)).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        seconds.append(time.perf_counter() - begun)
    return float(np.median(seconds[2:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--torch", action="store_true", help="time PyTorch beside it")
    parser.add_argument("--page", type=Path, help="where a generated page goes")
    options = parser.parse_args()

    text = (options.folder / "tinyshakespeare.txt").read_text()
    cut = int(0.9 * len(text))
    model, losses, seconds = fit(text[:cut], text[cut:], options.epochs, options.seed)
    print(f"validation loss {losses[-1]:.3f} nats a character (best {min(losses):.3f}) in {seconds:.0f} s")
    page = model.generate("\n", 1500, temperature=0.8, random_state=options.seed)
    print(page)
    if options.page:
        options.page.write_text(page)
    if options.torch:
        updates = options.epochs * -(-cut // (BATCH * STEPS))
        theirs = updates * torch_update_seconds(len(model.symbols_) + 1)
        print(
            f"PyTorch: {theirs:.0f} s for as many updates, without validation: "
            f"{theirs / seconds:.2f} times as long"
        )


if __name__ == "__main__":
    main()
