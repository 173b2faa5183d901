// Backpropagation through time of one layer and direction.
//
// Chunk by chunk from the end: (1) step by step, the gradients of the slots, written over what forward kept
// there, and dh of the step before; (2) dx of the chunk's frames; (3) dW, db: sums over the chunk's frames.
// (1) and (2) are split like the forward pass; (3) by rows of dW, every sum over all frames in one order.
#pragma once

#include "rnn/weight_gradient.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// Through z * h' + (1 - z) * h: returns what stays with h', makes dh that of h, and h what the cell had computed.
template <class V>
PYSEQ_INLINE V zone_in(V z, V& dh) {
  const V stays = z * dh;
  dh -= stays;
  return stays;
}
template <class V>
PYSEQ_INLINE V zone_in(V z, V h_prev, V& h, V& dh) {
  const V rest = 1 - z;
  h = rest > 0 ? (h - z * h_prev) * recip(rest) : V{};
  return zone_in(z, dh);
}

template <class C, class R, int Q, class... A>
PYSEQ_INLINE void cell_backward(const BackwardScratch<C, R>& scratch, const Shape& s, int64_t row, int64_t unit, A&... a) {
  if constexpr (C::extras > 0) {
    Vec<R> e[C::extras][Q], de[C::extras][Q];
    R* sums = scratch.sums + row * C::extras * s.padded;
    PYSEQ_UNROLL for (int k = 0; k < C::extras * Q; k++) {
      const int64_t i = extra_at<C, R>(k / Q, unit / kLanes<R> + k % Q);
      e[k / Q][k % Q] = load(scratch.extra + i);
      de[k / Q][k % Q] = load(sums + i);
    }
    C::backward(a..., e, de);
    PYSEQ_UNROLL for (int k = 0; k < C::extras * Q; k++)
      store(sums + extra_at<C, R>(k / Q, unit / kLanes<R> + k % Q), de[k / Q][k % Q]);
  } else {
    (void)scratch, (void)s, (void)row, (void)unit;
    C::backward(a...);
  }
}

template <bool kZoneout, class C, class R, int Q>
PYSEQ_INLINE BackRow<R> back_row(const BackwardContext<C, R, Q>& x, const Chunk& chunk, int64_t t, int64_t row) {
  const bool projects = C::scheme == Scheme::kProjected;  // then h and dh are those of what is projected
  const RnnBackward<R>& a = x.args;
  const Plan& plan = x.work.plan;
  const Shape& s = plan.shape;
  const int64_t b = plan.order[row], y_row = x.frame(a.problem.y_start, b, t);
  BackRow<R> r;
  const int64_t frame = (plan.offset[t] - plan.offset[chunk.first_step] + row) * s.frame_size;
  r.slots = x.chunk_slots(chunk) + frame;
  r.operands = paired<C> ? x.scalars(chunk) + frame / C::Operand::size : nullptr;
  if constexpr (tiled<C>) place_gradients(x, chunk, t, row, r);
  r.h_prev = x.h_before(b, t);
  r.h = projects ? x.tape.between + (plan.offset[t] + row) * s.padded : a.y + y_row * a.y_stride;
  r.gy = a.grad_y && !projects ? a.grad_y + y_row * a.grad_y_stride : nullptr;
  r.c_prev = !C::has_cell ? nullptr
             : t > 0      ? x.tape.cells + (plan.offset[t - 1] + row) * s.padded
                          : x.work.c0 + b * s.padded;
  r.zh = kZoneout && !projects ? x.zoneout_h(y_row) : nullptr;
  r.zc = kZoneout ? x.zoneout_c(y_row) : nullptr;
  r.dh = (projects ? x.work.scratch.second : x.work.dh) + row * s.padded;
  r.dc = C::has_cell ? x.work.dc + row * s.padded : nullptr;
  return r;
}

