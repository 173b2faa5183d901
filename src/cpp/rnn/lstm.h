// Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).
//
//   i, f, o = sigmoid(.)   g = tanh(.)        each of W_ih x + b_ih + W_hh h' + b_hh
//   c = f * c' + i * g     h = o * tanh(c)
#pragma once

#include "rnn/cell.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class R, int Q>
struct Lstm : CellDefaults {
  static constexpr int gates = 4, slots = 4, x_first = 0, x_slots = 4, h_first = 0, h_slots = 4;
  static constexpr int x_gate(int s) { return s; }
  static constexpr int h_gate(int s) { return s; }
  static constexpr int unit(int) { return 0; }
  static constexpr bool has_cell = true, keeps_slots = true, carries_h = false;
  static constexpr int most_unit_vectors = 1;
  using V = Vec<R>;

  template <int N>
  PYSEQ_INLINE static void forward(V (&a)[N][slots], const V (&)[N][Q], const V (&c_prev)[N][Q], V (&c)[N][Q],
                                   V (&h)[N][Q]) {
    V ifg[N][3], oc[N][2];  // o waits: beside tanh(c) it fills the gaps of that chain
    PYSEQ_UNROLL for (int n = 0; n < N * 3; n++) ifg[n / 3][n % 3] = a[n / 3][n % 3];
    activate_slots<R>(ifg, [](int s) { return s == 2; });
    PYSEQ_UNROLL for (int i = 0; i < N; i++) {
      oc[i][0] = a[i][3];
      oc[i][1] = c[i][0] = fma(ifg[i][1], c_prev[i][0], ifg[i][0] * ifg[i][2]);
    }
    activate_slots<R>(oc, [](int s) { return s == 1; });
    PYSEQ_UNROLL for (int i = 0; i < N; i++) {
      PYSEQ_UNROLL for (int j = 0; j < 3; j++) a[i][j] = ifg[i][j];
      a[i][3] = oc[i][0];
      h[i][0] = oc[i][0] * oc[i][1];
    }
  }

  // tanh(c) is h / o, so it is not computed again; where o is 0, so is all that depends on it.
  PYSEQ_INLINE static void backward(const V (&a)[slots], const V (&)[Q], const V (&c_prev)[Q], const V (&h)[Q],
                                    const V (&dh)[Q], const V (&dc_in)[Q], V (&d)[slots], V (&)[Q], V (&dc_prev)[Q]) {
    const V i = a[0], f = a[1], g = a[2], o = a[3];
    const V tanh_c_h = h[0] * h[0] * recip(vmax(splat(R(1e-30)), o));
    const V dc = fma(dh[0], o - tanh_c_h, dc_in[0]), dhh = dh[0] * h[0];
    d[0] = dc * g * (i - i * i);
    d[1] = dc * c_prev[0] * (f - f * f);
    d[2] = dc * i * (R(1) - g * g);
    d[3] = dhh - dhh * o;
    dc_prev[0] = dc * f;
  }
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
