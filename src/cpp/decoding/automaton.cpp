#include "decoding/automaton.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <new>

#include "decoding/prefix_tree.h"
#include "decoding/state_rows.h"

namespace pyseq {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Rows of an automaton, made when first asked for. A state is where its row is.
class AutomatonReader final : public StateRowsReader {
 public:
  AutomatonReader(std::shared_ptr<const Automaton> automaton, float scale, float bonus, int64_t classes, int64_t blank)
      : StateRowsReader(StateRows(classes, blank, std::min(automaton->states(), StateRows::rows_of(kMostBytes, classes)))),
        automaton_(std::move(automaton)), scale_(scale), bonus_(bonus), classes_(classes),
        place_(static_cast<int32_t*>(std::calloc(static_cast<std::size_t>(automaton_->states()), sizeof(int32_t)))) {
    if (!place_) throw std::bad_alloc();
  }

  SourceState start() override { return at(automaton_->start); }
  float finish(SourceState state) override {
    return scaled(automaton_->finish[static_cast<std::size_t>(number_of(state))]);
  }
  bool crowded() const override { return rows_.full(); }
  void forget(std::vector<SourceState>& states) override {
    std::vector<int32_t> numbers;
    for (const SourceState state : states) numbers.push_back(number_of(state));
    for (const int32_t number : number_) place_.get()[number] = 0;
    number_.clear();
    rows_.clear();
    for (std::size_t i = 0; i < numbers.size(); i++) states[i] = at(numbers[i]);
  }

 private:
  static constexpr int64_t kMostBytes = 64 << 20;

  int32_t number_of(SourceState state) const { return number_[static_cast<std::size_t>(rows_.place_of(state.row))]; }
  float scaled(float score) const { return score == -kInfinity ? score : scale_ * score; }

  SourceState at(int32_t state) {
    SourceState found;
    const int32_t known = place_.get()[state];
    found.row = known ? rows_[known - 1] : make(state);
    return found;
  }

  // The state that a label leads to: that of its arc in this state or in the first it falls back to that has one.
  SourceState follow(SourceState state, int32_t label) override { return at(target(number_of(state), label)); }
  int32_t target(int32_t state, int32_t label) const {
    for (; state >= 0; state = automaton_->fallback[static_cast<std::size_t>(state)]) {
      const Arc* const first = automaton_->arcs.data() + automaton_->begin[static_cast<std::size_t>(state)];
      const Arc* const last = automaton_->arcs.data() + automaton_->begin[static_cast<std::size_t>(state) + 1];
      const Arc* const arc = std::lower_bound(first, last, label, [](const Arc& a, int32_t l) { return a.label < l; });
      if (arc != last && arc->label == label) return arc->next;
    }
    return 0;
  }

  // Rows of states that this one falls back to are made first.
  const float* make(int32_t state) {
    const auto s = static_cast<std::size_t>(state);
    const int32_t fallback = automaton_->fallback[s];
    const float* const below = fallback < 0 ? nullptr : at(fallback).row;
    float* const row = rows_.add();
    const float base = below ? scaled(automaton_->backoff[s]) : scaled(automaton_->otherwise) + bonus_;
    for (int64_t c = 0; c < classes_; c++) row[c] = below ? below[c] + base : base;
    for (int64_t a = automaton_->begin[s]; a < automaton_->begin[s + 1]; a++) {
      const Arc& arc = automaton_->arcs[static_cast<std::size_t>(a)];
      row[arc.label] = scaled(arc.weight) + bonus_;
    }
    rows_.finish(row);
    number_.push_back(state);
    place_.get()[state] = rows_.size();
    return row;
  }

  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  std::shared_ptr<const Automaton> automaton_;
  float scale_, bonus_;
  int64_t classes_;
  std::vector<int32_t> number_;           // of the state of each row
  std::unique_ptr<int32_t, Free> place_;  // [states] place of its row + 1; pages that are never touched cost nothing
};

}  // namespace

std::unique_ptr<SourceReader> AutomatonSource::reader(int64_t classes, int64_t blank) const {
  return std::make_unique<AutomatonReader>(automaton_, scale_, bonus_, classes, blank);
}

void set_arcs(Automaton& automaton, std::vector<LooseArc> arcs) {
  std::sort(arcs.begin(), arcs.end(), [](const LooseArc& a, const LooseArc& b) {
    return a.from != b.from ? a.from < b.from : a.arc.label < b.arc.label;
  });
  automaton.begin.assign(static_cast<std::size_t>(automaton.states()) + 1, 0);
  automaton.arcs.clear();
  for (const LooseArc& loose : arcs) {
    automaton.begin[static_cast<std::size_t>(loose.from) + 1]++;
    automaton.arcs.push_back(loose.arc);
  }
  for (std::size_t s = 1; s < automaton.begin.size(); s++) automaton.begin[s] += automaton.begin[s - 1];
}

