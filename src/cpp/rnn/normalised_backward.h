// Gradients of normalised cells (rnn/normalised.h). Through n = N(v), with means over all of v:
//
//   dv = scale * (dn - mean(dn) - n * mean(dn * n))
//
// so a step has two more meeting points, as forward: (1) dN(c) and its means, (2) the gates, dN of both products'
// sums and their means, (3) the gradients of the sums.
#pragma once

#include "rnn/normalised.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// One running sequence at one step, and its rows of scratch.
template <class C, class R>
struct NormalisedRow {
  const BackRow<R>* row;
  R *gates, *units, *means, *sums;
  const R* stats;
};

template <class R>
PYSEQ_INLINE void add_to(R* p, Vec<R> a, Vec<R> b) {
  store(p, fma(a, b, load(p)));
}

// Asks for what (1) will read of a row: its own instructions are too many for the processor to look ahead so far.
template <class R>
PYSEQ_INLINE void ask_for(const BackRow<R>& r, const Share& share, const Shape& s, int64_t block_slots) {
  for (int64_t u = share.first_block; u < share.end_block; u++) {
    for (int64_t k = 0; k < s.frame_size; k += kLanes<R>) __builtin_prefetch(r.slots + u * block_slots + k, 0, 2);
    const int64_t i = u * kLanes<R>;
    __builtin_prefetch(r.h + i, 0, 2);
    __builtin_prefetch(r.c_prev + i, 0, 2);
    if (r.gy) __builtin_prefetch(r.gy + i, 0, 2);
  }
}

// (1) Gates again, from the normalised sums of N rows; dN(c), and what its means are taken of.
template <class C, class R, int N>
PYSEQ_TILE void output_back(const NormalisedRow<C, R>* rows, const R* extra, const Shape& s, int64_t first, int64_t end,
                            int64_t block_slots) {
  constexpr int W = kLanes<R>, G = C::gates;
  for (int64_t u = first; u < end; u++) {
    const int64_t i = u * W, left = s.hidden - i, at = extra_at<C, R>(2 * G, u);
    Vec<R> a[N][G], c_prev[N], c[N];
    const auto kept = [&](int n, int slot) { return load(rows[n].row->slots + u * block_slots + slot * W); };
    gate_sums<C, R, N>(extra, u, [&](int n, int g) { return kept(n, C::x_first + g); },
                       [&](int n, int g) { return kept(n, C::h_first + g); }, a);
    PYSEQ_UNROLL for (int n = 0; n < N; n++) c_prev[n] = load(rows[n].row->c_prev + i);
    C::gate(a, c_prev, c);
    PYSEQ_UNROLL for (int n = 0; n < N; n++) {
      const BackRow<R>& r = *rows[n].row;
      R *units = rows[n].units + u * 4 * W, *sums = rows[n].sums + at;
      Vec<R> dh = load(r.dh + i), h = load_up_to(r.h + i, left), dv, d_o;
      if (r.gy) dh += load_up_to(r.gy + i, left);
      if (r.zh) store(r.dh + i, zone_in(load_up_to(r.zh + i, left), load_up_to(r.h_prev + i, left), h, dh));
      C::output_backward(a[n][G - 1], h, dh, dv, d_o);
      const Vec<R> normal = normal_of(c[n], rows[n].stats + kShiftC), d = dv * load(extra + at);
      store(units, d);
      store(units + W, d * normal);
      store(units + 2 * W, normal);
      add_to(sums, dv, normal);
      store(sums + W, load(sums + W) + dv);
      a[n][G - 1] = d_o;
      PYSEQ_UNROLL for (int g = 0; g < G; g++) store(rows[n].gates + (u * G + g) * W, a[n][g]);
    }
  }
}

// (2) dc and the gradients of the gates' sums; what the means of dN of both products' sums are taken of.
template <class C, class R>
PYSEQ_TILE void gates_back(const NormalisedRow<C, R>& row, const R* extra, const Shape& s, int64_t first, int64_t end,
                           int64_t block_slots) {
  constexpr int W = kLanes<R>, G = C::gates;
  const BackRow<R>& r = *row.row;
  const R mean = row.means[0], product = row.means[1], scale = row.stats[kScaleC];
  for (int64_t u = first; u < end; u++) {
    const int64_t i = u * W, left = s.hidden - i;
    const R *slots = r.slots + u * block_slots, *gains = extra + extra_at<C, R>(0, u);
    R *units = row.units + u * 4 * W, *sums = row.sums + extra_at<C, R>(0, u), *gates = row.gates + u * G * W;
    Vec<R> dc = load(r.dc + i), dc_prev, stays = {}, a[G];
    if (r.zc) stays = zone_in(load_up_to(r.zc + i, left), dc);
    dc += (load(units) - mean - load(units + 2 * W) * product) * scale;
    PYSEQ_UNROLL for (int g = 0; g < G; g++) a[g] = load(gates + g * W);
    C::gate_backward(a, load(r.c_prev + i), dc, dc_prev);
    store(r.dc + i, dc_prev + stays);
    Vec<R> sum[4] = {};
    PYSEQ_UNROLL for (int g = 0; g < G; g++) {
      const Vec<R> of_x = load(slots + (C::x_first + g) * W), of_h = load(slots + (C::h_first + g) * W);
      const Vec<R> dx = a[g] * load(gains + g * W), dh = a[g] * load(gains + (G + g) * W);
      sum[0] += dx;
      sum[1] = fma(dx, of_x, sum[1]);
      sum[2] += dh;
      sum[3] = fma(dh, of_h, sum[3]);
      add_to(sums + g * W, a[g], of_x);
      add_to(sums + (G + g) * W, a[g], of_h);
      store(sums + (C::extras + g) * W, load(sums + (C::extras + g) * W) + a[g]);
      store(gates + g * W, a[g]);
    }
    PYSEQ_UNROLL for (int k = 0; k < 4; k++) store(units + k * W, sum[k]);
  }
}

