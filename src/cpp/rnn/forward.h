// The forward time loop of one layer and direction.
#pragma once

#include <type_traits>

#include "rnn/operands.h"
#include "rnn/pack.h"
#include "rnn/scratch.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// A running sequence at one step. Pointers move on with the step.
template <class R>
struct Row {
  const R* x;
  const R* h_prev;
  const R* h_in;    // what the recurrent product reads: h_prev, or that times a mask; or the pairs of either
  const R* c_prev;  // padded to whole blocks
  R* c;             // likewise; may be c_prev
  R* y;
  R* between;       // what the first pass of a step hands to the second, where there are two
  R* slots;         // of block 0, or null where they are not kept
  const R* x_in;    // pairs of x, and where those of y go, where products multiply pairs
  R* h_out;
};

// Rows of tile registers: with fewer, x's product is better done over many frames.
constexpr int64_t kTileRowsFused = 16;

// Whether x's product is part of a step of so many rows a thread, or runs ahead over a chunk of steps.
template <class C, class R>
bool fuses(const Shape& s, int64_t rows) {
  using P = typename C::Operand;
  if (!products_may_fuse<C>) return false;
  const int64_t bytes = (s.input + s.output) * s.blocks * s.frame_size * static_cast<int64_t>(sizeof(R)) * P::parts / P::size;
  if (tiled<C>) return rows >= kTileRowsFused && bytes <= kTiledFusedBytes;
  if (rows == 1) return bytes <= kSingleFusedBytes;
  return rows >= tile_rows(C::slots) && bytes <= kFusedBytes;
}

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
  bool fused;
  ForwardScratch<C, R> scratch;
  ForwardOperands<C, R> operands;

  ForwardWork(const RnnProblem& p, bool keeps_tape, Arena& arena)
      : plan(shape_of<C, R>(p, Q), arena), split(split_of<C, R>(plan.shape, p.crew)) {
    const Shape& s = plan.shape;
    weight_ih = arena.take<R>(forward_size<InputSide<C>, R, typename C::Operand>(s, s.input));
    weight_hh = arena.take<R>(forward_size<HiddenSide<C>, R, typename C::Operand>(s, s.output));
    bias = arena.take<R>(s.blocks * s.frame_size);
    zeros = arena.take<R>(max_of(s.padded, s.h_padded));
    c0 = arena.take<R>(C::has_cell ? s.batch * s.padded : 0);
    fused = p.table == InputTable::kNone && fuses<C, R>(s, split.by_rows ? ceil_div(s.batch, split.threads) : s.batch);
    slots = arena.take<R>(keeps_tape || (fused && !needs_slots<C>) ? 0 : chunk_slots_size(s));
    cells = arena.take<R>(!keeps_tape && C::has_cell ? (p.masked ? 2 : 1) * s.batch * s.padded : 0);
    row_room = s.batch;
    frame_room = fused ? 0 : s.chunk_frames;
    barrier = arena.take<Barrier>(1);
    rows = arena.take<Row<R>>(row_room * split.threads);
    chunk_x = arena.take<const R*>(frame_room * split.threads);
    chunk_slots = arena.take<R*>(frame_room * split.threads);
    scratch = ForwardScratch<C, R>(s, p.masked, keeps_tape, split.threads, arena);
    operands = ForwardOperands<C, R>(s, fused ? s.batch : s.chunk_frames, split.threads, arena);
  }
};

// What the tape holds of every frame: slots; c, for cells with a cell state; and what their scheme needs.
template <class C, class R>
struct Tape {
  R *slots, *cells, *between, *stats;
  Tape(const Shape& s, Arena& arena) {
    slots = arena.take<R>(slots_size(s));
    cells = arena.take<R>(C::has_cell ? s.frames * s.padded : 0);
    between = arena.take<R>(C::scheme == Scheme::kProjected ? s.frames * s.padded : 0);
    stats = arena.take<R>(C::scheme == Scheme::kNormalised ? s.frames * kRowStats : 0);
  }
};

// A thread's part of the first cell states, padded to whole blocks: [batch][padded] from [batch][hidden] or zeros.
template <class R>
void start_cells(R* padded, const R* c0, const Shape& s, int thread, int threads) {
  for (int64_t b = piece_start(s.batch, threads, thread); b < piece_start(s.batch, threads, thread + 1); b++) {
    memset(padded + b * s.padded, 0, static_cast<size_t>(s.padded) * sizeof(R));
    if (c0) memcpy(padded + b * s.padded, c0 + b * s.hidden, static_cast<size_t>(s.hidden) * sizeof(R));
  }
}

