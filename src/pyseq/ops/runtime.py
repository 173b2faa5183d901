"""What the kernels run on: instruction-set tier and threads."""

from pyseq._core import active_tier, available_tiers, compiled_tiers, compiler, get_num_threads

__all__ = ["active_tier", "available_tiers", "compiled_tiers", "compiler", "get_num_threads"]
