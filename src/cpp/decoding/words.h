// A word n-gram model over labels: words are spelled by labels, and a delimiter ends them.
//
// A word is scored at its delimiter, or at the end. That a prefix can only become an unknown word is charged with the
// label that decides it: a search would otherwise keep such prefixes in place of better ones.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "decoding/ngram.h"

namespace pyseq {

// The words of a model as a tree over bytes: labels may spell parts of characters, characters, or syllables.
class Spelling {
 public:
  // Words one after the other in `text`; word i ends at ends[i]. Markup, <s> and the like, is not spelled.
  Spelling(const std::string& text, const std::vector<int64_t>& ends);

  static constexpr int32_t kOff = -1;  // no word begins like this
  // From a node (0: nothing spelled yet) by the bytes of a label.
  int32_t step(int32_t node, const std::string& bytes) const;
  int32_t word(int32_t node) const { return node <= 0 ? -1 : word_[static_cast<std::size_t>(node)]; }
  int32_t nodes() const { return tree_.size(); }

 private:
  PrefixTree tree_;
  std::vector<int32_t> word_;  // [nodes], -1: not a word
};

class WordSource : public Source {
 public:
  // spelled[c]: the bytes of label c. score = scale * ln p(word | words before) + bonus for each word.
  WordSource(std::shared_ptr<const NgramModel> model, std::shared_ptr<const Spelling> spelling,
             std::vector<std::string> spelled, int32_t delimiter, float scale, float bonus)
      : model_(std::move(model)), spelling_(std::move(spelling)), spelled_(std::move(spelled)), delimiter_(delimiter),
        scale_(scale), bonus_(bonus) {}
  std::unique_ptr<SourceReader> reader(int64_t classes, int64_t blank) const override;

 private:
  friend class WordReader;
  std::shared_ptr<const NgramModel> model_;
  std::shared_ptr<const Spelling> spelling_;
  std::vector<std::string> spelled_;
  int32_t delimiter_;
  float scale_, bonus_;
};

}  // namespace pyseq