template <class C, class R, int Q>
struct ForwardContext {
  const RnnForward<R>& args;
  ForwardWork<C, R, Q>& work;
  R *slots, *cells;  // of the tape or the workspace; slots may be null
  bool keeps_tape;
  Tape<C, R> tape;   // where it is kept

  // Row of `cells` for a step of a sorted sequence. Zoneout still needs the old state: two take turns.
  int64_t cell_row(int64_t t, int64_t row) const {
    const Plan& plan = work.plan;
    return keeps_tape ? plan.offset[t] + row : args.problem.masked && t & 1 ? plan.shape.batch + row : row;
  }
};

// Blocks side by side for a single row: enough sums to cover the latency of their chains.
constexpr int kRowBlocks = kAccumulators / 12;

// From the sums of MR rows of NB blocks to new states.
template <class C, class R, int Q, int MR, int NB>
void finish_tile(const ForwardContext<C, R, Q>& context, const Row<R>* rows, int64_t u, int64_t block_slots,
                 Vec<R> (&acc)[NB * MR][C::slots]);

// Sums of MR rows of NB blocks from the bias (or what the product of x left) on, then the cell.
template <class C, class R, int Q, int MR, int NB>
PYSEQ_TILE void step_tile(const ForwardContext<C, R, Q>& context, const Row<R>* rows, int64_t u, int64_t block_slots) {
  constexpr int W = kLanes<R>, S = C::slots, N = NB * MR;  // n = block * MR + row
  const auto& work = context.work;
  const Shape& s = work.plan.shape;
  Vec<R> acc[N][S];
  if (work.fused) {
    PYSEQ_UNROLL for (int n = 0; n < N; n++)
      PYSEQ_UNROLL for (int j = 0; j < S; j++) acc[n][j] = load(work.bias + (u + n / MR) * S * W + j * W);
    const R* x[MR];
    PYSEQ_UNROLL for (int i = 0; i < MR; i++) x[i] = paired<C> ? rows[i].x_in : rows[i].x;
    const int64_t K = operands_in<C>(s.input), block = K * C::x_slots * W;
    multiply_add_blocks<R, NB, MR, C::x_slots, S, C::x_first, typename C::Operand>(
        acc, K, [&](int i, int64_t k) { return x[i][k]; }, work.weight_ih + u * block, C::x_slots * W, block);
  } else {
    PYSEQ_UNROLL for (int n = 0; n < N; n++)
      PYSEQ_UNROLL for (int j = 0; j < S; j++) acc[n][j] = load(rows[n % MR].slots + (u + n / MR) * block_slots + j * W);
  }
  const R* h_in[MR];
  PYSEQ_UNROLL for (int i = 0; i < MR; i++) h_in[i] = rows[i].h_in;
  const int64_t K = operands_in<C>(s.output), block = K * C::h_slots * W;
  multiply_add_blocks<R, NB, MR, C::h_slots, S, C::h_first, typename C::Operand>(
      acc, K, [&](int i, int64_t k) { return h_in[i][k]; }, work.weight_hh + u * block, C::h_slots * W, block);
  finish_tile<C, R, Q, MR, NB>(context, rows, u, block_slots, acc);
}

