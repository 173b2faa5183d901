// What a frame contributes to a path: two ways to take it from the logits.
//
// RelativeEmission  y_i = exp(x_i - x_blank) in the precision of the logits. Then y_blank = 1, blank needs no
//                   multiplication, and the softmax denominator, common to all paths, drops out; it returns
//                   in the loss alone. Serves while the differences are moderate.
// ExactEmission     relative to the largest logit among the target's classes and blank, in float64, masked
//                   classes (-inf) included: for everything else. 3 to 5 times slower.
//
// Both are gathered in blocks of kBlock frames, `stride` stored items a frame; `ahead` is +1 or -1, the direction in
// which blocks will be asked for.
#pragma once

#include "ctc/plan.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

enum class Gathered { kFine, kOutOfRange, kNotANumber };

// Difference to blank beyond which its rounding error, half an ulp, would show in the gradient.
constexpr double kRelativeRange = 128;

template <class R>
struct RelativeEmission {
  using Num = ScaledInt<R>;
  using Real = R;
  using Stored = Vec<R>;  // x_i - x_blank; the exponential is redone where it is used, off the critical path
  static constexpr bool kUnitBlank = true;
  static constexpr int64_t extra = 0;
  double reference = 0;  // sum over frames of what emissions are relative to; here left to the softmax

  static PYSEQ_INLINE Num label(const Stored& d) { return Num::exp(d); }

  Gathered gather_block(const Sequence<R>& s, const Plan<R>& p, int64_t t0, int64_t n, int ahead, Stored* out) {
    const int64_t next = t0 + ahead * kBlock;  // block to prefetch
    const bool prefetches = (s.C > kSmallAlphabet || ahead < 0) && next >= 0;  // hardware sees short rows coming, upwards
    IntVec<R> worst = {};
    auto each_frame = [&](auto pairs) __attribute__((always_inline)) {
      for (int64_t f = 0; f < n; f++, out += p.groups) {
        if (prefetches && next + f < s.T) prefetch(s, p, s.row(next + f));
        worst = gather_frame<decltype(pairs)::value>(s, p, s.row(t0 + f), worst, out);
      }
    };
    switch (kHasLookup<R> ? ceil_div(s.C, 2 * kLanes<R>) : 0) {
      case 1: each_frame(Int<1>{}); break;
      case 2: each_frame(Int<2>{}); break;
      case 3: each_frame(Int<3>{}); break;
      case 4: each_frame(Int<4>{}); break;
      default: each_frame(Int<0>{});
    }
    if (p.bias) worst = add_bias(p, n, out - n * p.groups);
    // bit patterns of magnitudes are ordered as the magnitudes, inf and NaN above all
    const R range = limit(s.T);
    Int_t<R> range_bits;
    memcpy(&range_bits, &range, sizeof range);
    return int_max_tree<R>(worst) <= range_bits ? Gathered::kFine : Gathered::kOutOfRange;
  }

 private:
  // A row in so many pairs of registers, where each class is looked up in all of them; 0: gathered from memory, which
  // takes several times as long as three lookups.
  template <int Pairs>
  static PYSEQ_INLINE IntVec<R> gather_frame(const Sequence<R>& s, const Plan<R>& p, const R* x, IntVec<R> worst,
                                             Stored* out) {
    constexpr int W = kLanes<R>;
    const Vec<R> blank = splat(x[s.blank]);
    Vec<R> row[2 * Pairs + 1];
    PYSEQ_UNROLL for (int i = 0; i < 2 * Pairs; i++) row[i] = load_up_to(x + min_of<int64_t>(i * W, s.C), s.C - i * W);
    for (int64_t k = 0; k < p.groups; k++) {
      const IntVec<R> at = p.label[k];
      Vec<R> v;
      if constexpr (Pairs == 0) {
        v = gather(x, at);
      } else {
        v = lookup(row[0], row[1], at);
        PYSEQ_UNROLL for (int i = 1; i < Pairs; i++)
          v = select<R>(at >= splat_int<R>(2 * W * i), lookup(row[2 * i], row[2 * i + 1], at), v);
      }
      worst = keep(v - blank, worst, out[k]);
    }
    return worst;
  }
  static PYSEQ_INLINE IntVec<R> keep(Vec<R> d, IntVec<R> worst, Stored& out) {
    constexpr Int_t<R> magnitude = static_cast<Int_t<R>>(~(uint64_t(1) << (sizeof(R) * 8 - 1)));
    out = d;
    return int_max((IntVec<R>)d & magnitude, worst);
  }
  static IntVec<R> add_bias(const Plan<R>& p, int64_t n, Stored* out) {
    IntVec<R> worst = {};
    for (int64_t f = 0; f < n; f++, out += p.groups)
      for (int64_t k = 0; k < p.groups; k++) worst = keep(out[k] + p.bias[k], worst, out[k]);
    return worst;
  }
  // The exponents of T frames must stay within Num::kSpan.
  static R limit(int64_t T) {
    const double span = static_cast<double>(Num::kSpan) / (2 * static_cast<double>(T));
    const double range = sizeof(R) == 4 ? kRelativeRange : kRelativeRange * 1000;
    return static_cast<R>(min_of(range, span));
  }
  // All of a short row; of a long one the lines of the target's classes, which hardware cannot guess.
  static PYSEQ_INLINE void prefetch(const Sequence<R>& s, const Plan<R>& p, const R* x) {
    constexpr int64_t line = 64 / sizeof(R);
    if (p.dense)
      for (int64_t c = 0; c < s.C; c += line) __builtin_prefetch(x + c, 0, 2);
    else
      for (int64_t j = 0; j < p.slots; j++) __builtin_prefetch(x + p.slot_class[j], 0, 2);
  }
};

template <class R>
struct ExactEmission {
  using Num = ScaledInt<double>;
  using Real = double;
  using Stored = Num;  // the blank of a frame is behind its labels
  static constexpr bool kUnitBlank = false;
  static constexpr int64_t extra = 1;
  double reference = 0;

  static PYSEQ_INLINE Num label(const Stored& y) { return y; }

  Gathered gather_block(const Sequence<R>& s, const Plan<double>& p, int64_t t0, int64_t n, int, Stored* out) {
    constexpr double infinity = __builtin_inf();
    auto score = [&](const R* x, int64_t c) {
      return static_cast<double>(x[c]) + (s.bias ? static_cast<double>(s.bias[c]) : 0);
    };
    // Differences are cut where exponents would overflow: a path that needs more is still not impossible.
    const double deepest = -min_of(0x1p50, static_cast<double>(Num::kSpan) / (2 * static_cast<double>(s.T)));
    for (int64_t f = 0; f < n; f++, out += p.groups + extra) {
      const R* x = s.row(t0 + f);
      double top = score(x, s.blank);
      bool numbers = top < infinity;
      for (int64_t i = 0; i < s.L; i++) {
        const double v = score(x, s.labels[i]);
        numbers = numbers && v < infinity;
        top = max_of(top, v);
      }
      if (!numbers) return Gathered::kNotANumber;
      if (top > -infinity) reference += top;
      for (int64_t k = 0; k <= p.groups; k++) {
        Vec<double> v = {};
        for (int j = 0; j < Plan<double>::W; j++)
          v[j] = score(x, k < p.groups ? p.label[k][j] : s.blank);
        const Num y = Num::exp(vmax(splat(deepest), v - splat(top)));
        const IntVec<double> masked = v == splat(-infinity);
        out[k] = {select<double>(masked, splat(1.0), y.m), masked ? splat_int<double>(Num::kZero) : y.e};
      }
    }
    return Gathered::kFine;
  }
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
