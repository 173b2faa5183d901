// Memory that is read after a product, asked for while the product runs.
#pragma once

#include "simd/vec.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// A list of pieces of memory, and a place in it. Each call of `some` asks for the next few cache lines: all at once they
// would keep the product's own loads waiting.
class Ahead {
 public:
  static constexpr int64_t kLine = 64;
  // `count` pieces of `lines` cache lines, the first of each `stride` bytes after the one before.
  struct Pieces {
    const char* first;
    int64_t stride, lines, count;
  };

  // Room for the list belongs to the caller.
  explicit Ahead(Pieces* room) : pieces_(room) {}
  template <class R>
  PYSEQ_INLINE void add(const R* first, int64_t numbers, int64_t stride = 0, int64_t count = 1) {
    const int64_t lines = ceil_div(numbers * static_cast<int64_t>(sizeof(R)), kLine);
    pieces_[n_++] = {reinterpret_cast<const char*>(first), stride * static_cast<int64_t>(sizeof(R)), lines, count};
    lines_ += lines * count;
  }
  // The list goes by in so many calls.
  PYSEQ_INLINE void share_out(int64_t calls) { each_ = ceil_div(lines_, max_of<int64_t>(1, calls)); }
  PYSEQ_INLINE void some() {
    for (int64_t left = each_; left > 0 && at_ < n_;) {
      const Pieces& p = pieces_[at_];
      const char* first = p.first + piece_ * p.stride;
      for (int64_t i = 0; i < p.lines; i++) __builtin_prefetch(first + i * kLine, 0, 2);
      left -= p.lines;
      if (++piece_ == p.count) piece_ = 0, at_++;
    }
  }

 private:
  Pieces* pieces_;
  int64_t n_ = 0, lines_ = 0, each_ = 0, at_ = 0, piece_ = 0;
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
