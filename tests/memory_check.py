"""Every recurrent cell once through its kernels at awkward sizes, for a memory checker to watch. Not a test.

Valgrind does not know AVX-512, so under it the kernels are those of a lower tier:

    PYSEQ_ISA=avx2 PYTHONMALLOC=malloc valgrind python tests/memory_check.py

For sanitizers, build with `cmake --preset dev -DCMAKE_CXX_FLAGS="-fsanitize=address,undefined"`, then

    LD_PRELOAD=$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 python tests/memory_check.py

Python and NumPy have findings of their own: what counts are frames in `_core`.
"""

import numpy as np

from pyseq import ops

SIZES = [
    (1, 3, 1, 1),
    (3, 5, 7, 9),
    (7, 4, 3, 17),
    (2, 6, 16, 33),
    (13, 3, 5, 48),
]  # batch, steps, inputs, units


def main():
    rng = np.random.default_rng(0)
    runs = 0
    for cell, info in ops.CELLS.items():
        for dtype in (np.float32, np.float64):
            for batch, steps, inputs, hidden in SIZES:
                shapes = info.shapes(inputs, hidden, max(1, hidden // 2) if info.projects else None)
                weights = info.weights(*(0.3 * rng.standard_normal(s).astype(dtype) for s in shapes.values()))
                x = rng.standard_normal((batch, steps, inputs)).astype(dtype)
                for reverse in (False, True):
                    for lengths in (None, rng.integers(0, steps + 1, batch)):
                        y, _, tape = ops.rnn_forward(cell, x, weights, lengths=lengths, reverse=reverse)
                        ops.rnn_backward(tape, rng.standard_normal(y.shape).astype(dtype))
                        runs += 1
    print(runs, "runs of", len(ops.CELLS), "cells")


if __name__ == "__main__":
    main()
