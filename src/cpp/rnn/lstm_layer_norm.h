// Layer-normalised LSTM (Ba et al. 2016). N(v) = (v - mean v) / sqrt(mean (v - mean v)^2 + 1e-5), over all of v.
//
//   a = gain_x N(W_ih x) + gain_h N(W_hh h') + b_ih + b_hh       i, f, o = sigmoid(a)   g = tanh(a)
//   c = f * c' + i * g                                           h = o * tanh(gain_c N(c) + bias_c)
//
// Slots: the sums over x, then those over h', each i f g o; normalised once the statistics are known.
// Extra rows: gain_x (i f g o), gain_h (i f g o), gain_c, bias_c.
#pragma once

#include "rnn/cell.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class R, int Q>
struct LstmLayerNorm : CellDefaults {
  static constexpr int gates = 4, slots = 8, x_first = 0, x_slots = 4, h_first = 4, h_slots = 4, extras = 10;
  static constexpr int x_gate(int s) { return s; }
  static constexpr int h_gate(int s) { return s - 4; }
  static constexpr int unit(int) { return 0; }
  static constexpr bool has_cell = true, keeps_slots = true, carries_h = false;
  static constexpr int most_unit_vectors = 1;
  static constexpr Scheme scheme = Scheme::kNormalised;
  using V = Vec<R>;

  template <int N>
  PYSEQ_INLINE static void gate(V (&a)[N][gates], const V (&c_prev)[N], V (&c)[N]) {
    activate_slots<R>(a, [](int s) { return s == 2; });
    PYSEQ_UNROLL for (int i = 0; i < N; i++) c[i] = fma(a[i][1], c_prev[i], a[i][0] * a[i][2]);
  }
  // v: c, normalised, with gain and bias.
  template <int N>
  PYSEQ_INLINE static void output(V (&v)[N][1], const V (&o)[N], V (&h)[N]) {
    activate_slots<R>(v, [](int) { return true; });
    PYSEQ_UNROLL for (int i = 0; i < N; i++) h[i] = o[i] * v[i][0];
  }

  // tanh(v) as in rnn/lstm.h. d_o: gradient before the sigmoid.
  PYSEQ_INLINE static void output_backward(V o, V h, V dh, V& dv, V& d_o) {
    const V dhh = dh * h;
    dv = dh * (o - h * h * recip(vmax(splat(R(1e-30)), o)));
    d_o = dhh - dhh * o;
  }
  // a: i f g, and d_o, which stays. Gradients before the activations.
  PYSEQ_INLINE static void gate_backward(V (&a)[gates], V c_prev, V dc, V& dc_prev) {
    const V i = a[0], f = a[1], g = a[2];
    a[0] = dc * g * (i - i * i);
    a[1] = dc * c_prev * (f - f * f);
    a[2] = dc * i * (R(1) - g * g);
    dc_prev = dc * f;
  }
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
