// What is fixed for one sequence before its frames are looked at.
//
// Layout of the lattice. A target of L labels has L + 1 blanks and L labels interleaved, b0 l0 b1 l1 .. bL.
// Position i is the pair (b_i, l_i); a group is kLanes positions, one vector of blanks and one of labels, so
// that every transition is a shift by one lane at most:
//
//     b_i(t) = (b_i + l_{i-1})(t-1)                                                * y_blank(t)
//     l_i(t) = (l_i + [b_i + l_{i-1} if the labels differ, else b_i])(t-1)         * y_i(t)
#pragma once

#include "ctc/scaled.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// One sequence: T frames of C logits, L labels.
template <class R>
struct Sequence {
  int64_t T, C, L, blank;
  const R* x;
  int64_t x_stride;
  R* grad;  // null: loss only
  int64_t grad_stride;
  const int32_t* labels;
  const R* bias;  // [C] what the lattice adds to the logits of each class; null: nothing

  const R* row(int64_t t) const { return x + t * x_stride; }
};

// Alphabets up to this size, or not much larger than the target, have one sum a class; larger ones a sum for
// each class of the target.
constexpr int64_t kSmallAlphabet = 32, kMediumAlphabet = 256, kClassesPerLabel = 8;
PYSEQ_INLINE bool dense_slots(int64_t C, int64_t L) {
  return C <= kSmallAlphabet || (C <= kMediumAlphabet && C <= kClassesPerLabel * (L + 1));
}

template <class Real>
struct Plan {
  static constexpr int W = kLanes<Real>;
  int64_t T, L, groups;
  int64_t slots, slot_room;       // sums by class, and room for them in whole vectors of any tier
  bool dense;                     // slot == class
  IntVec<Real>* label;            // [groups] class of each position, blank where unused
  LaneMask<Real>* skip;           // [groups] positions whose label differs from the one before
  Vec<Real>* bias;                // [groups] of each position, less that of blank; null if the sequence has none
  int64_t *first, *last;          // [groups] frames between which the group can matter
  int32_t* slot;                  // [L + 1] of each label, then of blank
  int32_t* slot_class;            // [slots] unless dense

  template <class R>
  Plan(const Sequence<R>& s, Arena& arena) : T(s.T), L(s.L), groups(s.L / W + 1), dense(dense_slots(s.C, s.L)) {
    slots = dense ? s.C : min_of(s.L + 1, s.C);
    slot_room = round_up(slots, 16);
    label = arena.take<IntVec<Real>>(groups);
    skip = arena.take<LaneMask<Real>>(groups);
    bias = s.bias ? arena.take<Vec<Real>>(groups) : nullptr;
    first = arena.take<int64_t>(groups);
    last = arena.take<int64_t>(groups);
    slot = arena.take<int32_t>(L + 1);
    slot_class = arena.take<int32_t>(dense ? 0 : slots);
  }

  // False when no alignment exists. seen: [C], all -1, and again on return; unused if dense.
  template <class R>
  bool build(const Sequence<R>& s, int32_t* seen) {
    int64_t repeats = 0;
    for (int64_t i = 1; i < L; i++) repeats += s.labels[i] == s.labels[i - 1];
    if (T < L + repeats) return false;
    place_labels(s);
    find_band(s.labels);
    assign_slots(s, seen);
    return true;
  }

 private:
  static bool repeated(const int32_t* labels, int64_t i) { return i > 0 && labels[i] == labels[i - 1]; }

  template <class R>
  void place_labels(const Sequence<R>& s) {
    for (int64_t k = 0; k < groups; k++) {
      uint32_t differs = 0;
      IntVec<Real> classes = splat_int<Real>(static_cast<Int_t<Real>>(s.blank));
      for (int64_t j = 0, i = k * W; j < W && i < L; j++, i++) {
        classes[j] = s.labels[i];
        differs |= static_cast<uint32_t>(!repeated(s.labels, i)) << j;
      }
      label[k] = classes;
      skip[k] = LaneMask<Real>::from_bits(differs);
      if (bias)
        for (int j = 0; j < W; j++) bias[k][j] = static_cast<Real>(s.bias[classes[j]]) - static_cast<Real>(s.bias[s.blank]);
    }
  }

  // Label i is first reached on frame i + (repeats up to it), blank i + 1 one frame later; from label i to
  // the end each later label takes one frame, a repeated one two.
  void find_band(const int32_t* labels) {
    first[0] = 0;
    for (int64_t i = 0, frame = 0; i < L; i++, frame++) {
      frame += repeated(labels, i);
      if (i % W == W - 1) first[i / W + 1] = frame + 1;
    }
    last[groups - 1] = T - 1;
    for (int64_t i = L - 1, tail = 0; i >= 0; i--) {
      if (i % W == W - 1) last[i / W] = T - 1 - tail;
      tail += 1 + repeated(labels, i);
    }
  }

  template <class R>
  void assign_slots(const Sequence<R>& s, int32_t* seen) {
    if (dense) {
      for (int64_t i = 0; i < L; i++) slot[i] = s.labels[i];
      slot[L] = static_cast<int32_t>(s.blank);
      return;
    }
    int32_t used = 0;
    for (int64_t i = 0; i <= L; i++) {
      const int32_t c = i < L ? s.labels[i] : static_cast<int32_t>(s.blank);
      if (seen[c] < 0) {
        seen[c] = used;
        slot_class[used++] = c;
      }
      slot[i] = seen[c];
    }
    for (int32_t j = 0; j < used; j++) seen[slot_class[j]] = -1;
    slots = used;
  }
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
