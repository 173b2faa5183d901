// A step of each scheme (rnn/cell.h), and what the schemes prepare and leave behind.
#pragma once

#include "rnn/gated.h"
#include "rnn/linear.h"
#include "rnn/normalised_backward.h"
#include "rnn/projected.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// ------------------------------------------------------------------------------------------------- forward

template <class C, class R, int Q>
void prepare_scratch(const ForwardContext<C, R, Q>& x, int thread, int threads) {
  if (x.args.masks.recurrent) mask_first_state(x, thread, threads);
  if (x.args.packed) return;
  if (C::extras > 0 && thread == 0) copy_extra<C>(x.work.scratch.extra, x.args.weights, x.work.plan.shape);
  if constexpr (C::scheme == Scheme::kProjected) pack_projection(x, thread, threads);
  if constexpr (C::scheme == Scheme::kGated) {
    const Shape& s = x.work.plan.shape;
    pack_forward<GatedSide<C>, R, Q>(x.work.scratch.weight, x.args.weights.weight_hh, s, s.hidden,
                                     piece_start(s.blocks, threads, thread), piece_start(s.blocks, threads, thread + 1));
  }
}

template <class C, class R, int Q>
R* between_row(const ForwardContext<C, R, Q>& x, int64_t t, int64_t row) {
  const Shape& s = x.work.plan.shape;
  if (C::scheme == Scheme::kProjected && x.keeps_tape) return x.tape.between + (x.work.plan.offset[t] + row) * s.padded;
  return x.work.scratch.between + row * s.padded;
}

// New states of n rows, over the share's blocks.
template <class C, class R, int Q>
void whole_step(const ForwardContext<C, R, Q>& x, const Chunk& chunk, const Row<R>* rows, int64_t n, const Share& share,
                int64_t t) {
  const int64_t block_slots = chunk.stride * x.work.plan.shape.frame_size;
  if constexpr (C::scheme == Scheme::kLinear) {
    linear_step(x, rows, n, share, block_slots);
  } else if constexpr (C::scheme == Scheme::kNormalised) {
    normalised_step(x, rows, n, share, t, block_slots);
  } else {
    if constexpr (tiled<C>) tiled_step(x, rows, n, share, t, block_slots);
    else step(x, rows, n, share, t & 1, block_slots);
    if (two_passes<C>) meet(x.work.barrier, share);
    if constexpr (C::scheme == Scheme::kGated) gated_pass(x, rows, n, share, block_slots);
    if constexpr (C::scheme == Scheme::kProjected) project(x, rows, n, share);
  }
}

// ------------------------------------------------------------------------------------------------- backward

template <class C, class R, int Q>
void prepare_scratch(const BackwardContext<C, R, Q>& x, int thread, int threads) {
  auto& scratch = x.work.scratch;
  const Shape& s = x.shape();
  if (C::extras > 0) {
    if (thread == 0) copy_extra<C>(scratch.extra, x.args.weights, s);
    const int64_t row = extra_rows<C> * s.padded, first = piece_start(s.batch, threads, thread);
    const int64_t rows = piece_start(s.batch, threads, thread + 1) - first;
    memset(scratch.sums + first * row, 0, static_cast<size_t>(rows * row) * sizeof(R));
  }
  if constexpr (two_passes<C>) {
    auto& g = x.work.second;
    g.clear(s, g.first_tile(threads, thread), g.first_tile(threads, thread + 1));
  }
  if constexpr (C::scheme == Scheme::kProjected) pack_projection(x, thread, threads);
  if constexpr (C::scheme == Scheme::kGated) {
    const Columns own = {piece_start(ceil_div(s.hidden, kPanelVectors * kLanes<R>), threads, thread),
                         piece_start(ceil_div(s.hidden, kPanelVectors * kLanes<R>), threads, thread + 1)};
    pack_backward<GatedSide<C>, R, Q>(scratch.weight, x.args.weights.weight_hh, s, s.hidden, own.first, own.end);
  }
}

// Gradients of step t's slots, and of the states before it.
template <class C, class R, int Q>
void whole_step_back(const BackwardContext<C, R, Q>& x, const Chunk& chunk, const Share& share, int64_t t) {
  Barrier* barrier = x.work.barrier;
  if (x.args.masks.recurrent) keep_operands(x, chunk, share, t);
  if constexpr (C::scheme == Scheme::kProjected) {
    gather_projected(x, chunk, share, t);
    meet(barrier, share);
    project_back(x, chunk, share, t);
    meet(barrier, share);
  }
  if constexpr (C::scheme == Scheme::kNormalised) normalised_step_back(x, chunk, share, t);
  else if (x.args.masks.zoneout_h || x.args.masks.zoneout_c) step_gradients<true>(x, chunk, share, t);
  else step_gradients<false>(x, chunk, share, t);
  if constexpr (C::scheme == Scheme::kGated) {
    meet(barrier, share);
    gated_back(x, chunk, share, t);
    meet(barrier, share);
    finish_gated(x, chunk, share, t);
  }
  if constexpr (C::scheme != Scheme::kLinear) {
    meet(barrier, share);
    if constexpr (tiled<C>) tiled_step_back(x, chunk, share, t);
    else step_back(x, chunk, share, t);
    meet(barrier, share);
  }
}

template <class C, class R, int Q>
void second_gradient(const BackwardContext<C, R, Q>& x, const Chunk& chunk, const Share& share) {
  if constexpr (C::scheme == Scheme::kGated) gated_gradient(x, chunk, share);
  else if constexpr (C::scheme == Scheme::kProjected) projected_gradient(x, chunk, share);
  else (void)x, (void)chunk, (void)share;
}

// Sums over the sequences of a row of extra parameters' gradients: units [first, end) of it.
template <class C, class R>
void sum_extra(const BackwardScratch<C, R>& scratch, const Shape& s, int row, int64_t first, int64_t end, R* out) {
  for (int64_t i = first; i < min_of(s.hidden, end); i += kLanes<R>) {
    Vec<R> sum = {};
    for (int64_t b = 0; b < s.batch; b++)
      sum += load(scratch.sums + b * extra_rows<C> * s.padded + extra_at<C, R>(row, i / kLanes<R>));
    store_up_to(out + i, sum, s.hidden - i);
  }
}

template <class C, class R, int Q>
void unpack_scratch(const BackwardContext<C, R, Q>& x, int thread, int threads) {
  const RnnBackward<R>& a = x.args;
  const Shape& s = x.shape();
  const int64_t width = Q * kLanes<R>;
  const int64_t first = piece_start(s.blocks, threads, thread) * width, end = piece_start(s.blocks, threads, thread + 1) * width;
  for (int e = 0; e < C::extras; e++) sum_extra<C>(x.work.scratch, s, e, first, end, a.grad_extra + e * s.hidden);
  if (C::scheme == Scheme::kNormalised)
    for (int g = 0; g < C::gates; g++) {
      sum_extra<C>(x.work.scratch, s, C::extras + g, first, end, a.grad_bias_ih + g * s.hidden);
      sum_extra<C>(x.work.scratch, s, C::extras + g, first, end, a.grad_bias_hh + g * s.hidden);
    }
  if constexpr (C::scheme == Scheme::kProjected) unpack_projection(x, thread, threads);
  if constexpr (C::scheme == Scheme::kGated) {
    const auto& g = x.work.second;
    unpack_gradient<GatedSide<C>, R, Q>(s, g, g.first_tile(threads, thread), g.first_tile(threads, thread + 1), a.grad_weight_hh);
  }
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
