// LSTM whose gates see the cell state (Gers & Schmidhuber 2000). With a = W_ih x + b_ih + W_hh h' + b_hh:
//
//   i = sigmoid(a_i + p_i c')   f = sigmoid(a_f + p_f c')   g = tanh(a_g)
//   c = f * c' + i * g          o = sigmoid(a_o + p_o c)    h = o * tanh(c)
//
// Extra rows: p_i, p_f, p_o.
#pragma once

#include "rnn/cell.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class R, int Q>
struct LstmPeephole : CellDefaults {
  static constexpr int gates = 4, slots = 4, x_first = 0, x_slots = 4, h_first = 0, h_slots = 4, extras = 3;
  static constexpr int x_gate(int s) { return s; }
  static constexpr int h_gate(int s) { return s; }
  static constexpr int unit(int) { return 0; }
  static constexpr bool has_cell = true, keeps_slots = true, carries_h = false;
  static constexpr int most_unit_vectors = 1;
  using V = Vec<R>;

  template <int N, int NB>
  PYSEQ_INLINE static void forward(V (&a)[N][slots], const V (&)[N][Q], const V (&c_prev)[N][Q], V (&c)[N][Q],
                                   V (&h)[N][Q], const V (&e)[NB][extras][Q]) {
    V ifg[N][3], oc[N][2];
    PYSEQ_UNROLL for (int i = 0; i < N; i++) {
      ifg[i][0] = fma(e[i * NB / N][0][0], c_prev[i][0], a[i][0]);
      ifg[i][1] = fma(e[i * NB / N][1][0], c_prev[i][0], a[i][1]);
      ifg[i][2] = a[i][2];
    }
    activate_slots<R>(ifg, [](int s) { return s == 2; });
    PYSEQ_UNROLL for (int i = 0; i < N; i++) {
      oc[i][1] = c[i][0] = fma(ifg[i][1], c_prev[i][0], ifg[i][0] * ifg[i][2]);
      oc[i][0] = fma(e[i * NB / N][2][0], c[i][0], a[i][3]);
      PYSEQ_UNROLL for (int s = 0; s < 3; s++) a[i][s] = ifg[i][s];
    }
    activate_slots<R>(oc, [](int s) { return s == 1; });
    PYSEQ_UNROLL for (int i = 0; i < N; i++) {
      a[i][3] = oc[i][0];
      h[i][0] = oc[i][0] * oc[i][1];
    }
  }

  // tanh(c) as in rnn/lstm.h.
  PYSEQ_INLINE static void backward(const V (&a)[slots], const V (&)[Q], const V (&c_prev)[Q], const V (&h)[Q],
                                    const V (&dh)[Q], const V (&dc_in)[Q], V (&d)[slots], V (&)[Q], V (&dc_prev)[Q],
                                    const V (&e)[extras][Q], V (&de)[extras][Q]) {
    const V i = a[0], f = a[1], g = a[2], o = a[3];
    const V tanh_c_h = h[0] * h[0] * recip(vmax(splat(R(1e-30)), o));
    const V dhh = dh[0] * h[0], d_o = dhh - dhh * o;
    const V dc = fma(d_o, e[2][0], fma(dh[0], o - tanh_c_h, dc_in[0]));
    d[0] = dc * g * (i - i * i);
    d[1] = dc * c_prev[0] * (f - f * f);
    d[2] = dc * i * (R(1) - g * g);
    d[3] = d_o;
    dc_prev[0] = fma(d[0], e[0][0], fma(d[1], e[1][0], dc * f));
    de[0][0] = fma(d[0], c_prev[0], de[0][0]);
    de[1][0] = fma(d[1], c_prev[0], de[1][0]);
    de[2][0] = fma(d_o, fma(f, c_prev[0], i * g), de[2][0]);
  }
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
