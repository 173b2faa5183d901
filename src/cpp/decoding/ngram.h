// Backoff n-gram models: log10 p(word | history), in a sorted tree.
//
//   p(w | h) = p in the model           where h w is in it
//            = backoff(h) p(w | h')      else, h' = h without its oldest word    (Katz 1987)
//
// A node is an n-gram; its children are those that go on from it. Numbers of nodes go by length, then by parent, then
// by word: the children of a node lie together, sorted, and are found by bisection.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "decoding/automaton.h"
#include "decoding/prefix_tree.h"

namespace pyseq {

constexpr double kLn10 = 2.302585092994045684;

struct NgramModel {
  int32_t order = 0;
  int32_t words = 0;               // distinct ones, numbered from 0
  int32_t begin_word = -1, end_word = -1, unknown_word = -1;  // <s>, </s>, <unk>; -1: not in the model
  float unknown = -7;              // log10 p of a word without a 1-gram, where there is no <unk>
  std::vector<int32_t> word;       // [nodes] the last word; node 0 is the empty history
  std::vector<float> log10;        // [nodes] of the last word after the others
  std::vector<float> backoff;      // [nodes] log10
  std::vector<int32_t> begin;      // [nodes + 1] children are nodes begin[n] to begin[n + 1] - 1
  std::vector<int32_t> suffix;     // [nodes] longest n-gram that n ends in and that is in the model; node 0: 0

  struct Scored {
    float log10;
    int32_t state;
  };
  int32_t nodes() const { return static_cast<int32_t>(word.size()); }
  int32_t child(int32_t node, int32_t word) const;  // -1: none
  // Of a word after a history, and the history after it; word -1 is one that is not in the model.
  Scored score(int32_t state, int32_t word) const;
  // The longest part of an n-gram that matters for what comes after.
  int32_t settle(int32_t node) const;
  int32_t start() const;
};

// Takes n-grams in any order and makes a model of them.
class NgramBuilder {
 public:
  // Adds an n-gram of words; false if it is there already. Histories that are not in the model are made up.
  bool add(const int32_t* words, int order, float log10, float backoff);
  std::shared_ptr<NgramModel> finish(int32_t words);

 private:
  std::vector<int32_t> by_length_and_parent();

  PrefixTree tree_;
  std::vector<float> log10_ = {0}, backoff_ = {0};
  std::vector<int32_t> path_words_, path_nodes_;  // of the history before, which often is that of the next n-gram
};

// The model as an automaton over labels: word_of[c] is the word of label c (-1: not in the model).
Automaton token_automaton(const NgramModel& model, const int32_t* word_of, int64_t classes, int64_t blank);

}  // namespace pyseq
