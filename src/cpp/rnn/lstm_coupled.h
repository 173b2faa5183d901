// LSTM with coupled input and forget gates, f = 1 - i (Greff et al. 2017). With a = W_ih x + b_ih + W_hh h' + b_hh:
//
//   i, o = sigmoid(a)   g = tanh(a)   c = c' + i * (g - c')   h = o * tanh(c)
#pragma once

#include "rnn/cell.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class R, int Q>
struct LstmCoupled : CellDefaults {
  static constexpr int gates = 3, slots = 3, x_first = 0, x_slots = 3, h_first = 0, h_slots = 3;
  static constexpr int x_gate(int s) { return s; }
  static constexpr int h_gate(int s) { return s; }
  static constexpr int unit(int) { return 0; }
  static constexpr bool has_cell = true, keeps_slots = true, carries_h = false;
  static constexpr int most_unit_vectors = 1;
  using V = Vec<R>;

  template <int N>
  PYSEQ_INLINE static void forward(V (&a)[N][slots], const V (&)[N][Q], const V (&c_prev)[N][Q], V (&c)[N][Q],
                                   V (&h)[N][Q]) {
    activate_slots<R>(a, [](int s) { return s == 1; });
    PYSEQ_UNROLL for (int i = 0; i < N; i++)
      h[i][0] = c[i][0] = fma(a[i][0], a[i][1] - c_prev[i][0], c_prev[i][0]);
    activate_slots<R>(h, [](int) { return true; });
    PYSEQ_UNROLL for (int i = 0; i < N; i++) h[i][0] *= a[i][2];
  }

  // tanh(c) as in rnn/lstm.h.
  PYSEQ_INLINE static void backward(const V (&a)[slots], const V (&)[Q], const V (&c_prev)[Q], const V (&h)[Q],
                                    const V (&dh)[Q], const V (&dc_in)[Q], V (&d)[slots], V (&)[Q], V (&dc_prev)[Q]) {
    const V i = a[0], g = a[1], o = a[2];
    const V tanh_c_h = h[0] * h[0] * recip(vmax(splat(R(1e-30)), o));
    const V dc = fma(dh[0], o - tanh_c_h, dc_in[0]), dhh = dh[0] * h[0];
    d[0] = dc * (g - c_prev[0]) * (i - i * i);
    d[1] = dc * i * (R(1) - g * g);
    d[2] = dhh - dhh * o;
    dc_prev[0] = dc - dc * i;
  }
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
