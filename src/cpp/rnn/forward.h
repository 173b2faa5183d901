// The forward time loop of one layer and direction.
#pragma once

#include "rnn/pack.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// A running sequence at one step. Pointers move on with the step.
template <class R>
struct Row {
  const R* x;
  const R* h_prev;
  const R* c_prev;  // padded to whole blocks
  R* c;             // likewise; may be c_prev
  R* y;
  R* slots;         // of block 0, or null where they are not kept
};

template <class C, class R, int Q>
struct ForwardWork {
  Plan plan;
  Split split;
  R *weight_ih, *weight_hh, *bias;
  R *c0, *zeros;            // c0 [batch][padded]; zeros [hidden]
  R *slots, *cells;         // without a tape: one chunk's slots, [batch][padded] cell states
  Row<R>* rows;             // [threads][batch]
  const R** chunk_x;        // [threads][frames of a chunk]
  R** chunk_slots;
  Barrier* barrier;
  int64_t row_room, frame_room;
  bool fused;               // x's product inside the step, or ahead over a chunk

  ForwardWork(const RnnProblem& p, bool keeps_tape, Arena& arena)
      : plan(shape_of<C, R>(p, Q), arena), split(split_of<C>(plan.shape)) {
    const Shape& s = plan.shape;
    weight_ih = arena.take<R>(s.blocks * s.input * C::x_slots * kLanes<R>);
    weight_hh = arena.take<R>(s.blocks * s.hidden * C::h_slots * kLanes<R>);
    bias = arena.take<R>(s.blocks * s.frame_size);
    zeros = arena.take<R>(s.padded);
    c0 = arena.take<R>(C::has_cell ? s.batch * s.padded : 0);
    const int64_t rows_each = split.by_rows ? ceil_div(s.batch, split.threads) : s.batch;
    const int64_t weight_bytes = (s.input + s.hidden) * s.blocks * s.frame_size * static_cast<int64_t>(sizeof(R));
    fused = rows_each >= tile_rows(C::slots) && weight_bytes <= kFusedBytes;
    slots = arena.take<R>(keeps_tape || fused ? 0 : chunk_slots_size(s));
    cells = arena.take<R>(!keeps_tape && C::has_cell ? s.batch * s.padded : 0);
    row_room = s.batch;
    frame_room = fused ? 0 : s.chunk_frames;
    barrier = arena.take<Barrier>(1);
    rows = arena.take<Row<R>>(row_room * split.threads);
    chunk_x = arena.take<const R*>(frame_room * split.threads);
    chunk_slots = arena.take<R*>(frame_room * split.threads);
  }
};

// What the tape holds: slots and, for cells with a cell state, c of every frame.
template <class C, class R>
struct Tape {
  R *slots, *cells;
  Tape(const Shape& s, Arena& arena) {
    slots = arena.take<R>(slots_size(s));
    cells = arena.take<R>(C::has_cell ? s.frames * s.padded : 0);
  }
};

template <class C, class R, int Q>
struct ForwardContext {
  const RnnForward<R>& args;
  ForwardWork<C, R, Q>& work;
  R *slots, *cells;  // of the tape or the workspace; slots may be null
  bool keeps_tape;
};