template <class C, class R, int Q, int MR, int NB>
PYSEQ_INLINE void finish_tile(const ForwardContext<C, R, Q>& context, const Row<R>* rows, int64_t u, int64_t block_slots,
                              Vec<R> (&acc)[NB * MR][C::slots]) {
  constexpr int W = kLanes<R>, S = C::slots, N = NB * MR;  // n = block * MR + row
  const auto& work = context.work;
  const Shape& s = work.plan.shape;
  const int64_t unit = u * Q * W;
  Vec<R> before[N][Q] = {}, c_before[N][Q] = {}, c[N][Q] = {}, h[N][Q];
  PYSEQ_UNROLL for (int n = 0; n < N; n++)
    PYSEQ_UNROLL for (int q = 0; q < Q; q++) {
      const int v = n / MR * Q + q;
      const R* h_prev = C::scheme == Scheme::kGated ? rows[n % MR].h_in : rows[n % MR].h_prev;
      if (C::carries_h) before[n][q] = load_up_to(h_prev + unit + v * W, s.hidden - unit - v * W);
      if (C::has_cell) c_before[n][q] = load(rows[n % MR].c_prev + unit + v * W);
    }
  if constexpr (C::extras > 0) {
    Vec<R> e[NB][C::extras][Q];
    PYSEQ_UNROLL for (int k = 0; k < NB * C::extras * Q; k++)
      e[k / Q / C::extras][k / Q % C::extras][k % Q] =
          load(work.scratch.extra + extra_at<C, R>(k / Q % C::extras, (u + k / Q / C::extras) * Q + k % Q));
    C::forward(acc, before, c_before, c, h, e);
  } else {
    C::forward(acc, before, c_before, c, h);
  }
  PYSEQ_UNROLL for (int n = 0; n < N; n++)
    PYSEQ_UNROLL for (int q = 0; q < Q; q++) {
      const int v = n / MR * Q + q;
      R* out = two_passes<C> ? rows[n % MR].between : rows[n % MR].y;
      store_up_to(out + unit + v * W, h[n][q], s.hidden - unit - v * W);
      if constexpr (converts<C>) work.operands.store_h(rows[n % MR].h_out, unit + v * W, h[n][q]);
      if (C::has_cell) store(rows[n % MR].c + unit + v * W, c[n][q]);
    }
  if (C::keeps_slots && (context.keeps_tape || needs_slots<C>))
    PYSEQ_UNROLL for (int n = 0; n < N; n++)
      PYSEQ_UNROLL for (int j = 0; j < S; j++) store(rows[n % MR].slots + (u + n / MR) * block_slots + j * W, acc[n][j]);
}

// One step of n rows over a share's blocks. Every other step walks the blocks backwards: it starts with the
// weights it has just used.
template <class C, class R, int Q>
void step(const ForwardContext<C, R, Q>& context, const Row<R>* rows, int64_t n, const Share& share, bool backwards,
          int64_t block_slots) {
  const int64_t blocks = share.end_block - share.first_block;
  if (n == 1) {
    row_blocks<kRowBlocks>(blocks, [&](int64_t first, auto nb) {
      constexpr int NB = decltype(nb)::value;
      const int64_t u = backwards ? share.end_block - first - NB : share.first_block + first;
      step_tile<C, R, Q, 1, NB>(context, rows, u, block_slots);
    });
    return;
  }
  for (int64_t k = 0; k < blocks; k++) {
    const int64_t u = backwards ? share.end_block - 1 - k : share.first_block + k;
    row_blocks<tile_rows(C::slots)>(n, [&](int64_t first, auto mr) {
      step_tile<C, R, Q, decltype(mr)::value, 1>(context, rows + first, u, block_slots);
    });
  }
}

// What is done to a block's sums of x before they are left for the steps.
template <class C>
struct Prepare {
  template <class A>
  PYSEQ_INLINE static void run(A& acc) { C::prepare(acc); }
};
struct LeaveSums {
  template <class A>
  PYSEQ_INLINE static void run(A&) {}
};
template <class C>
using AfterInput = std::conditional_t<C::scheme == Scheme::kLinear, Prepare<C>, LeaveSums>;

// bias + x W_ih of MR frames of one block of S slots, left where step_tile looks for it. x adds to XS slots from XF on.
template <class R, int S, int XS, int XF, class P, class After, int MR>
PYSEQ_TILE void input_tile(const R* bias, const R* weights, int64_t inputs, const R* const* x, R* const* slots,
                           int64_t block_offset) {
  constexpr int W = kLanes<R>;
  Vec<R> acc[MR][S];
  PYSEQ_UNROLL for (int j = 0; j < S; j++) {
    const Vec<R> v = load(bias + j * W);
    PYSEQ_UNROLL for (int i = 0; i < MR; i++) acc[i][j] = v;
  }
  multiply_add<R, MR, XS, S, XF, P>(acc, inputs, [&](int i, int64_t k) { return x[i][k]; }, weights, XS * W);
  After::run(acc);
  PYSEQ_UNROLL for (int i = 0; i < MR; i++)
    PYSEQ_UNROLL for (int j = 0; j < S; j++) store(slots[i] + block_offset + j * W, acc[i][j]);
}

// f(x, slots) for a thread's frames of a chunk's steps [first, end), step by step. The rows are at the first of them.
template <class C, class R, int Q, class F>
PYSEQ_INLINE void frames_of_chunk(const ForwardContext<C, R, Q>& context, const Chunk& chunk, int64_t first, int64_t end,
                                  const Share& share, const Row<R>* rows, const F& f) {
  const Plan& plan = context.work.plan;
  const int64_t step_x = plan.shape.reverse ? -context.args.x_stride : context.args.x_stride;
  R* base = context.slots + (context.keeps_tape ? chunk.base * plan.shape.blocks * plan.shape.frame_size : 0);
  for (int64_t t = first; t < end; t++) {
    const int64_t frame = plan.offset[t] - plan.offset[chunk.first_step];
    for (int64_t j = 0; j < share.count(plan.active[t]); j++)
      f(rows[j].x + (t - first) * step_x, base + (frame + share.row + j * share.row_step) * plan.shape.frame_size);
  }
}

