// The recursions over a block of frames: alpha upwards, beta downwards, alone or meeting the other's records.
//
//   alpha[t][state]  sum over paths of frames 0..t that end in the state, emissions included
//   beta[t][state]   sum over paths of frames t+1.. that start from the state
//   posterior[t][state] = alpha * beta / total
//
// Between blocks beta is kept with the emissions of its frame, "entered": what the frame before can go on to.
#pragma once

#include "ctc/emission.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// Groups that hold a state which can be reached from the start and can still finish.
struct Band {
  int64_t lo, hi;
};

// A group of positions: their blanks and their labels.
template <class Num>
struct Cell {
  Num b, l;
  static PYSEQ_INLINE Cell zero() { return {Num::zero(), Num::zero()}; }
  // Vector by vector: compilers copy structs of structs by way of the stack.
  PYSEQ_INLINE void set(Num blank, Num label) {
    b.m = blank.m;
    b.e = blank.e;
    l.m = label.m;
    l.e = label.e;
  }
};

// Posteriors of one block, not yet normalised.
template <class Real>
struct Posteriors {
  Vec<Real>* label;        // [kBlock][groups], valid within the band of the frame
  Vec<Real> blank[kBlock]; // sums over groups
  Band bands[kBlock];
};

template <class R, template <class> class Emission>
struct Recursion {
  using E = Emission<R>;
  using Num = typename E::Num;
  using Real = typename E::Real;
  using Stored = typename E::Stored;
  using Exponent = typename Num::Exponent;
  using Group = Cell<Num>;

  const Plan<Real>& plan;
  int64_t stride;  // stored items a frame

  Band band_at(int64_t t) const {
    Band at = {0, 0};
    while (at.hi + 1 < plan.groups && plan.first[at.hi + 1] <= t) at.hi++;
    while (plan.last[at.lo] < t) at.lo++;
    return at;
  }
  // Of the frame after t: behind the last one, every group may hold the end.
  Band band_after(int64_t t) const { return t + 1 < plan.T ? band_at(t + 1) : Band{0, plan.groups - 1}; }

  // Frames t0 .. t0 + n of alpha. a: records [n + 1][groups]; the first is that of the frame before, and its
  // band goes on to that of the last, which is normalised.
  void alpha_block(const Stored* y, Group* a, int64_t t0, int64_t n, Band& band_before) const {
    const int64_t G = plan.groups;
    Band band = band_before;
    for (int64_t t = t0; t < t0 + n; t++, y += stride, a += G) {
      const Band before = climb(band, t);
      for (int64_t k = before.hi + 1; k <= band.hi; k++) a[k] = Group::zero();
      each_up(a, before, band, [&](int64_t k, Num below) __attribute__((always_inline)) {
        next_alpha(a[k], below, y, k, [&](Num b, Num l) __attribute__((always_inline)) { a[G + k].set(b, l); });
      });
    }
    normalise(a, band);
    band_before = band;
  }

  // The same in place on one record, meeting records of beta [n][groups].
  void alpha_meets(const Stored* y, Group* a, const Group* betas, int64_t t0, int64_t n, Exponent total,
                   Posteriors<Real>& out) const {
    const int64_t G = plan.groups;
    Band band = band_at(t0 - 1);
    for (int64_t f = 0; f < n; f++, y += stride, betas += G) {
      const Band before = climb(band, t0 + f);
      for (int64_t k = before.hi + 1; k <= band.hi; k++) a[k] = Group::zero();
      Vec<Real>* labels = out.label + f * G;
      Vec<Real> blanks = {};
      each_up(a, before, band, [&](int64_t k, Num below) __attribute__((always_inline)) {
        next_alpha(a[k], below, y, k, [&](Num b, Num l) __attribute__((always_inline)) {
          a[k].set(b, l);
          blanks += Num::value(b * betas[k].b, total);
          labels[k] = Num::value(l * betas[k].l, total);
        });
      });
      out.blank[f] = blanks;
      out.bands[f] = band;
    }
    normalise(a, band);
  }

  // Frames t0 + n - 1 .. t0 of beta into records [n][groups]. entered: [groups] of frame t0 + n on entry, of t0
  // on return, normalised.
  void beta_block(const Stored* y, Group* entered, Group* records, int64_t t0, int64_t n) const {
    const int64_t G = plan.groups;
    Band band = band_after(t0 + n - 1);
    for (int64_t f = n - 1; f >= 0; f--) {
      const Band after = descend(band, t0 + f);
      Group *out = records + f * G, *from = out + G;
      auto keep = [&](int64_t k, Num b, Num l) __attribute__((always_inline)) { out[k].set(b, l); };
      if (f == n - 1) {
        each_down(after, band, AsItIs{entered}, keep);
      } else {
        for (int64_t k = band.lo; k < after.lo; k++) from[k] = Group::zero();
        each_down(after, band, WithEmission{*this, from, y + (f + 1) * stride}, keep);
      }
    }
    const WithEmission enter = {*this, records, y};
    for (int64_t k = band.lo; k <= band.hi; k++) entered[k].set(enter.blank(k), enter.label(k));
    normalise(entered, band);
  }

