// Cells whose output goes through a second product before it is h: m [hidden] -> h = W m [output]. The cell itself
// computes m; backward finds it in the tape.
#pragma once

#include "rnn/masks.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// Forward: panels of W transposed, [panel][unit][column].
template <class C, class R, int Q>
void pack_projection(const ForwardContext<C, R, Q>& x, int thread, int threads) {
  const Shape& s = x.work.plan.shape;
  const int64_t width = kPanelVectors * kLanes<R>, panels = ceil_div(s.output, width);
  for (int64_t p = piece_start(panels, threads, thread); p < piece_start(panels, threads, thread + 1); p++)
    pack_panels(x.work.scratch.weight + p * width * s.hidden, s.hidden, min_of(width, s.output - p * width),
                [&](int64_t k, int64_t c) { return x.args.weights.extra[(p * width + c) * s.hidden + k]; });
}
// Backward: panels of W, [panel][number of h][unit].
template <class C, class R, int Q>
void pack_projection(const BackwardContext<C, R, Q>& x, int thread, int threads) {
  const Shape& s = x.shape();
  const int64_t width = kPanelVectors * kLanes<R>, panels = ceil_div(s.hidden, width);
  for (int64_t p = piece_start(panels, threads, thread); p < piece_start(panels, threads, thread + 1); p++)
    pack_panels(x.work.scratch.weight + p * width * s.output, s.output, min_of(width, s.hidden - p * width),
                [&](int64_t k, int64_t c) { return x.args.weights.extra[k * s.hidden + p * width + c]; });
}

template <class C, class R, int Q>
void project(const ForwardContext<C, R, Q>& x, const Row<R>* rows, int64_t n, const Share& share) {
  const Shape& s = x.work.plan.shape;
  const auto& scratch = x.work.scratch;
  const R** a = scratch.a_rows + share.thread * s.batch;
  R** out = scratch.out_rows + share.thread * s.batch;
  for (int64_t j = 0; j < n; j++) {
    a[j] = rows[j].between;
    out[j] = rows[j].y;
  }
  const RowProduct<R> p = {a, 1, s.hidden, 0, scratch.weight, nullptr, out, s.output, false};
  const Columns own = own_panels<R>(s.output, share);
  for (int64_t k = own.first; k < own.end; k++) row_product_panel(p, n, k * kPanelVectors * kLanes<R>);
}

// ------------------------------------------------------------------------------------------------- backward

// All of a step's dh, over a share's columns: kept for the two products that read it. What zoneout hands on
// stays in work.dh.
template <class C, class R, int Q>
void gather_projected(const BackwardContext<C, R, Q>& x, const Chunk& chunk, const Share& share, int64_t t) {
  const RnnBackward<R>& a = x.args;
  const Plan& plan = x.work.plan;
  const Shape& s = plan.shape;
  const Columns columns = own_columns<C, R, Q>(s, share);
  for (int64_t j = 0; j < share.count(plan.active[t]); j++) {
    const int64_t row = share.row + j * share.row_step, y_row = x.frame(a.problem.y_start, plan.order[row], t);
    const R *gy = a.grad_y ? a.grad_y + y_row * a.grad_y_stride : nullptr, *zh = x.zoneout_h(y_row);
    R *dh = x.work.dh + row * s.h_padded, *kept = x.work.scratch.rows + x.kept_frame(chunk, row, t) * s.h_padded;
    for (int64_t i = columns.first; i < columns.end; i += kLanes<R>) {
      const int64_t left = s.output - i;
      Vec<R> d = load(dh + i);
      if (gy) d += load_up_to(gy + i, left);
      if (zh) store(dh + i, zone_in(load_up_to(zh + i, left), d));
      store(kept + i, d);
    }
  }
}