// The product of x over a thread's frames of steps of a chunk, each weight block read once.
template <class C, class R, int Q>
void input_of_steps(const ForwardContext<C, R, Q>& context, const Chunk& chunk, int64_t first_step, int64_t end_step,
                    const Share& share, const Row<R>* rows) {
  const auto& work = context.work;
  const Plan& plan = work.plan;
  const R** x = work.chunk_x + share.thread * work.frame_room;
  R** slots = work.chunk_slots + share.thread * work.frame_room;
  int64_t n = 0;
  frames_of_chunk(context, chunk, first_step, end_step, share, rows, [&](const R* frame, R* slots_of_frame) {
    x[n] = work.operands.of_x(share.thread, n, frame);
    slots[n++] = slots_of_frame;
  });
  const int64_t K = operands_in<C>(plan.shape.input);
  if constexpr (tiled<C>) tiled_input(context, chunk, share, n, slots);
  else
    for (int64_t u = share.first_block; u < share.end_block; u++)
      row_blocks<tile_rows(input_slots<C>)>(n, [&](int64_t first, auto mr) {
        input_tile<R, input_slots<C>, C::x_slots, C::x_first, typename C::Operand, AfterInput<C>, decltype(mr)::value>(
            work.bias + u * plan.shape.frame_size, work.weight_ih + u * K * C::x_slots * kLanes<R>, K, x + first,
            slots + first, u * chunk.stride * plan.shape.frame_size);
      });
}

// The same from a table, whose rows x names.
template <class C, class R, int Q>
void look_input_up(const ForwardContext<C, R, Q>& context, const Chunk& chunk, const Share& share, const Row<R>* rows) {
  const int64_t size = context.work.plan.shape.frame_size, block = block_stride(context.args.table_rows) * size;
  frames_of_chunk(context, chunk, chunk.first_step, chunk.end_step, share, rows, [&](const R* x, R* slots) {
    const R* sums = context.args.table + static_cast<int64_t>(*x) * size;
    for (int64_t u = share.first_block; u < share.end_block; u++)
      memcpy(slots + u * chunk.stride * size, sums + u * block, C::slots * kLanes<R> * sizeof(R));
  });
}

// A thread's part of what all read: packed weights, and states before the first step.
template <class C, class R, int Q>
void prepare_forward(const ForwardContext<C, R, Q>& context, int thread, int threads) {
  const RnnForward<R>& a = context.args;
  auto& work = context.work;
  const Shape& s = work.plan.shape;
  const int64_t first = piece_start(s.blocks, threads, thread), end = piece_start(s.blocks, threads, thread + 1);
  using P = typename C::Operand;
  if (!a.packed) {
    pack_forward<InputSide<C>, R, Q, P>(work.weight_ih, a.weights.weight_ih, s, s.input, first, end);
    pack_forward<HiddenSide<C>, R, Q, P>(work.weight_hh, a.weights.weight_hh, s, s.output, first, end);
    pack_bias<C, R, Q>(work.bias, a.weights, s, first, end);
  }
  if (thread == 0) memset(work.zeros, 0, static_cast<size_t>(max_of(s.padded, s.h_padded)) * sizeof(R));
  if (C::has_cell) start_cells(work.c0, a.c0, s, thread, threads);
  prepare_scratch(context, thread, threads);
  if constexpr (converts<C>) pair_first_states(context, thread, threads);
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
    rows[j].h_prev = a.h0 ? a.h0 + b * plan.shape.output : work.zeros;
    rows[j].h_in = a.masks.recurrent ? masked_row(context, share.row + j * share.row_step, 0) : rows[j].h_prev;
    if (converts<C>) rows[j].h_in = work.operands.of_h(share.row + j * share.row_step, 0);
    rows[j].c_prev = C::has_cell ? work.c0 + b * plan.shape.padded : nullptr;
  }
}

