// Which tier's kernels run. Chosen once, at import.
#pragma once

#include "kernels.h"

namespace pyseq {

// A tier that was compiled in: its name, whether this CPU runs it, its kernels.
struct Tier {
  const char* name;
  bool (*supported)() noexcept;
  const KernelTable* (*table)() noexcept;
};

const Tier* tiers(int* count) noexcept;  // worst first; those that were compiled
// Selects the named tier, or the best supported one for nullptr. False if it is absent or unsupported.
bool select_tier(const char* name) noexcept;
const char* active_tier() noexcept;
const KernelTable& kernel_table() noexcept;

template <class R>
const Kernels<R>& kernels() noexcept;

}  // namespace pyseq
