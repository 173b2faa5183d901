// The table of a tier with tile registers: that of avx512, and the kernels that use them.
#include "tier.h"

namespace pyseq {

namespace avx512 { const KernelTable* kernel_table() noexcept; }

namespace PYSEQ_TIER {

const KernelTable* kernel_table() noexcept;
const KernelTable* kernel_table() noexcept {
  static KernelTable table;  // as in table.cpp
  table = *avx512::kernel_table();
  table.tier = "amx";
  fill_rnn_tiles(table.f32);
  fill_conv1d_tiles(table.f32);
  fill_tile_probe(table);
  return &table;
}

}  // namespace PYSEQ_TIER
}  // namespace pyseq
