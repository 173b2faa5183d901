// What follows the products of a convolution, on rows that are still in the cache, and its gradient.
//
//   kNone, kRelu, kTanh:  a = f(z)                                 y = a + residual
//   kGated:               a = [tanh(z_1), sigmoid(z_2)]            y = a_1 a_2 + residual     (halves of the channels)
//
//   grad_z = grad_y,  grad_y [a > 0],  grad_y (1 - a^2);   gated: grad_y a_2 (1 - a_1^2),  grad_y a_1 a_2 (1 - a_2)
//
// Gated units: van den Oord et al. 2016.
#pragma once

#include "simd/activations.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// Columns of a frame of y: half of the channels of z where one half is the gate of the other.
template <class R>
PYSEQ_INLINE int64_t conv1d_columns(const Conv1d<R>& c) {
  return c.activation == ConvActivation::kGated ? c.out_channels / 2 : c.out_channels;
}

// f(Int<vectors>, column, numbers left) over a row: several vectors at a time, the last ones in part.
template <int N, class R, class F>
PYSEQ_INLINE void each_vector(int64_t columns, const F& f) {
  constexpr int W = kLanes<R>;
  int64_t column = 0;
  for (; column + N * W <= columns; column += N * W) f(Int<N>{}, column, int64_t{N * W});
  for (; column + W < columns; column += 2 * W) f(Int<2>{}, column, columns - column);
  if (column < columns) f(Int<1>{}, column, columns - column);
}

// One row of z becomes y, and where it is kept, a in place. z and y may be the same row, unless gated. residual may be
// null.
template <ConvActivation A, class R>
PYSEQ_INLINE void finish_row(R* z, bool kept, const R* residual, R* y, int64_t columns) {
  constexpr int W = kLanes<R>;
  constexpr bool gated = A == ConvActivation::kGated;
  each_vector<gated ? 2 : 4, R>(columns, [&](auto n, int64_t column, int64_t left) {
    constexpr int N = decltype(n)::value;
    Vec<R> a[gated ? 2 * N : N];
    bool is_tanh[gated ? 2 * N : N];
    PYSEQ_UNROLL for (int j = 0; j < N; j++) {
      a[j] = load_up_to(z + column + j * W, left - j * W);
      is_tanh[j] = true;
      if constexpr (gated) {
        a[N + j] = load_up_to(z + columns + column + j * W, left - j * W);
        is_tanh[N + j] = false;
      }
    }
    if constexpr (A == ConvActivation::kRelu)
      PYSEQ_UNROLL for (int j = 0; j < N; j++) a[j] = vmax(Vec<R>{}, a[j]) + Vec<R>{};  // the sum: -0 becomes 0
    if constexpr (A == ConvActivation::kTanh || gated) activate<R>(a, is_tanh);
    PYSEQ_UNROLL for (int j = 0; j < N; j++) {
      const int64_t at = column + j * W, here = left - j * W;
      Vec<R> out = a[j];
      if (kept) store_up_to(z + at, a[j], here);
      if constexpr (gated) {
        if (kept) store_up_to(z + columns + at, a[N + j], here);
        out = a[j] * a[N + j];
      }
      if (residual) out = out + load_up_to(residual + at, here);
      store_up_to(y + at, out, here);
    }
  });
}

// A row of grad_z from a and grad_y. `columns` are those of grad_y.
template <ConvActivation A, class R>
PYSEQ_INLINE void unfinish_row(const R* a, const R* grad_y, R* grad_z, int64_t columns) {
  for (int64_t column = 0; column < columns; column += kLanes<R>) {
    const int64_t left = columns - column;
    const Vec<R> g = load_up_to(grad_y + column, left), first = load_up_to(a + column, left);
    if constexpr (A == ConvActivation::kRelu) {
      store_up_to(grad_z + column, select<R>(first > R(0), g, Vec<R>{}), left);
    } else if constexpr (A == ConvActivation::kTanh) {
      store_up_to(grad_z + column, g * fma(-first, first, splat(R(1))), left);
    } else {
      const Vec<R> second = load_up_to(a + columns + column, left);
      store_up_to(grad_z + column, g * second * fma(-first, first, splat(R(1))), left);
      store_up_to(grad_z + columns + column, g * first * (second * (R(1) - second)), left);
    }
  }
}

// f(Value<A>) for the activation at hand.
template <ConvActivation A>
struct Value {
  static constexpr ConvActivation value = A;
};
template <class F>
PYSEQ_INLINE void with_activation(ConvActivation a, const F& f) {
  if (a == ConvActivation::kRelu) f(Value<ConvActivation::kRelu>{});
  else if (a == ConvActivation::kTanh) f(Value<ConvActivation::kTanh>{});
  else if (a == ConvActivation::kGated) f(Value<ConvActivation::kGated>{});
  else f(Value<ConvActivation::kNone>{});
}

// What becomes of rows of z: where they go, and what is done with them there.
template <class R>
struct Finish {
  ConvActivation activation;
  int64_t outputs;                // numbers in a row of z
  int64_t columns;                // of y and residual
  const int64_t* residual_start;  // [batch]
  const R* residual;              // may be null
  int64_t residual_stride;
  const int64_t* y_start;         // [batch]
  R* y;
  int64_t y_stride;
  R* activated;                   // rows at y_start where z goes if it is apart; null: it is kept nowhere
  int64_t activated_stride;
  bool apart;                     // z is not written into y: too wide, or to be kept beside it

  bool idle() const { return activation == ConvActivation::kNone && !residual && !apart; }
  // Where rows of z from row t of sequence b on are written: `scratch` where they are kept nowhere.
  R* z_rows(int64_t b, int64_t t, R* scratch) const {
    if (!apart) return y + (y_start[b] + t) * y_stride;
    return activated ? activated + (y_start[b] + t) * activated_stride : scratch;
  }
  int64_t z_stride() const { return !apart ? y_stride : activated ? activated_stride : outputs; }
  // Frames frame(0), frame(1), ... of sequence b, which lie at z[0], z[1], ...
  template <class F>
  void rows(int64_t b, R* const* z, int64_t count, const F& frame) const {
    if (idle()) return;
    with_activation(activation, [&](auto a) {
      for (int64_t i = 0; i < count; i++) {
        const int64_t t = frame(i);
        const R* beside = residual ? residual + (residual_start[b] + t) * residual_stride : nullptr;
        finish_row<decltype(a)::value>(z[i], apart && activated, beside, y + (y_start[b] + t) * y_stride, columns);
      }
    });
  }
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
