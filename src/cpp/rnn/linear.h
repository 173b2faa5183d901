// Cells without a recurrent product: all products run ahead over a chunk of frames (and C::prepare with them), and
// what is left of a step is elementwise. Each unit goes its own way, so threads that split them never meet.
//
//   prepare<N>(a)            N frames: all that does not depend on h'
//   forward(a, h_prev, h)    the rest, one row
#pragma once

#include "rnn/masks.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class C, class R, int Q>
void linear_step(const ForwardContext<C, R, Q>& x, const Row<R>* rows, int64_t n, const Share& share, int64_t block_slots) {
  constexpr int W = kLanes<R>, S = C::slots;
  const Shape& s = x.work.plan.shape;
  for (int64_t j = 0; j < n; j++)
    for (int64_t u = share.first_block; u < share.end_block; u++) {
      Vec<R> a[S], h_prev[Q], h[Q];
      PYSEQ_UNROLL for (int v = 0; v < S; v++) a[v] = load(rows[j].slots + u * block_slots + v * W);
      PYSEQ_UNROLL for (int q = 0; q < Q; q++) {
        const int64_t i = (u * Q + q) * W;
        h_prev[q] = load_up_to(rows[j].h_prev + i, s.hidden - i);
      }
      C::forward(a, h_prev, h);
      PYSEQ_UNROLL for (int q = 0; q < Q; q++) {
        const int64_t i = (u * Q + q) * W;
        store_up_to(rows[j].y + i, h[q], s.hidden - i);
      }
    }
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
