// The last step of a frame: its softmax, the gradient row, and what it adds to the loss.
//
//   grad = scale (softmax(x) - (1 - smoothing) posterior - smoothing / n)      n classes that are not masked
#pragma once

#include "ctc/plan.h"
#include "ctc/softmax.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// Sums over frames of log sum_c exp(x_c) - reference, and, for smoothing, of reference - mean_c x_c.
struct FrameSums {
  LogProduct denominators;
  double above_mean;
};

template <class R>
struct RowSettings {
  R scale;
  double smoothing;
  bool past_caches;  // gradient rows are too many to stay in any cache
};

// Sum and number of the classes of a row that are not masked.
template <class R>
struct RowMean {
  double sum;
  int64_t count;
};
template <class R>
RowMean<R> row_mean(const R* x, int64_t C) {
  RowMean<R> mean = {0, 0};
  for (int64_t c = 0; c < C; c++)
    if (x[c] != -static_cast<R>(__builtin_inf())) {
      mean.sum += static_cast<double>(x[c]);
      mean.count++;
    }
  return mean;
}

// Rows beyond the registers, in three passes over L1; `next` is the row that will be asked for after this one.
template <class R, class Real>
RowSum<R> long_row(const R* x, int64_t C, R* grad, const R* posterior, const Plan<Real>& plan, R* row, const R* next,
                   const RowSettings<R>& settings) {
  const RowSum<R> r = exp_row(x, C, grad ? row : nullptr, next);
  if (!grad) return r;
  // Corrected while the row is in L1 and not yet normalised, so the posterior is scaled up instead.
  if (plan.dense)
    for (int64_t c = 0; c < C; c += kLanes<R>) store(row + c, fma(load(posterior + c), splat(-r.sum), load(row + c)));
  else
    for (int64_t j = 0; j < plan.slots; j++) row[plan.slot_class[j]] -= posterior[j] * r.sum;
  if (settings.past_caches) stream_scaled(grad, row, C, settings.scale / r.sum);
  else store_scaled(grad, row, C, settings.scale / r.sum);
  return r;
}

// Frames t0 .. t0 + n. class_rows: [n][slot_room], null without gradient. row: two rows in whole vectors, scratch.
// `relative`: the lattice counted relative to blank. after: the frame after this block in the caller's order, or -1.
template <class R, class Real>
FrameSums finish_rows(const Sequence<R>& s, const Plan<Real>& plan, bool relative, int64_t t0, int64_t n,
                      const R* class_rows, R* row, int64_t after, const RowSettings<R>& settings) {
  FrameSums sums = {{}, 0};
  auto each_row = [&](auto&& finish_row) __attribute__((always_inline)) {
    for (int64_t f = 0; f < n; f++) {
      const R* x = s.row(t0 + f);
      R* grad = s.grad ? s.grad + (t0 + f) * s.grad_stride : nullptr;
      const double reference = relative ? static_cast<double>(x[s.blank]) : 0;
      RowMean<R> mean = {0, 1};
      if (settings.smoothing > 0) {
        mean = row_mean(x, s.C);
        sums.above_mean += reference - mean.sum / static_cast<double>(mean.count);
      }
      const int64_t next = f + 1 < n ? t0 + f + 1 : after;
      const R shift = static_cast<R>(settings.smoothing / static_cast<double>(mean.count)) * settings.scale;
      R* before = row + round_up(s.C, 16);  // grad may be x
      if (grad && shift != 0) memcpy(before, x, static_cast<size_t>(s.C) * sizeof(R));
      const RowSum<R> r = finish_row(x, grad, grad ? class_rows + f * plan.slot_room : nullptr,
                                     next >= 0 ? s.row(next) : x);
      if (grad && shift != 0)
        for (int64_t c = 0; c < s.C; c++) grad[c] -= before[c] == -static_cast<R>(__builtin_inf()) ? R(0) : shift;
      sums.denominators.add(static_cast<double>(r.top) - reference, static_cast<double>(r.sum));
    }
  };
  const bool is_short = s.C <= kSmallAlphabet && with_short_row<R>(s.C, [&](auto vectors) {
    each_row([&](const R* x, R* grad, const R* posterior, const R*) {
      return short_row<decltype(vectors)::value>(x, s.C, grad, posterior, settings.scale);
    });
  });
  if (!is_short)
    each_row([&](const R* x, R* grad, const R* posterior, const R* next) {
      return long_row(x, s.C, grad, posterior, plan, row, next, settings);
    });
  sums.denominators.settle();
  return sums;
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