// (1a) Gradients of a step's slots, for a share's rows and blocks: block by block, where the rows' slots are neighbours.
template <bool kZoneout, class C, class R, int Q>
void step_gradients(const BackwardContext<C, R, Q>& x, const Chunk& chunk, const Share& share, int64_t t) {
  constexpr int W = kLanes<R>, S = C::slots;
  const Shape& s = x.shape();
  BackRow<R>* rows = x.work.rows + share.thread * s.batch;
  const int64_t n = share.count(x.work.plan.active[t]);
  for (int64_t j = 0; j < n; j++) rows[j] = back_row<kZoneout>(x, chunk, t, share.row + j * share.row_step);
  for (int64_t u = share.first_block; u < share.end_block; u++)
    for (int64_t j = 0; j < n; j++) {
      const BackRow<R>& r = rows[j];
      R* block = r.slots + u * chunk.stride * s.frame_size;
      Vec<R> kept[S], d[S], h_prev[Q], c_prev[Q] = {}, h[Q], dh[Q], dc[Q] = {}, dh_prev[Q] = {}, dc_prev[Q] = {};
      Vec<R> dh_stays[Q] = {}, dc_stays[Q] = {};
      PYSEQ_UNROLL for (int v = 0; v < S; v++) kept[v] = C::keeps_slots ? load(block + v * W) : Vec<R>{};
      PYSEQ_UNROLL for (int q = 0; q < Q; q++) {
        const int64_t i = (u * Q + q) * W;
        h_prev[q] = C::carries_h || kZoneout ? load_up_to(r.h_prev + i, s.hidden - i) : Vec<R>{};
        h[q] = load_up_to(r.h + i, s.hidden - i);
        dh[q] = load(r.dh + i);
        if (r.gy) dh[q] += load_up_to(r.gy + i, s.hidden - i);
        if (C::has_cell) {
          c_prev[q] = load(r.c_prev + i);
          dc[q] = load(r.dc + i);
        }
        if (kZoneout && r.zh) dh_stays[q] = zone_in(load_up_to(r.zh + i, s.hidden - i), h_prev[q], h[q], dh[q]);
        if (kZoneout && C::has_cell && r.zc) dc_stays[q] = zone_in(load_up_to(r.zc + i, s.hidden - i), dc[q]);
      }
      cell_backward<C, R, Q>(x.work.scratch, s, share.row + j * share.row_step, u * Q * W, kept, h_prev, c_prev, h, dh, dc, d,
                             dh_prev, dc_prev);
      if constexpr (tiled<C>) put_gradients(x, r, u, d);
      else
        PYSEQ_UNROLL for (int v = 0; v < S; v++) store(block + v * W, d[v]);
      if constexpr (paired<C>)
        PYSEQ_UNROLL for (int v = 0; v < S; v++)
          C::Operand::store(r.operands + (u * chunk.stride * s.frame_size + v * W) / C::Operand::size, d[v]);
      PYSEQ_UNROLL for (int q = 0; q < Q; q++) {
        const int64_t i = (u * Q + q) * W;
        if (kZoneout && r.zh) store(r.dh + i, dh_prev[q] + dh_stays[q]);
        else if (C::carries_h) store(r.dh + i, dh_prev[q]);
        if (C::has_cell) store(r.dc + i, kZoneout && r.zc ? dc_prev[q] + dc_stays[q] : dc_prev[q]);
      }
    }
}

// Bytes of a step that are worth asking for ahead: fewer come by themselves, more would not stay in L2 until they are read.
constexpr int64_t kFewestAheadBytes = 64 << 10, kMostAheadBytes = 256 << 10;

// Whether n rows of a share read so many.
template <class C, class R>
PYSEQ_INLINE bool asks_ahead(const Share& share, int64_t n) {
  const int64_t vectors = (C::keeps_slots ? C::slots : 0) + 2 + C::has_cell;
  const int64_t bytes = n * (share.end_block - share.first_block) * vectors * kLanes<R> * static_cast<int64_t>(sizeof(R));
  return bytes >= kFewestAheadBytes && bytes <= kMostAheadBytes;
}

// What step_gradients will read of a step, for as many rows as the step after it has.
template <class C, class R, int Q>
PYSEQ_INLINE void ask_for_step(const BackwardContext<C, R, Q>& x, const Chunk& chunk, const Share& share, int64_t t, int64_t n,
                               Ahead& ahead) {
  constexpr int W = kLanes<R>;
  const Shape& s = x.shape();
  const int64_t first = share.first_block * Q * W, units = min_of(s.hidden, share.end_block * Q * W) - first;
  const R* slots = x.chunk_slots(chunk) + (x.work.plan.offset[t] - x.work.plan.offset[chunk.first_step] + share.row) * s.frame_size;
  for (int64_t u = share.first_block; C::keeps_slots && u < share.end_block; u++)
    ahead.add(slots + u * chunk.stride * s.frame_size, s.frame_size, share.row_step * s.frame_size, n);
  for (int64_t j = 0; j < n; j++) {
    const BackRow<R> r = back_row<false>(x, chunk, t, share.row + j * share.row_step);
    ahead.add(r.h + first, units);
    if (r.gy) ahead.add(r.gy + first, units);
    if (C::has_cell) ahead.add(r.c_prev + first, units);
  }
}

