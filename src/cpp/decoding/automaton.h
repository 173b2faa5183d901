// Automata with backoff: the form of token n-gram models, lexica and hot words.
//
//   score(state, label) = weight of the arc                              where the state has one for the label
//                       = backoff(state) + score(fallback(state), label)  else
//                       = otherwise                                       in a state without fallback, which leads to 0
// (Katz 1987 for n-grams; Aho & Corasick 1975 for words.)
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "decoding/scoring.h"

namespace pyseq {

struct Arc {
  int32_t label, next;
  float weight;
};

struct Automaton {
  std::vector<int64_t> begin;     // [states + 1] first arc of each state
  std::vector<Arc> arcs;          // of a state, by label
  std::vector<int32_t> fallback;  // [states], -1: none; following it comes to an end
  std::vector<float> backoff;     // [states]
  std::vector<float> finish;      // [states] what the end of the sequence adds
  float otherwise = 0;
  int32_t start = 0;

  int64_t states() const { return static_cast<int64_t>(fallback.size()); }
};

// An arc on its way into an automaton.
struct LooseArc {
  int32_t from;
  Arc arc;
};

// Sorts arcs by state and label into automaton.begin and .arcs, for automaton.states().
void set_arcs(Automaton& automaton, std::vector<LooseArc> arcs);

// score = scale * (score of the automaton) + bonus for each label; scale * (finish) at the end.
class AutomatonSource : public Source {
 public:
  AutomatonSource(std::shared_ptr<const Automaton> automaton, float scale, float bonus)
      : automaton_(std::move(automaton)), scale_(scale), bonus_(bonus) {}
  std::unique_ptr<SourceReader> reader(int64_t classes, int64_t blank) const override;

 private:
  std::shared_ptr<const Automaton> automaton_;
  float scale_, bonus_;
};

// Sequences of labels, one after the other, each of at least one label.
struct LabelSequences {
  const int32_t* labels;
  const int64_t* lengths;  // [count]
  int64_t count;
};

// 0 for what can become words separated by single delimiters, -inf else; delimiter -1: for what can become one word.
Automaton lexicon_automaton(const LabelSequences& words, int32_t delimiter);

// boosts[i] for each place where word i stands; between delimiters or the ends, if there is a delimiter. Part of a
// boost is granted while a word is being spelled, and taken back where it is not completed.
Automaton hot_word_automaton(const LabelSequences& words, const float* boosts, int32_t delimiter);

}  // namespace pyseq
