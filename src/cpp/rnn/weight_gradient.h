// Gradients of weights and biases: sums over the frames of a chunk (rnn/backward.h, third part).
#pragma once

#include "rnn/backward_state.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// (3) One tile of rows of dW: the chunk's frames of x or h', packed, times the slots of every block.
template <class Side, class C, class R, int Q, int MR>
void gradient_tile(const BackwardContext<C, R, Q>& x, const Chunk& chunk, const SideGradient<Side, R>& g, int64_t k0,
                   const R* const* rows, R* packed) {
  using P = typename C::Operand;
  constexpr int W = kLanes<R>, NV = SideGradient<Side, R>::NV;
  const Shape& s = x.shape();
  const int64_t lines = operands_in<C>(chunk.frames);
  // Whole vectors, in order of the frames: what a store writes too far, the next frame's store corrects.
  for (int64_t f = 0; f < lines; f++)
    PYSEQ_UNROLL for (int i = 0; i < MR; i += W)
      store(packed + f * MR + i, P::join([&](int e) {
              const int64_t frame = f * P::size + e;
              if (paired<C> && frame >= chunk.frames) return Vec<R>{};
              return i + W <= MR ? load(rows[frame] + k0 + i) : load_n(rows[frame] + k0 + i, MR - i);
            }));
  R* sums = g.sums + k0 * s.blocks * Side::slots * W;
  for (int64_t u = 0; u < s.blocks; u++) {
    const R* slots = x.lines(chunk, u) + Side::first * W;
    for (int pass = 0; pass < g.passes; pass++, sums += MR * NV * W)
      outer_tile<R, MR, NV, P>(lines, packed, slots + pass * NV * W, s.frame_size, sums);
  }
}
template <class Side, class C, class R, int Q, class P>
void side_gradient(const BackwardContext<C, R, Q>& x, const Chunk& chunk, const Share& share,
                   const SideGradient<Side, R>& g, int64_t first_tile, int64_t end_tile, const P& row_of) {
  auto& work = x.work;
  const Plan& plan = work.plan;
  if (first_tile >= end_tile) return;
  const R** rows = work.a_rows + share.thread * work.room;
  int64_t n = 0;
  for (int64_t t = chunk.first_step; t < chunk.end_step; t++)
    for (int64_t row = 0; row < plan.active[t]; row++) rows[n++] = row_of(row, t);
  R* packed = work.packed + share.thread * work.packed_room;
  for (int64_t q = first_tile; q < end_tile; q++)
    with_rows<SideGradient<Side, R>::MR>(static_cast<int>(g.first(q + 1) - g.first(q)), [&](auto mr) {
      gradient_tile<Side, C, R, Q, decltype(mr)::value>(x, chunk, g, g.first(q), rows, packed);
    });
}
template <class C, class R, int Q>
void bias_gradient(const BackwardContext<C, R, Q>& x, const Chunk& chunk, int64_t u) {
  constexpr int W = kLanes<R>, S = C::slots;
  R* sums = x.work.bias + u * S * W;
  const R* slots = x.chunk_slots(chunk) + u * chunk.stride * S * W;
  Vec<R> acc[S];
  PYSEQ_UNROLL for (int v = 0; v < S; v++) acc[v] = load(sums + v * W);
  for (int64_t f = 0; f < chunk.frames; f++)
    PYSEQ_UNROLL for (int v = 0; v < S; v++) acc[v] += load(slots + (f * S + v) * W);
  PYSEQ_UNROLL for (int v = 0; v < S; v++) store(sums + v * W, acc[v]);
}

// The same, and a block's gradients in pairs of frames for dW: an odd last one is paired with zeros.
template <class C, class R, int Q>
void pair_frames(const BackwardContext<C, R, Q>& x, const Chunk& chunk, int64_t u) {
  using P = typename C::Operand;
  constexpr int W = kLanes<R>, S = C::slots;
  R *sums = x.work.bias + u * S * W, *lines = x.lines(chunk, u);
  const R* slots = x.chunk_slots(chunk) + u * chunk.stride * S * W;
  Vec<R> acc[S];
  PYSEQ_UNROLL for (int v = 0; v < S; v++) acc[v] = load(sums + v * W);
  for (int64_t f = 0; f < operands_in<C>(chunk.frames); f++)
    PYSEQ_UNROLL for (int v = 0; v < S; v++)
      store(lines + (f * S + v) * W, P::join([&](int e) {
              const int64_t frame = f * P::size + e;
              if (frame >= chunk.frames) return Vec<R>{};
              const Vec<R> d = load(slots + (frame * S + v) * W);
              acc[v] += d;
              return d;
            }));
  PYSEQ_UNROLL for (int v = 0; v < S; v++) store(sums + v * W, acc[v]);
}

