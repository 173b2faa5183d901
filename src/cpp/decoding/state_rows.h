// Rows of scores that are kept, one for each state of a source, with links from row to row.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "decoding/scoring.h"

namespace pyseq {

// Rows as rows_are_states() wants them. They lie in blocks and stay where they are; pages of a block that are never
// touched cost nothing. In the place of the blank, which leads nowhere, the links of a row have its place.
class StateRows {
 public:
  // A block has room for so many rows.
  StateRows(int64_t classes, int64_t blank, int64_t block);
  // Rows that so many bytes have room for.
  static int64_t rows_of(int64_t bytes, int64_t classes);

  int64_t stride() const { return stride_; }
  int32_t size() const { return size_; }
  // Links are between rows of the first block: with a second one it is time to forget.
  bool full() const { return blocks_.size() > 1; }
  void clear();

  // A new row of zeros at place size() - 1, without links.
  float* add();
  // To be called when the scores of a row are there: sets what stands in the blank's place.
  void finish(float* row) const { set_most(row, classes_, blank_); }

  float* operator[](int32_t place) const {
    char* const block = blocks_[static_cast<std::size_t>(place / block_)].get();
    return reinterpret_cast<float*>(block + place % block_ * row_bytes_);
  }
  int32_t place_of(const float* row) const { return links(row)[blank_]; }
  const float* linked(const float* row, int32_t label) const { return linked_row(row, stride_, label); }
  void link(const float* row, int32_t label, const float* to) {
    if (!full()) links(row)[label] = row_link(row, to);
  }

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  int32_t* links(const float* row) const { return reinterpret_cast<int32_t*>(const_cast<float*>(row + stride_)); }

  int64_t classes_, blank_, stride_, row_bytes_, block_;
  int32_t size_ = 0;
  std::vector<std::unique_ptr<char, Free>> blocks_;
};

// A source whose states are rows that are kept.
class StateRowsReader : public SourceReader {
 public:
  explicit StateRowsReader(StateRows rows) : rows_(std::move(rows)) {}

  const float* row(SourceState state) final { return state.row; }
  SourceState next(SourceState state, int32_t label) final {
    SourceState to;
    to.row = rows_.linked(state.row, label);
    if (to.row) return to;
    to = follow(state, label);
    rows_.link(state.row, label, to.row);
    return to;
  }
  bool rows_are_states() const final { return true; }

 protected:
  // The state that a label leads to, which was not asked for before.
  virtual SourceState follow(SourceState state, int32_t label) = 0;

  StateRows rows_;
};

}  // namespace pyseq
