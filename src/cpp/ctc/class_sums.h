// Posteriors of states to posteriors of classes, frame by frame, renormalised to sum to `share` in each: that
// removes the rounding errors which the states of a frame have in common.
#pragma once

#include "ctc/recursion.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// by_class: [slot_room], scratch. rows: [frames][slot_room], written.
//
// Transposing W frames x W positions first makes each addition one vector whose lanes are frames: no conflicts,
// one order.
template <class R, class Real>
struct ClassSums {
  static constexpr int W = kLanes<Real>;
  const Plan<Real>& plan;
  Vec<Real>* by_class;
  double share;

  void add_up(const Posteriors<Real>& block, int64_t n, R* rows) const {
    for (int64_t f0 = 0; f0 < n; f0 += W) add_frames(block, f0, min_of<int64_t>(W, n - f0), rows + f0 * plan.slot_room);
  }

 private:
  void add_frames(const Posteriors<Real>& block, int64_t f0, int64_t n, R* rows) const {
    const int64_t G = plan.groups;
    Vec<Real> r[W];
    for (int64_t c = 0; c < plan.slot_room; c++) by_class[c] = Vec<Real>{};
    Band all = {G, -1};
    for (int f = 0; f < W; f++) {
      r[f] = f < n ? block.blank[f0 + f] : Vec<Real>{};
      if (f < n) all = {min_of(all.lo, block.bands[f0 + f].lo), max_of(all.hi, block.bands[f0 + f].hi)};
    }
    transpose(r);
    Vec<Real> sum = r[0];
    PYSEQ_UNROLL for (int j = 1; j < W; j++) sum += r[j];
    by_class[plan.slot[plan.L]] = sum;
    for (int64_t k = all.lo; k <= all.hi; k++) {
      PYSEQ_UNROLL for (int f = 0; f < W; f++) {
        const bool inside = f < n && k >= block.bands[f0 + f].lo && k <= block.bands[f0 + f].hi;
        r[f] = inside ? block.label[(f0 + f) * G + k] : Vec<Real>{};
      }
      transpose(r);
      const int32_t* slot = plan.slot + k * W;
      const int64_t used = min_of<int64_t>(W, plan.L - k * W);
      for (int64_t j = 0; j < used; j++) {
        by_class[slot[j]] += r[j];
        sum += r[j];
      }
    }
    for (int64_t f = n; f < W; f++) sum[f] = 1;
    write_rows(rows, n, static_cast<Real>(share) / sum);
  }

  void write_rows(R* rows, int64_t n, Vec<Real> factor) const {
    Vec<Real> r[W];
    for (int64_t c = 0; c < plan.slot_room; c += W) {
      PYSEQ_UNROLL for (int j = 0; j < W; j++) r[j] = by_class[c + j] * factor;
      transpose(r);
      for (int64_t f = 0; f < n; f++) {
        R* row = rows + f * plan.slot_room + c;
        if constexpr (sizeof(R) == sizeof(Real)) store(row, r[f]);
        else for (int j = 0; j < W; j++) row[j] = static_cast<R>(r[f][j]);
      }
    }
  }
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
