// Cells that normalise sums over all units: rows of statistics between the products and the gates.
//
//   N(v) = (v - mean v) / sqrt(mean (v - mean v)^2 + 1e-5)
//
// over the G gates' sums of x, over those of h', and over c. The product of x, and its N, run ahead over a chunk of
// frames. A row's statistics are summed block by block, then over the lanes: one order for any tile and threads.
//
//   gate<N>(a, c_prev, c)                   a: gain_x N(x) + gain_h N(h') + bias of the G gates, activated on return
//   output<N>(v, o, h)                      v: gain_c N(c) + bias_c
//   output_backward(o, h, dh, dv, d_o)      gradient of v, and of the output gate's sum
//   gate_backward(a, c_prev, dc, dc_prev)   a: gates with d_o in the last, their gradients on return
//
// Slots: the sums of x, then those of h', normalised where backward finds them. The output gate comes last.
#pragma once

#include "rnn/masks.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

constexpr double kNormEpsilon = 1e-5;

// `s` in the first n lanes, else 0.
template <class R>
PYSEQ_INLINE Vec<R> first_lanes_of(R s, int n) {
  R lanes[kLanes<R>];
  for (int i = 0; i < kLanes<R>; i++) lanes[i] = i < n ? s : R(0);
  return load(lanes);
}

// Mean and 1 / deviation of V vectors a block, `stride` apart, in one pass: both of the differences from one of the
// numbers, which is as near to the mean as any, so that the squares do not cancel.
template <class R>
struct Moments {
  R mean, scale;
};
template <int V, class R>
PYSEQ_INLINE Moments<R> moments(const R* p, int64_t stride, int64_t units) {
  constexpr int W = kLanes<R>;
  const R shift = p[0], count = static_cast<R>(units * V);
  Vec<R> sum[V] = {}, squares[V] = {};
  const auto add = [&](const R* q, auto&& take, Vec<R> from) {
    PYSEQ_UNROLL for (int v = 0; v < V; v++) {
      const Vec<R> d = take(q + v * W) - from;
      sum[v] += d;
      squares[v] = fma(d, d, squares[v]);
    }
  };
  const int64_t whole = units / W;
  for (int64_t b = 0; b < whole; b++) add(p + b * stride, [](const R* q) { return load(q); }, splat(shift));
  if (const int lanes = static_cast<int>(units % W))
    add(p + whole * stride, [&](const R* q) { return load_n(q, lanes); }, first_lanes_of(shift, lanes));
  PYSEQ_UNROLL for (int v = 1; v < V; v++) {
    sum[0] += sum[v];
    squares[0] += squares[v];
  }
  const R mean = sum_tree<R>(sum[0]) / count, variance = sum_tree<R>(squares[0]) / count - mean * mean;
  return {shift + mean, R(1) / static_cast<R>(__builtin_sqrt(max_of(variance, R(0)) + R(kNormEpsilon)))};
}

// Rows of a step whose statistics a share sums: its own, or a part of all where threads split the units.
template <class F>
PYSEQ_INLINE void rows_to_sum(const Share& share, int64_t n, const F& f) {
  const int64_t step = share.barriers ? share.threads : 1;
  for (int64_t j = share.barriers ? share.thread : 0; j < n; j += step) f(j, share.row + j * share.row_step);
}

// N of the x sums of a share's frames of a chunk.
template <class C, class R, int Q>
void normalise_input(const ForwardContext<C, R, Q>& x, const Chunk& chunk, const Share& share) {
  constexpr int W = kLanes<R>;
  const Plan& plan = x.work.plan;
  const Shape& s = plan.shape;
  const int64_t block_slots = chunk.stride * s.frame_size;
  R* base = x.slots + (x.keeps_tape ? chunk.base * s.blocks * s.frame_size : 0);
  meet(x.work.barrier, share);
  for (int64_t t = chunk.first_step; t < chunk.end_step; t++)
    rows_to_sum(share, share.count(plan.active[t]), [&](int64_t, int64_t row) {
      R* slots = base + (plan.offset[t] - plan.offset[chunk.first_step] + row) * s.frame_size + C::x_first * W;
      const Moments<R> m = moments<C::x_slots>(slots, block_slots, s.hidden);
      for (int64_t u = 0; u < s.blocks; u++)
        PYSEQ_UNROLL for (int v = 0; v < C::x_slots; v++) {
          R* p = slots + u * block_slots + v * W;
          store(p, (load(p) - m.mean) * m.scale);
        }
      if (x.keeps_tape) x.tape.stats[(plan.offset[t] + row) * kRowStats + kScaleX] = m.scale;
    });
  meet(x.work.barrier, share);
}

template <class C, class R, int Q, int MR>
PYSEQ_TILE void recurrent_sums(const ForwardContext<C, R, Q>& x, const Row<R>* rows, int64_t u, int64_t block_slots) {
  constexpr int W = kLanes<R>, S = C::h_slots;
  const Shape& s = x.work.plan.shape;
  const R* h_in[MR];
  PYSEQ_UNROLL for (int i = 0; i < MR; i++) h_in[i] = rows[i].h_in;
  Vec<R> acc[MR][S] = {};
  multiply_add<R, MR, S, S, 0>(acc, s.output, [&](int i, int64_t k) { return h_in[i][k]; },
                               x.work.weight_hh + u * s.output * S * W, S * W);
  PYSEQ_UNROLL for (int i = 0; i < MR; i++)
    PYSEQ_UNROLL for (int j = 0; j < S; j++) store(rows[i].slots + u * block_slots + (C::h_first + j) * W, acc[i][j]);
}