// (1b) dh of the step before = dslots W_hh (+ what reached it directly).
template <class C, class R, int Q>
void step_back(const BackwardContext<C, R, Q>& x, const Chunk& chunk, const Share& share, int64_t t) {
  using P = typename C::Operand;
  constexpr int W = kLanes<R>, lanes = W / P::size;
  auto& work = x.work;
  const Plan& plan = work.plan;
  const Shape& s = plan.shape;
  const int64_t frame_size = s.frame_size / P::size;
  const R** a = work.a_rows + share.thread * work.room;
  R** out = work.out_rows + share.thread * work.room;
  const int64_t n = share.count(plan.active[t]);
  const bool masked = x.args.masks.recurrent != nullptr, carries = C::carries_h || x.args.masks.zoneout_h != nullptr;
  R* slots = x.scalars(chunk) + (plan.offset[t] - plan.offset[chunk.first_step]) * frame_size + C::h_first * lanes;
  for (int64_t j = 0; j < n; j++) {
    const int64_t row = share.row + j * share.row_step;
    a[j] = slots + row * frame_size;
    out[j] = (masked ? work.scratch.masked_dh : work.dh) + row * s.h_padded;
  }
  const Columns own = own_panels<R>(s.output, share);
  Ahead ahead(work.ahead + share.thread * work.ahead_room);
  if (t > 0 && asks_ahead<C, R>(share, n)) {
    ask_for_step(x, t > chunk.first_step ? chunk : *(&chunk - 1), share, t - 1, n, ahead);
    ahead.share_out(ceil_div(n, tile_rows(kPanelVectors)) * (own.end - own.first) * s.blocks);
  }
  const RowProduct<R, P> p = {a, s.blocks, C::h_slots * lanes, chunk.stride * frame_size, work.weight_hh, nullptr, out,
                              round_up(s.output, W), carries && !masked, &ahead};
  for (int64_t k = 0; k < own.end - own.first; k++)
    row_product_panel(p, n, (t & 1 ? own.end - 1 - k : own.first + k) * kPanelVectors * W);
  if (masked) add_masked(x, share, n, own, carries);
}

// (2) dx of a chunk's frames: those of the share's rows, or any part of them where blocks are shared out.
template <class C, class R, int Q>
void input_gradient(const BackwardContext<C, R, Q>& x, const Chunk& chunk, const Share& share) {
  using P = typename C::Operand;
  constexpr int lanes = kLanes<R> / P::size;
  auto& work = x.work;
  const Plan& plan = work.plan;
  const Shape& s = plan.shape;
  const int64_t frame_size = s.frame_size / P::size;
  const RnnBackward<R>& args = x.args;
  const R** a = work.a_rows + share.thread * work.room;
  R** out = work.out_rows + share.thread * work.room;
  int64_t n = 0;
  for (int64_t t = chunk.first_step; t < chunk.end_step; t++) {
    const int64_t frame = plan.offset[t] - plan.offset[chunk.first_step];
    for (int64_t j = 0; j < share.count(plan.active[t]); j++) {
      const int64_t row = share.row + j * share.row_step, b = plan.order[row];
      if (share.barriers && (frame + row) % share.threads != share.thread) continue;
      a[n] = x.scalars(chunk) + (frame + row) * frame_size + C::x_first * lanes;
      out[n++] = args.grad_x + x.frame(args.grad_x_start, b, t) * args.grad_x_stride;
    }
  }
  row_product(RowProduct<R, P>{a, s.blocks, C::x_slots * lanes, chunk.stride * frame_size, work.weight_ih, nullptr, out,
                               s.input, args.adds_to_grad_x}, n);
}

// A thread's rows of dh and dc, which start from the gradient of the final state: a sequence joins where it ends.
template <class R>
void start_gradient(R* d, const R* given, const Plan& plan, int64_t columns, int64_t padded, int thread, int threads) {
  const Shape& s = plan.shape;
  for (int64_t row = piece_start(s.batch, threads, thread); row < piece_start(s.batch, threads, thread + 1); row++) {
    memset(d + row * padded, 0, static_cast<size_t>(padded) * sizeof(R));
    if (given) memcpy(d + row * padded, given + plan.order[row] * columns, static_cast<size_t>(columns) * sizeof(R));
  }
}

