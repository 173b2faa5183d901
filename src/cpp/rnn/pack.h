// Weights in the order the products read them.
//
//   forward    [block][k][slot][lane]            all slots of a block's units for one number of x or h
//   backward   [panel of columns][block][slot][lane][column]   (gemm/tile.h panels)
//
// Operands that hold several numbers hold those of neighbouring k, or of neighbouring lanes. Sums of weight gradients
// have a layout of their own (rnn/backward_state.h).
#pragma once

#include "rnn/split.h"
#include "simd/lanes.h"

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
// The second product of a gated cell (rnn/gated.h).
template <class C>
struct GatedSide {
  static constexpr int first = C::gated_slot, slots = 1;
  static constexpr int gate(int) { return C::h_gate(C::gated_slot); }
  static constexpr int unit(int) { return 0; }
};

// Row of the weights behind a slot's lane; the rows of a slot's lanes follow each other.
template <class Side, class R, int Q>
PYSEQ_INLINE int64_t weight_row(int64_t block, int v, int lane, int64_t hidden) {
  return Side::gate(v) * hidden + (block * Q + Side::unit(v)) * kLanes<R> + lane;
}
// How many of a slot's lanes are units; the others are padding.
template <class Side, class R, int Q>
PYSEQ_INLINE int unit_lanes(int64_t block, int v, int64_t hidden) {
  return lanes_left<R>(hidden - (block * Q + Side::unit(v)) * kLanes<R>);
}

// Numbers of packed weights. Tiles count whole: 16 lines, each of pairs of k; and an even number of vectors of a slot.
PYSEQ_INLINE int64_t tiled_units(const Shape& s) { return round_up(s.blocks, 2) * 16; }
template <class Side, class R, class P>
int64_t forward_size(const Shape& s, int64_t K) {
  const int64_t lines = P::tiled ? round_up(K, 32) / 2 * P::parts : ceil_div(K, P::size);
  return s.blocks * lines * Side::slots * kLanes<R>;
}
template <class Side, class R, class P>
int64_t backward_size(const Shape& s, int64_t columns) {
  const int64_t units = P::tiled ? tiled_units(s) * P::parts : s.blocks * kLanes<R>;
  return panels_size<R>(ceil_div(units * Side::slots, P::size), columns);
}

// Of the layouts for tiles (rnn/tiled_pack.h).
template <class Side, class R, int Q, class P>
void pack_forward_tiles(R* packed, const R* w, const Shape& s, int64_t K, int64_t first, int64_t end);
template <class Side, class R, int Q, class P>
void pack_backward_tiles(R* packed, const R* w, const Shape& s, int64_t columns, int64_t first, int64_t end);

// One slot of a block in the layout of forward: its `units` rows of K numbers at `w`, W x W numbers at a time,
// transposed in registers. A line, all slots of the block, is `line` numbers long. Common to all cells.
template <class R, class P>
PYSEQ_NOINLINE void pack_slot(R* packed, int64_t line, const R* w, int units, int64_t K) {
  constexpr int W = kLanes<R>;
  const int64_t lines = ceil_div(K, P::size);
  for (int64_t k = 0; k < lines; k += W) {
    const int n = static_cast<int>(min_of<int64_t>(W, lines - k));
    const int64_t left = K - k * P::size;
    const R* from = w + k * P::size;
    Vec<R> r[W];
    if (units == W && n == W && left >= W * P::size) {  // without a branch for each row
      PYSEQ_UNROLL for (int j = 0; j < W; j++) r[j] = P::load(from + j * K, W * P::size);
    } else {
      PYSEQ_UNROLL for (int j = 0; j < W; j++) r[j] = j < units ? P::load(from + j * K, left) : Vec<R>{};
    }
    transpose(r);
    PYSEQ_UNROLL for (int j = 0; j < W; j++)
      if (j < n) store(packed + (k + j) * line, r[j]);
  }
}

