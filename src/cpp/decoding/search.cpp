#include "decoding/search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/dispatch.h"

namespace pyseq {

namespace {

constexpr int32_t kNotThere = -2;
constexpr std::size_t kRunsRoom = 1 << 14;

template <class R>
int64_t workspace_bytes(const SearchSettings& settings) {
  CtcBeamFrame<R> p{};
  p.classes = settings.classes;
  p.width = settings.width;
  return kernels<R>().ctc_beam_workspace(p);
}

double log_add(double a, double b) {
  const double most = std::max(a, b);
  return most <= kNoScore ? kNoScore : most + std::log1p(std::exp(std::min(a, b) - most));
}

}  // namespace

template <class R>
Search<R>::Search(const SearchSettings& settings, const Scoring& scoring)
    : settings_(settings),
      scored_(scoring.any()),
      external_(scoring.external),
      rows_(scoring, settings.classes, settings.blank, settings.width),
      blank_(beam_room(settings.width)),
      label_(beam_room(settings.width)),
      next_blank_(beam_room(settings.width)),
      next_label_(beam_room(settings.width)),
      last_(beam_room(settings.width)),
      next_last_(beam_room(settings.width)),
      parent_(settings.width),
      child_(settings.width),
      from_(beam_room(settings.width)),
      extended_by_(beam_room(settings.width)),
      row_(beam_room(settings.width)),
      next_row_(beam_room(settings.width)),
      most_(beam_room(settings.width)),
      next_most_(beam_room(settings.width)),
      node_(settings.width),
      next_node_(settings.width),
      state_(scoring.any() ? settings.width : 0),
      next_state_(scoring.any() ? settings.width : 0),
      paths_(settings.alignments ? settings.width : 0),
      next_paths_(settings.alignments ? settings.width : 0),
      blank_run_(settings.alignments ? settings.width : 0),
      label_run_(settings.alignments ? settings.width : 0),
      workspace_(workspace_bytes<R>(settings)) {
  start();
}

template <class R>
void Search<R>::start() {
  const R none = static_cast<R>(kNoScore);
  std::fill(blank_.data(), blank_.data() + beam_room(settings_.width), none);
  std::fill(label_.data(), label_.data() + beam_room(settings_.width), none);
  // Kernels look classes up for whole vectors of entries.
  std::fill(last_.data(), last_.data() + beam_room(settings_.width), static_cast<int32_t>(settings_.blank));
  std::fill(next_last_.data(), next_last_.data() + beam_room(settings_.width), static_cast<int32_t>(settings_.blank));
  tree_.clear();
  rows_.clear();
  entered_.clear();
  external_finish_.clear();
  count_ = 1;
  frames_ = 0;
  offset_ = 0;
  blank_[0] = 0;
  node_[0] = 0;
  tree_[0].entry = 0;
  if (scored_) {
    state_[0] = rows_.start();
    row_[0] = rows_.row(state_[0]);
    most_[0] = row_[0][settings_.blank];
    if (external_) entered_.push_back({state_[0].slot, -1, -1});
  }
  if (settings_.alignments) {
    runs_.clear();
    runs_room_ = kRunsRoom;
    const Run no_run{-1, -1, -1, 0};
    paths_[0] = {{0, no_run}, {kNoScore, no_run}};
  }
  link();
}

template <class R>
void Search<R>::push(const R* logits, int64_t frames, int64_t stride) {
  for (int64_t t = 0; t < frames; t++) read_frame(logits + t * stride);
}

template <class R>
void Search<R>::read_frame(const R* logits) {
  tidy();
  CtcBeamFrame<R> p;
  p.classes = settings_.classes;
  p.blank = settings_.blank;
  p.width = settings_.width;
  p.least = static_cast<R>(settings_.least);
  p.logits = logits;
  p.count = count_;
  p.now = {blank_.data(), label_.data()};
  p.last = last_.data();
  p.parent = parent_.data();
  p.children = children_;
  p.child = child_.data();
  p.rows = scored_ ? row_.data() : nullptr;
  p.row_most = scored_ ? most_.data() : nullptr;
  p.next = {next_blank_.data(), next_label_.data()};
  p.next_row_most = scored_ ? next_most_.data() : nullptr;
  p.from = from_.data();
  p.label = extended_by_.data();
  p.workspace = workspace_.data();
  const BeamFrameResult<R> result = kernels<R>().ctc_beam_frame(p);
  if (result.count < 0) {
    read_certain_blank();
  } else {
    offset_ += static_cast<double>(result.best);
    if (settings_.alignments) follow_paths(result.count, logits, result.log_denominator);
    adopt(result.count);
  }
  frames_++;
}

// A frame that says nothing (NaN) counts as a blank, and the scores are NaN from here on.
template <class R>
void Search<R>::read_certain_blank() {
  offset_ = std::numeric_limits<double>::quiet_NaN();
  entered_.clear();
  for (int64_t i = 0; i < count_; i++) {
    blank_[i] = static_cast<R>(log_add(static_cast<double>(blank_[i]), static_cast<double>(label_[i])));
    label_[i] = static_cast<R>(kNoScore);
    if (!settings_.alignments) continue;
    Paths& paths = paths_[i];
    paths.blank = paths.best();
    paths.label.score = kNoScore;
  }
}

// Takes what the kernel found over into the beam.
template <class R>
void Search<R>::adopt(int64_t count) {
  entered_.clear();
  for (int64_t i = 0; i < count_; i++) tree_[node_[i]].entry = -1;
  const int64_t kept = keep(count);
  extend(kept, count);
  if (scored_) {
    score(kept, count);
    // Long before the kernel reads them as vectors, which waits for the last of them to be written.
    const float* const* const row = next_row_.data();
    float* const most = next_most_.data();
    for (int64_t j = kept; j < count; j++) most[j] = row[j][settings_.blank];
  }
  for (int64_t j = 0; j < count; j++) tree_[next_node_[j]].entry = static_cast<int32_t>(j);
  if (scored_ && !rows_.direct())
    for (int64_t i = 0; i < count_; i++)
      if (tree_[node_[i]].entry < 0) rows_.leave(state_[i]);
  count_ = count;
  blank_.swap(next_blank_);
  label_.swap(next_label_);
  last_.swap(next_last_);
  row_.swap(next_row_);
  most_.swap(next_most_);
  node_.swap(next_node_);
  state_.swap(next_state_);
  paths_.swap(next_paths_);
  link();
}

// Entries that stay: they come first. How many there are. (Here and below pointers to what is read and written stand in
// variables: what is stored might else be taken for one of them.)
template <class R>
int64_t Search<R>::keep(int64_t count) {
  const int32_t *const from = from_.data(), *const label = extended_by_.data();
  const int32_t *const last = last_.data(), *const node = node_.data();
  int32_t *const next_last = next_last_.data(), *const next_node = next_node_.data();
  int64_t kept = 0;
  if (scored_) {
    const float* const* const row = row_.data();
    const float** const next_row = next_row_.data();
    for (; kept < count && label[kept] < 0; kept++) {
      next_last[kept] = last[from[kept]];
      next_node[kept] = node[from[kept]];
      next_row[kept] = row[from[kept]];
    }
    for (int64_t j = 0; !rows_.direct() && j < kept; j++) next_state_[j] = state_[from[j]];
    return kept;
  }
  for (; kept < count && label[kept] < 0; kept++) {
    next_last[kept] = last[from[kept]];
    next_node[kept] = node[from[kept]];
  }
  return kept;
}

template <class R>
void Search<R>::extend(int64_t first, int64_t end) {
  const int32_t *const from = from_.data(), *const label = extended_by_.data(), *const node = node_.data();
  int32_t *const next_last = next_last_.data(), *const next_node = next_node_.data();
  for (int64_t j = first; j < end; j++) {
    next_last[j] = label[j];
    next_node[j] = tree_.child(node[from[j]], label[j]);
  }
}

// What other sources add to entries that are new.
template <class R>
void Search<R>::score(int64_t first, int64_t end) {
  if (rows_.direct()) {
    const int32_t *const from = from_.data(), *const label = extended_by_.data();
    const float* const* const row = row_.data();
    const float** const next_row = next_row_.data();
    for (int64_t j = first; j < end; j++) next_row[j] = rows_.follow(row[from[j]], label[j]);
    return;
  }
  for (int64_t j = first; j < end; j++) {
    const ScoredState& from = state_[from_[j]];
    next_state_[j] = rows_.enter(from, extended_by_[j]);
    next_row_[j] = rows_.row(next_state_[j]);
    if (external_) entered_.push_back({next_state_[j].slot, from.slot, extended_by_[j]});
  }
}

// Who is whose parent among the entries.
template <class R>
void Search<R>::link() {
  children_ = 0;
  for (int64_t j = 0; j < count_; j++) {
    const int32_t above = tree_[node_[j]].parent;
    const int32_t parent = above < 0 ? -1 : tree_[above].entry;
    parent_[j] = parent;
    child_[children_] = static_cast<int32_t>(j);
    children_ += parent >= 0;
  }
}

template <class R>
void Search<R>::follow_paths(int64_t count, const R* logits, R log_denominator) {
  std::fill(blank_run_.data(), blank_run_.data() + count_, kNotThere);
  std::fill(label_run_.data(), label_run_.data() + count_, kNotThere);
  const auto log_prob = [&](int64_t c) { return std::max(kNoScore, static_cast<double>(logits[c] - log_denominator)); };
  for (int64_t j = 0; j < count; j++) {
    const int64_t i = from_[j];
    const Paths& old = paths_[i];
    Paths& now = next_paths_[j];
    if (extended_by_[j] >= 0) {
      const int32_t label = extended_by_[j];
      now.blank = {kNoScore, {}};
      now.label = arriving(i, label == last_[i], scored_ ? static_cast<double>(row_[i][label]) : 0, log_prob(label));
      continue;
    }
    now.blank = old.best();
    now.blank.score += log_prob(settings_.blank);
    const double step = log_prob(last_[i]);
    now.label = old.label;
    now.label.score += step;
    now.label.run.end = static_cast<int32_t>(frames_) + 1;
    now.label.run.log_prob += static_cast<float>(step);
    const int32_t parent = parent_[i];
    if (parent < 0) continue;
    const bool repeats = last_[parent] == last_[i];
    const Paths& above = paths_[parent];
    const double score = repeats ? above.blank.score : above.best().score;
    const double gain = scored_ ? static_cast<double>(row_[parent][last_[i]]) : 0;
    if (score + gain + step > now.label.score) now.label = arriving(parent, repeats, gain, step);
  }
  double best = kNoScore;
  for (int64_t j = 0; j < count; j++) best = std::max(best, next_paths_[j].best().score);
  for (int64_t j = 0; j < count; j++) next_paths_[j].lower(best);
}

// The best path of an entry, with one label more from this frame on.
template <class R>
Path Search<R>::arriving(int64_t parent, bool repeats, double gain, double log_prob) {
  const bool from_blank = repeats || paths_[parent].blank.score >= paths_[parent].label.score;
  const Path& path = from_blank ? paths_[parent].blank : paths_[parent].label;
  int32_t& before = (from_blank ? blank_run_ : label_run_)[parent];
  if (before == kNotThere) before = runs_.add(path.run);
  const auto t = static_cast<int32_t>(frames_);
  return {path.score + gain + log_prob, {before, t, t + 1, static_cast<float>(log_prob)}};
}

// Between frames: forgets prefixes, runs and rows that are not needed any more.
template <class R>
void Search<R>::tidy() {
  if (tree_.crowded()) {
    std::vector<int32_t*> held(static_cast<std::size_t>(count_));
    for (int64_t i = 0; i < count_; i++) held[static_cast<std::size_t>(i)] = &node_[i];
    tree_.compact(held.data(), count_);
  }
  if (settings_.alignments && runs_.size() > runs_room_) {
    runs_.compact(paths_.data(), count_);
    runs_room_ = std::max(kRunsRoom, 2 * runs_.size());
  }
  if (scored_ && rows_.crowded()) {
    if (rows_.direct())
      for (int64_t i = 0; i < count_; i++) state_[i] = ScoreRows::state_of(row_[i]);
    rows_.forget(state_.data(), count_);
    for (int64_t i = 0; i < count_; i++) row_[i] = rows_.row(state_[i]);
  }
}

template <class R>
void Search<R>::add_row(int32_t slot, const float* scores) {
  rows_.add_row(slot, scores);
  for (int64_t i = 0; i < count_; i++)
    if (state_[i].slot == slot) {
      row_[i] = rows_.row(state_[i]);
      most_[i] = row_[i][settings_.blank];
    }
}

template <class R>
std::vector<int32_t> Search<R>::slots() const {
  std::vector<int32_t> slots(static_cast<std::size_t>(count_));
  for (int64_t i = 0; i < count_; i++) slots[static_cast<std::size_t>(i)] = state_[i].slot;
  return slots;
}

template <class R>
ScoredState Search<R>::state_of(int64_t entry) const {
  return rows_.direct() ? ScoreRows::state_of(row_[entry]) : state_[entry];
}

template <class R>
std::vector<Reading> Search<R>::best(int64_t n, bool finished) {
  struct Ranked {
    double score;
    int64_t entry;
  };
  std::vector<Ranked> ranked;
  for (int64_t i = 0; i < count_; i++) {
    double score = log_add(static_cast<double>(blank_[i]), static_cast<double>(label_[i]));
    if (finished && scored_) score += static_cast<double>(rows_.finish(state_of(i)));
    if (finished && !external_finish_.empty()) score += external_finish_[static_cast<std::size_t>(i)];
    if (score > kNoScore / 2) ranked.push_back({score, i});
  }
  const auto kept = static_cast<std::ptrdiff_t>(std::min<int64_t>(n, static_cast<int64_t>(ranked.size())));
  std::partial_sort(ranked.begin(), ranked.begin() + kept, ranked.end(), [](const Ranked& a, const Ranked& b) {
    return a.score > b.score || (a.score == b.score && a.entry < b.entry);
  });
  std::vector<Reading> readings;
  ranked.resize(static_cast<std::size_t>(kept));
  for (const Ranked& r : ranked) readings.push_back(reading(r.entry, r.score + offset_));
  return readings;
}

template <class R>
Reading Search<R>::reading(int64_t entry, double score) const {
  Reading found;
  found.score = score;
  int32_t node = node_[entry];
  for (; node > 0; node = tree_[node].parent) found.labels.push_back(tree_[node].label);
  std::reverse(found.labels.begin(), found.labels.end());
  if (settings_.alignments && !found.labels.empty()) {
    Run run = paths_[entry].best().run;
    for (;; run = runs_[run.before]) {
      found.runs.push_back(run);
      if (run.before < 0) break;
    }
    std::reverse(found.runs.begin(), found.runs.end());
  }
  return found;
}

template class Search<float>;
template class Search<double>;

}  // namespace pyseq