// Sums of MR rows of one block from the bias (or what the product of x left) on, then the cell.
template <class C, class R, int Q, int MR>
PYSEQ_TILE void step_tile(const ForwardContext<C, R, Q>& context, const Row<R>* rows, int64_t u, int64_t block_offset) {
  constexpr int W = kLanes<R>, S = C::slots;
  const auto& work = context.work;
  const Shape& s = work.plan.shape;
  Vec<R> acc[MR][S];
  if (work.fused) {
    PYSEQ_UNROLL for (int j = 0; j < S; j++) {
      const Vec<R> v = load(work.bias + u * S * W + j * W);
      PYSEQ_UNROLL for (int i = 0; i < MR; i++) acc[i][j] = v;
    }
    const R* x[MR];
    PYSEQ_UNROLL for (int i = 0; i < MR; i++) x[i] = rows[i].x;
    multiply_add<R, MR, C::x_slots, S, C::x_first>(acc, s.input, [&](int i, int64_t k) { return x[i][k]; },
                                                   work.weight_ih + u * s.input * C::x_slots * W, C::x_slots * W);
  } else {
    PYSEQ_UNROLL for (int i = 0; i < MR; i++)
      PYSEQ_UNROLL for (int j = 0; j < S; j++) acc[i][j] = load(rows[i].slots + block_offset + j * W);
  }
  const R* h_prev[MR];
  PYSEQ_UNROLL for (int i = 0; i < MR; i++) h_prev[i] = rows[i].h_prev;
  multiply_add<R, MR, C::h_slots, S, C::h_first>(acc, s.hidden, [&](int i, int64_t k) { return h_prev[i][k]; },
                                                 work.weight_hh + u * s.hidden * C::h_slots * W, C::h_slots * W);

  const int64_t unit = u * Q * W;
  Vec<R> before[MR][Q] = {}, c_before[MR][Q] = {}, c[MR][Q] = {}, h[MR][Q];
  int lanes[Q];
  PYSEQ_UNROLL for (int q = 0; q < Q; q++)
    lanes[q] = static_cast<int>(max_of<int64_t>(0, min_of<int64_t>(W, s.hidden - unit - q * W)));
  PYSEQ_UNROLL for (int i = 0; i < MR; i++)
    PYSEQ_UNROLL for (int q = 0; q < Q; q++) {
      if (C::carries_h) {
        const R* p = rows[i].h_prev + unit + q * W;
        before[i][q] = lanes[q] == W ? load(p) : load_n(p, lanes[q]);
      }
      if (C::has_cell) c_before[i][q] = load(rows[i].c_prev + unit + q * W);
    }
  C::forward(acc, before, c_before, c, h);
  PYSEQ_UNROLL for (int i = 0; i < MR; i++)
    PYSEQ_UNROLL for (int q = 0; q < Q; q++) {
      if (C::has_cell) store(rows[i].c + unit + q * W, c[i][q]);
      R* p = rows[i].y + unit + q * W;
      if (lanes[q] == W) store(p, h[i][q]);
      else store_n(p, h[i][q], lanes[q]);
    }
  if (C::keeps_slots && context.keeps_tape)
    PYSEQ_UNROLL for (int i = 0; i < MR; i++)
      PYSEQ_UNROLL for (int j = 0; j < S; j++) store(rows[i].slots + block_offset + j * W, acc[i][j]);
}

// bias + x W_ih of MR frames of one block, left where step_tile looks for it.
template <class C, class R, int Q, int MR>
PYSEQ_TILE void input_tile(const ForwardWork<C, R, Q>& work, const R* const* x, R* const* slots, int64_t u,
                           int64_t block_offset) {
  constexpr int W = kLanes<R>, S = C::slots;
  const Shape& s = work.plan.shape;
  Vec<R> acc[MR][S];
  PYSEQ_UNROLL for (int j = 0; j < S; j++) {
    const Vec<R> v = load(work.bias + u * S * W + j * W);
    PYSEQ_UNROLL for (int i = 0; i < MR; i++) acc[i][j] = v;
  }
  multiply_add<R, MR, C::x_slots, S, C::x_first>(acc, s.input, [&](int i, int64_t k) { return x[i][k]; },
                                                 work.weight_ih + u * s.input * C::x_slots * W, C::x_slots * W);
  PYSEQ_UNROLL for (int i = 0; i < MR; i++)
    PYSEQ_UNROLL for (int j = 0; j < S; j++) store(slots[i] + block_offset + j * W, acc[i][j]);
}

// The product of x over a thread's frames of a chunk, each weight block read once.
template <class C, class R, int Q>
void input_of_chunk(const ForwardContext<C, R, Q>& context, const Chunk& chunk, const Share& share, const Row<R>* rows) {
  const auto& work = context.work;
  const Plan& plan = work.plan;
  const int64_t step_x = plan.shape.reverse ? -context.args.x_stride : context.args.x_stride;
  const R** x = work.chunk_x + share.thread * work.frame_room;
  R** slots = work.chunk_slots + share.thread * work.frame_room;
  R* base = context.slots + (context.keeps_tape ? chunk.base * plan.shape.blocks * plan.shape.frame_size : 0);
  int64_t n = 0;
  for (int64_t t = chunk.first_step; t < chunk.end_step; t++) {
    const int64_t frame = plan.offset[t] - plan.offset[chunk.first_step];
    for (int64_t j = 0; j < share.count(plan.active[t]); j++, n++) {
      x[n] = rows[j].x + (t - chunk.first_step) * step_x;
      slots[n] = base + (frame + share.row + j * share.row_step) * plan.shape.frame_size;
    }
  }
  for (int64_t u = share.first_block; u < share.end_block; u++)
    row_blocks<tile_rows(C::slots)>(n, [&](int64_t first, auto mr) {
      input_tile<C, R, Q, decltype(mr)::value>(work, x + first, slots + first, u, u * chunk.stride * plan.shape.frame_size);
    });
}

