"""What a training step needs beside its arguments and results."""

import pytest

from pyseq import config_context, ops


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize(
    ("steps", "batch", "inputs", "hidden"),
    [(100, 32, 16, 32), (100, 32, 64, 128), (100, 64, 256, 256), (200, 64, 512, 512)],
)
def test_scratch_adds_at_most_a_fifth_to_the_tape(cell, steps, batch, inputs, hidden, precision):
    with config_context(precision=precision):
        memory = ops.rnn_memory(cell, batch, steps, inputs, hidden)
    assert memory.forward_workspace <= memory.tape / 5
    assert memory.backward_workspace <= memory.tape / 5


def test_the_tape_is_the_activated_gates_and_the_cell_state():
    frames, units = 32 * 100, 128
    tape = ops.rnn_memory("lstm", 32, 100, 64, units).tape
    assert frames * units * 5 * 4 <= tape <= 1.02 * frames * units * 5 * 4


def test_scratch_does_not_grow_with_the_length():
    short, long = (ops.rnn_memory("gru", 8, steps, 32, 64) for steps in (1000, 2000))
    assert long.backward_workspace <= 1.1 * short.backward_workspace


def test_sizes_that_make_no_sense_are_an_error():
    with pytest.raises(ValueError, match="sizes"):
        ops.rnn_memory("lstm", 1, 1, 1, 0)
