"""Loads the kernels with OpenMP told not to spin for long.

GNU OpenMP lets a waiting thread spin for milliseconds before it sleeps. Beside other work on the machine
that is a time slice given away at every wait (a training epoch took six times as long on two busy cores), and
it keeps cores busy after a call has returned. The bound is read from the environment when the library is
loaded, and at no other time, so it is set for that moment, unless the user has set a policy.
"""

from __future__ import annotations

import os

_SPINS = "2000"  # 30 to 100 microseconds: longer than the wait between the kernels of one batch
_POLICIES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")

if any(name in os.environ for name in _POLICIES):
    from pyseq import _core
else:
    os.environ["GOMP_SPINCOUNT"] = _SPINS
    try:
        from pyseq import _core
    finally:
        del os.environ["GOMP_SPINCOUNT"]

__all__ = ["_core"]
