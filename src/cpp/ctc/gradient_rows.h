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
  bool past_caches;            // gradient rows are too many to stay in any cache
  const R* upcoming = nullptr; // logits of the sequence that comes after this one, where they are worth fetching ahead
  int64_t upcoming_frames = 0;
};

// Asks for a row, so that it is in L2 when it is needed: to read it, or to write all of it.
template <class R>
PYSEQ_INLINE void fetch_to_read(const R* row, int64_t C) {
  for (int64_t c = 0; c < C; c += 64 / static_cast<int64_t>(sizeof(R))) __builtin_prefetch(row + c, 0, 2);
}
template <class R>
PYSEQ_INLINE void fetch_to_write(R* row, int64_t C) {
  for (int64_t c = 0; c < C; c += 64 / static_cast<int64_t>(sizeof(R))) __builtin_prefetch(row + c, 1, 3);
}

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

// From this length on the next row is fetched while one is at work.
constexpr int64_t kFetchedClasses = 1024;

// Rows beyond the registers, in three passes over L1; `next` is the row that will be asked for after this one, or null.
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

// Adds a row to the sums, and takes what smoothing asks for off its gradient, which may be over x: `x` is a copy.
template <class R>
void smooth_row(const R* x, int64_t C, double reference, R* grad, const RowSettings<R>& settings, FrameSums& sums) {
  const RowMean<R> mean = row_mean(x, C);
  sums.above_mean += reference - mean.sum / static_cast<double>(mean.count);
  const R shift = static_cast<R>(settings.smoothing / static_cast<double>(mean.count)) * settings.scale;
  for (int64_t c = 0; grad && c < C; c++) grad[c] -= x[c] == -static_cast<R>(__builtin_inf()) ? R(0) : shift;
}

// Frames t0 .. t0 + n. class_rows: [n][slot_room], null without gradient. rows: two rows in whole vectors, scratch,
// null likewise. `relative`: the lattice counted relative to blank. after: the frame after this block in the caller's
// order, or -1.
template <class R, class Real>
FrameSums finish_rows(const Sequence<R>& s, const Plan<Real>& plan, bool relative, int64_t t0, int64_t n,
                      const R* class_rows, R* rows, int64_t after, const RowSettings<R>& settings) {
  FrameSums sums = {{}, 0};
  const bool smooths = settings.smoothing > 0, fetches = s.grad && s.C < kFetchedClasses;
  auto each_row = [&](auto&& finish_row) __attribute__((always_inline)) {
    for (int64_t f = 0; f < n; f++) {
      const R *x = s.row(t0 + f), *logits = x;
      R* grad = s.grad ? s.grad + (t0 + f) * s.grad_stride : nullptr;
      if (t0 + f < settings.upcoming_frames) fetch_to_read(settings.upcoming + (t0 + f) * s.x_stride, s.C);
      if (fetches && after >= 0 && after + f < s.T) fetch_to_write(s.grad + (after + f) * s.grad_stride, s.C);
      const double reference = relative ? static_cast<double>(x[s.blank]) : 0;
      if (smooths && grad) {
        R* copy = rows + round_up(s.C, 16);
        memcpy(copy, x, static_cast<size_t>(s.C) * sizeof(R));
        logits = copy;
      }
      const RowSum<R> r = finish_row(x, grad, grad ? class_rows + f * plan.slot_room : nullptr, f);
      if (smooths) smooth_row(logits, s.C, reference, grad, settings, sums);
      sums.denominators.add(static_cast<double>(r.top) - reference, static_cast<double>(r.sum));
    }
  };
  const bool is_short = plan.dense && with_short_row<R>(s.C, [&](auto vectors) {
    each_row([&](const R* x, R* grad, const R* posterior, int64_t) {
      return short_row<decltype(vectors)::value>(x, s.C, grad, posterior, settings.scale);
    });
  });
  if (!is_short)
    each_row([&](const R* x, R* grad, const R* posterior, int64_t f) {
      const int64_t next = f + 1 < n ? t0 + f + 1 : after;
      return long_row(x, s.C, grad, posterior, plan, rows, next >= 0 && s.C >= kFetchedClasses ? s.row(next) : nullptr,
                      settings);
    });
  sums.denominators.settle();
  return sums;
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
