// For every source that is compiled once a tier. PYSEQ_TIER is the tier's namespace (cmake/isa.cmake).
// All but the fill functions has internal linkage, and no header is included that emits weak symbols: the
// linker would keep one tier's copy for all.
#pragma once

#include "kernels.h"


namespace pyseq {
namespace PYSEQ_TIER {

// Each family of kernels enters its functions into the tier's table.
void fill_simd(KernelTable& table) noexcept;
void fill_probe(KernelTable& table) noexcept;
void fill_dense(KernelTable& table) noexcept;
void fill_updates(KernelTable& table) noexcept;
void fill_rnn(Kernels<float>& kernels) noexcept;
void fill_rnn(Kernels<double>& kernels) noexcept;
void fill_rnn_bf16(Kernels<float>& kernels) noexcept;  // in tiers that PYSEQ_HAS_BFLOAT16
void fill_rnn_tiles(Kernels<float>& kernels) noexcept;  // in tiers that have tile registers
void fill_tile_probe(KernelTable& table) noexcept;      // likewise
void fill_conv1d_tiles(Kernels<float>& kernels) noexcept;  // likewise
void fill_conv1d(KernelTable& table) noexcept;
void fill_conv_step(KernelTable& table) noexcept;
void fill_conv1d_bf16(Kernels<float>& kernels) noexcept;  // in tiers that PYSEQ_HAS_BFLOAT16
void fill_ctc_loss(KernelTable& table) noexcept;
void fill_ctc_align(KernelTable& table) noexcept;
void fill_ctc_greedy(KernelTable& table) noexcept;
void fill_ctc_beam(KernelTable& table) noexcept;

}  // namespace PYSEQ_TIER
}  // namespace pyseq
