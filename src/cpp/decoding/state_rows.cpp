#include "decoding/state_rows.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>

#include "kernels.h"

namespace pyseq {

namespace {
int64_t bytes_of_row(int64_t classes) { return beam_room(classes) * int64_t{sizeof(float) + sizeof(int32_t)}; }
}  // namespace

StateRows::StateRows(int64_t classes, int64_t blank, int64_t block)
    : classes_(classes), blank_(blank), stride_(beam_room(classes)), row_bytes_(bytes_of_row(classes)), block_(block) {}

int64_t StateRows::rows_of(int64_t bytes, int64_t classes) { return std::max(int64_t{1}, bytes / bytes_of_row(classes)); }

void StateRows::clear() {
  size_ = 0;
  blocks_.resize(std::min(blocks_.size(), std::size_t{1}));
}

float* StateRows::add() {
  if (size_ / block_ == static_cast<int64_t>(blocks_.size())) {
    const auto bytes = static_cast<std::size_t>(block_ * row_bytes_);
    blocks_.emplace_back(static_cast<char*>(std::aligned_alloc(static_cast<std::size_t>(kAlignment), bytes)));
    if (!blocks_.back()) {
      blocks_.pop_back();
      throw std::bad_alloc();
    }
  }
  float* const row = (*this)[size_];
  std::memset(row, 0, static_cast<std::size_t>(row_bytes_));
  links(row)[blank_] = size_++;
  return row;
}

void StateRows::finish(float* row) const {
  constexpr float kLeast = -std::numeric_limits<float>::infinity();
  row[blank_] = kLeast;
  float most[4] = {kLeast, kLeast, kLeast, kLeast};
  int64_t c = 0;
  for (; c + 4 <= classes_; c += 4)
    for (int k = 0; k < 4; k++) most[k] = row[c + k] > most[k] ? row[c + k] : most[k];
  for (; c < classes_; c++) most[0] = std::max(most[0], row[c]);
  row[blank_] = std::max(std::max(most[0], most[1]), std::max(most[2], most[3]));
}

}  // namespace pyseq
