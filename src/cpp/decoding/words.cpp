#include "decoding/words.h"

#include <algorithm>
#include <limits>
#include <unordered_map>

#include "kernels.h"

namespace pyseq {

Spelling::Spelling(const std::string& text, const std::vector<int64_t>& ends) : word_(1, -1) {
  int64_t begin = 0;
  for (std::size_t i = 0; i < ends.size(); begin = ends[i++]) {
    const std::string word = text.substr(static_cast<std::size_t>(begin), static_cast<std::size_t>(ends[i] - begin));
    if (word == "<s>" || word == "</s>" || word == "<unk>" || word == "<UNK>") continue;
    int32_t node = 0;
    for (const char c : word) node = tree_.child(node, static_cast<unsigned char>(c));
    word_.resize(static_cast<std::size_t>(tree_.size()), -1);
    word_[static_cast<std::size_t>(node)] = static_cast<int32_t>(i);
  }
}

int32_t Spelling::step(int32_t node, const std::string& bytes) const {
  for (const char c : bytes) {
    if (node == kOff) break;
    node = tree_.find_child(node, static_cast<unsigned char>(c));
  }
  return node;
}

class WordReader : public SourceReader {
 public:
  WordReader(const WordSource& source, int64_t classes, int64_t blank)
      : s_(source), model_(*source.model_), classes_(classes), blank_(blank),
        row_(static_cast<std::size_t>(beam_room(classes))) {}

  SourceState start() override { return state_of(model_.start(), 0); }

  const float* row(SourceState state) override {
    std::fill(row_.begin(), row_.end(), 0.0f);
    if (state.pair.b != Spelling::kOff) {
      const std::vector<int32_t>& next = steps(state.pair.b);
      const float unknown = scaled(unknown_after(state.pair.a).log10);
      for (int64_t c = 0; c < classes_; c++)
        if (next[static_cast<std::size_t>(c)] == Spelling::kOff) row_[static_cast<std::size_t>(c)] = unknown;
    }
    row_[static_cast<std::size_t>(s_.delimiter_)] = at_end(state);
    row_[static_cast<std::size_t>(blank_)] = -std::numeric_limits<float>::infinity();
    row_[static_cast<std::size_t>(blank_)] = *std::max_element(row_.begin(), row_.begin() + classes_);
    return row_.data();
  }

  SourceState next(SourceState state, int32_t label) override {
    if (label == s_.delimiter_) return state_of(after_word(state), 0);
    const bool off = state.pair.b == Spelling::kOff;
    return state_of(state.pair.a, off ? Spelling::kOff : steps(state.pair.b)[static_cast<std::size_t>(label)]);
  }

  float finish(SourceState state) override {
    const float word = at_end(state);
    return model_.end_word < 0 ? word : word + scaled(model_.score(after_word(state), model_.end_word).log10);
  }
  bool crowded() const override {
    return static_cast<int64_t>(steps_.size()) * classes_ > kMostSteps || unknown_.size() > kMostHistories;
  }
  void forget(std::vector<SourceState>&) override {
    steps_.clear();
    unknown_.clear();
  }

 private:
  static constexpr int64_t kMostSteps = 8 << 20;
  static constexpr std::size_t kMostHistories = 1 << 18;

  // Words before, and what is spelled of the next.
  static SourceState state_of(int32_t history, int32_t spelled) {
    SourceState state;
    state.pair = {history, spelled};
    return state;
  }
  float scaled(float log10) const { return s_.scale_ * log10 * static_cast<float>(kLn10); }

  // What the delimiter adds to the word that it ends; nothing where there is no word.
  float at_end(SourceState state) const {
    if (state.pair.b == 0) return 0;
    if (state.pair.b == Spelling::kOff) return s_.bonus_;  // charged before
    const int32_t word = s_.spelling_->word(state.pair.b);
    return scaled((word < 0 ? unknown_after(state.pair.a) : model_.score(state.pair.a, word)).log10) + s_.bonus_;
  }
  int32_t after_word(SourceState state) const {
    if (state.pair.b == 0) return state.pair.a;
    const int32_t word = s_.spelling_->word(state.pair.b);
    return (word < 0 ? unknown_after(state.pair.a) : model_.score(state.pair.a, word)).state;
  }

  const NgramModel::Scored& unknown_after(int32_t history) const {
    const auto found = unknown_.find(history);
    return found != unknown_.end() ? found->second : unknown_.emplace(history, model_.score(history, -1)).first->second;
  }

  // Where each label leads to from a node.
  const std::vector<int32_t>& steps(int32_t node) {
    std::vector<int32_t>& next = steps_[node];
    if (next.empty())
      for (const std::string& bytes : s_.spelled_) next.push_back(s_.spelling_->step(node, bytes));
    return next;
  }

  const WordSource& s_;
  const NgramModel& model_;
  int64_t classes_, blank_;
  std::vector<float> row_;
  std::unordered_map<int32_t, std::vector<int32_t>> steps_;
  mutable std::unordered_map<int32_t, NgramModel::Scored> unknown_;
};

std::unique_ptr<SourceReader> WordSource::reader(int64_t classes, int64_t blank) const {
  return std::make_unique<WordReader>(*this, classes, blank);
}

}  // namespace pyseq
