// Gated recurrent unit (Cho et al. 2014), reset after the matrix product, as in PyTorch and cuDNN.
//
//   r, z = sigmoid(W_ih x + b_ih + W_hh h' + b_hh)
//   n = tanh(W_in x + b_in + r * (W_hn h' + b_hn))        h = n + z * (h' - n)
//
// Slots: n's input part, r, z, n's recurrent part (hn): the input feeds the first three, h' the last three.
#pragma once

#include "rnn/cell.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class R, int Q>
struct Gru : CellDefaults {
  static constexpr int gates = 3, slots = 4, x_first = 0, x_slots = 3, h_first = 1, h_slots = 3;
  static constexpr int x_gate(int s) { return s == 0 ? 2 : s - 1; }
  static constexpr int h_gate(int s) { return s - 1; }
  static constexpr int unit(int) { return 0; }
  static constexpr bool has_cell = false, keeps_slots = true, carries_h = true;
  static constexpr int most_unit_vectors = 1;
  using V = Vec<R>;

  template <int N>
  PYSEQ_INLINE static void forward(V (&a)[N][slots], const V (&h_prev)[N][Q], const V (&)[N][Q], V (&)[N][Q],
                                   V (&h)[N][Q]) {
    V rz[N][2], n[N][1];
    PYSEQ_UNROLL for (int i = 0; i < N; i++) rz[i][0] = a[i][1];
    PYSEQ_UNROLL for (int i = 0; i < N; i++) rz[i][1] = a[i][2];
    activate_slots<R>(rz, [](int) { return false; });
    PYSEQ_UNROLL for (int i = 0; i < N; i++) n[i][0] = fma(rz[i][0], a[i][3], a[i][0]);
    activate_slots<R>(n, [](int) { return true; });
    PYSEQ_UNROLL for (int i = 0; i < N; i++) {
      a[i][0] = n[i][0];
      a[i][1] = rz[i][0];
      a[i][2] = rz[i][1];
      h[i][0] = fma(rz[i][1], h_prev[i][0] - n[i][0], n[i][0]);
    }
  }

  PYSEQ_INLINE static void backward(const V (&a)[slots], const V (&h_prev)[Q], const V (&)[Q], const V (&)[Q],
                                    const V (&dh)[Q], const V (&)[Q], V (&d)[slots], V (&dh_prev)[Q], V (&)[Q]) {
    const V n = a[0], r = a[1], z = a[2], hn = a[3];
    d[0] = dh[0] * (R(1) - z) * (R(1) - n * n);
    d[1] = d[0] * hn * (r - r * r);
    d[2] = dh[0] * (h_prev[0] - n) * (z - z * z);
    d[3] = d[0] * r;
    dh_prev[0] = dh[0] * z;
  }
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
