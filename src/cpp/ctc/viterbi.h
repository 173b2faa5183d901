// The most probable alignment of one sequence, by Viterbi's recursion in bounded memory.
//
//     b_i(t) = max(b_i, l_{i-1})(t-1) + x_blank
//     l_i(t) = max(l_i, b_i, [l_{i-1} if the labels differ])(t-1) + x_i
//
// b_i and l_i are the positions of ctc/plan.h, a group of them as wide as a vector of logits. Sums are float64: those
// of hours of frames still tell alignments apart, and masked classes (-inf) need no care.
//
// Going upwards, only the states that enter each segment of frames are kept. Going back, a segment is run again with a
// record of which state each came from: two bits for a label, one for a blank. An alignment that is known to be at
// position i at the end of a segment was at most one position lower for each frame before: no more is run again.
#pragma once

#include "ctc/softmax.h"
#include "simd/wide.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class R>
struct Viterbi {
  static constexpr int W = kLanes<R>, V = kLanes<double>, H = W / V;
  // Frames of a segment, and what all of its records may take where that is more.
  static constexpr int64_t kSegment = 1024, kRecordBytes = 64 << 20;
  static constexpr int64_t kTraceBytes = 1 << 20;  // sequences whose whole trace is smaller are one segment

  struct Group {
    Vec<double> b[H], l[H];
  };
  struct Trace {
    uint8_t blank_moved[H], label_moved[H], label_skipped[H];  // a bit a position
  };

  int64_t T, L, C, blank;
  const R* x;
  int64_t x_stride;
  const int32_t* labels;

  int64_t groups, segment, segments, window;
  IntVec<R>* label;       // [groups] class of each position, blank where unused
  LaneMask<double>* skip; // [groups * H] positions whose label differs from the one before
  Group* state;           // [groups]
  Group* records;         // [segments][groups] states that enter each segment
  Group* again;           // [window]
  Trace* trace;           // [segment][window]

  Viterbi(int64_t frames, int64_t label_count, Arena& arena) : T(frames), L(label_count) {
    groups = L / W + 1;
    const auto trace_bytes = static_cast<int64_t>(sizeof(Trace)), group_bytes = static_cast<int64_t>(sizeof(Group));
    segment = kSegment;
    while (ceil_div(T, segment) * groups * group_bytes > kRecordBytes && segment < T) segment *= 2;
    if (T * groups * trace_bytes <= kTraceBytes) segment = max_of<int64_t>(1, T);
    segments = ceil_div(T, segment);
    window = min_of(groups, segment / W + 2);
    label = arena.take<IntVec<R>>(groups);
    skip = arena.take<LaneMask<double>>(groups * H);
    state = arena.take<Group>(groups);
    records = arena.take<Group>(segments * groups);
    again = arena.take<Group>(window);
    trace = arena.take<Trace>(segment * window);
  }

  void begin() {
    const double impossible = -__builtin_inf();
    for (int64_t k = 0; k < groups; k++) {
      IntVec<R> classes = splat_int<R>(static_cast<Int_t<R>>(blank));
      uint32_t differs = 0;
      for (int64_t j = 0, i = k * W; j < W && i < L; j++, i++) {
        classes[j] = labels[i];
        differs |= static_cast<uint32_t>(i == 0 || labels[i] != labels[i - 1]) << j;
      }
      label[k] = classes;
      for (int h = 0; h < H; h++) {
        skip[k * H + h] = LaneMask<double>::from_bits(differs >> (h * V) & ((1u << V) - 1));
        state[k].b[h] = state[k].l[h] = splat(impossible);
      }
    }
    state[0].b[0][0] = 0;
  }

  // Frames t0 .. t1 for the groups first .. last, which threads may share out if each waits for the one before.
  // below[t]: label states of position first * W - 1 on entry to frame t, null for the lowest group; above[t + 1]
  // gets those of the last position; may be null.
  void climb(int64_t t0, int64_t t1, int64_t first, int64_t last, const double* below, double* above) {
    for (int64_t t = t0; t < t1; t++) {
      if (t % segment == 0)
        memcpy(static_cast<void*>(records + t / segment * groups + first), state + first,
               static_cast<size_t>(last - first) * sizeof(Group));
      step<false>(t, state, first, last, below ? below[t] : -__builtin_inf(), nullptr);
      if (above) above[t + 1] = state[last - 1].l[H - 1][V - 1];
    }
  }

