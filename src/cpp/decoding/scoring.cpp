#include "decoding/scoring.h"

#include <algorithm>
#include <limits>

#include "decoding/joined.h"
#include "kernels.h"

namespace pyseq {

void set_most(float* row, int64_t classes, int64_t blank) {
  constexpr float kLeast = -std::numeric_limits<float>::infinity();
  row[blank] = kLeast;
  float most[4] = {kLeast, kLeast, kLeast, kLeast};
  int64_t c = 0;
  for (; c + 4 <= classes; c += 4)
    for (int k = 0; k < 4; k++) most[k] = row[c + k] > most[k] ? row[c + k] : most[k];
  for (; c < classes; c++) most[0] = std::max(most[0], row[c]);
  row[blank] = std::max(std::max(most[0], most[1]), std::max(most[2], most[3]));
}

ScoreRows::ScoreRows(const Scoring& scoring, int64_t classes, int64_t blank, int64_t width)
    : direct_(!scoring.external), classes_(classes), blank_(blank), stride_(beam_room(classes)) {
  std::vector<std::unique_ptr<SourceReader>> readers;
  for (const auto& source : scoring.sources) readers.push_back(source->reader(classes, blank));
  if (readers.size() == 1 && readers[0]->rows_are_states()) reader_ = std::move(readers[0]);
  else if (!readers.empty()) reader_ = joined_reader(std::move(readers), classes, blank, width);
  if (direct_) return;
  // Entries enter before those that they displace leave.
  sums_.resize(static_cast<std::size_t>(2 * width * stride_));
  clear();
}

void ScoreRows::clear() {
  free_.resize(sums_.size() / static_cast<std::size_t>(stride_));
  for (std::size_t i = 0; i < free_.size(); i++) free_[i] = static_cast<int32_t>(free_.size() - 1 - i);
}

ScoredState ScoreRows::start() {
  ScoredState state{{}, -1};
  if (reader_) state.source = reader_->start();
  if (!direct_) fill_slot(state);
  return state;
}

ScoredState ScoreRows::enter(const ScoredState& from, int32_t label) {
  ScoredState state{{}, -1};
  if (reader_) state.source = reader_->next(from.source, label);
  fill_slot(state);
  return state;
}

void ScoreRows::leave(const ScoredState& state) { free_.push_back(state.slot); }

const float* ScoreRows::row(const ScoredState& state) { return direct_ ? state.source.row : slot(state.slot); }

float ScoreRows::finish(const ScoredState& state) { return reader_ ? reader_->finish(state.source) : 0; }

ScoredState ScoreRows::state_of(const float* row) {
  ScoredState state{{}, -1};
  state.source.row = row;
  return state;
}

void ScoreRows::add_row(int32_t number, const float* scores) {
  float* const sum = slot(number);
  for (int64_t c = 0; c < classes_; c++) sum[c] += scores[c];
  set_most(sum, classes_, blank_);
}

void ScoreRows::forget(ScoredState* states, int64_t count) {
  std::vector<SourceState> held;
  for (int64_t i = 0; i < count; i++) held.push_back(states[i].source);
  reader_->forget(held);
  for (int64_t i = 0; i < count; i++) states[i].source = held[static_cast<std::size_t>(i)];
}

void ScoreRows::fill_slot(ScoredState& state) {
  state.slot = free_.back();
  free_.pop_back();
  float* const sum = slot(state.slot);
  if (reader_) std::copy(state.source.row, state.source.row + stride_, sum);
  else std::fill(sum, sum + stride_, 0.0f);
  set_most(sum, classes_, blank_);
}

}  // namespace pyseq
