#include "decoding/ngram.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace pyseq {

namespace {
constexpr float kNotGiven = std::numeric_limits<float>::quiet_NaN();
std::size_t at(int32_t i) { return static_cast<std::size_t>(i); }
}  // namespace

int32_t NgramModel::child(int32_t node, int32_t wanted) const {
  const auto first = word.begin() + begin[at(node)], last = word.begin() + begin[at(node) + 1];
  const auto found = std::lower_bound(first, last, wanted);
  return found != last && *found == wanted ? static_cast<int32_t>(found - word.begin()) : -1;
}

int32_t NgramModel::settle(int32_t node) const {
  while (node != 0 && begin[at(node)] == begin[at(node) + 1] && backoff[at(node)] == 0) node = suffix[at(node)];
  return node;
}

NgramModel::Scored NgramModel::score(int32_t state, int32_t wanted) const {
  if (wanted < 0) wanted = unknown_word;
  float sum = 0;
  for (;; state = suffix[at(state)]) {
    const int32_t found = wanted < 0 ? -1 : child(state, wanted);
    if (found >= 0) return {sum + log10[at(found)], settle(found)};
    if (state == 0) return {sum + unknown, 0};
    sum += backoff[at(state)];
  }
}

int32_t NgramModel::start() const {
  const int32_t node = begin_word < 0 ? -1 : child(0, begin_word);
  return node < 0 ? 0 : settle(node);
}

bool NgramBuilder::add(const int32_t* words, int order, float log10, float backoff) {
  const auto history = static_cast<std::size_t>(order - 1);
  std::size_t shared = 0;
  while (shared < history && shared < path_words_.size() && path_words_[shared] == words[shared]) shared++;
  path_words_.assign(words, words + history);
  path_nodes_.resize(history);
  for (std::size_t k = shared; k < history; k++)
    path_nodes_[k] = tree_.child(k == 0 ? 0 : path_nodes_[k - 1], words[k]);
  const int32_t node = tree_.child(history == 0 ? 0 : path_nodes_[history - 1], words[history]);
  log10_.resize(at(tree_.size()), kNotGiven);
  backoff_.resize(log10_.size());
  if (!std::isnan(log10_[at(node)])) return false;
  log10_[at(node)] = log10;
  backoff_[at(node)] = backoff;
  return true;
}

// Old numbers of nodes in their new order.
std::vector<int32_t> NgramBuilder::by_length_and_parent() {
  const int32_t n = tree_.size();
  std::vector<int32_t> length(at(n)), order(at(n)), rank(at(n));
  for (int32_t i = 1; i < n; i++) length[at(i)] = length[at(tree_[i].parent)] + 1;
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return length[at(a)] < length[at(b)]; });
  for (std::size_t first = 1; first < order.size();) {
    std::size_t last = first;
    while (last < order.size() && length[at(order[last])] == length[at(order[first])]) last++;
    std::vector<std::pair<uint64_t, int32_t>> keyed;
    keyed.reserve(last - first);
    for (std::size_t k = first; k < last; k++) {
      const PrefixNode& node = tree_[order[k]];
      const auto parent = static_cast<uint64_t>(rank[at(node.parent)]);
      keyed.push_back({parent << 32 | static_cast<uint32_t>(node.label), order[k]});
    }
    std::sort(keyed.begin(), keyed.end());
    for (std::size_t k = first; k < last; k++) {
      order[k] = keyed[k - first].second;
      rank[at(order[k])] = static_cast<int32_t>(k);
    }
    first = last;
  }
  return order;
}

std::shared_ptr<NgramModel> NgramBuilder::finish(int32_t words) {
  auto model = std::make_shared<NgramModel>();
  const std::vector<int32_t> order = by_length_and_parent();
  const std::size_t n = order.size();
  std::vector<int32_t> rank(n), parent(n);
  for (std::size_t k = 0; k < n; k++) rank[at(order[k])] = static_cast<int32_t>(k);
  model->words = words;
  model->word.resize(n, -1);
  model->log10.resize(n);
  model->backoff.resize(n);
  model->suffix.resize(n);
  model->begin.assign(n + 1, 0);
  for (std::size_t k = 1; k < n; k++) {
    const PrefixNode& node = tree_[order[k]];
    parent[k] = rank[at(node.parent)];
    model->word[k] = node.label;
    model->log10[k] = log10_[at(order[k])];
    model->backoff[k] = backoff_[at(order[k])];
    model->begin[at(parent[k]) + 1]++;
  }
  model->begin[0] = 1;
  for (std::size_t k = 1; k <= n; k++) model->begin[k] += model->begin[k - 1];
  for (std::size_t k = 1; k < n; k++) {  // shorter n-grams come first: their suffixes and values are known
    if (parent[k] == 0) continue;
    int32_t suffix = parent[k], found = -1;
    while (found < 0 && suffix != 0) found = model->child(suffix = model->suffix[at(suffix)], model->word[k]);
    model->suffix[k] = std::max(found, 0);
  }
  for (std::size_t k = 1; k < n; k++) {
    if (!std::isnan(model->log10[k])) continue;
    // A history that nothing was said of as an n-gram: what its last word has by backing off.
    const std::size_t history = at(parent[k]);
    if (history == 0) model->log10[k] = model->unknown;
    else model->log10[k] = model->backoff[history] + model->score(model->suffix[history], model->word[k]).log10;
  }
  return model;
}

Automaton token_automaton(const NgramModel& model, const int32_t* word_of, int64_t classes, int64_t blank) {
  std::vector<std::vector<int32_t>> labels(at(model.words));  // of each word
  for (int64_t c = 0; c < classes; c++) {
    const int32_t word = word_of[c] < 0 ? model.unknown_word : word_of[c];
    if (c != blank && word >= 0) labels[at(word)].push_back(static_cast<int32_t>(c));
  }
  // Histories of these words alone, after <s> or not; shorter ones come first.
  std::vector<int32_t> state_of(at(model.nodes()), -1), nodes;
  const auto enter = [&](int32_t node) {
    if (model.settle(node) != node) return;
    state_of[at(node)] = static_cast<int32_t>(nodes.size());
    nodes.push_back(node);
  };
  enter(0);
  for (std::size_t k = 0; k < nodes.size(); k++) {
    const int32_t node = nodes[k];
    for (int32_t child = model.begin[at(node)]; child < model.begin[at(node) + 1]; child++) {
      const int32_t word = model.word[at(child)];
      if (!labels[at(word)].empty() || (node == 0 && word == model.begin_word)) enter(child);
    }
  }
  Automaton a;
  a.otherwise = model.unknown;
  std::vector<LooseArc> arcs;
  for (const int32_t node : nodes) {
    const int32_t state = state_of[at(node)];
    a.fallback.push_back(node == 0 ? -1 : state_of[at(model.settle(model.suffix[at(node)]))]);
    a.backoff.push_back(model.backoff[at(node)]);
    a.finish.push_back(model.end_word < 0 ? 0 : model.score(node, model.end_word).log10);
    for (int32_t child = model.begin[at(node)]; child < model.begin[at(node) + 1]; child++)
      for (const int32_t label : labels[at(model.word[at(child)])])
        arcs.push_back({state, {label, state_of[at(model.settle(child))], model.log10[at(child)]}});
  }
  set_arcs(a, std::move(arcs));
  a.start = state_of[at(model.start())];
  return a;
}

}  // namespace pyseq
