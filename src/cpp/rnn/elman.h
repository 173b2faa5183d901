// Simple recurrent network (Elman 1990):  h = f(W_ih x + b_ih + W_hh h' + b_hh),  f = tanh or relu.
// One slot a unit, so up to four vectors of units share a block and fill the product's tile.
#pragma once

#include "rnn/cell.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class R, int Q, bool kRelu>
struct Elman : CellDefaults {
  static constexpr int gates = 1, slots = Q, x_first = 0, x_slots = Q, h_first = 0, h_slots = Q;
  static constexpr int x_gate(int) { return 0; }
  static constexpr int h_gate(int) { return 0; }
  static constexpr int unit(int s) { return s; }
  static constexpr bool has_cell = false, keeps_slots = false, carries_h = false;
  static constexpr int most_unit_vectors = 4;
  using V = Vec<R>;

  template <int N>
  PYSEQ_INLINE static void forward(V (&a)[N][slots], const V (&)[N][Q], const V (&)[N][Q], V (&)[N][Q], V (&h)[N][Q]) {
    PYSEQ_UNROLL for (int i = 0; i < N; i++)
      PYSEQ_UNROLL for (int q = 0; q < Q; q++) h[i][q] = kRelu ? vmax(V{}, a[i][q]) : a[i][q];
    if (!kRelu) activate_slots<R>(h, [](int) { return true; });
  }

  PYSEQ_INLINE static void backward(const V (&)[slots], const V (&)[Q], const V (&)[Q], const V (&h)[Q],
                                    const V (&dh)[Q], const V (&)[Q], V (&d)[slots], V (&)[Q], V (&)[Q]) {
    PYSEQ_UNROLL for (int q = 0; q < Q; q++)
      d[q] = kRelu ? select<R>(h[q] > V{}, dh[q], V{}) : dh[q] * (R(1) - h[q] * h[q]);
  }
};
template <class R, int Q>
using ElmanTanh = Elman<R, Q, false>;
template <class R, int Q>
using ElmanRelu = Elman<R, Q, true>;

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
