// Cells that normalise sums over all units: rows of statistics between the products and the gates.
//
//   N(v) = (v - mean v) / sqrt(mean (v - mean v)^2 + 1e-5)
//
// over the G gates' sums of x, over those of h', and over c. The product of x runs ahead over a chunk of frames. A row's
// statistics are summed block by block, then over the lanes: one order for any tile and threads.
//
//   gate<N>(a, c_prev, c)                   a: gain_x N(x) + gain_h N(h') + bias of the G gates, activated on return
//   output<N>(v, o, h)                      v: gain_c N(c) + bias_c
//   output_backward(o, h, dh, dv, d_o)      gradient of v, and of the output gate's sum
//   gate_backward(a, c_prev, dc, dc_prev)   a: gates with d_o in the last, their gradients on return
//
// Slots: the sums of x, then those of h', normalised where backward finds them. The output gate comes last.
#pragma once

#include "rnn/masks.h"
#include "simd/lanes.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

constexpr double kNormEpsilon = 1e-5;

PYSEQ_INLINE float square_root(float v) { return __builtin_sqrtf(v); }
PYSEQ_INLINE double square_root(double v) { return __builtin_sqrt(v); }

// `s` in the first n lanes, else 0.
template <class R>
PYSEQ_INLINE Vec<R> first_lanes_of(R s, int n) {
  R lanes[kLanes<R>];
  for (int i = 0; i < kLanes<R>; i++) lanes[i] = i < n ? s : R(0);
  return load(lanes);
}

// sums[i] <- v[i] summed over its lanes, in that order.
template <class R, int M>
PYSEQ_INLINE void sum_each(const Vec<R> (&v)[M], R (&sums)[M]) {
  constexpr int W = kLanes<R>;
  PYSEQ_UNROLL for (int first = 0; first < M; first += W) {
    Vec<R> r[W];
    PYSEQ_UNROLL for (int i = 0; i < W; i++) r[i] = first + i < M ? v[first + i < M ? first + i : 0] : Vec<R>{};
    const Vec<R> total = reduce_each(r, [](Vec<R> a, Vec<R> b) { return a + b; });
    PYSEQ_UNROLL for (int i = 0; i < W; i++)
      if (first + i < M) sums[first + i] = total[i];
  }
}

// v normalised, by two numbers that `row_moments` leaves.
template <class R>
PYSEQ_INLINE Vec<R> normal_of(Vec<R> v, const R* stats) {
  return fma(v, splat(stats[1]), splat(stats[0]));
}

