// Recurrent dropout and zoneout, after each step and before its gradients (kernels/recurrent.h: RnnMasks).
//
// All of it is apart from the tiles: a call without masks takes one branch a step.
#pragma once

#include "rnn/backward.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// h' times its mask, as step t reads it.
template <class C, class R, int Q>
PYSEQ_INLINE R* masked_row(const ForwardContext<C, R, Q>& x, int64_t row, int64_t t) {
  const Shape& s = x.work.plan.shape;
  return x.work.scratch.masked + ((t & 1) * s.batch + row) * s.h_padded;
}

// out = z * before + (1 - z) * out, exact for z = 0 and 1.
template <class R>
PYSEQ_INLINE void zone_out(R* out, const R* before, const R* z, const Columns& columns) {
  for (int64_t i = columns.first; i < columns.end; i += kLanes<R>) {
    const int n = lanes_left<R>(columns.end - i);
    const Vec<R> v = load_n(z + i, n);
    store_n(out + i, fma(v, load_n(before + i, n), (R(1) - v) * load_n(out + i, n)), n);
  }
}
template <class R>
PYSEQ_INLINE void times(R* out, const R* a, const R* b, const Columns& columns) {
  for (int64_t i = columns.first; i < columns.end; i += kLanes<R>) {
    const int n = lanes_left<R>(columns.end - i);
    store_n(out + i, load_n(a + i, n) * load_n(b + i, n), n);
  }
}

// After step t, over the columns that the share has computed: zoneout, and h as the next product reads it.
template <class C, class R, int Q>
void mask_state(const ForwardContext<C, R, Q>& x, const Row<R>* rows, int64_t n, const Share& share, int64_t t) {
  const RnnForward<R>& a = x.args;
  const RnnMasks<R>& m = a.masks;
  const Plan& plan = x.work.plan;
  const Columns units = own_units<C, R, Q>(plan.shape, share), columns = own_columns<C, R, Q>(plan.shape, share);
  for (int64_t j = 0; j < n; j++) {
    const int64_t row = share.row + j * share.row_step, b = plan.order[row];
    const int64_t frame = a.problem.y_start[b] + (plan.shape.reverse ? a.problem.lengths[b] - 1 - t : t);
    if (m.zoneout_h) zone_out(rows[j].y, rows[j].h_prev, m.zoneout_h + frame * m.zoneout_h_stride, columns);
    if (C::has_cell && m.zoneout_c) zone_out(rows[j].c, rows[j].c_prev, m.zoneout_c + frame * m.zoneout_c_stride, units);
    if (m.recurrent) times(masked_row(x, row, t + 1), rows[j].y, m.recurrent + b * plan.shape.output, columns);
    if constexpr (converts<C>)
      x.work.operands.copy_h(rows[j].h_out, m.recurrent ? masked_row(x, row, t + 1) : rows[j].y, columns.first, columns.end);
  }
}

// Before the first step: a thread's part of h0 times its mask.
template <class C, class R, int Q>
void mask_first_state(const ForwardContext<C, R, Q>& x, int thread, int threads) {
  const RnnForward<R>& a = x.args;
  const Plan& plan = x.work.plan;
  const Shape& s = plan.shape;
  for (int64_t row = piece_start(s.batch, threads, thread); row < piece_start(s.batch, threads, thread + 1); row++) {
    const int64_t b = plan.order[row];
    R* out = masked_row(x, row, 0);
    if (a.h0) times(out, a.h0 + b * s.output, a.masks.recurrent + b * s.output, Columns{0, s.output});
    else memset(out, 0, static_cast<size_t>(s.h_padded) * sizeof(R));
  }
}

// Before the first step: the operands of a thread's part of h0, or of that times its mask.
template <class C, class R, int Q>
void pair_first_states(const ForwardContext<C, R, Q>& x, int thread, int threads) {
  const RnnForward<R>& a = x.args;
  const Plan& plan = x.work.plan;
  const Shape& s = plan.shape;
  for (int64_t row = piece_start(s.batch, threads, thread); row < piece_start(s.batch, threads, thread + 1); row++) {
    const auto& operands = x.work.operands;
    for (int64_t parity = 0; parity < (tiled<C> ? 2 : 1); parity++)  // tiles read beyond the last unit
      memset(operands.of_h(row, parity), 0, static_cast<size_t>(operands.h_row) * sizeof(R));
    const R* h0 = a.masks.recurrent ? masked_row(x, row, 0) : a.h0 ? a.h0 + plan.order[row] * s.output : nullptr;
    if (h0) operands.copy_h(operands.of_h(row, 0), h0, 0, s.output);
  }
}

// (backward) What the recurrent product of step t has read, for dW, over a share's columns.
template <class C, class R, int Q>
void keep_operands(const BackwardContext<C, R, Q>& x, const Chunk& chunk, const Share& share, int64_t t) {
  const Plan& plan = x.work.plan;
  const Columns columns = own_columns<C, R, Q>(plan.shape, share);
  for (int64_t j = 0; j < share.count(plan.active[t]); j++) {
    const int64_t row = share.row + j * share.row_step, b = plan.order[row];
    R* out = x.work.scratch.operands + x.kept_frame(chunk, row, t) * plan.shape.h_padded;
    times(out, x.h_before(b, t), x.args.masks.recurrent + b * plan.shape.output, columns);
  }
}

// (backward) dh of the step before = (carries ? dh : 0) + mask * (the product's gradient), over a share's panels.
template <class C, class R, int Q>
void add_masked(const BackwardContext<C, R, Q>& x, const Share& share, int64_t n, const Columns& panels, bool carries) {
  const Shape& s = x.shape();
  const int64_t width = kPanelVectors * kLanes<R>;
  for (int64_t j = 0; j < n; j++) {
    const int64_t row = share.row + j * share.row_step, b = x.work.plan.order[row];
    const R *mask = x.args.masks.recurrent + b * s.output, *d = x.work.scratch.masked_dh + row * s.h_padded;
    R* dh = x.work.dh + row * s.h_padded;
    for (int64_t i = panels.first * width; i < min_of(s.output, panels.end * width); i += kLanes<R>) {
      const int m = lanes_left<R>(s.output - i);
      const Vec<R> before = carries ? load_n(dh + i, m) : Vec<R>{};
      store_n(dh + i, fma(load_n(mask + i, m), load_n(d + i, m), before), m);
    }
  }
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