// Blocks [first, end) of the layout of forward.
template <class Side, class R, int Q, class P>
void pack_forward_lines(R* packed, const R* w, const Shape& s, int64_t K, int64_t first, int64_t end) {
  constexpr int line = Side::slots * kLanes<R>;
  const int64_t lines = ceil_div(K, P::size);
  for (int64_t u = first; u < end; u++)
    for (int v = 0; v < Side::slots; v++)
      pack_slot<R, P>(packed + u * lines * line + v * kLanes<R>, line, w + weight_row<Side, R, Q>(u, v, 0, s.hidden) * K,
                      unit_lanes<Side, R, Q>(u, v, s.hidden), K);
}

// Panels [first, end) of the layout of backward.
template <class Side, class R, int Q, class P>
void pack_backward_panels(R* packed, const R* w, const Shape& s, int64_t columns, int64_t first, int64_t end) {
  constexpr int W = kLanes<R>;
  const int64_t width = kPanelVectors * W;
  for (int64_t c = first * width; c < min_of(columns, end * width); c += width) {
    const int64_t wide = min_of(width, round_up(columns - c, W));
    R* dst = packed + c * s.blocks * Side::slots * W / P::size;
    for (int64_t u = 0; u < s.blocks; u++)
      for (int v = 0; v < Side::slots; v++) {
        const int64_t row = weight_row<Side, R, Q>(u, v, 0, s.hidden);
        const int units = unit_lanes<Side, R, Q>(u, v, s.hidden);
        for (int j = 0; j < W; j += P::size, dst += wide)
          for (int64_t i = 0; i < wide; i += W)
            store(dst + i, P::join([&](int e) {
                    return j + e < units ? load_up_to(w + (row + j + e) * columns + c + i, columns - c - i) : Vec<R>{};
                  }));
      }
  }
}

template <class Side, class R, int Q, class P = Numbers>
void pack_forward(R* packed, const R* w, const Shape& s, int64_t K, int64_t first, int64_t end) {
  if constexpr (P::tiled) pack_forward_tiles<Side, R, Q, P>(packed, w, s, K, first, end);
  else pack_forward_lines<Side, R, Q, P>(packed, w, s, K, first, end);
}
template <class Side, class R, int Q, class P = Numbers>
void pack_backward(R* packed, const R* w, const Shape& s, int64_t columns, int64_t first, int64_t end) {
  if constexpr (P::tiled) pack_backward_tiles<Side, R, Q, P>(packed, w, s, columns, first, end);
  else pack_backward_panels<Side, R, Q, P>(packed, w, s, columns, first, end);
}

// bias[block][slot][lane] of blocks [first, end): what each slot's sum starts from.
template <class C, class R, int Q>
void pack_bias(R* packed, const RnnWeights<R>& w, const Shape& s, int64_t first, int64_t end) {
  constexpr int W = kLanes<R>, S = C::slots;
  using X = InputSide<C>;
  using H = HiddenSide<C>;
  const auto add = [&](auto side, Vec<R>* sum, const R* b, int64_t u) {
    using Side = decltype(side);
    for (int v = 0; v < Side::slots; v++)
      sum[Side::first + v] += load_n(b + weight_row<Side, R, Q>(u, v, 0, s.hidden), unit_lanes<Side, R, Q>(u, v, s.hidden));
  };
  for (int64_t u = first; u < end; u++) {
    Vec<R> sum[S] = {};
    if (C::scheme != Scheme::kNormalised) {  // there, biases come after the products
      add(X{}, sum, w.bias_ih, u);
      add(H{}, sum, w.bias_hh, u);
    }
    if constexpr (C::scheme == Scheme::kGated) add(GatedSide<C>{}, sum, w.bias_hh, u);
    for (int v = 0; v < S; v++) store(packed + (u * S + v) * W, sum[v]);
  }
}

// One slot's sums of a tile's rows, `stride` numbers apart, to the `units` rows of the caller's dW, of K numbers each.
template <class R>
PYSEQ_NOINLINE void unpack_slot(const R* sums, int64_t stride, int rows, R* out, int units, int64_t K) {
  constexpr int W = kLanes<R>;
  for (int i = 0; i < rows; i += W) {
    Vec<R> r[W];
    PYSEQ_UNROLL for (int j = 0; j < W; j++) r[j] = i + j < rows ? load(sums + (i + j) * stride) : Vec<R>{};
    transpose(r);
    for (int lane = 0; lane < units; lane++) store_up_to(out + lane * K + i, r[lane], rows - i);
  }
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