  // The same in place on one record, meeting records of alpha [n][groups].
  void beta_meets(const Stored* y, Group* entered, const Group* alphas, int64_t t0, int64_t n, Exponent total,
                  Posteriors<Real>& out) const {
    const int64_t G = plan.groups;
    Band band = band_after(t0 + n - 1);
    for (int64_t f = n - 1; f >= 0; f--) {
      const Band after = descend(band, t0 + f);
      const Stored* here = y + f * stride;
      const Group* a = alphas + f * G;
      Vec<Real>* labels = out.label + f * G;
      Vec<Real> blanks = {};
      each_down(after, band, AsItIs{entered}, [&](int64_t k, Num b, Num l) __attribute__((always_inline)) {
        blanks += Num::value(a[k].b * b, total);
        labels[k] = Num::value(a[k].l * l, total);
        entered[k].set(blank_of(b, here), l * E::label(here[k]));
      });
      out.blank[f] = blanks;
      out.bands[f] = band;
    }
    normalise(entered, band);
  }

  // log2 of the sum over all paths, where alpha of frame t meets the entered beta of t + 1; -inf if there is none.
  double total(const Group* alpha, const Group* entered, int64_t t) const {
    const Band after = band_after(t), band = band_at(t);
    Num sum = Num::zero();
    each_down(after, band, AsItIs{entered}, [&](int64_t k, Num b, Num l) __attribute__((always_inline)) {
      sum = Num::add(sum, Num::add(alpha[k].b * b, alpha[k].l * l));
    });
    const Exponent top = int_max_tree<Real>(sum.e);
    if (top < Num::kZero / 2) return -__builtin_inf();
    return __builtin_log2(static_cast<double>(sum_tree<Real>(Num::value(sum, top)))) + static_cast<double>(top);
  }

 private:
  // To the band of frame t; returns that of the frame before.
  PYSEQ_INLINE Band climb(Band& at, int64_t t) const {
    const Band before = at;
    while (at.hi + 1 < plan.groups && plan.first[at.hi + 1] <= t) at.hi++;
    while (plan.last[at.lo] < t) at.lo++;
    return before;
  }
  PYSEQ_INLINE Band descend(Band& at, int64_t t) const {
    const Band after = at;
    while (at.hi > 0 && plan.first[at.hi] > t) at.hi--;
    while (plan.last[at.lo] < t) at.lo++;  // from behind the last frame
    while (at.lo > 0 && plan.last[at.lo - 1] >= t) at.lo--;
    return after;
  }

  // step(k, labels of the group below) from the highest group to the lowest: it may write over a[k].
  template <class F>
  PYSEQ_INLINE void each_up(const Group* a, Band before, Band at, F&& step) const {
    for (int64_t k = at.hi; k > at.lo; k--) step(k, a[k - 1].l.copy());
    step(at.lo, at.lo > before.lo ? a[at.lo - 1].l.copy() : Num::zero());
  }
  template <class Put>
  PYSEQ_INLINE void next_alpha(const Group& c, Num below, const Stored* y, int64_t k, Put&& put) const {
    const Num b = c.b.copy(), l = c.l.copy();
    const Num from_blank = Num::add(b, shift_up(l, below));
    const Num label = Num::add(l, choose(plan.skip[k], from_blank, b)) * E::label(y[k]);
    put(blank_of(from_blank, y), label);
  }

  PYSEQ_INLINE Num blank_of(Num state, const Stored* y) const {
    if constexpr (E::kUnitBlank) return state;
    else return state * y[plan.groups];
  }
  // Betas of the frame after, entered.
  struct AsItIs {
    const Group* row;
    PYSEQ_INLINE Num blank(int64_t k) const { return row[k].b.copy(); }
    PYSEQ_INLINE Num label(int64_t k) const { return row[k].l.copy(); }
  };
  struct WithEmission {
    const Recursion& run;
    const Group* row;
    const Stored* y;
    PYSEQ_INLINE Num blank(int64_t k) const { return run.blank_of(row[k].b.copy(), y); }
    PYSEQ_INLINE Num label(int64_t k) const { return row[k].l.copy() * E::label(y[k]); }
  };
  // put(k, blanks, labels) from those.
  template <class Entered, class Put>
  PYSEQ_INLINE void each_down(Band after, Band at, const Entered& entered, Put&& put) const {
    // `above` is what a label can move up to in the next position: its label unless that repeats, its blank
    Num above = Num::zero();
    if (at.hi < after.hi) {
      const Num b = entered.blank(at.hi + 1);
      above = choose(plan.skip[at.hi + 1], Num::add(b, entered.label(at.hi + 1)), b);
    }
    for (int64_t k = at.hi; k >= at.lo; k--) {
      const Num b = entered.blank(k), l = entered.label(k);
      const Num blank = Num::add(b, l), up = choose(plan.skip[k], blank, b);
      const Num label = Num::add(l, shift_down(up, above));
      above = up;
      put(k, blank, label);
    }
  }

  PYSEQ_INLINE void normalise(Group* row, Band band) const {
    for (int64_t k = band.lo; k <= band.hi; k++) {
      row[k].b.normalise();
      row[k].l.normalise();
    }
  }
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