Automaton lexicon_automaton(const LabelSequences& words, int32_t delimiter) {
  PrefixTree tree;
  std::vector<int32_t> ends;
  const int32_t* label = words.labels;
  for (int64_t i = 0; i < words.count; i++) {
    int32_t node = 0;
    for (const int32_t* stop = label + words.lengths[i]; label < stop; label++) node = tree.child(node, *label);
    ends.push_back(node);
  }
  Automaton a;
  const auto states = static_cast<std::size_t>(tree.size());
  a.fallback.assign(states, -1);
  a.backoff.assign(states, 0);
  a.finish.assign(states, -kInfinity);
  a.otherwise = -kInfinity;
  if (delimiter >= 0) a.finish[0] = 0;
  std::vector<LooseArc> arcs;
  for (int32_t n = 1; n < tree.size(); n++) arcs.push_back({tree[n].parent, {tree[n].label, n, 0}});
  for (const int32_t end : ends) {
    if (a.finish[static_cast<std::size_t>(end)] == 0) continue;  // the word occurred before
    a.finish[static_cast<std::size_t>(end)] = 0;
    if (delimiter >= 0) arcs.push_back({end, {delimiter, 0, 0}});
  }
  set_arcs(a, std::move(arcs));
  return a;
}

namespace {

// The words to look for, as a tree whose nodes know what is granted in them.
struct HotTree {
  PrefixTree tree;
  std::vector<float> held;       // granted for the time being
  std::vector<float> completed;  // granted for good on arrival, by words that end here
  std::vector<int32_t> fallback;

  float& completed_at(int32_t node) { return completed[static_cast<std::size_t>(node)]; }
  int32_t& fallback_of(int32_t node) { return fallback[static_cast<std::size_t>(node)]; }

  int32_t step(int32_t node, int32_t label) {
    node = tree.child(node, label);
    held.resize(static_cast<std::size_t>(tree.size()));
    completed.resize(held.size());
    return node;
  }

  int32_t find(int32_t node, int32_t label) const {
    for (;; node = fallback[static_cast<std::size_t>(node)]) {
      const int32_t next = tree.find_child(node, label);
      if (next >= 0) return next;
      if (node == 0) return 0;
    }
  }

  // Longest proper suffixes that are nodes, by breadth: those of shorter nodes are known.
  void link() {
    std::vector<std::vector<int32_t>> by_depth;
    std::vector<int32_t> depth(held.size());
    for (int32_t n = 1; n < tree.size(); n++) {
      const int32_t d = depth[static_cast<std::size_t>(n)] = depth[static_cast<std::size_t>(tree[n].parent)] + 1;
      if (static_cast<std::size_t>(d) > by_depth.size()) by_depth.emplace_back();
      by_depth[static_cast<std::size_t>(d) - 1].push_back(n);
    }
    fallback.assign(held.size(), 0);
    for (const auto& nodes : by_depth)
      for (const int32_t n : nodes) {
        const int32_t parent = tree[n].parent;
        if (parent != 0) fallback_of(n) = find(fallback_of(parent), tree[n].label);
        completed_at(n) += completed_at(fallback_of(n));
      }
  }
};

HotTree hot_tree(const LabelSequences& words, const float* boosts, int32_t delimiter) {
  HotTree hot;
  hot.held.assign(1, 0);
  hot.completed.assign(1, 0);
  const int32_t* label = words.labels;
  for (int64_t i = 0; i < words.count; i++) {
    const int64_t length = words.lengths[i];
    int32_t node = delimiter >= 0 ? hot.step(0, delimiter) : 0;
    for (int64_t k = 1; k <= length; k++) {
      node = hot.step(node, *label++);
      if (k == length && delimiter < 0) break;
      float& held = hot.held[static_cast<std::size_t>(node)];
      held = std::max(held, boosts[i] * static_cast<float>(k) / static_cast<float>(length));
    }
    if (delimiter >= 0) node = hot.step(node, delimiter);
    hot.completed[static_cast<std::size_t>(node)] += boosts[i];
  }
  hot.link();
  return hot;
}

}  // namespace

Automaton hot_word_automaton(const LabelSequences& words, const float* boosts, int32_t delimiter) {
  const HotTree hot = hot_tree(words, boosts, delimiter);
  Automaton a;
  a.fallback = hot.fallback;
  a.fallback[0] = -1;
  a.start = delimiter >= 0 && words.count > 0 ? hot.find(0, delimiter) : 0;
  const auto held = [&](int32_t n) { return hot.held[static_cast<std::size_t>(n)]; };
  const auto completed = [&](int32_t n) { return hot.completed[static_cast<std::size_t>(n)]; };
  std::vector<LooseArc> arcs;
  for (int32_t n = 0; n < hot.tree.size(); n++) {
    const PrefixNode& node = hot.tree[n];
    if (n > 0) arcs.push_back({node.parent, {node.label, n, held(n) + completed(n) - held(node.parent)}});
    a.backoff.push_back(n == 0 ? 0 : held(hot.fallback[static_cast<std::size_t>(n)]) - held(n));
    a.finish.push_back(-held(n) + (delimiter >= 0 ? completed(hot.find(n, delimiter)) : 0));
  }
  set_arcs(a, std::move(arcs));
  return a;
}

}  // namespace pyseq
