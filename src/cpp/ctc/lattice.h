// The recursions over one sequence: alpha forwards, beta backwards, posteriors summed by class.
//
//   alpha[t][state]  sum over paths of frames 0..t that end in the state, emissions included
//   beta[t][state]   sum over paths of frames t+1.. that start from the state
//   posterior[t][state] = alpha * beta / total, renormalised to sum to 1 in each frame, which removes the
//   rounding errors that its states have in common
#pragma once

#include "ctc/emission.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class R, template <class> class Emission>
struct Lattice {
  using E = Emission<R>;
  using Num = typename E::Num;
  using Real = typename E::Real;
  using Stored = typename E::Stored;
  using Exponent = typename Num::Exponent;
  static constexpr int W = kLanes<Real>;

  // A group of positions: their blanks and their labels.
  struct Cell {
    Num b, l;
  };

  // Groups that hold a state which can be reached from the start and can still finish.
  struct Band {
    int64_t lo, hi;
  };

  const Sequence<R>& s;
  Plan<Real> plan;
  int64_t blocks;
  bool keep_emissions, keep_alpha;
  int64_t stride;       // items a frame in emissions
  int64_t segment;      // frames between two records that are kept, a multiple of kBlock
  // Records of `groups` cells. Kept whole, record t + 1 is alpha of frame t and record 0 the empty path.
  // Otherwise history holds the record that enters each segment, and window those of one segment.
  Cell *history, *window;
  Cell* beta;           // [groups] of the frame after the one at work, its emissions included
  Stored* emissions;    // of all frames if kept, else of one segment
  Vec<Real>* posterior; // [kBlock][groups] of labels
  Vec<Real>* by_class;  // [slot_room] sums of W frames
  R* class_rows;        // [kBlock][slot_room] posterior of each class in each frame of the block
  Vec<Real> blank_posterior[kBlock];
  Band bands[kBlock];
  Band band = {0, 0};
  double log2_total = 0;
  E emission;

  // What is kept between the passes of a sequence has to stay in L2, else it is cheaper to compute again.
  static constexpr int64_t kKeepBytes = 1400 << 10;
  // Kept records beyond this size are thinned out until they are about as many as a segment has.
  static constexpr int64_t kHistoryBytes = 16 << 20;

  Lattice(const Sequence<R>& sequence, Arena& arena) : s(sequence), plan(sequence, arena) {
    const int64_t G = plan.groups, cells = s.T * G * static_cast<int64_t>(sizeof(Cell));
    const auto stored = static_cast<int64_t>(sizeof(Stored));
    blocks = ceil_div(s.T, kBlock);
    stride = G + E::extra;
    keep_emissions = s.grad && E::kUnitBlank && s.T * stride * stored <= kKeepBytes;
    keep_alpha = s.grad && cells + (keep_emissions ? s.T * stride * stored : 0) <= kKeepBytes;
    segment = kBlock;
    const int64_t most = kHistoryBytes / (G * static_cast<int64_t>(sizeof(Cell)));
    while (s.grad && !keep_alpha && ceil_div(s.T, segment) > max_of(most, segment)) segment *= 2;
    const int64_t checkpoints = s.grad ? ceil_div(s.T, segment) : 0;
    history = arena.take<Cell>((keep_alpha ? s.T + 1 : checkpoints + segment + 1) * G);
    window = history + (keep_alpha ? 0 : checkpoints * G);
    emissions = arena.take<Stored>((keep_emissions ? s.T : segment) * stride);
    const int64_t gradient = s.grad ? 1 : 0;
    beta = arena.take<Cell>(gradient * G);
    posterior = arena.take<Vec<Real>>(gradient * kBlock * G);
    by_class = arena.take<Vec<Real>>(gradient * plan.slot_room);
    class_rows = arena.take<R>(gradient * kBlock * plan.slot_room);
  }

  Stored* block_emissions(int64_t t0) const { return emissions + (keep_emissions ? t0 : t0 % segment) * stride; }