  // Whether NaN reached the end.
  bool is_nan() const {
    const double b = value(state, L, false), l = L > 0 ? value(state, L - 1, true) : 0;
    return b != b || l != l;
  }

  // Class of every frame; first frame of every label and the one after its last, which is -1 on entry. False if there is
  // no alignment.
  bool descend(int32_t* path, int64_t* first_frame, int64_t* end_frame) {
    int64_t at = L;
    bool on_label = false;
    if (L > 0 && value(state, L - 1, true) > value(state, L, false)) {
      at = L - 1;
      on_label = true;
    }
    if (!(value(state, at, on_label) > -__builtin_inf())) return false;
    for (int64_t s = segments - 1; s >= 0; s--) {
      const int64_t t0 = s * segment, t1 = min_of(t0 + segment, T), hi = at / W + 1;
      const int64_t lo = max_of<int64_t>(0, at - (t1 - t0)) / W, width = hi - lo;
      memcpy(static_cast<void*>(again), records + s * groups + lo, static_cast<size_t>(width) * sizeof(Group));
      for (int64_t t = t0; t < t1; t++)
        step<true>(t, again - lo, lo, hi, -__builtin_inf(), trace + (t - t0) * window - lo);
      for (int64_t t = t1 - 1; t >= t0; t--) {
        path[t] = on_label ? labels[at] : static_cast<int32_t>(blank);
        const Trace& from = trace[(t - t0) * window + at / W - lo];
        const int half = static_cast<int>(at % W / V), bit = 1 << (at % V);
        if (on_label) {
          if (end_frame[at] < 0) end_frame[at] = t + 1;
          first_frame[at] = t;
          if (from.label_skipped[half] & bit) at--;
          else if (from.label_moved[half] & bit) on_label = false;
        } else if (from.blank_moved[half] & bit) {
          at--;
          on_label = true;
        }
      }
    }
    return true;
  }

 private:
  static double value(const Group* row, int64_t i, bool on_label) {
    const Group& g = row[i / W];
    const Vec<double>* states = on_label ? g.l : g.b;  // in one expression GCC 12 takes lane 0 under -fsanitize=shift
    return states[i % W / V][i % V];
  }

  // Frame t in place on the groups of first .. last that an alignment can be in: those it can have reached, and
  // those from which it can still finish.
  template <bool kTrace>
  void step(int64_t t, Group* row, int64_t first, int64_t last, double below, Trace* out) const {
    const int64_t hi = min_of(last, (t + 1) / W + 1), lo = max_of(first, max_of<int64_t>(0, L - (T - t)) / W);
    const R* logits = x + t * x_stride;
    const Vec<double> blanks = splat(static_cast<double>(logits[blank]));
    const bool in_registers = kHasLookup<R> && C <= 2 * W;
    Vec<R> low = {}, high = {};
    if (in_registers) {
      low = load_n(logits, static_cast<int>(min_of<int64_t>(C, W)));
      high = load_n(logits + min_of<int64_t>(C, W), static_cast<int>(C - min_of<int64_t>(C, W)));
    }
    for (int64_t k = hi - 1; k >= lo; k--) {
      Vec<double> y[H];
      widen(in_registers ? lookup(low, high, label[k]) : gather(logits, label[k]), y);
      PYSEQ_UNROLL for (int h = H - 1; h >= 0; h--) {
        const Vec<double> b = row[k].b[h], l = row[k].l[h];
        const Vec<double> lower = h > 0 ? row[k].l[h - 1] : k > first ? row[k - 1].l[H - 1] : splat(below);
        const Vec<double> from = lanes_up(l, lower);
        const Vec<double> skipping = blend(skip[k * H + h], from, splat(-__builtin_inf()));
        const IntVec<double> blank_moves = from > b, moves = b > l;
        const Vec<double> best = select<double>(moves, b, l);
        const IntVec<double> skips = skipping > best;
        row[k].b[h] = select<double>(blank_moves, from, b) + blanks;
        row[k].l[h] = select<double>(skips, skipping, best) + y[h];
        if (kTrace) {
          out[k].blank_moved[h] = static_cast<uint8_t>(lane_bits(blank_moves));
          out[k].label_moved[h] = static_cast<uint8_t>(lane_bits(moves));
          out[k].label_skipped[h] = static_cast<uint8_t>(lane_bits(skips));
        }
      }
    }
  }
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
