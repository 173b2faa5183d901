// Weights in the order the products read them.
//
//   forward    [block][k][slot][lane]            all slots of a block's units for one number of x or h
//   backward   [panel of columns][block][slot][lane][column]   (gemm/tile.h panels)

// Sums of weight gradients have a layout of their own (rnn/backward.h).
#pragma once

#include "rnn/plan.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// The two products of a cell, seen alike: the slots they feed and the rows of the weights behind them.
template <class C>
struct InputSide {
  static constexpr int first = C::x_first, slots = C::x_slots;
  static constexpr int gate(int v) { return C::x_gate(first + v); }
  static constexpr int unit(int v) { return C::unit(first + v); }
};
template <class C>
struct HiddenSide {
  static constexpr int first = C::h_first, slots = C::h_slots;
  static constexpr int gate(int v) { return C::h_gate(first + v); }
  static constexpr int unit(int v) { return C::unit(first + v); }
};

// Row of the weights behind a lane, or -1 beyond the last unit.
template <class Side, class R, int Q>
PYSEQ_INLINE int64_t weight_row(int64_t block, int v, int lane, int64_t hidden) {
  const int64_t unit = (block * Q + Side::unit(v)) * kLanes<R> + lane;
  return unit < hidden ? Side::gate(v) * hidden + unit : -1;
}

template <class Side, class R, int Q>
void pack_forward(R* dst, const R* w, const Shape& s, int64_t K) {
  constexpr int W = kLanes<R>, line = Side::slots * W;
  for (int64_t u = 0; u < s.blocks; u++, dst += K * line)
    for (int v = 0; v < Side::slots; v++)
      for (int j = 0; j < W; j++) {
        const int64_t row = weight_row<Side, R, Q>(u, v, j, s.hidden);
        R* d = dst + v * W + j;
        if (row < 0)
          for (int64_t k = 0; k < K; k++) d[k * line] = 0;
        else
          for (int64_t k = 0; k < K; k++) d[k * line] = w[row * K + k];
      }
}

template <class Side, class R, int Q>
void pack_backward(R* dst, const R* w, const Shape& s, int64_t columns) {
  constexpr int W = kLanes<R>;
  const int64_t width = kPanelVectors * W;
  for (int64_t c = 0; c < columns; c += width) {
    const int64_t wide = min_of(width, round_up(columns - c, W)), n = min_of(wide, columns - c);
    for (int64_t u = 0; u < s.blocks; u++)
      for (int v = 0; v < Side::slots; v++)
        for (int j = 0; j < W; j++, dst += wide) {
          const int64_t row = weight_row<Side, R, Q>(u, v, j, s.hidden);
          for (int64_t i = 0; i < wide; i++) dst[i] = row >= 0 && i < n ? w[row * columns + c + i] : R(0);
        }
  }
}

// bias[block][slot][lane]: what each slot's sum starts from.
template <class C, class R, int Q>
void pack_bias(R* dst, const RnnWeights<R>& w, const Shape& s) {
  constexpr int W = kLanes<R>;
  using X = InputSide<C>;
  using H = HiddenSide<C>;
  memset(dst, 0, static_cast<size_t>(s.blocks * s.frame_size) * sizeof(R));
  for (int64_t u = 0; u < s.blocks; u++, dst += s.frame_size)
    for (int j = 0; j < W; j++) {
      for (int v = 0; v < X::slots; v++) {
        const int64_t row = weight_row<X, R, Q>(u, v, j, s.hidden);
        if (row >= 0) dst[(X::first + v) * W + j] += w.bias_ih[row];
      }
      for (int v = 0; v < H::slots; v++) {
        const int64_t row = weight_row<H, R, Q>(u, v, j, s.hidden);
        if (row >= 0) dst[(H::first + v) * W + j] += w.bias_hh[row];
      }
    }
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
