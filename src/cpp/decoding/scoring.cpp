#include "decoding/scoring.h"

#include <algorithm>
#include <limits>

#include "kernels.h"

namespace pyseq {

ScoreRows::ScoreRows(const Scoring& scoring, int64_t classes, int64_t blank, int64_t width)
    : direct_(false), classes_(classes), blank_(blank), stride_(beam_room(classes)) {
  for (const auto& source : scoring.sources) readers_.push_back(source->reader(classes, blank));
  direct_ = readers_.size() == 1 && readers_[0]->rows_are_states() && !scoring.external;
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
  ScoredState state{};
  for (std::size_t k = 0; k < readers_.size(); k++) state.parts[k] = readers_[k]->start();
  fill_slot(state);
  return state;
}

ScoredState ScoreRows::enter(const ScoredState& from, int32_t label) {
  ScoredState state;
  for (std::size_t k = 0; k < readers_.size(); k++) state.parts[k] = readers_[k]->next(from.parts[k], label);
  fill_slot(state);
  return state;
}

void ScoreRows::leave(const ScoredState& state) {
  if (!direct_) free_.push_back(state.slot);
}

const float* ScoreRows::row(const ScoredState& state) {
  if (direct_) return readers_[0]->row(state.parts[0]);
  return &sums_[static_cast<std::size_t>(state.slot * stride_)];
}

float ScoreRows::finish(const ScoredState& state) {
  float sum = 0;
  for (std::size_t k = 0; k < readers_.size(); k++) sum += readers_[k]->finish(state.parts[k]);
  return sum;
}

ScoredState ScoreRows::state_of(const float* row) {
  ScoredState state;
  state.parts[0].row = row;
  state.slot = -1;
  return state;
}

void ScoreRows::add_row(int32_t slot, const float* scores) {
  float* sum = &sums_[static_cast<std::size_t>(slot * stride_)];
  for (int64_t c = 0; c < classes_; c++) sum[c] += scores[c];
  set_most(sum);
}

bool ScoreRows::crowded() const {
  for (const auto& reader : readers_)
    if (reader->crowded()) return true;
  return false;
}

void ScoreRows::forget(ScoredState* states, int64_t count) {
  for (std::size_t k = 0; k < readers_.size(); k++) {
    for (int64_t i = 0; i < count; i++) states[i].parts[k] = readers_[k]->lasting(states[i].parts[k]);
    readers_[k]->forget();
    for (int64_t i = 0; i < count; i++) states[i].parts[k] = readers_[k]->renewed(states[i].parts[k]);
  }
}

void ScoreRows::fill_slot(ScoredState& state) {
  state.slot = -1;
  if (direct_) return;
  state.slot = free_.back();
  free_.pop_back();
  float* sum = &sums_[static_cast<std::size_t>(state.slot * stride_)];
  std::fill(sum, sum + stride_, 0.0f);
  for (std::size_t k = 0; k < readers_.size(); k++) {
    const float* const row = readers_[k]->row(state.parts[k]);
    for (int64_t c = 0; c < stride_; c++) sum[c] += row[c];
  }
  set_most(sum);
}

// What belongs to no label is made the least.
void ScoreRows::set_most(float* scores) const {
  constexpr float kLeast = -std::numeric_limits<float>::infinity();
  std::fill(scores + classes_, scores + stride_, kLeast);
  scores[blank_] = kLeast;
  float most[4] = {kLeast, kLeast, kLeast, kLeast};
  for (int64_t c = 0; c < stride_; c += 4)
    for (int k = 0; k < 4; k++) most[k] = scores[c + k] > most[k] ? scores[c + k] : most[k];
  scores[blank_] = std::max(std::max(most[0], most[1]), std::max(most[2], most[3]));
}

}  // namespace pyseq