template <class C, class R, int Q>
void forward_thread(void* p, int thread, int threads) {
  auto& context = *static_cast<ForwardContext<C, R, Q>*>(p);
  auto& work = context.work;
  const Plan& plan = work.plan;
  const Shape& s = plan.shape;
  Share share(work.split, s, thread, threads);
  Row<R>* rows = work.rows + thread * work.row_room;
  const int64_t step_x = s.reverse ? -context.args.x_stride : context.args.x_stride;
  const int64_t step_y = s.reverse ? -context.args.y_stride : context.args.y_stride;
  const InputTable table = context.args.problem.table;
  prepare_forward(context, thread, threads);
  work.barrier->wait(threads);
  bool goes_on = stays(*work.barrier, share, s);
  if constexpr (tiled<C>) {
    if (goes_on) start_tiles(context, share);
  }
  if (goes_on) start_rows(context, share, rows);
  for (int64_t c = 0; c < s.chunks && goes_on; c++) {
    const Chunk& chunk = plan.chunks[c];
    // Without a tape all chunks lie in one place, each spaced by its own frames: the last one must be done with.
    if (c > 0 && context.slots && !context.keeps_tape) work.barrier->wait(share.threads);
    if (table == InputTable::kRead) look_input_up(context, chunk, share, rows);
    R* base = context.slots ? context.slots + (context.keeps_tape ? chunk.base * s.blocks * s.frame_size : 0) : nullptr;
    for (int64_t t = chunk.first_step; t < chunk.end_step && goes_on; t++) {
      if (table != InputTable::kRead && !work.fused && (t - chunk.first_step) % s.input_steps == 0)
        input_of_steps(context, chunk, t, min_of(t + s.input_steps, chunk.end_step), share, rows);
      if (table == InputTable::kFilled) break;
      const int64_t n = share.count(plan.active[t]);
      for (int64_t j = 0; j < n; j++) {
        const int64_t row = share.row + j * share.row_step;
        if (base) rows[j].slots = base + (plan.offset[t] - plan.offset[chunk.first_step] + row) * s.frame_size;
        if (C::has_cell) rows[j].c = context.cells + context.cell_row(t, row) * s.padded;
        if (two_passes<C>) rows[j].between = between_row(context, t, row);
        if (converts<C>) rows[j].h_out = work.operands.of_h(row, t + 1);
        if (converts<C> && work.fused) rows[j].x_in = work.operands.of_x(thread, j, rows[j].x);
      }
      whole_step(context, chunk, rows, n, share, t);
      if (context.args.problem.masked) mask_state(context, rows, n, share, t);
      for (int64_t j = 0; j < n; j++) {
        rows[j].h_prev = rows[j].y;
        rows[j].h_in = context.args.masks.recurrent ? masked_row(context, share.row + j * share.row_step, t + 1) : rows[j].y;
        if (converts<C>) rows[j].h_in = rows[j].h_out;
        rows[j].c_prev = rows[j].c;
        rows[j].x += step_x;
        rows[j].y += step_y;
      }
      if (share.barriers && C::scheme != Scheme::kLinear) {
        work.barrier->wait(share.threads);
        goes_on = stays(*work.barrier, share, s);
      }
    }
  }
  if constexpr (tiled<C>) end_tiles(context);
  if (!goes_on || table == InputTable::kFilled) return;
  if (share.barriers && C::scheme == Scheme::kLinear) work.barrier->wait(share.threads);
  // Final states. All of a row's blocks are this thread's, or all threads are past the last barrier.
  if (share.barriers && thread != 0) return;
  for (int64_t j = 0; j < share.count(s.batch); j++) {
    const int64_t b = plan.order[share.row + j * share.row_step];
    memcpy(context.args.h_last + b * s.output, rows[j].h_prev, static_cast<size_t>(s.output) * sizeof(R));
    if (C::has_cell)
      memcpy(context.args.c_last + b * s.hidden, rows[j].c_prev, static_cast<size_t>(s.hidden) * sizeof(R));
  }
}

template <class C, class R, int Q>
void run_forward(const RnnForward<R>& a) {
  Arena arena(a.workspace), tape_arena(a.tape);
  ForwardWork<C, R, Q> work(a.problem, a.tape != nullptr, arena);
  work.plan.fill(a.problem.lengths);
  *work.barrier = new_barrier(work.split.nanoseconds);
  const Tape<C, R> tape(work.plan.shape, tape_arena);
  R* const slots = a.tape ? tape.slots : work.fused && !needs_slots<C> ? nullptr : work.slots;
  ForwardContext<C, R, Q> context = {a, work, slots, a.tape ? tape.cells : work.cells, a.tape != nullptr, tape};
  run_parallel(work.split.threads, forward_thread<C, R, Q>, &context);
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
