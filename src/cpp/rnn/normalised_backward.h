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

// One running sequence at one step.
template <class C, class R>
struct NormalisedRow : BackRow<R> {
  R *gates, *units, *means, *sums;
  const R* stats;
};
template <class C, class R, int Q>
NormalisedRow<C, R> normalised_row(const BackwardContext<C, R, Q>& x, const Chunk& chunk, int64_t t, int64_t row) {
  const auto& scratch = x.work.scratch;
  const Shape& s = x.shape();
  NormalisedRow<C, R> r;
  static_cast<BackRow<R>&>(r) = back_row<true>(x, chunk, t, row);
  r.gates = scratch.gates + row * s.padded * C::gates;
  r.units = scratch.units + row * s.padded * 4;
  r.means = scratch.means + row * 4;
  r.sums = scratch.sums + row * s.padded * extra_rows<C>;
  r.stats = x.tape.stats + (x.work.plan.offset[t] + row) * kRowStats;
  return r;
}

template <class R>
PYSEQ_INLINE void add_to(R* p, Vec<R> a, Vec<R> b) {
  store(p, fma(a, b, load(p)));
}

// (1) Gates again, from the normalised sums of N rows; dN(c), and what its means are taken of.
template <class C, class R, int N>
PYSEQ_TILE void output_back(const NormalisedRow<C, R>* rows, const R* extra, const Shape& s, int64_t u, int64_t block_slots) {
  constexpr int W = kLanes<R>, G = C::gates;
  const int64_t i = u * W, left = s.hidden - i;
  const R* slots[N];
  Vec<R> a[N][G], c_prev[N], c[N];
  PYSEQ_UNROLL for (int n = 0; n < N; n++) {
    slots[n] = rows[n].slots + u * block_slots;
    c_prev[n] = load(rows[n].c_prev + i);
  }
  gate_sums<C, R, N>(extra, s.padded, i, slots, a);
  C::gate(a, c_prev, c);
  PYSEQ_UNROLL for (int n = 0; n < N; n++) {
    const NormalisedRow<C, R>& r = rows[n];
    Vec<R> dh = load(r.dh + i), h = load_up_to(r.h + i, left), dv, d_o;
    if (r.gy) dh += load_up_to(r.gy + i, left);
    if (r.zh) store(r.dh + i, zone_in(load_up_to(r.zh + i, left), load_up_to(r.h_prev + i, left), h, dh));
    C::output_backward(a[n][G - 1], h, dh, dv, d_o);
    const Vec<R> normal = (c[n] - r.stats[kMeanC]) * r.stats[kScaleC], d = dv * load(extra + 2 * G * s.padded + i);
    store(r.units + i, d);
    store(r.units + s.padded + i, d * normal);
    store(r.units + 2 * s.padded + i, normal);
    add_to(r.sums + 2 * G * s.padded + i, dv, normal);
    add_to(r.sums + (2 * G + 1) * s.padded + i, dv, splat(R(1)));
    a[n][G - 1] = d_o;
    PYSEQ_UNROLL for (int g = 0; g < G; g++) store(r.gates + (u * G + g) * W, a[n][g]);
  }
}

// (2) dc and the gradients of the gates' sums; what the means of dN of both products' sums are taken of.
template <class C, class R>
PYSEQ_TILE void gates_back(const NormalisedRow<C, R>& r, const R* extra, const Shape& s, int64_t u, int64_t block_slots) {
  constexpr int W = kLanes<R>, G = C::gates;
  const int64_t i = u * W, left = s.hidden - i;
  const R *slots = r.slots + u * block_slots;
  Vec<R> dc = load(r.dc + i), dc_prev, stays = {}, a[G];
  if (r.zc) stays = zone_in(load_up_to(r.zc + i, left), dc);
  const Vec<R> normal = load(r.units + 2 * s.padded + i);
  dc += (load(r.units + i) - r.means[0] - normal * r.means[1]) * r.stats[kScaleC];
  PYSEQ_UNROLL for (int g = 0; g < G; g++) a[g] = load(r.gates + (u * G + g) * W);
  C::gate_backward(a, load(r.c_prev + i), dc, dc_prev);
  store(r.dc + i, dc_prev + stays);
  Vec<R> sum[4] = {};
  PYSEQ_UNROLL for (int g = 0; g < G; g++) {
    const Vec<R> of_x = load(slots + (C::x_first + g) * W), of_h = load(slots + (C::h_first + g) * W);
    const Vec<R> dx = a[g] * load(extra + g * s.padded + i), dh = a[g] * load(extra + (G + g) * s.padded + i);
    sum[0] += dx;
    sum[1] = fma(dx, of_x, sum[1]);
    sum[2] += dh;
    sum[3] = fma(dh, of_h, sum[3]);
    add_to(r.sums + g * s.padded + i, a[g], of_x);
    add_to(r.sums + (G + g) * s.padded + i, a[g], of_h);
    add_to(r.sums + (C::extras + g) * s.padded + i, a[g], splat(R(1)));
    store(r.gates + (u * G + g) * W, a[g]);
  }
  PYSEQ_UNROLL for (int k = 0; k < 4; k++) store(r.units + k * s.padded + i, sum[k]);
}

