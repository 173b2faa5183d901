"""Times of several calls, taken in turn.

Turns are blocks of calls rather than single ones. Each library keeps threads of its own, which wait for
more work by spinning, for microseconds (pyseq) or milliseconds (others): called one by one in turn, each
would run beside the spinning threads of the one before, on the same cores. So before a block the process
rests until none of its threads is busy; then one call wakes the block's own threads and fills the caches;
then calls are timed, one straight after the other as in a training loop. How each library waits is left as
it comes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from bench.contest import Contestant

_BLOCK_SECONDS = 0.01
_SHORT = 50e-6  # calls shorter than this are timed several at once
_SHORT_TOTAL = 200e-6
_WARM_UP_BELOW = 0.25  # longer calls lose little to cold caches
# A thread's time is brought up to date every few milliseconds only, and ONNX Runtime's spin for 40 of them.
_REST_SECONDS, _REST_MOST = 9e-3, 0.25
_BUSY = 0.3  # share of a core that counts as a thread still spinning


def rest() -> None:
    """Sleep until no thread of this process is busy."""
    end = time.perf_counter() + _REST_MOST
    while time.perf_counter() < end:
        busy, begun = time.process_time(), time.perf_counter()
        time.sleep(_REST_SECONDS)
        if time.process_time() - busy < _BUSY * (time.perf_counter() - begun):
            return


class _Turn:
    """Blocks of calls of one contestant."""

    def __init__(self, contestant: Contestant) -> None:
        self.contestant = contestant
        self.blocks: list[list[float]] = []
        self.inner = 1
        with contestant.around():
            estimate = self._sample()
            self.warm_up = estimate < _WARM_UP_BELOW
            if self.warm_up:
                estimate = min(self._sample() for _ in range(3))
        if estimate < _SHORT:
            self.inner = round(_SHORT_TOTAL / estimate)
        self.samples_a_block = max(1, round(_BLOCK_SECONDS / (estimate * self.inner)))

    def _sample(self) -> float:
        call, inner = self.contestant.call, self.inner
        begun = time.perf_counter()
        for _ in range(inner):
            call()
        return (time.perf_counter() - begun) / inner

    def block(self) -> None:
        rest()
        with self.contestant.around():
            if self.warm_up:
                self._sample()
            self.blocks.append([self._sample() for _ in range(self.samples_a_block)])


Blocks = list[list[float]]


def take_turns(contestants: Sequence[Contestant], seconds: float, rounds: int) -> list[Blocks]:
    """Seconds a call of each contestant, by round: A B A B for so many seconds, at least so many rounds."""
    turns = [_Turn(contestant) for contestant in contestants]
    end, done = time.perf_counter() + seconds, 0
    while done < rounds or time.perf_counter() < end:
        for turn in turns:
            turn.block()
        done += 1
    return [turn.blocks for turn in turns]
