// Entries of a beam whose rows are the same one, such as those that stand in no hot word.
//
// With few different rows a beam is much like one without: which labels can matter is known before any entry is looked
// at, and what a row adds to these is gathered once for all its entries.
#pragma once

#include "ctc/beam_rows.h"
#include "kernels.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class R>
class RowGroups {
 public:
  RowGroups() = default;
  // Room for so many entries and labels.
  RowGroups(Arena& arena, int64_t entries, int64_t labels) : stride_(labels) {
    group_ = arena.take<Int>(entries);
    ungrouped_ = arena.take<uint32_t>(entries / W);
    gains_ = arena.take<R>(kMost * labels);
  }

  // rows: [beam_room(count)]; total: likewise, the scores of the entries. No groups where there are too many.
  PYSEQ_NOINLINE void find(const float* const* rows, const R* total, int64_t count) {
    count_ = 0;
    for (int64_t j = 0; j < count; j += W) ungrouped_[j / W] = (1u << min_of<int64_t>(W, count - j)) - 1;
    for (int64_t j = 0; j < count; j += W)
      while (ungrouped_[j / W]) {
        if (count_ == kMost) return none();
        add(rows, rows[j + __builtin_ctz(ungrouped_[j / W])], total, j, count);
      }
  }
  void none() { count_ = 0; }
  bool any() const { return count_ > 0; }

  // The most that an entry can have with each label from c on, before the label is counted.
  PYSEQ_INLINE Vec<R> best_with(int64_t c) const {
    Vec<R> most = splat(R(kNoScore));
    for (int g = 0; g < count_; g++) most = vmax(most, splat(best_[g]) + load_row<R>(row_[g] + c));
    return most;
  }

  // What the rows add with these labels, in whole vectors; from then on gains() of entry i.
  PYSEQ_NOINLINE void gather_labels(const Int_t<R>* label, int64_t labels) {
    for (int g = 0; g < count_; g++)
      for (int64_t k = 0; k < labels; k += W) store(gains_ + g * stride_ + k, gather_row(row_[g], load_ints<R>(label + k)));
  }
  const R* gains(int64_t i) const { return gains_ + group_[i] * stride_; }

 private:
  static constexpr int W = kLanes<R>, kMost = 8;
  using Int = Int_t<R>;

  // The group of all entries with this row, the first of which is among those from `first` on.
  void add(const float* const* rows, const float* row, const R* total, int64_t first, int64_t count) {
    const IntVec<R> number = splat_int<R>(static_cast<Int>(count_));
    Vec<R> best = splat(R(kNoScore));
    for (int64_t j = first; j < count; j += W) {
      const uint32_t bits = same_row<R>(rows + j, row) & ungrouped_[j / W];
      const LaneMask<R> inside = LaneMask<R>::from_bits(bits);
      ungrouped_[j / W] &= ~bits;
      best = vmax(best, blend(inside, load(total + j), best));
      store_ints<R>(group_ + j, blend(inside, number, load_ints<R>(group_ + j)));
    }
    row_[count_] = row;
    best_[count_++] = max_tree<R>(best);
  }

  int count_ = 0;
  int64_t stride_ = 0;
  Int* group_ = nullptr;           // [entries] which of the groups
  uint32_t* ungrouped_ = nullptr;  // [vectors of entries] a bit for each that is in no group yet
  R* gains_ = nullptr;             // [kMost][stride]
  const float* row_[kMost];
  R best_[kMost];  // the largest score of an entry
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