  // Alpha over all frames; log2_total is -inf where no path has a probability above zero.
  Gathered forward() {
    const int64_t G = plan.groups;
    for (int64_t k = 0; k < G; k++) window[k] = {Num::zero(), Num::zero()};
    window[0].b.set_one(0);
    Cell* end = window;
    for (int64_t t0 = 0; t0 < s.T; t0 += kBlock) {
      const int64_t n = min_of<int64_t>(kBlock, s.T - t0);
      const Gathered gathered = emission.gather_block(s, plan, t0, n, block_emissions(t0));
      if (gathered != Gathered::kFine) return gathered;
      Cell* records = keep_alpha ? history + t0 * G : window;
      if (!keep_alpha && t0) copy(window, window + kBlock * G);
      if (!keep_alpha && s.grad && t0 % segment == 0) copy(history + t0 / segment * G, window);
      alpha_block(block_emissions(t0), records, t0, n);
      end = records + n * G;
    }
    log2_total = total(end);
    return Gathered::kFine;
  }

  void start_backward() {
    for (int64_t k = 0; k < plan.groups; k++) beta[k] = {Num::zero(), Num::zero()};
    beta[s.L / W].b.set_one(s.L % W);
  }

  // Posteriors by class of the block at t0, into class_rows. Blocks from the last to the first.
  void backward_block(int64_t t0) {
    const int64_t n = min_of<int64_t>(kBlock, s.T - t0);
    const int64_t first = t0 - t0 % segment;
    if (keep_alpha) {
      if (!keep_emissions) gather_again(t0, n);
    } else if (t0 + kBlock >= min_of(first + segment, s.T)) {
      alpha_again(first, t0 + n);
    }
    const Cell* records = keep_alpha ? history + t0 * plan.groups : window + (t0 - first) * plan.groups;
    beta_block(block_emissions(t0), records + plan.groups, t0, n);
    for (int64_t f0 = 0; f0 < n; f0 += W) sum_by_class(f0, min_of<int64_t>(W, n - f0));
  }

 private:
  void gather_again(int64_t t0, int64_t n) { E(emission).gather_block(s, plan, t0, n, block_emissions(t0)); }

  // The records of frames first .. end of a segment, from the one kept before it.
  void alpha_again(int64_t first, int64_t end) {
    copy(window, history + first / segment * plan.groups);
    band = first ? band_at(first - 1) : Band{0, 0};
    for (int64_t t0 = first; t0 < end; t0 += kBlock) {
      const int64_t n = min_of<int64_t>(kBlock, end - t0);
      if (!keep_emissions) gather_again(t0, n);
      alpha_block(block_emissions(t0), window + (t0 - first) * plan.groups, t0, n);
    }
  }

  void copy(Cell* to, const Cell* from) const { memcpy(to, from, static_cast<size_t>(plan.groups) * sizeof(Cell)); }

  Band band_at(int64_t t) const {
    Band at = {0, 0};
    while (at.hi + 1 < plan.groups && plan.first[at.hi + 1] <= t) at.hi++;
    while (plan.last[at.lo] < t) at.lo++;
    return at;
  }

  void alpha_block(const Stored* y, Cell* a, int64_t t0, int64_t n) {
    const int64_t G = plan.groups;
    const LaneMask<Real>* skip = plan.skip;
    Band at = band;
    for (int64_t t = t0; t < t0 + n; t++, y += stride, a += G) {
      const Band before = at;
      while (at.hi + 1 < G && plan.first[at.hi + 1] <= t) at.hi++;
      while (plan.last[at.lo] < t) at.lo++;
      for (int64_t k = before.hi + 1; k <= at.hi; k++) a[k] = {Num::zero(), Num::zero()};
      Cell* out = a + G;
      auto step = [&](int64_t k, Num below) __attribute__((always_inline)) {
        const Cell c = a[k];
        const Num enter = Num::add(c.b, shift_up(c.l, below));
        const Num label = Num::add(c.l, choose(skip[k], enter, c.b)) * E::label(y[k]);
        if constexpr (E::kUnitBlank) out[k] = {enter, label};
        else out[k] = {enter * y[G], label};
      };
      for (int64_t k = at.hi; k > at.lo; k--) step(k, a[k - 1].l);
      step(at.lo, at.lo > before.lo ? a[at.lo - 1].l : Num::zero());
    }
    for (int64_t k = at.lo; k <= at.hi; k++) {
      a[k].b.normalise();
      a[k].l.normalise();
    }
    band = at;
  }

  // log2 of the sum over both final states.
  double total(const Cell* end) const {
    constexpr double impossible = static_cast<double>(Num::kZero / 2);
    double z = 2 * impossible;
    if (s.L / W <= band.hi) z = end[s.L / W].b.log2_of(s.L % W);
    if (s.L > 0) {
      const double l = end[(s.L - 1) / W].l.log2_of((s.L - 1) % W), top = max_of(z, l);
      z = top + __builtin_log2(__builtin_exp2(z - top) + __builtin_exp2(l - top));
    }
    return z < impossible ? -__builtin_inf() : z;
  }

