// Leaky Elman network (Jaeger et al. 2007):  n = tanh(W_ih x + b_ih + W_hh h' + b_hh),  h = (1 - a) h' + a n,
// with a rate `a` for each unit: the one extra row.
#pragma once

#include "rnn/cell.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class R, int Q>
struct ElmanLeaky : CellDefaults {
  static constexpr int gates = 1, slots = Q, x_first = 0, x_slots = Q, h_first = 0, h_slots = Q, extras = 1;
  static constexpr int x_gate(int) { return 0; }
  static constexpr int h_gate(int) { return 0; }
  static constexpr int unit(int s) { return s; }
  static constexpr bool has_cell = false, keeps_slots = true, carries_h = true;
  static constexpr int most_unit_vectors = 4;
  using V = Vec<R>;

  template <int N, int NB>
  PYSEQ_INLINE static void forward(V (&a)[N][slots], const V (&h_prev)[N][Q], const V (&)[N][Q], V (&)[N][Q],
                                   V (&h)[N][Q], const V (&e)[NB][extras][Q]) {
    activate_slots<R>(a, [](int) { return true; });
    PYSEQ_UNROLL for (int i = 0; i < N; i++)
      PYSEQ_UNROLL for (int q = 0; q < Q; q++) h[i][q] = fma(e[i * NB / N][0][q], a[i][q] - h_prev[i][q], h_prev[i][q]);
  }

  PYSEQ_INLINE static void backward(const V (&a)[slots], const V (&h_prev)[Q], const V (&)[Q], const V (&)[Q],
                                    const V (&dh)[Q], const V (&)[Q], V (&d)[slots], V (&dh_prev)[Q], V (&)[Q],
                                    const V (&e)[extras][Q], V (&de)[extras][Q]) {
    PYSEQ_UNROLL for (int q = 0; q < Q; q++) {
      const V n = a[q], dn = dh[q] * e[0][q];
      d[q] = dn * (R(1) - n * n);
      dh_prev[q] = dh[q] - dn;
      de[0][q] = fma(dh[q], n - h_prev[q], de[0][q]);
    }
  }
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
