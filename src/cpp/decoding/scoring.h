// What other sources than the logits say of a prefix: language models, a lexicon, hot words.
//
// A source is a deterministic automaton: a prefix is in one state of it, and each label adds a score and leads to
// another state. The scores of all labels in one state are a row; the search adds rows to log-probabilities.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace pyseq {

// What a reader makes of it: two numbers, or where its row is.
union SourceState {
  struct {
    int32_t a, b;
  } pair;
  const float* row;
};

// A row: const float* to [beam_room(classes)] scores, in the blank's place the largest of the others. Where rows are
// states, they are whole cache lines, and links stand behind the scores: [beam_room(classes)] int32_t, how many cache
// lines further the row of the next state is, plus 1; 0 until asked for. (No row is a single line, so none is at -1.)
constexpr int64_t kLineFloats = 16;
inline int32_t row_link(const float* from, const float* to) {
  return static_cast<int32_t>((to - from) / kLineFloats + 1);
}
// The row that a label leads to, or null.
inline const float* linked_row(const float* row, int64_t stride, int32_t label) {
  const int64_t link = reinterpret_cast<const int32_t*>(row + stride)[label];
  return link ? row + (link - 1) * kLineFloats : nullptr;
}

// Makes what stands in the blank's place the largest of the others.
void set_most(float* row, int64_t classes, int64_t blank);

// What one thread keeps of a source: rows, made when first asked for.
class SourceReader {
 public:
  virtual ~SourceReader() = default;
  virtual SourceState start() = 0;
  virtual const float* row(SourceState state) = 0;  // good until forget() if rows_are_states(), else until the next call
  virtual SourceState next(SourceState state, int32_t label) = 0;
  virtual float finish(SourceState state) = 0;  // what the end of the sequence adds
  virtual bool rows_are_states() const { return false; }  // state.row is row(state)
  virtual bool crowded() const { return false; }
  // Gives memory back. These states outlive it, and are what they are called from then on; all others are no more.
  virtual void forget(std::vector<SourceState>&) {}
};

class Source {
 public:
  virtual ~Source() = default;
  virtual std::unique_ptr<SourceReader> reader(int64_t classes, int64_t blank) const = 0;
};

constexpr int kMostSources = 3;

// All sources of a search. `external`: rows also come from outside, one for each entry that is new.
struct Scoring {
  std::vector<std::shared_ptr<const Source>> sources;
  bool external = false;
  bool any() const { return external || !sources.empty(); }
};

// What one entry of a beam is to the sources.
struct ScoredState {
  SourceState source;
  int32_t slot;  // of a row that belongs to this entry, or -1
};

// The rows of a beam of at most `width` entries. Without external rows an entry needs nothing but its row, which says
// what its state is: direct(). Else each entry has a row of its own, the sum of that and of what is added.
class ScoreRows {
 public:
  ScoreRows(const Scoring& scoring, int64_t classes, int64_t blank, int64_t width);

  void clear();
  ScoredState start();
  ScoredState enter(const ScoredState& from, int32_t label);
  void leave(const ScoredState& state);
  const float* row(const ScoredState& state);
  float finish(const ScoredState& state);

  bool direct() const { return direct_; }
  const float* follow(const float* row, int32_t label) {
    const float* const known = linked_row(row, stride_, label);
    return known ? known : reader_->next(state_of(row).source, label).row;
  }
  static ScoredState state_of(const float* row);

  // Adds an external row to the sum for this entry.
  void add_row(int32_t slot, const float* scores);
  bool crowded() const { return reader_ && reader_->crowded(); }
  // Makes room in the sources; the states of the beam are renewed.
  void forget(ScoredState* states, int64_t count);

 private:
  void fill_slot(ScoredState& state);
  float* slot(int32_t number) { return &sums_[static_cast<std::size_t>(number * stride_)]; }

  bool direct_;
  int64_t classes_, blank_, stride_;
  std::unique_ptr<SourceReader> reader_;  // whose rows are states; null without sources
  std::vector<float> sums_;               // [2 width][stride] of external rows
  std::vector<int32_t> free_;
};

}  // namespace pyseq
