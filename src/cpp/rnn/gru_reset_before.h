// Gated recurrent unit, reset before the matrix product, as first published (Cho et al. 2014).
//
//   r, z = sigmoid(W_ih x + b_ih + W_hh h' + b_hh)
//   n = tanh(W_in x + b_in + W_hn (r * h') + b_hn)        h = n + z * (h' - n)
//
// Slots r, z, n. The first pass hands on r * h'; the second completes n.
#pragma once

#include "rnn/cell.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class R, int Q>
struct GruResetBefore : CellDefaults {
  static constexpr int gates = 3, slots = 3, x_first = 0, x_slots = 3, h_first = 0, h_slots = 2;
  static constexpr int update_slot = 1, gated_slot = 2;
  static constexpr int x_gate(int s) { return s; }
  static constexpr int h_gate(int s) { return s; }
  static constexpr int unit(int) { return 0; }
  static constexpr bool has_cell = false, keeps_slots = true, carries_h = true;
  static constexpr int most_unit_vectors = 1;
  static constexpr Scheme scheme = Scheme::kGated;
  using V = Vec<R>;

  // `gated`: what the second product reads. h_prev as the first product read it.
  template <int N>
  PYSEQ_INLINE static void forward(V (&a)[N][slots], const V (&h_prev)[N][Q], const V (&)[N][Q], V (&)[N][Q],
                                   V (&gated)[N][Q]) {
    V rz[N][2];
    PYSEQ_UNROLL for (int i = 0; i < N; i++) {
      rz[i][0] = a[i][0];
      rz[i][1] = a[i][1];
    }
    activate_slots<R>(rz, [](int) { return false; });
    PYSEQ_UNROLL for (int i = 0; i < N; i++) {
      a[i][0] = rz[i][0];
      a[i][1] = rz[i][1];
      gated[i][0] = rz[i][0] * h_prev[i][0];
    }
  }
  template <int N>
  PYSEQ_INLINE static void finish(V (&n)[N][Q], const V (&z)[N][Q], const V (&h_prev)[N][Q], V (&h)[N][Q]) {
    activate_slots<R>(n, [](int) { return true; });
    PYSEQ_UNROLL for (int i = 0; i < N; i++) h[i][0] = fma(z[i][0], h_prev[i][0] - n[i][0], n[i][0]);
  }

  // Leaves r where it is: its gradient needs that of r * h'.
  PYSEQ_INLINE static void backward(const V (&a)[slots], const V (&h_prev)[Q], const V (&)[Q], const V (&)[Q],
                                    const V (&dh)[Q], const V (&)[Q], V (&d)[slots], V (&dh_prev)[Q], V (&)[Q]) {
    const V z = a[1], n = a[2];
    d[0] = a[0];
    d[1] = dh[0] * (h_prev[0] - n) * (z - z * z);
    d[2] = dh[0] * (R(1) - z) * (R(1) - n * n);
    dh_prev[0] = dh[0] * z;
  }
  // From the gradient of r * h': that of slot r, and that of h' as the products read it.
  PYSEQ_INLINE static void finish_backward(V r, V h_prev, V dgated, V& dr, V& dh_prev) {
    dr = dgated * h_prev * (r - r * r);
    dh_prev = dgated * r;
  }
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
