// A prefix beam search over the frames of one sequence, as they come.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "decoding/paths.h"
#include "decoding/prefix_tree.h"
#include "decoding/scoring.h"
#include "kernels.h"

namespace pyseq {

struct SearchSettings {
  int64_t classes, blank, width;
  double least;     // least log-probability of a label that extends a prefix
  bool alignments;  // whether to follow the best path of each prefix
};

struct Reading {
  std::vector<int32_t> labels;
  double score;
  std::vector<Run> runs;  // of the labels, if alignments are followed
};

// An entry that came into the beam with the last frame, for sources outside.
struct Entered {
  int32_t slot, from_slot, label;
};

// Numbers or plain structs, aligned as kernels want them; of a fixed size.
template <class T>
class Aligned {
 public:
  explicit Aligned(int64_t count, T value = T())
      : data_(static_cast<T*>(std::aligned_alloc(static_cast<std::size_t>(kAlignment), bytes(count)))) {
    if (!data_) throw std::bad_alloc();
    for (int64_t i = 0; i < count; i++) data_.get()[i] = value;
  }
  T* data() const { return data_.get(); }
  T& operator[](int64_t i) const { return data_.get()[i]; }
  void swap(Aligned& other) { data_.swap(other.data_); }

 private:
  static std::size_t bytes(int64_t count) {
    const auto unit = static_cast<std::size_t>(kAlignment);
    return (static_cast<std::size_t>(count) * sizeof(T) / unit + 1) * unit;
  }
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> data_;
};

template <class R>
class Search {
 public:
  Search(const SearchSettings& settings, const Scoring& scoring);

  void start();
  // Reads frames; row t is at logits + t * stride.
  void push(const R* logits, int64_t frames, int64_t stride);
  // The n best, best first; of equal scores the one that stands first in the beam. Finished: with what the end of
  // the sequence adds; those that may not end here are left out. Empty if nothing is left.
  std::vector<Reading> best(int64_t n, bool finished);

  const std::vector<Entered>& entered() const { return entered_; }
  void add_row(int32_t slot, const float* scores);
  std::vector<int32_t> slots() const;
  void add_finish(const float* scores) { external_finish_.assign(scores, scores + count_); }

 private:
  void read_frame(const R* logits);
  void read_certain_blank();
  void adopt(int64_t count);
  int64_t keep(int64_t count);
  void extend(int64_t first, int64_t end);
  void score(int64_t first, int64_t end);
  void link();
  ScoredState state_of(int64_t entry) const;
  void follow_paths(int64_t count, const R* logits, R log_denominator);
  Path arriving(int64_t parent, bool repeats, double gain, double log_prob);
  void tidy();
  Reading reading(int64_t entry, double score) const;

  SearchSettings settings_;
  bool scored_, external_;
  ScoreRows rows_;
  int64_t count_ = 0, children_ = 0, frames_ = 0;
  double offset_ = 0;  // of the scores of the beam
  Aligned<R> blank_, label_, next_blank_, next_label_;
  Aligned<int32_t> last_, next_last_, parent_, child_, from_, extended_by_;
  Aligned<const float*> row_, next_row_;
  Aligned<float> most_, next_most_;
  Aligned<int32_t> node_, next_node_;
  Aligned<ScoredState> state_, next_state_;
  Aligned<Paths> paths_, next_paths_;
  Aligned<int32_t> blank_run_, label_run_;  // of the entries of the frame before, in runs_; -2: not there yet
  std::vector<Entered> entered_;
  std::vector<double> external_finish_;
  PrefixTree tree_;
  RunList runs_;
  std::size_t runs_room_ = 0;
  Aligned<char> workspace_;
};

extern template class Search<float>;
extern template class Search<double>;

}  // namespace pyseq
