// Sequences of labels as a tree: the prefixes that a beam search has met, words, n-grams. Each is there once.
#pragma once

#include <cstdint>
#include <vector>

namespace pyseq {

struct PrefixNode {
  int32_t parent;  // -1: the empty prefix, which is node 0
  int32_t label;
  int32_t entry;   // of the beam, or -1: not in it
  int32_t next;    // in the same place of the table, or 0
  uint32_t below;  // bit label % 32 of each child
};

class PrefixTree {
 public:
  PrefixTree() { clear(); }

  void clear() {
    resize(kSmallest);
    nodes_[0] = {-1, -1, -1, 0, 0};
    size_ = 1;
  }

  PrefixNode& operator[](int32_t node) { return nodes_[static_cast<std::size_t>(node)]; }
  const PrefixNode& operator[](int32_t node) const { return nodes_[static_cast<std::size_t>(node)]; }

  // The node of prefix + label. Whether it is there already is anybody's guess: nothing is decided by a branch, but for
  // a node that may be there and is not the newest of its place.
  int32_t child(int32_t parent, int32_t label) {
    if (size_ >= room_) {
      resize(2 * room_);
      for (int32_t n = 1; n < size_; n++) enter(n);
    }
    int32_t& newest = table_[place(parent, label)];
    PrefixNode& above = (*this)[parent];
    const uint32_t bit = 1u << (static_cast<uint32_t>(label) % 32);
    const PrefixNode& there = (*this)[newest];
    const bool same = (there.parent == parent) & (there.label == label);
    if (!same && newest != 0 && (above.below & bit)) {
      const int32_t found = find(there.next, parent, label);
      if (found >= 0) return found;
    }
    (*this)[size_] = {parent, label, -1, newest, 0};
    above.below |= bit;
    newest = same ? newest : size_;
    size_ += !same;
    return newest;
  }

  // The same, or -1 where there is none.
  int32_t find_child(int32_t parent, int32_t label) const { return find(table_[place(parent, label)], parent, label); }
  int32_t size() const { return size_; }

  // Whether to call compact() before more is added: the table should stay in the caches.
  bool crowded() const { return size_ >= room_ - room_ / 8; }

  // Forgets all but the given nodes and their ancestors, and renumbers: held[i] becomes the new number.
  void compact(int32_t** held, int64_t count) {
    std::vector<uint64_t> marks(static_cast<std::size_t>(size_ / 64 + 1));
    const auto marked = [&](int32_t n) { return marks[static_cast<std::size_t>(n / 64)] >> (n % 64) & 1; };
    marks[0] = 1;
    for (int64_t i = 0; i < count; i++)
      for (int32_t n = *held[i]; !marked(n); n = (*this)[n].parent)
        marks[static_cast<std::size_t>(n / 64)] |= uint64_t{1} << (n % 64);
    std::vector<int32_t> renamed(static_cast<std::size_t>(size_));
    int32_t kept = 0;  // parents come before their children
    for (std::size_t word = 0; word < marks.size(); word++)
      for (uint64_t left = marks[word]; left; left &= left - 1) {
        const std::size_t n = 64 * word + static_cast<std::size_t>(__builtin_ctzll(left));
        PrefixNode moved = nodes_[n];
        moved.parent = kept == 0 ? -1 : renamed[static_cast<std::size_t>(moved.parent)];
        moved.below = 0;
        renamed[n] = kept;
        (*this)[kept++] = moved;
      }
    size_ = kept;
    for (int64_t i = 0; i < count; i++) *held[i] = renamed[static_cast<std::size_t>(*held[i])];
    int32_t room = kSmallest;
    while (room < 2 * size_) room *= 2;
    resize(room);
    for (int32_t n = 1; n < size_; n++) enter(n);
  }

 private:
  static constexpr int32_t kSmallest = 1 << 13;  // nodes; with their table 230 KB

  // Leaves the table empty.
  void resize(int32_t room) {
    room_ = room;
    nodes_.resize(static_cast<std::size_t>(room) + 1);  // one more is written in vain
    table_.assign(2 * static_cast<std::size_t>(room), 0);
  }

  std::size_t place(int32_t parent, int32_t label) const {
    const uint64_t mixed = static_cast<uint64_t>(static_cast<uint32_t>(parent)) * 0x9E3779B97F4A7C15u +
                           static_cast<uint64_t>(static_cast<uint32_t>(label)) * 0xC2B2AE3D27D4EB4Fu;
    return static_cast<std::size_t>(mixed >> 32) & (table_.size() - 1);
  }

  int32_t find(int32_t node, int32_t parent, int32_t label) const {
    for (; node != 0; node = (*this)[node].next)
      if ((*this)[node].parent == parent && (*this)[node].label == label) return node;
    return -1;
  }

  void enter(int32_t node) {
    PrefixNode& n = (*this)[node];
    int32_t& newest = table_[place(n.parent, n.label)];
    n.next = newest;
    newest = node;
    (*this)[n.parent].below |= 1u << (static_cast<uint32_t>(n.label) % 32);
  }

  std::vector<PrefixNode> nodes_;  // room_ + 1
  std::vector<int32_t> table_;     // [2 room_] the newest node of each place, or 0: node 0 is nobody's child
  int32_t size_ = 1, room_ = kSmallest;
};

}  // namespace pyseq