  void beta_block(const Stored* y, const Cell* a, int64_t t0, int64_t n) {
    const int64_t G = plan.groups;
    const LaneMask<Real>* skip = plan.skip;
    const auto total_exponent = static_cast<Exponent>(__builtin_floor(log2_total));
    Band at = band_at(t0 + n - 1);
    for (int64_t f = n - 1; f >= 0; f--) {
      const int64_t t = t0 + f;
      while (at.hi > 0 && plan.first[at.hi] > t) at.hi--;
      while (at.lo > 0 && plan.last[at.lo - 1] >= t) at.lo--;
      const Stored* yf = y + f * stride;
      const Cell* af = a + f * G;
      Vec<Real>* out = posterior + f * G;
      Vec<Real> blank_sum = {};
      // `above` is what a label can move up to in the next position: its label unless that repeats, its blank
      Num above = Num::zero();
      if (at.hi + 1 < G) {
        const Cell c = beta[at.hi + 1];
        above = choose(skip[at.hi + 1], Num::add(c.b, c.l), c.b);
      }
      for (int64_t k = at.hi; k >= at.lo; k--) {
        const Cell c = beta[k];
        const Num blank = Num::add(c.b, c.l), up = choose(skip[k], blank, c.b);
        const Num label = Num::add(c.l, shift_down(up, above));
        above = up;
        blank_sum += Num::value(af[k].b * blank, total_exponent);
        out[k] = Num::value(af[k].l * label, total_exponent);
        if constexpr (E::kUnitBlank) beta[k] = {blank, label * E::label(yf[k])};
        else beta[k] = {blank * yf[G], label * E::label(yf[k])};
      }
      blank_posterior[f] = blank_sum;
      bands[f] = at;
    }
    for (int64_t k = at.lo; k <= at.hi; k++) {
      beta[k].b.normalise();
      beta[k].l.normalise();
    }
  }

  // Sums over the positions of each class for frames f0 .. f0 + n of the block, n <= W. Transposing W frames x
  // W positions first makes each addition one vector whose lanes are frames: no conflicts, one order.
  void sum_by_class(int64_t f0, int64_t n) {
    const int64_t G = plan.groups;
    Vec<Real> r[W];
    for (int64_t c = 0; c < plan.slot_room; c++) by_class[c] = Vec<Real>{};
    Band all = {G, -1};
    for (int f = 0; f < W; f++) {
      r[f] = f < n ? blank_posterior[f0 + f] : Vec<Real>{};
      if (f < n) all = {min_of(all.lo, bands[f0 + f].lo), max_of(all.hi, bands[f0 + f].hi)};
    }
    transpose(r);
    Vec<Real> sum = r[0];
    PYSEQ_UNROLL for (int j = 1; j < W; j++) sum += r[j];
    by_class[plan.slot[s.L]] = sum;
    for (int64_t k = all.lo; k <= all.hi; k++) {
      PYSEQ_UNROLL for (int f = 0; f < W; f++) {
        const bool inside = f < n && k >= bands[f0 + f].lo && k <= bands[f0 + f].hi;
        r[f] = inside ? posterior[(f0 + f) * G + k] : Vec<Real>{};
      }
      transpose(r);
      const int32_t* slot = plan.slot + k * W;
      const int64_t used = min_of<int64_t>(W, s.L - k * W);
      for (int64_t j = 0; j < used; j++) {
        by_class[slot[j]] += r[j];
        sum += r[j];
      }
    }
    for (int64_t f = n; f < W; f++) sum[f] = 1;
    write_rows(f0, n, Real(1) / sum);
  }

  void write_rows(int64_t f0, int64_t n, Vec<Real> factor) {
    Vec<Real> r[W];
    for (int64_t c = 0; c < plan.slot_room; c += W) {
      PYSEQ_UNROLL for (int j = 0; j < W; j++) r[j] = by_class[c + j] * factor;
      transpose(r);
      for (int64_t f = 0; f < n; f++) {
        R* row = class_rows + (f0 + f) * plan.slot_room + c;
        if constexpr (sizeof(R) == sizeof(Real)) store(row, r[f]);
        else for (int j = 0; j < W; j++) row[j] = static_cast<R>(r[f][j]);
      }
    }
  }
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
