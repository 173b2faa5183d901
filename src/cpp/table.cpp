#include "tier.h"

#define PYSEQ_STRING_(x) #x
#define PYSEQ_STRING(x) PYSEQ_STRING_(x)

namespace pyseq {
namespace PYSEQ_TIER {

const KernelTable* kernel_table() noexcept;
const KernelTable* kernel_table() noexcept {
  static KernelTable table;  // filled once, by select_tier, before any other thread can reach it
  table.tier = PYSEQ_STRING(PYSEQ_TIER);
  table.vector_bytes = PYSEQ_VECTOR_BYTES;
  fill_simd(table);
  fill_probe(table);
  fill_dense(table);
  fill_updates(table);
  fill_rnn(table.f32);
  fill_rnn(table.f64);
#ifdef PYSEQ_HAS_BFLOAT16
  fill_rnn_bf16(table.f32);
#endif
  fill_conv1d(table);
  fill_conv_step(table);
  fill_ctc_loss(table);
  fill_ctc_align(table);
  fill_ctc_greedy(table);
  return &table;
}

}  // namespace PYSEQ_TIER
}  // namespace pyseq
