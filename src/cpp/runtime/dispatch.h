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

// Whether kernels of this precision exist in the tier in use, on this CPU. A lower one that does not runs as kHighest.
bool is_native(Precision precision) noexcept;
// The kernels to run a problem with: those of its precision where they exist and suit it.
template <class R>
const RnnKernels<R>& rnn_kernels(const RnnProblem& problem) noexcept;
template <class R>
const Conv1dKernels<R>& conv1d_kernels(const Conv1d<R>& problem, Precision precision) noexcept;

}  // namespace pyseq
