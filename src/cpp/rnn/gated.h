// Cells with a second recurrent product, of a state that a gate has scaled. Between the two passes of a step every
// unit must be there: a barrier where threads split the units.
//
//   gated_slot, update_slot             the slot that the second product adds to, and one that `finish` reads
//   forward(a, h_in, ..., gated)        first pass; h_in as the first product has read it
//   finish<N>(n, update, h_prev, h)     second pass: n is the gated slot's sum, activated on return
//   backward(...)                       leaves in slot 0 what finish_backward takes as `gate`
//   finish_backward(gate, h_in, dgated, d, dh_in)   gradients of slot 0, and of h_in besides the first product
#pragma once

#include "rnn/masks.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

constexpr int kGatedRowBlocks = kAccumulators / 3;  // of a single row: one chain of sums a block

template <class C, class R, int Q, int MR, int NB>
PYSEQ_TILE void gated_tile(const ForwardContext<C, R, Q>& x, const Row<R>* rows, int64_t u, int64_t block_slots) {
  static_assert(Q == 1, "a block is one vector of units");
  constexpr int W = kLanes<R>, N = NB * MR, group = N < 4 ? N : 4;
  const Shape& s = x.work.plan.shape;
  const R* gated[MR];
  PYSEQ_UNROLL for (int i = 0; i < MR; i++) gated[i] = rows[i].between;
  Vec<R> acc[N][1];
  PYSEQ_UNROLL for (int n = 0; n < N; n++)
    acc[n][0] = load(rows[n % MR].slots + (u + n / MR) * block_slots + C::gated_slot * W);
  multiply_add_blocks<R, NB, MR, 1, 1, 0>(acc, s.hidden, [&](int i, int64_t k) { return gated[i][k]; },
                                          x.work.scratch.weight + u * s.hidden * W, W, s.hidden * W);
  PYSEQ_UNROLL for (int first = 0; first < N; first += group) {
    Vec<R> a[group][1], update[group][1], h_prev[group][1], h[group][1];
    PYSEQ_UNROLL for (int g = 0; g < group; g++) {
      const int n = first + g < N ? first + g : N - 1;
      const int64_t block = u + n / MR;
      a[g][0] = acc[n][0];
      update[g][0] = load(rows[n % MR].slots + block * block_slots + C::update_slot * W);
      h_prev[g][0] = load_up_to(rows[n % MR].h_prev + block * W, s.hidden - block * W);
    }
    C::finish(a, update, h_prev, h);
    PYSEQ_UNROLL for (int g = 0; g < group; g++) {
      const int n = first + g < N ? first + g : N - 1;
      const int64_t block = u + n / MR;
      store(rows[n % MR].slots + block * block_slots + C::gated_slot * W, a[g][0]);
      store_up_to(rows[n % MR].y + block * W, h[g][0], s.hidden - block * W);
    }
  }
}

template <class C, class R, int Q>
void gated_pass(const ForwardContext<C, R, Q>& x, const Row<R>* rows, int64_t n, const Share& share, int64_t block_slots) {
  if (n == 1) {
    row_blocks<kGatedRowBlocks>(share.end_block - share.first_block, [&](int64_t first, auto nb) {
      gated_tile<C, R, Q, 1, decltype(nb)::value>(x, rows, share.first_block + first, block_slots);
    });
    return;
  }
  for (int64_t u = share.first_block; u < share.end_block; u++)
    row_blocks<tile_rows(1)>(n, [&](int64_t first, auto mr) {
      gated_tile<C, R, Q, decltype(mr)::value, 1>(x, rows + first, u, block_slots);
    });
}

// ------------------------------------------------------------------------------------------------- backward

// Gradient of the gated state of a share's rows = dslots W, over its panels.
template <class C, class R, int Q>
void gated_back(const BackwardContext<C, R, Q>& x, const Chunk& chunk, const Share& share, int64_t t) {
  constexpr int W = kLanes<R>;
  auto& work = x.work;
  const Plan& plan = work.plan;
  const Shape& s = plan.shape;
  const R** a = work.a_rows + share.thread * work.room;
  R** out = work.out_rows + share.thread * work.room;
  const int64_t n = share.count(plan.active[t]);
  R* slots = x.chunk_slots(chunk) + (plan.offset[t] - plan.offset[chunk.first_step]) * s.frame_size + C::gated_slot * W;
  for (int64_t j = 0; j < n; j++) {
    const int64_t row = share.row + j * share.row_step;
    a[j] = slots + row * s.frame_size;
    out[j] = work.scratch.second + row * s.padded;
  }
  const RowProduct<R> p = {a, s.blocks, W, chunk.stride * s.frame_size, work.scratch.weight, nullptr, out, s.padded, false};
  const Columns own = own_panels<R>(s.hidden, share);
  for (int64_t k = own.first; k < own.end; k++) row_product_panel(p, n, k * kPanelVectors * W);
}

// What that means for slot 0 and for h', over a share's blocks; and the gated state, for dW.
template <class C, class R, int Q>
void finish_gated(const BackwardContext<C, R, Q>& x, const Chunk& chunk, const Share& share, int64_t t) {
  constexpr int W = kLanes<R>;
  auto& work = x.work;
  const Plan& plan = work.plan;
  const Shape& s = plan.shape;
  for (int64_t j = 0; j < share.count(plan.active[t]); j++) {
    const int64_t row = share.row + j * share.row_step, b = plan.order[row];
    R* slots = x.chunk_slots(chunk) + (plan.offset[t] - plan.offset[chunk.first_step] + row) * s.frame_size;
    R* gated = work.scratch.rows + x.kept_frame(chunk, row, t) * s.padded;
    const R *h_prev = x.h_before(b, t), *dgated = work.scratch.second + row * s.padded;
    const R* mask = x.args.masks.recurrent ? x.args.masks.recurrent + b * s.output : nullptr;
    R* dh = work.dh + row * s.padded;
    for (int64_t u = share.first_block; u < share.end_block; u++) {
      const int64_t i = u * W;
      R* block = slots + u * chunk.stride * s.frame_size;
      const Vec<R> gate = load(block), m = mask ? load_up_to(mask + i, s.hidden - i) : splat(R(1));
      const Vec<R> h_in = m * load_up_to(h_prev + i, s.hidden - i);
      Vec<R> d, dh_in;
      C::finish_backward(gate, h_in, load(dgated + i), d, dh_in);
      store(block, d);
      store(gated + i, gate * h_in);
      store(dh + i, fma(m, dh_in, load(dh + i)));
    }
  }
}

template <class C, class R>
struct SecondGradient<C, R, Scheme::kGated> : SideGradient<GatedSide<C>, R> {
  SecondGradient(const Shape& s, Arena& arena) : SideGradient<GatedSide<C>, R>(s, s.hidden, arena) {}
  int64_t first_tile(int64_t threads, int64_t thread) const { return piece_start(this->tiles, threads, thread); }
};

template <class C, class R, int Q>
void gated_gradient(const BackwardContext<C, R, Q>& x, const Chunk& chunk, const Share& share) {
  const auto& g = x.work.second;
  side_gradient<GatedSide<C>>(x, chunk, share, g, g.first_tile(share.threads, share.thread),
                              g.first_tile(share.threads, share.thread + 1), [&](int64_t row, int64_t t) {
                                return x.work.scratch.rows + x.kept_frame(chunk, row, t) * x.shape().padded;
                              });
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
