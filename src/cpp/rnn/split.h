// How a call's work is shared out to threads: by rows (no barrier), by units (barriers every step), or not at all.
//
// The choice is the shortest of the times a small model predicts. Of a step with m rows a thread needs
//
//   max(m * operations of a row / kOperationsPerNanosecond, bytes of its weights / rate they can be read at)
//
// since with few rows the weights are read faster than they can come. Results do not depend on the choice.
//
// On cores that others use as well (Crew::busy), the units are not split, and rows only where each share is long.
#pragma once

#include "rnn/plan.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// Bytes a nanosecond at which a step's weights come from L2 and from beyond it: about half of what a loop that only
// reads gets (`python -m bench.calibrate`), as the products do with their other loads.
constexpr double kNearBytes = 100, kFarBytes = 25;
constexpr double kNearWeights = 40 << 10, kFarWeights = 1 << 20;  // beyond L1; beyond L2

// Barriers of a step on the way back, which is longer.
constexpr int barriers_of(Scheme scheme) {
  return scheme == Scheme::kLinear ? 0 : scheme == Scheme::kNormalised ? 6 : scheme == Scheme::kOnePass ? 2 : 4;
}

struct Split {
  int threads;
  bool by_rows;
  double nanoseconds;  // the time that is expected
};

// Nanoseconds of one thread's step: so many operations, over so many bytes of weights.
PYSEQ_INLINE double step_time(double operations, double bytes) {
  const double products = operations / kOperationsPerNanosecond;
  if (bytes <= kNearWeights) return products;
  return max_of(products, bytes / (bytes <= kFarWeights ? kNearBytes : kFarBytes));
}

template <class C, class R>
Split split_of(const Shape& s, const Crew& crew) {
  const int64_t most = crew.most;
  if (most < 2 || s.steps == 0) return {1, true, 0};
  const double recurrent = C::scheme == Scheme::kLinear ? 0.0 : static_cast<double>(s.output);
  const double weights = (static_cast<double>(s.input) + recurrent) * static_cast<double>(s.hidden) * C::gates;
  using P = typename C::Operand;
  const double row = 2 * weights / P::rate, bytes = sizeof(R) * weights * P::parts / P::size;
  const double steps = static_cast<double>(s.steps);
  const double rows = static_cast<double>(s.frames) / steps;  // that run at a step, on average
  const double barriers = barriers_of(C::scheme) * kBarrierNanoseconds;
  const auto filled = [](double n) { return P::tiled ? 16 * static_cast<double>(static_cast<int64_t>((n + 15) / 16)) : n; };
  Split best = {1, true, steps * step_time(row * filled(rows), bytes)};
  const auto consider = [&](int64_t n, bool by_rows, double step) {
    const double time = steps * step + region_nanoseconds(static_cast<int>(n));
    if (crew.busy && (by_rows ? steps * step : step) < kBusyNanoseconds) return;
    if (time < best.nanoseconds) best = {static_cast<int>(n), by_rows, time};
  };
  for (int64_t n = 2; n <= min_of(most, max_of(s.batch, s.blocks)); n++) {
    const double share = static_cast<double>(n);
    if (n <= s.batch) {
      const double whole = static_cast<double>(ceil_div(s.batch, n)) * share / static_cast<double>(s.batch);
      consider(n, true, step_time(row * filled(rows / share * whole), bytes));
    }
    if (n <= s.blocks) {
      const double whole = static_cast<double>(ceil_div(s.blocks, n)) * share / static_cast<double>(s.blocks);
      consider(n, false, step_time(row * filled(rows) / share * whole, bytes / share * whole) + barriers);
    }
  }
  return best;
}

// A thread's share.
struct Share {
  int64_t row, row_step;           // sorted positions row, row + row_step, ...
  int64_t first_block, end_block;
  int thread, threads;
  bool barriers;                   // other threads need this one's state every step

  Share(const Split& split, const Shape& s, int t, int n) : thread(t), threads(n) {
    const bool by_rows = split.by_rows || n == 1;
    row = by_rows ? t : 0;
    row_step = by_rows ? n : 1;
    first_block = by_rows ? 0 : piece_start(s.blocks, n, t);
    end_block = by_rows ? s.blocks : piece_start(s.blocks, n, t + 1);
    barriers = !by_rows;
  }
  // How many of the first n sorted positions are this thread's.
  int64_t count(int64_t n) const { return n <= row ? 0 : (n - row + row_step - 1) / row_step; }
};

// After a wait of all threads of a region: whether this one still has a share. Where the region gives up, the calling
// thread gets all of the work that is left.
PYSEQ_INLINE bool stays(const Barrier& barrier, Share& share, const Shape& s) {
  if (share.threads == 1 || !barrier.alone) return true;
  const bool first = share.thread == 0;
  if (first) share = Share({1, true, 0}, s, 0, 1);
  return first;
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
