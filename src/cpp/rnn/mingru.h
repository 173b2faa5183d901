// GRU without recurrent products (minGRU: Feng et al. 2024). With a = W_ih x + b_ih:
//
//   z = sigmoid(a_z)   v = a_v   h = h' + z * (v - h')
//
// Slots: the block's vectors of z, then those of v.
#pragma once

#include "rnn/cell.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class R, int Q>
struct MinGru : CellDefaults {
  static constexpr int gates = 2, slots = 2 * Q, x_first = 0, x_slots = 2 * Q, h_first = 2 * Q, h_slots = 0;
  static constexpr int x_gate(int s) { return s / Q; }
  static constexpr int h_gate(int) { return 0; }
  static constexpr int unit(int s) { return s % Q; }
  static constexpr bool has_cell = false, keeps_slots = true, carries_h = true;
  static constexpr int most_unit_vectors = 2;
  static constexpr Scheme scheme = Scheme::kLinear;
  using V = Vec<R>;

  // All that does not depend on h', for N frames.
  template <int N>
  PYSEQ_INLINE static void prepare(V (&a)[N][slots]) {
    V z[N][Q];
    PYSEQ_UNROLL for (int i = 0; i < N; i++)
      PYSEQ_UNROLL for (int q = 0; q < Q; q++) z[i][q] = a[i][q];
    activate_slots<R>(z, [](int) { return false; });
    PYSEQ_UNROLL for (int i = 0; i < N; i++)
      PYSEQ_UNROLL for (int q = 0; q < Q; q++) a[i][q] = z[i][q];
  }
  PYSEQ_INLINE static void forward(const V (&a)[slots], const V (&h_prev)[Q], V (&h)[Q]) {
    PYSEQ_UNROLL for (int q = 0; q < Q; q++) h[q] = fma(a[q], a[Q + q] - h_prev[q], h_prev[q]);
  }

  PYSEQ_INLINE static void backward(const V (&a)[slots], const V (&h_prev)[Q], const V (&)[Q], const V (&)[Q],
                                    const V (&dh)[Q], const V (&)[Q], V (&d)[slots], V (&dh_prev)[Q], V (&)[Q]) {
    PYSEQ_UNROLL for (int q = 0; q < Q; q++) {
      const V z = a[q], v = a[Q + q];
      d[q] = dh[q] * (v - h_prev[q]) * (z - z * z);
      d[Q + q] = dh[q] * z;
      dh_prev[q] = dh[q] - d[Q + q];
    }
  }
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