// Rows of a thread at the first step.
template <class C, class R, int Q>
void start_rows(const ForwardContext<C, R, Q>& context, const Share& share, Row<R>* rows) {
  const RnnForward<R>& a = context.args;
  const auto& work = context.work;
  const Plan& plan = work.plan;
  for (int64_t j = 0; j < share.count(plan.shape.batch); j++) {
    const int64_t b = plan.order[share.row + j * share.row_step];
    const int64_t first = plan.shape.reverse ? max_of<int64_t>(0, a.problem.lengths[b] - 1) : 0;
    rows[j].x = a.x + (a.problem.x_start[b] + first) * a.x_stride;
    rows[j].y = a.y + (a.problem.y_start[b] + first) * a.y_stride;
    rows[j].h_prev = a.h0 ? a.h0 + b * plan.shape.hidden : work.zeros;
    rows[j].c_prev = C::has_cell ? work.c0 + b * plan.shape.padded : nullptr;
  }
}

template <class C, class R, int Q>
void forward_thread(void* p, int thread, int threads) {
  auto& context = *static_cast<ForwardContext<C, R, Q>*>(p);
  auto& work = context.work;
  const Plan& plan = work.plan;
  const Shape& s = plan.shape;
  const Share share(work.split, s, thread, threads);
  Row<R>* rows = work.rows + thread * work.row_room;
  const int64_t step_x = s.reverse ? -context.args.x_stride : context.args.x_stride;
  const int64_t step_y = s.reverse ? -context.args.y_stride : context.args.y_stride;
  start_rows(context, share, rows);
  for (int64_t c = 0; c < s.chunks; c++) {
    const Chunk& chunk = plan.chunks[c];
    if (!work.fused) input_of_chunk(context, chunk, share, rows);
    R* base = context.slots ? context.slots + (context.keeps_tape ? chunk.base * s.blocks * s.frame_size : 0) : nullptr;
    for (int64_t t = chunk.first_step; t < chunk.end_step; t++) {
      const int64_t n = share.count(plan.active[t]);
      for (int64_t j = 0; j < n; j++) {
        const int64_t row = share.row + j * share.row_step;
        if (base) rows[j].slots = base + (plan.offset[t] - plan.offset[chunk.first_step] + row) * s.frame_size;
        if (C::has_cell) rows[j].c = context.cells + (context.keeps_tape ? plan.offset[t] + row : row) * s.padded;
      }
      // Every other step walks the blocks backwards: it starts with the weights it has just used.
      const int64_t blocks = share.end_block - share.first_block;
      for (int64_t k = 0; k < blocks; k++) {
        const int64_t u = t & 1 ? share.end_block - 1 - k : share.first_block + k;
        row_blocks<tile_rows(C::slots)>(n, [&](int64_t first, auto mr) {
          step_tile<C, R, Q, decltype(mr)::value>(context, rows + first, u, u * chunk.stride * s.frame_size);
        });
      }
      for (int64_t j = 0; j < n; j++) {
        rows[j].h_prev = rows[j].y;
        rows[j].c_prev = rows[j].c;
        rows[j].x += step_x;
        rows[j].y += step_y;
      }
      if (share.barriers) work.barrier->wait(threads);
    }
  }
  // Final states. All of a row's blocks are this thread's, or all threads are past the last barrier.
  if (share.barriers && thread != 0) return;
  for (int64_t j = 0; j < share.count(s.batch); j++) {
    const int64_t b = plan.order[share.row + j * share.row_step];
    memcpy(context.args.h_last + b * s.hidden, rows[j].h_prev, static_cast<size_t>(s.hidden) * sizeof(R));
    if (C::has_cell)
      memcpy(context.args.c_last + b * s.hidden, rows[j].c_prev, static_cast<size_t>(s.hidden) * sizeof(R));
  }
}

template <class C, class R, int Q>
void run_forward(const RnnForward<R>& a) {
  Arena arena(a.workspace), tape_arena(a.tape);
  ForwardWork<C, R, Q> work(a.problem, a.tape != nullptr, arena);
  const Shape& s = work.plan.shape;
  work.plan.fill(a.problem.lengths);
  pack_forward<InputSide<C>, R, Q>(work.weight_ih, a.weights.weight_ih, s, s.input);
  pack_forward<HiddenSide<C>, R, Q>(work.weight_hh, a.weights.weight_hh, s, s.hidden);
  pack_bias<C, R, Q>(work.bias, a.weights, s);
  memset(work.zeros, 0, static_cast<size_t>(s.padded) * sizeof(R));
  if (C::has_cell) {
    memset(work.c0, 0, static_cast<size_t>(s.batch * s.padded) * sizeof(R));
    for (int64_t b = 0; b < s.batch && a.c0; b++)
      memcpy(work.c0 + b * s.padded, a.c0 + b * s.hidden, static_cast<size_t>(s.hidden) * sizeof(R));
  }
  *work.barrier = Barrier{};
  const Tape<C, R> tape(s, tape_arena);
  ForwardContext<C, R, Q> context = {a, work, a.tape ? tape.slots : work.fused ? nullptr : work.slots,
                                     a.tape ? tape.cells : work.cells, a.tape != nullptr};
  run_parallel(work.split.threads, forward_thread<C, R, Q>, &context);
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
