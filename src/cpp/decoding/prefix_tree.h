// Sequences of labels as a tree: the prefixes that a beam search has met, words, n-grams. Each is there once.
#pragma once

#include <cstdint>
#include <vector>

namespace pyseq {

struct PrefixNode {
  int32_t parent;  // -1: the empty prefix, which is node 0
  int32_t label;
  int32_t entry;   // of the beam, or -1: not in it
};

class PrefixTree {
 public:
  PrefixTree() { clear(); }

  void clear() {
    nodes_.assign(1, {-1, -1, -1});
    table_.assign(kSmallest * 2, 0);
    room_ = kSmallest;
  }

  PrefixNode& operator[](int32_t node) { return nodes_[static_cast<std::size_t>(node)]; }
  const PrefixNode& operator[](int32_t node) const { return nodes_[static_cast<std::size_t>(node)]; }

  // The node of prefix + label.
  int32_t child(int32_t parent, int32_t label) {
    if (nodes_.size() >= room_) {
      room_ *= 2;
      rebuild_table();
    }
    const std::size_t at = find(parent, label);
    if (table_[at] == 0) {  // node 0 is nobody's child
      table_[at] = static_cast<int32_t>(nodes_.size());
      nodes_.push_back({parent, label, -1});
    }
    return table_[at];
  }

  // The same, or -1 where there is none.
  int32_t find_child(int32_t parent, int32_t label) const {
    const int32_t found = table_[find(parent, label)];
    return found == 0 ? -1 : found;
  }
  int32_t size() const { return static_cast<int32_t>(nodes_.size()); }

  // Whether to call compact() before more is added: the table should stay in the caches.
  bool crowded() const { return nodes_.size() >= room_ - room_ / 8; }

  // Forgets all but the given nodes and their ancestors, and renumbers: held[i] becomes the new number.
  void compact(int32_t** held, int64_t count) {
    std::vector<int32_t> renamed(nodes_.size(), -1);
    renamed[0] = 0;
    const auto new_number = [&](int32_t node) -> int32_t& { return renamed[static_cast<std::size_t>(node)]; };
    for (int64_t i = 0; i < count; i++)
      for (int32_t n = *held[i]; new_number(n) < 0; n = (*this)[n].parent) new_number(n) = 0;
    int32_t kept = 1;  // parents come before their children
    for (std::size_t n = 1; n < nodes_.size(); n++) {
      if (renamed[n] < 0) continue;
      PrefixNode moved = nodes_[n];
      moved.parent = new_number(moved.parent);
      renamed[n] = kept;
      (*this)[kept++] = moved;
    }
    nodes_.resize(static_cast<std::size_t>(kept));
    for (int64_t i = 0; i < count; i++) *held[i] = new_number(*held[i]);
    room_ = kSmallest;
    while (room_ < 2 * nodes_.size()) room_ *= 2;
    rebuild_table();
  }

 private:
  static constexpr std::size_t kSmallest = 1 << 13;  // nodes; with their table 160 KB

  std::size_t find(int32_t parent, int32_t label) const {
    const std::size_t mask = table_.size() - 1;
    const uint64_t mixed = static_cast<uint64_t>(static_cast<uint32_t>(parent)) * 0x9E3779B97F4A7C15u +
                           static_cast<uint64_t>(static_cast<uint32_t>(label)) * 0xC2B2AE3D27D4EB4Fu;
    std::size_t at = static_cast<std::size_t>(mixed >> 32) & mask;
    for (; table_[at] != 0; at = (at + 1) & mask) {
      const PrefixNode& node = (*this)[table_[at]];
      if (node.parent == parent && node.label == label) break;
    }
    return at;
  }

  void rebuild_table() {
    table_.assign(room_ * 2, 0);
    for (int32_t n = 1; n < size(); n++) table_[find((*this)[n].parent, (*this)[n].label)] = n;
  }

  std::vector<PrefixNode> nodes_;
  std::vector<int32_t> table_;
  std::size_t room_ = kSmallest;
};

}  // namespace pyseq
