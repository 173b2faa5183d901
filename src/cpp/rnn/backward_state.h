// What backpropagation through time works on: memory, sequences at a step, sums of weight gradients.
#pragma once

#include "rnn/forward.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// Vectors of a dW tile: with two, 12 rows share a line of slots. Cells whose slots are odd in number take them all.
constexpr int gradient_vectors(int slots) { return slots % 2 == 0 ? 2 : slots; }

// One side of dW, cut into tiles of rows: sums [tile][block][pass][row of the tile][vectors].
template <class Side, class R>
struct SideGradient {
  static constexpr int NV = gradient_vectors(Side::slots), passes = Side::slots / NV, MR = tile_rows(NV);
  int64_t K, tiles;
  R* sums;
  SideGradient(const Shape& s, int64_t k, Arena& arena) : K(k), tiles(ceil_div(k, MR)) {
    sums = arena.take<R>(size(s));
  }
  int64_t size(const Shape& s) const { return s.blocks * K * Side::slots * kLanes<R>; }
  int64_t first(int64_t tile) const { return tiles ? piece_start(K, tiles, tile) : 0; }
  void clear(const Shape& s, int64_t first_tile, int64_t end_tile) {
    const int64_t row = s.blocks * Side::slots * kLanes<R>;
    memset(sums + first(first_tile) * row, 0, static_cast<size_t>((first(end_tile) - first(first_tile)) * row) * sizeof(R));
  }
};

// The same where tile registers multiply (rnn/tiled.h).
template <class Side, class R>
struct TiledGradient;
template <class Side, class C, class R>
using GradientOf = std::conditional_t<tiled<C>, TiledGradient<Side, R>, SideGradient<Side, R>>;

// A running sequence at one step of the way back. gy may be null.
template <class R>
struct BackRow {
  R* slots;          // of block 0
  R* operands;       // of block 0: the slots' gradients in pairs of lanes, where products multiply pairs
  R* line;           // of block 0: those in pairs of steps, where tiles are multiplied (rnn/tiled.h)
  bool second, joins;  // the later step of a pair; the earlier one of a pair that is complete
  const R *h_prev, *h, *gy, *c_prev;
  const R *zh, *zc;  // zoneout, may be null
  R *dh, *dc;
};

template <class C, class R, int Q>
struct BackwardWork {
  Plan plan;
  Split split;
  R *weight_ih, *weight_hh;          // packed for dx and dh
  R *dh, *dc;                        // [batch][h_padded], [batch][padded], sorted
  R *c0, *zeros, *bias;              // bias: [block][slot][lane] sums
  GradientOf<InputSide<C>, C, R> input;
  GradientOf<HiddenSide<C>, C, R> hidden;
  Barrier* barrier;
  const R** a_rows;                  // [threads][room]
  R** out_rows;
  BackRow<R>* rows;                  // [threads][batch]
  Ahead::Pieces* ahead;              // [threads][ahead_room]
  R* packed;                         // [threads][frames of a chunk][rows of a tile]
  int64_t room, packed_room, ahead_room;
  BackwardScratch<C, R> scratch;
  SecondGradient<C, R> second;
  BackwardOperands<C, R> operands;

  BackwardWork(const RnnProblem& p, Arena& arena)
      : plan(shape_of<C, R>(p, Q), arena),
        split(split_of<C, R>(plan.shape, p.crew)),
        input(plan.shape, plan.shape.input, arena),
        hidden(plan.shape, C::h_slots > 0 ? plan.shape.output : 0, arena),
        scratch(plan.shape, p.masked, arena),
        second(plan.shape, arena),
        operands(plan.shape, split.threads, arena) {
    const Shape& s = plan.shape;
    weight_ih = arena.take<R>(backward_size<InputSide<C>, R, typename C::Operand>(s, s.input));
    weight_hh = arena.take<R>(backward_size<HiddenSide<C>, R, typename C::Operand>(s, s.output));
    dh = arena.take<R>(s.batch * s.h_padded);
    dc = arena.take<R>(C::has_cell ? s.batch * s.padded : 0);
    c0 = arena.take<R>(C::has_cell ? s.batch * s.padded : 0);
    zeros = arena.take<R>(max_of(s.padded, s.h_padded));
    bias = arena.take<R>(s.blocks * s.frame_size);
    barrier = arena.take<Barrier>(1);
    room = max_of(s.chunk_frames, s.batch);
    if constexpr (tiled<C>) room = max_of(room, 2 * operands.pairs);
    a_rows = arena.take<const R*>(room * split.threads);
    out_rows = arena.take<R*>(room * split.threads);
    rows = arena.take<BackRow<R>>(s.batch * split.threads);
    ahead_room = tiled<C> ? 0 : s.blocks + 3 * s.batch;
    ahead = arena.take<Ahead::Pieces>(ahead_room * split.threads);
    packed_room = tiled<C> ? 0 : s.chunk_frames * kAccumulators + kLanes<R>;  // a tile has no more rows
    packed = arena.take<R>(packed_room * split.threads);
  }
};

template <class C, class R, int Q>
struct BackwardContext {
  const RnnBackward<R>& args;
  BackwardWork<C, R, Q>& work;
  Tape<C, R> tape;

  const Shape& shape() const { return work.plan.shape; }
  R* chunk_slots(const Chunk& c) const { return tape.slots + c.base * shape().blocks * shape().frame_size; }
  // Scalars of dh and dx: a chunk's gradients of slots, or their pairs of lanes.
  R* scalars(const Chunk& c) const {
    if constexpr (paired<C>) return work.operands.by_lanes;
    else return chunk_slots(c);
  }
  // Lines of dW of a block: a chunk's gradients of slots, or their pairs of frames.
  R* lines(const Chunk& c, int64_t u) const {
    if (!paired<C>) return chunk_slots(c) + u * c.stride * shape().frame_size;
    return work.operands.by_frames + u * block_stride(operands_in<C>(c.frames)) * shape().frame_size;
  }
  // Row of frame `step` of a sorted sequence, in an array whose sequences start at start[b].
  int64_t frame(const int64_t* start, int64_t b, int64_t step) const {
    return start[b] + (shape().reverse ? args.problem.lengths[b] - 1 - step : step);
  }
  const R* h_before(int64_t b, int64_t step) const {
    if (step > 0) return args.y + frame(args.problem.y_start, b, step - 1) * args.y_stride;
    return args.h0 ? args.h0 + b * shape().output : work.zeros;
  }
  // What the recurrent product has read.
  const R* operand(const Chunk& chunk, int64_t row, int64_t step) const {
    if (!args.masks.recurrent) return h_before(work.plan.order[row], step);
    return work.scratch.operands + kept_frame(chunk, row, step) * shape().h_padded;
  }
  // Where scratch keeps a frame for dW. Chunks take turns: one may be read while the next is written.
  int64_t kept_frame(const Chunk& chunk, int64_t row, int64_t step) const {
    const Plan& plan = work.plan;
    return ((&chunk - plan.chunks) & 1) * shape().chunk_frames + plan.offset[step] - plan.offset[chunk.first_step] + row;
  }
  // Rows of zoneout, or null.
  const R* zoneout_h(int64_t y_row) const {
    return args.masks.zoneout_h ? args.masks.zoneout_h + y_row * args.masks.zoneout_h_stride : nullptr;
  }
  const R* zoneout_c(int64_t y_row) const {
    return args.masks.zoneout_c ? args.masks.zoneout_c + y_row * args.masks.zoneout_c_stride : nullptr;
  }
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