// (3) Gradients of the sums of both products.
template <class C, class R>
PYSEQ_TILE void sums_back(const NormalisedRow<C, R>& row, const R* extra, int64_t first, int64_t end, int64_t block_slots) {
  constexpr int W = kLanes<R>, G = C::gates;
  const R scale_x = row.stats[kScaleX], scale_h = row.stats[kScaleH];
  const Vec<R> mean_x = splat(row.means[0] * scale_x), product_x = splat(row.means[1] * scale_x);
  const Vec<R> mean_h = splat(row.means[2] * scale_h), product_h = splat(row.means[3] * scale_h);
  for (int64_t u = first; u < end; u++) {
    const R* gains = extra + extra_at<C, R>(0, u);
    R *slots = row.row->slots + u * block_slots, *gates = row.gates + u * G * W;
    PYSEQ_UNROLL for (int g = 0; g < G; g++) {
      const Vec<R> d = load(gates + g * W);
      R *of_x = slots + (C::x_first + g) * W, *of_h = slots + (C::h_first + g) * W;
      const Vec<R> dx = d * load(gains + g * W), dh = d * load(gains + (G + g) * W);
      store(of_x, fma(dx, splat(scale_x), fma(-load(of_x), product_x, -mean_x)));
      store(of_h, fma(dh, splat(scale_h), fma(-load(of_h), product_h, -mean_h)));
    }
  }
}

// Means over `count` numbers of what the first K vectors of a block of `units` hold.
template <int K, class C, class R, int N>
PYSEQ_TILE void unit_means(const NormalisedRow<C, R> (&rows)[N], const Shape& s, int64_t count) {
  constexpr int W = kLanes<R>;
  Vec<R> sum[N * K] = {};
  for (int64_t u = 0; u < s.blocks; u++)
    PYSEQ_UNROLL for (int n = 0; n < N * K; n++) sum[n] += load(rows[n / K].units + (u * 4 + n % K) * W);
  R total[N * K];
  sum_each(sum, total);
  const R share = R(1) / static_cast<R>(count);
  PYSEQ_UNROLL for (int n = 0; n < N * K; n++) rows[n / K].means[n % K] = total[n] * share;
}

template <class C, class R, int Q>
void normalised_step_back(const BackwardContext<C, R, Q>& x, const Chunk& chunk, const Share& share, int64_t t) {
  auto& work = x.work;
  const auto& scratch = work.scratch;
  const Plan& plan = work.plan;
  const Shape& s = plan.shape;
  const int64_t n = share.count(plan.active[t]), block_slots = chunk.stride * s.frame_size;
  BackRow<R>* steps = work.rows + share.thread * s.batch;
  for (int64_t j = 0; j < n; j++) steps[j] = back_row<true>(x, chunk, t, share.row + j * share.row_step);
  passes_over_rows<5>(work.barrier, share, n, [&](int64_t first, auto mr, const auto& pass) {
    constexpr int N = decltype(mr)::value;
    NormalisedRow<C, R> rows[N];
    for (int i = 0; i < N; i++) {
      const int64_t row = share.row + (first + i) * share.row_step;
      rows[i] = {steps + first + i, scratch.gates + row * s.padded * C::gates, scratch.units + row * s.padded * 4,
                 scratch.means + row * 4, scratch.sums + row * s.padded * extra_rows<C>,
                 x.tape.stats + (plan.offset[t] + row) * kRowStats};
    }
    if (pass.is(0)) {
      for (int64_t j = first + N; j < min_of(n, first + 2 * N); j++) ask_for(steps[j], share, s, block_slots);
      row_blocks<kGateRows>(N, [&](int64_t i, auto mi) {
        output_back<C, R, decltype(mi)::value>(rows + i, scratch.extra, s, share.first_block, share.end_block, block_slots);
      });
    }
    if (pass.sums(1)) unit_means<2>(rows, s, s.hidden);
    if (pass.is(2))
      for (int i = 0; i < N; i++) gates_back(rows[i], scratch.extra, s, share.first_block, share.end_block, block_slots);
    if (pass.sums(3)) unit_means<4>(rows, s, C::gates * s.hidden);
    if (pass.is(4))
      for (int i = 0; i < N; i++) sums_back(rows[i], scratch.extra, share.first_block, share.end_block, block_slots);
  });
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