// dm = dh W, over a share's panels.
template <class C, class R, int Q>
void project_back(const BackwardContext<C, R, Q>& x, const Chunk& chunk, const Share& share, int64_t t) {
  auto& work = x.work;
  const Plan& plan = work.plan;
  const Shape& s = plan.shape;
  const R** a = work.a_rows + share.thread * work.room;
  R** out = work.out_rows + share.thread * work.room;
  const int64_t n = share.count(plan.active[t]);
  for (int64_t j = 0; j < n; j++) {
    const int64_t row = share.row + j * share.row_step;
    a[j] = work.scratch.rows + x.kept_frame(chunk, row, t) * s.h_padded;
    out[j] = work.scratch.second + row * s.padded;
  }
  const RowProduct<R> p = {a, 1, s.output, 0, work.scratch.weight, nullptr, out, round_up(s.hidden, kLanes<R>), false};
  const Columns own = own_panels<R>(s.hidden, share);
  for (int64_t k = own.first; k < own.end; k++) row_product_panel(p, n, k * kPanelVectors * kLanes<R>);
}

// dW = sum over frames of dh m: rows of dW in tiles, [tile][group of columns][row of the tile][vectors].
template <class C, class R>
struct SecondGradient<C, R, Scheme::kProjected> {
  static constexpr int NV = kPanelVectors, MR = tile_rows(NV);
  int64_t K, tiles, padded;
  R* sums;
  SecondGradient(const Shape& s, Arena& arena) : K(s.output), tiles(ceil_div(s.output, MR)), padded(s.padded) {
    sums = arena.take<R>(K * padded);
  }
  int64_t first(int64_t tile) const { return piece_start(K, tiles, tile); }
  int64_t first_tile(int64_t threads, int64_t thread) const { return piece_start(tiles, threads, thread); }
  void clear(const Shape&, int64_t first_tile, int64_t end_tile) {
    const int64_t rows = first(end_tile) - first(first_tile);
    memset(sums + first(first_tile) * padded, 0, static_cast<size_t>(rows * padded) * sizeof(R));
  }
};

template <class C, class R, int Q, int MR>
void projection_tile(const BackwardContext<C, R, Q>& x, const Chunk& chunk, int64_t k0, const R* rows, R* packed) {
  constexpr int W = kLanes<R>;
  const Plan& plan = x.work.plan;
  const Shape& s = plan.shape;
  for (int64_t f = 0; f < chunk.frames; f++)
    for (int i = 0; i < MR; i++) packed[f * MR + i] = rows[f * s.h_padded + k0 + i];
  const R* m = x.tape.between + plan.offset[chunk.first_step] * s.padded;
  R* sums = x.work.second.sums + k0 * s.padded;
  for (int64_t c = 0; c < s.padded; c += kPanelVectors * W)
    with_rows<kPanelVectors>(static_cast<int>(min_of<int64_t>(kPanelVectors, (s.padded - c) / W)), [&](auto nv) {
      outer_tile<R, MR, decltype(nv)::value>(chunk.frames, packed, m + c, s.padded, sums + c * MR);
    });
}
template <class C, class R, int Q>
void projected_gradient(const BackwardContext<C, R, Q>& x, const Chunk& chunk, const Share& share) {
  auto& g = x.work.second;
  const R* rows = x.work.scratch.rows + x.kept_frame(chunk, 0, chunk.first_step) * x.shape().h_padded;
  R* packed = x.work.packed + share.thread * x.work.packed_room;
  for (int64_t q = g.first_tile(share.threads, share.thread); q < g.first_tile(share.threads, share.thread + 1); q++)
    with_rows<SecondGradient<C, R>::MR>(static_cast<int>(g.first(q + 1) - g.first(q)), [&](auto mr) {
      projection_tile<C, R, Q, decltype(mr)::value>(x, chunk, g.first(q), rows, packed);
    });
}
template <class C, class R, int Q>
void unpack_projection(const BackwardContext<C, R, Q>& x, int thread, int threads) {
  constexpr int W = kLanes<R>;
  const Shape& s = x.shape();
  auto& g = x.work.second;
  for (int64_t q = g.first_tile(threads, thread); q < g.first_tile(threads, thread + 1); q++) {
    const int64_t k0 = g.first(q), rows = g.first(q + 1) - k0;
    for (int64_t c = 0; c < s.hidden; c += W) {
      const int64_t group = c - c % (kPanelVectors * W), wide = min_of<int64_t>(kPanelVectors * W, s.padded - group);
      for (int64_t i = 0; i < rows; i++)
        store_up_to(x.args.grad_extra + (k0 + i) * s.hidden + c,
                    load(g.sums + k0 * s.padded + group * rows + i * wide + c - group), s.hidden - c);
    }
  }
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