// (3) Gradients of the sums of both products.
template <class C, class R>
PYSEQ_TILE void sums_back(const NormalisedRow<C, R>& r, const R* extra, const Shape& s, int64_t u, int64_t block_slots) {
  constexpr int W = kLanes<R>, G = C::gates;
  R* slots = r.slots + u * block_slots;
  PYSEQ_UNROLL for (int g = 0; g < G; g++) {
    const Vec<R> d = load(r.gates + (u * G + g) * W);
    R *of_x = slots + (C::x_first + g) * W, *of_h = slots + (C::h_first + g) * W;
    const Vec<R> dx = d * load(extra + g * s.padded + u * W), dh = d * load(extra + (G + g) * s.padded + u * W);
    store(of_x, (dx - r.means[0] - load(of_x) * r.means[1]) * r.stats[kScaleX]);
    store(of_h, (dh - r.means[2] - load(of_h) * r.means[3]) * r.stats[kScaleH]);
  }
}

// Means over `count` numbers of what the first K rows of `units` hold.
template <int K, class R>
PYSEQ_INLINE void unit_means(const R* units, const Shape& s, int64_t count, R* means) {
  Vec<R> sum[K] = {};
  for (int64_t i = 0; i < s.padded; i += kLanes<R>)
    PYSEQ_UNROLL for (int k = 0; k < K; k++) sum[k] += load(units + k * s.padded + i);
  PYSEQ_UNROLL for (int k = 0; k < K; k++) means[k] = sum_tree<R>(sum[k]) / static_cast<R>(count);
}

template <class C, class R, int Q>
void normalised_step_back(const BackwardContext<C, R, Q>& x, const Chunk& chunk, const Share& share, int64_t t) {
  constexpr int kGateRows = kAccumulators / 6;  // enough activations in flight
  auto& work = x.work;
  const Plan& plan = work.plan;
  const Shape& s = plan.shape;
  const R* extra = work.scratch.extra;
  const int64_t n = share.count(plan.active[t]), block_slots = chunk.stride * s.frame_size;
  const auto at = [&](int64_t j) { return normalised_row(x, chunk, t, share.row + j * share.row_step); };
  const auto each = [&](const auto& f) {
    for (int64_t j = 0; j < n; j++) {
      const NormalisedRow<C, R> r = at(j);
      for (int64_t u = share.first_block; u < share.end_block; u++) f(r, u);
    }
  };
  row_blocks<kGateRows>(n, [&](int64_t first, auto mr) {
    constexpr int N = decltype(mr)::value;
    NormalisedRow<C, R> rows[N];
    for (int i = 0; i < N; i++) rows[i] = at(first + i);
    for (int64_t u = share.first_block; u < share.end_block; u++) output_back<C, R, N>(rows, extra, s, u, block_slots);
  });
  meet(work.barrier, share);
  rows_to_sum(share, n, [&](int64_t j, int64_t) { unit_means<2>(at(j).units, s, s.hidden, at(j).means); });
  meet(work.barrier, share);
  each([&](const NormalisedRow<C, R>& r, int64_t u) { gates_back<C, R>(r, extra, s, u, block_slots); });
  meet(work.barrier, share);
  rows_to_sum(share, n, [&](int64_t j, int64_t) { unit_means<4>(at(j).units, s, C::gates * s.hidden, at(j).means); });
  meet(work.barrier, share);
  each([&](const NormalisedRow<C, R>& r, int64_t u) { sums_back<C, R>(r, extra, s, u, block_slots); });
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