// A thread's part of what all read, and of what it alone will write.
template <class C, class R, int Q>
void prepare_backward(const BackwardContext<C, R, Q>& x, int thread, int threads, const Tiles<C, R, Q>& tiles) {
  const RnnBackward<R>& a = x.args;
  auto& work = x.work;
  const Shape& s = work.plan.shape;
  const auto part = [&](int64_t columns, int64_t t) {
    return piece_start(ceil_div(columns, kPanelVectors * kLanes<R>), threads, t);
  };
  using P = typename C::Operand;
  if (a.grad_x)
    pack_backward<InputSide<C>, R, Q, P>(work.weight_ih, a.weights.weight_ih, s, s.input, part(s.input, thread),
                                         part(s.input, thread + 1));
  pack_backward<HiddenSide<C>, R, Q, P>(work.weight_hh, a.weights.weight_hh, s, s.output, part(s.output, thread),
                                        part(s.output, thread + 1));
  work.input.clear(s, tiles.input_first, tiles.input_end);
  work.hidden.clear(s, tiles.hidden_first, tiles.hidden_end);
  if (C::has_cell) start_cells(work.c0, a.c0, s, thread, threads);
  if constexpr (tiled<C>) prepare_tiles(x, thread, threads);
  if (thread == 0) {
    memset(work.bias, 0, static_cast<size_t>(s.blocks * s.frame_size) * sizeof(R));
    memset(work.zeros, 0, static_cast<size_t>(max_of(s.padded, s.h_padded)) * sizeof(R));
  }
  start_gradient(work.dh, a.grad_h_last, work.plan, s.output, s.h_padded, thread, threads);
  if (C::has_cell) start_gradient(work.dc, a.grad_c_last, work.plan, s.hidden, s.padded, thread, threads);
  prepare_scratch(x, thread, threads);
}

template <class C, class R, int Q>
void backward_thread(void* p, int thread, int threads) {
  auto& x = *static_cast<BackwardContext<C, R, Q>*>(p);
  auto& work = x.work;
  const Plan& plan = work.plan;
  const Shape& s = plan.shape;
  Share share(work.split, s, thread, threads);
  Tiles<C, R, Q> tiles(work, share);
  prepare_backward(x, thread, threads, tiles);
  const auto goes_on = [&] {
    const int all = share.threads;
    const bool here = stays(*work.barrier, share, s);
    if (share.threads != all) tiles = Tiles<C, R, Q>(work, share);
    return here;
  };
  work.barrier->wait(threads);
  bool here = goes_on();
  for (int64_t c = s.chunks; here && c-- > 0;) {
    const Chunk& chunk = plan.chunks[c];
    if constexpr (tiled<C>) start_tiles(x, share);
    for (int64_t t = chunk.end_step; here && t-- > chunk.first_step;) {
      whole_step_back(x, chunk, share, t);
      if (share.barriers && C::scheme != Scheme::kLinear) here = goes_on();  // all have done this step
    }
    if (!here) break;
    if (share.barriers && C::scheme == Scheme::kLinear) work.barrier->wait(share.threads);
    if constexpr (!tiled<C>) {
      if (x.args.grad_x) input_gradient(x, chunk, share);
    }
    work.barrier->wait(share.threads);  // all rows of the chunk are there
    if (!(here = goes_on())) break;
    gradients_of_blocks(x, chunk, share);
    if (paired<C>) work.barrier->wait(share.threads);
    if constexpr (tiled<C>) tiled_gradients(x, chunk, share, tiles);
    else weight_gradient(x, chunk, share, tiles);
  }
  if constexpr (tiled<C>) end_tiles(x);
  if (!here) return;
  unpack_gradient<InputSide<C>, R, Q>(s, work.input, tiles.input_first, tiles.input_end, x.args.grad_weight_ih);
  unpack_gradient<HiddenSide<C>, R, Q>(s, work.hidden, tiles.hidden_first, tiles.hidden_end, x.args.grad_weight_hh);
  unpack_scratch(x, share.thread, share.threads);
}

template <class R>
void finish_gradient(R* out, const R* d, const Plan& plan, int64_t columns, int64_t padded) {
  for (int64_t row = 0; row < plan.shape.batch; row++)
    memcpy(out + plan.order[row] * columns, d + row * padded, static_cast<size_t>(columns) * sizeof(R));
}

template <class C, class R, int Q>
void run_backward(const RnnBackward<R>& a) {
  Arena arena(a.workspace), tape_arena(a.tape);
  BackwardWork<C, R, Q> work(a.problem, arena);
  const Shape& s = work.plan.shape;
  work.plan.fill(a.problem.lengths);
  *work.barrier = new_barrier(work.split.nanoseconds);
  BackwardContext<C, R, Q> context = {a, work, Tape<C, R>(s, tape_arena)};
  run_parallel(work.split.threads, backward_thread<C, R, Q>, &context);
  if (C::scheme != Scheme::kNormalised) {  // there, biases come after the products
    unpack_bias<InputSide<C>, R, Q>(s, work.bias, a.grad_bias_ih);
    unpack_bias<HiddenSide<C>, R, Q>(s, work.bias, a.grad_bias_hh);
  }
  if constexpr (C::scheme == Scheme::kGated) unpack_bias<GatedSide<C>, R, Q>(s, work.bias, a.grad_bias_hh);
  finish_gradient(a.grad_h0, work.dh, work.plan, s.output, s.h_padded);
  if (C::has_cell) finish_gradient(a.grad_c0, work.dc, work.plan, s.hidden, s.padded);
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
