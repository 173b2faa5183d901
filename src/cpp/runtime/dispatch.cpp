#include "runtime/dispatch.h"

#include <cstring>

#include "runtime/cpu.h"

namespace pyseq {

namespace baseline { const KernelTable* kernel_table() noexcept; }
#ifdef PYSEQ_HAS_avx2
namespace avx2 { const KernelTable* kernel_table() noexcept; }
#endif
#ifdef PYSEQ_HAS_avx512
namespace avx512 { const KernelTable* kernel_table() noexcept; }
#endif
#ifdef PYSEQ_HAS_amx
namespace amx { const KernelTable* kernel_table() noexcept; }
#endif
#ifdef PYSEQ_HAS_emulated_amx
namespace emulated_amx { const KernelTable* kernel_table() noexcept; }
#endif

namespace {

bool always() noexcept { return true; }
#ifdef PYSEQ_HAS_emulated_amx
bool lacks_amx() noexcept { return cpu_has_avx512_bf16() && !cpu_has_amx(); }
#endif

const Tier kTiers[] = {
#ifdef PYSEQ_HAS_emulated_amx
    {"amx", lacks_amx, emulated_amx::kernel_table},  // for tests, and slower than any: only where it is asked for
#endif
    {"baseline", always, baseline::kernel_table},
#ifdef PYSEQ_HAS_avx2
    {"avx2", cpu_has_avx2, avx2::kernel_table},
#endif
#ifdef PYSEQ_HAS_avx512
    {"avx512", cpu_has_avx512, avx512::kernel_table},
#endif
#ifdef PYSEQ_HAS_amx
    {"amx", cpu_has_amx, amx::kernel_table},
#endif
};
constexpr int kCount = sizeof kTiers / sizeof kTiers[0];

const Tier* selected = nullptr;
const KernelTable* selected_table = nullptr;
bool multiplies_bfloat16 = false;

}  // namespace

const Tier* tiers(int* count) noexcept {
  *count = kCount;
  return kTiers;
}

bool select_tier(const char* name) noexcept {
  for (int i = kCount - 1; i >= 0; i--) {
    if ((name && std::strcmp(name, kTiers[i].name) != 0) || !kTiers[i].supported()) continue;
    selected = &kTiers[i];
    selected_table = kTiers[i].table();
    multiplies_bfloat16 = selected_table->f32.rnn_bf16.forward && cpu_has_avx512_bf16();
    return true;
  }
  return false;
}

const char* active_tier() noexcept { return selected->name; }
const KernelTable& kernel_table() noexcept { return *selected_table; }
template <>
const Kernels<float>& kernels<float>() noexcept { return selected_table->f32; }
template <>
const Kernels<double>& kernels<double>() noexcept { return selected_table->f64; }

bool is_native(Precision precision) noexcept {
  if (precision == Precision::kHigh) return selected_table->f32.rnn_tiles_x3.forward != nullptr;
  return precision == Precision::kHighest || selected_table->f32.rnn_tiles.forward || multiplies_bfloat16;
}
template <>
const RnnKernels<float>& rnn_kernels<float>(const RnnProblem& p) noexcept {
  const Kernels<float>& k = kernels<float>();
  const auto serves = [&](const RnnKernels<float>& reduced) { return reduced.forward && reduced.suits(p); };
  if (p.precision == Precision::kHigh && serves(k.rnn_tiles_x3)) return k.rnn_tiles_x3;
  if (p.precision != Precision::kMedium) return k.rnn;
  if (serves(k.rnn_tiles)) return k.rnn_tiles;
  return multiplies_bfloat16 && serves(k.rnn_bf16) ? k.rnn_bf16 : k.rnn;
}
template <>
const RnnKernels<double>& rnn_kernels<double>(const RnnProblem&) noexcept { return kernels<double>().rnn; }
template <>
const Conv1dKernels<float>& conv1d_kernels<float>(const Conv1d<float>& c, Precision precision) noexcept {
  const Kernels<float>& k = kernels<float>();
  const auto serves = [&](const Conv1dKernels<float>& reduced) { return reduced.forward && reduced.suits(c); };
  if (precision == Precision::kHigh && serves(k.conv1d_tiles_x3)) return k.conv1d_tiles_x3;
  if (precision != Precision::kMedium) return k.conv1d;
  if (serves(k.conv1d_tiles)) return k.conv1d_tiles;
  return multiplies_bfloat16 && serves(k.conv1d_bf16) ? k.conv1d_bf16 : k.conv1d;
}
template <>
const Conv1dKernels<double>& conv1d_kernels<double>(const Conv1d<double>&, Precision) noexcept {
  return kernels<double>().conv1d;
}

}  // namespace pyseq
