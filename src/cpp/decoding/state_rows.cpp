#include "decoding/state_rows.h"

#include <algorithm>
#include <cstring>
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

}  // namespace pyseq