// - mean / deviation and 1 / deviation of N rows, each V vectors a block, `stride` apart, in one pass: both of the
// differences from one of the row's numbers, which is as near to the mean as any, so that the squares do not cancel.
template <int V, class R, int N>
PYSEQ_TILE void row_moments(const R* const (&p)[N], int64_t stride, int64_t units, R* const (&result)[N]) {
  constexpr int W = kLanes<R>;
  Vec<R> sums[2 * N] = {};
  const auto add = [&](int64_t block, auto&& take, auto&& shift) {
    PYSEQ_UNROLL for (int n = 0; n < N; n++) {
      const Vec<R> from = shift(p[n][0]);
      PYSEQ_UNROLL for (int v = 0; v < V; v++) {
        const Vec<R> d = take(p[n] + block * stride + v * W) - from;
        sums[2 * n] += d;
        sums[2 * n + 1] = fma(d, d, sums[2 * n + 1]);
      }
    }
  };
  const int64_t whole = units / W;
  for (int64_t b = 0; b < whole; b++)
    add(b, [](const R* q) { return load(q); }, [](R s) { return splat(s); });
  if (const int lanes = static_cast<int>(units % W))
    add(whole, [&](const R* q) { return load_n(q, lanes); }, [&](R s) { return first_lanes_of(s, lanes); });
  R total[2 * N];
  sum_each(sums, total);
  const R share = R(1) / static_cast<R>(units * V);
  PYSEQ_UNROLL for (int n = 0; n < N; n++) {
    const R mean = total[2 * n] * share, variance = total[2 * n + 1] * share - mean * mean;
    result[n][1] = R(1) / square_root(max_of(variance, R(0)) + R(kNormEpsilon));
    result[n][0] = -(p[n][0] + mean) * result[n][1];
  }
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

// Gates of N rows of a block from the normalised sums of_x(n, g) and of_h(n, g).
template <class C, class R, int N, class X, class H>
PYSEQ_INLINE void gate_sums(const R* extra, int64_t u, const X& of_x, const H& of_h, Vec<R> (&a)[N][C::gates]) {
  constexpr int W = kLanes<R>, G = C::gates;
  const R* p = extra + extra_at<C, R>(0, u);
  PYSEQ_UNROLL for (int n = 0; n < N; n++)
    PYSEQ_UNROLL for (int g = 0; g < G; g++) {
      const Vec<R> sum = fma(load(p + g * W), of_x(n, g), load(p + (C::extras + g) * W));
      a[n][g] = fma(load(p + (G + g) * W), of_h(n, g), sum);
    }
}

// A row at a step; its statistics, and its output gate.
template <class R>
struct NormalisedForward {
  const Row<R>* row;
  R *stats, *o;
};

// f(first, Int<rows>, pass) over n rows of a share, a few at a time. The passes 0, 1 .. P - 1 of a group of rows follow
// each other at once, in one call; where threads split the units, each is a call of its own for every group, and threads
// meet between them. There, sums over all units are one thread's of them all.
struct Pass {
  int only;   // or -1: all
  bool sums_here;
  bool is(int p) const { return only < 0 || only == p; }
  bool sums(int p) const { return only < 0 || (only == p && sums_here); }
};
constexpr int kGroupRows = 4, kGateRows = kAccumulators / 12;  // of them, those whose gates are in flight together
template <int P, class F>
PYSEQ_INLINE void passes_over_rows(Barrier* barrier, const Share& share, int64_t n, const F& f) {
  for (int p = share.barriers ? 0 : -1; p < (share.barriers ? P : 0); p++) {
    if (p > 0) barrier->wait(share.threads);
    int64_t group = 0;
    row_blocks<kGroupRows>(n, [&](int64_t first, auto mr) {
      f(first, mr, Pass{p, group++ % share.threads == share.thread});
    });
  }
}

// Gates and c of N rows, over blocks [first, end). Backward finds the normalised sums in the place of the sums.
template <class C, class R, int Q, int N>
PYSEQ_TILE void gate_tile(const ForwardContext<C, R, Q>& x, const NormalisedForward<R>* rows, int64_t first, int64_t end,
                          int64_t block_slots) {
  constexpr int W = kLanes<R>, G = C::gates;
  for (int64_t u = first; u < end; u++) {
    Vec<R> a[N][G], c_prev[N], c[N];
    const auto normal = [&](int n, int slot, int mean) {
      R* p = rows[n].row->slots + u * block_slots + slot * W;
      const Vec<R> v = normal_of(load(p), rows[n].stats + mean);
      store(p, v);
      return v;
    };
    gate_sums<C, R, N>(x.work.scratch.extra, u, [&](int n, int g) { return normal(n, C::x_first + g, kShiftX); },
                       [&](int n, int g) { return normal(n, C::h_first + g, kShiftH); }, a);
    PYSEQ_UNROLL for (int n = 0; n < N; n++) c_prev[n] = load(rows[n].row->c_prev + u * W);
    C::gate(a, c_prev, c);
    PYSEQ_UNROLL for (int n = 0; n < N; n++) {
      store(rows[n].row->c + u * W, c[n]);
      store(rows[n].o + u * W, a[n][G - 1]);
    }
  }
}

template <class C, class R, int Q, int N>
PYSEQ_TILE void output_tile(const ForwardContext<C, R, Q>& x, const NormalisedForward<R> (&rows)[N], int64_t first, int64_t end) {
  constexpr int W = kLanes<R>, G = C::gates;
  const Shape& s = x.work.plan.shape;
  for (int64_t u = first; u < end; u++) {
    const R* extra = x.work.scratch.extra + extra_at<C, R>(2 * G, u);
    Vec<R> v[N][1], og[N], h[N];
    PYSEQ_UNROLL for (int n = 0; n < N; n++) {
      const Vec<R> normal = normal_of(load(rows[n].row->c + u * W), rows[n].stats + kShiftC);
      v[n][0] = fma(load(extra), normal, load(extra + W));
      og[n] = load(rows[n].o + u * W);
    }
    C::output(v, og, h);
    PYSEQ_UNROLL for (int n = 0; n < N; n++) store_up_to(rows[n].row->y + u * W, h[n], s.hidden - u * W);
  }
}

// The passes of a step after its products go over a few rows at a time, which the nearest cache holds; where threads
// split the units, each over all rows, with a meeting between them.
template <class C, class R, int Q>
void normalised_step(const ForwardContext<C, R, Q>& x, const Row<R>* rows, int64_t n, const Share& share, int64_t t,
                     int64_t block_slots) {
  static_assert(Q == 1, "a block is one vector of units");
  constexpr int W = kLanes<R>;
  const auto& work = x.work;
  const Shape& s = work.plan.shape;
  for (int64_t u = share.first_block; u < share.end_block; u++)
    row_blocks<tile_rows(C::h_slots)>(n, [&](int64_t first, auto mr) {
      recurrent_sums<C, R, Q, decltype(mr)::value>(x, rows + first, u, block_slots);
    });
  meet(work.barrier, share);
  passes_over_rows<4>(work.barrier, share, n, [&](int64_t first, auto mr, const auto& pass) {
    constexpr int N = decltype(mr)::value;
    NormalisedForward<R> group[N];
    for (int i = 0; i < N; i++) {
      const int64_t row = share.row + (first + i) * share.row_step;
      R* stats = x.keeps_tape ? x.tape.stats + work.plan.offset[t] * kRowStats : work.scratch.stats;
      group[i] = {rows + first + i, stats + row * kRowStats, work.scratch.between + row * s.padded};
    }
    const auto sum = [&](auto vectors, int64_t stride, int statistic, auto&& place) {
      const R* p[N];
      R* result[N];
      PYSEQ_UNROLL for (int i = 0; i < N; i++) p[i] = place(*group[i].row), result[i] = group[i].stats + statistic;
      row_moments<decltype(vectors)::value>(p, stride, s.hidden, result);
    };
    if (pass.sums(0)) {
      sum(Int<C::x_slots>{}, block_slots, kShiftX, [](const Row<R>& r) { return r.slots + C::x_first * kLanes<R>; });
      sum(Int<C::h_slots>{}, block_slots, kShiftH, [](const Row<R>& r) { return r.slots + C::h_first * kLanes<R>; });
    }
    if (pass.is(1))
      row_blocks<kGateRows>(N, [&](int64_t i, auto mi) {
        gate_tile<C, R, Q, decltype(mi)::value>(x, group + i, share.first_block, share.end_block, block_slots);
      });
    if (pass.sums(2)) sum(Int<1>{}, W, kShiftC, [](const Row<R>& r) { return r.c; });
    if (pass.is(3)) output_tile<C, R, Q, N>(x, group, share.first_block, share.end_block);
  });
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