// Gates of N rows of a block, from normalised sums.
template <class C, class R, int N>
PYSEQ_INLINE void gate_sums(const R* extra, int64_t padded, int64_t i, const R* const (&slots)[N], Vec<R> (&a)[N][C::gates]) {
  constexpr int W = kLanes<R>, G = C::gates;
  PYSEQ_UNROLL for (int n = 0; n < N; n++)
    PYSEQ_UNROLL for (int g = 0; g < G; g++) {
      const Vec<R> of_x = load(slots[n] + (C::x_first + g) * W), of_h = load(slots[n] + (C::h_first + g) * W);
      const Vec<R> bias = load(extra + (C::extras + g) * padded + i);
      a[n][g] = fma(load(extra + (G + g) * padded + i), of_h, fma(load(extra + g * padded + i), of_x, bias));
    }
}

template <class C, class R, int Q, int N>
PYSEQ_TILE void gate_tile(const ForwardContext<C, R, Q>& x, const Row<R>* rows, R* const* stats, R* const* o, int64_t u,
                          int64_t block_slots) {
  constexpr int W = kLanes<R>, G = C::gates;
  const auto& scratch = x.work.scratch;
  const R* slots[N];
  Vec<R> a[N][G], c_prev[N], c[N];
  PYSEQ_UNROLL for (int n = 0; n < N; n++) {
    R* block = rows[n].slots + u * block_slots;
    PYSEQ_UNROLL for (int g = 0; g < G; g++) {
      R* p = block + (C::h_first + g) * W;
      store(p, (load(p) - stats[n][kMeanH]) * stats[n][kScaleH]);
    }
    slots[n] = block;
    c_prev[n] = load(rows[n].c_prev + u * W);
  }
  gate_sums<C, R, N>(scratch.extra, x.work.plan.shape.padded, u * W, slots, a);
  C::gate(a, c_prev, c);
  PYSEQ_UNROLL for (int n = 0; n < N; n++) {
    store(rows[n].c + u * W, c[n]);
    store(o[n] + u * W, a[n][G - 1]);
  }
}

template <class C, class R, int Q, int N>
PYSEQ_TILE void output_tile(const ForwardContext<C, R, Q>& x, const Row<R>* rows, R* const* stats, R* const* o, int64_t u) {
  constexpr int W = kLanes<R>, G = C::gates;
  const Shape& s = x.work.plan.shape;
  const R* extra = x.work.scratch.extra + u * W;
  Vec<R> v[N][1], og[N], h[N];
  PYSEQ_UNROLL for (int n = 0; n < N; n++) {
    const Vec<R> normal = (load(rows[n].c + u * W) - stats[n][kMeanC]) * stats[n][kScaleC];
    v[n][0] = fma(load(extra + 2 * G * s.padded), normal, load(extra + (2 * G + 1) * s.padded));
    og[n] = load(o[n] + u * W);
  }
  C::output(v, og, h);
  PYSEQ_UNROLL for (int n = 0; n < N; n++) store_up_to(rows[n].y + u * W, h[n], s.hidden - u * W);
}

template <class C, class R, int Q>
void normalised_step(const ForwardContext<C, R, Q>& x, const Row<R>* rows, int64_t n, const Share& share, int64_t t,
                     int64_t block_slots) {
  static_assert(Q == 1, "a block is one vector of units");
  constexpr int kGateRows = kAccumulators / 6, kOutputRows = 6;  // enough activations in flight
  const auto& work = x.work;
  const Shape& s = work.plan.shape;
  const auto stats = [&](int64_t row) {
    return x.keeps_tape ? x.tape.stats + (work.plan.offset[t] + row) * kRowStats : work.scratch.stats + row * kRowStats;
  };
  const auto tiles = [&](auto most, const auto& tile) {
    for (int64_t u = share.first_block; u < share.end_block; u++)
      row_blocks<decltype(most)::value>(n, [&](int64_t first, auto mr) {
        constexpr int MR = decltype(mr)::value;
        R *row_stats[MR], *o[MR];
        PYSEQ_UNROLL for (int i = 0; i < MR; i++) {
          const int64_t row = share.row + (first + i) * share.row_step;
          row_stats[i] = stats(row);
          o[i] = work.scratch.between + row * s.padded;
        }
        tile(mr, rows + first, row_stats, o, u);
      });
  };
  for (int64_t u = share.first_block; u < share.end_block; u++)
    row_blocks<tile_rows(C::h_slots)>(n, [&](int64_t first, auto mr) {
      recurrent_sums<C, R, Q, decltype(mr)::value>(x, rows + first, u, block_slots);
    });
  meet(work.barrier, share);
  rows_to_sum(share, n, [&](int64_t j, int64_t row) {
    const Moments<R> m = moments<C::h_slots>(rows[j].slots + C::h_first * kLanes<R>, block_slots, s.hidden);
    stats(row)[kMeanH] = m.mean;
    stats(row)[kScaleH] = m.scale;
  });
  meet(work.barrier, share);
  tiles(Int<kGateRows>{}, [&](auto mr, const Row<R>* r, R* const* st, R* const* o, int64_t u) {
    gate_tile<C, R, Q, decltype(mr)::value>(x, r, st, o, u, block_slots);
  });
  meet(work.barrier, share);
  rows_to_sum(share, n, [&](int64_t j, int64_t row) {
    const Moments<R> m = moments<1>(rows[j].c, kLanes<R>, s.hidden);
    stats(row)[kMeanC] = m.mean;
    stats(row)[kScaleC] = m.scale;
  });
  meet(work.barrier, share);
  tiles(Int<kOutputRows>{}, [&](auto mr, const Row<R>* r, R* const* st, R* const* o, int64_t u) {
    output_tile<C, R, Q, decltype(mr)::value>(x, r, st, o, u);
  });
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