// A thread's tiles: those of x, then those of h', in one row.
template <class C, class R, int Q>
struct Tiles {
  int64_t input_first, input_end, hidden_first, hidden_end;
  Tiles(const BackwardWork<C, R, Q>& w, const Share& share) {
    const int64_t all = w.input.tiles + w.hidden.tiles;
    const int64_t first = piece_start(all, share.threads, share.thread), end = piece_start(all, share.threads, share.thread + 1);
    input_first = min_of(first, w.input.tiles);
    input_end = min_of(end, w.input.tiles);
    hidden_first = max_of<int64_t>(first - w.input.tiles, 0);
    hidden_end = max_of<int64_t>(end - w.input.tiles, 0);
  }
};
template <class C, class R, int Q>
void weight_gradient(const BackwardContext<C, R, Q>& x, const Chunk& chunk, const Share& share,
                     const Tiles<C, R, Q>& tiles) {
  const RnnBackward<R>& a = x.args;
  const int64_t* order = x.work.plan.order;
  side_gradient(x, chunk, share, x.work.input, tiles.input_first, tiles.input_end,
                [&](int64_t row, int64_t t) { return a.x + x.frame(a.problem.x_start, order[row], t) * a.x_stride; });
  side_gradient(x, chunk, share, x.work.hidden, tiles.hidden_first, tiles.hidden_end,
                [&](int64_t row, int64_t t) { return x.operand(chunk, row, t); });
  second_gradient(x, chunk, share);
}

// What weight_gradient leaves out, by blocks: the biases, and before it the operands of dW.
template <class C, class R, int Q>
void gradients_of_blocks(const BackwardContext<C, R, Q>& x, const Chunk& chunk, const Share& share) {
  if (C::scheme == Scheme::kNormalised) return;
  const int64_t blocks = x.shape().blocks, end = piece_start(blocks, share.threads, share.thread + 1);
  for (int64_t u = piece_start(blocks, share.threads, share.thread); u < end; u++) {
    if constexpr (tiled<C>) tiled_block_gradients(x, chunk, u);
    else if constexpr (paired<C>) pair_frames(x, chunk, u);
    else bias_gradient(x, chunk, u);
  }
}

// Sums of a thread's tiles to the caller's layout.
template <class Side, class R, int Q>
void unpack_gradient(const Shape& s, const SideGradient<Side, R>& g, int64_t first_tile, int64_t end_tile, R* out) {
  constexpr int W = kLanes<R>, NV = SideGradient<Side, R>::NV;
  for (int64_t q = first_tile; q < end_tile; q++) {
    const int64_t k0 = g.first(q);
    const int rows = static_cast<int>(g.first(q + 1) - k0);
    const R* sums = g.sums + k0 * s.blocks * Side::slots * W;
    for (int64_t u = 0; u < s.blocks; u++)
      for (int v = 0; v < Side::slots; v++) {
        const R* slot = sums + ((u * g.passes + v / NV) * rows * NV + v % NV) * W;
        unpack_slot(slot, NV * W, rows, out + weight_row<Side, R, Q>(u, v, 0, s.hidden) * g.K + k0,
                    unit_lanes<Side, R, Q>(u, v, s.hidden), g.K);
      }
  }
}
template <class Side, class R, int Q>
void unpack_bias(const Shape& s, const R* bias, R* out) {
  for (int64_t u = 0; u < s.blocks; u++)
    for (int v = 0; v < Side::slots; v++)
      store_n(out + weight_row<Side, R, Q>(u, v, 0, s.hidden), load(bias + u * s.frame_size + (Side::first + v) * kLanes<R>),
              unit_lanes<Side, R, Q>(u, v, s.hidden));
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
