// The lattice of one sequence, in two halves that two threads can take.
//
//   first   alpha over the frames below `middle`    |  beta over the others, from the last down to `middle`
//   meet    in the middle: the sum over all paths
//   second  alpha goes on upwards, over beta's records  |  beta downwards, over alpha's: posteriors of every frame
//
// Who takes which half changes no bit. Without a gradient the first half is all.
#pragma once

#include "ctc/class_sums.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// What one thread needs for its half.
template <class R, template <class> class Emission>
struct HalfScratch {
  using Types = Recursion<R, Emission>;
  using Real = typename Types::Real;
  typename Types::Group *window, *row;   // records of a segment; one record
  typename Types::Stored* emissions;     // of a segment
  Posteriors<Real> posteriors;
  Vec<Real>* by_class;                   // [slot_room]
  R* class_rows;                         // [kBlock][slot_room] posterior of each class in each frame of the block
  R* logit_rows;                         // two rows in whole vectors
};

template <class R, template <class> class Emission>
struct Lattice {
  using Types = Recursion<R, Emission>;
  using E = Emission<R>;
  using Real = typename Types::Real;
  using Stored = typename Types::Stored;
  using Group = typename Types::Group;
  using Scratch = HalfScratch<R, Emission>;

  // What is kept between the halves of a sequence has to stay in L2, else it is cheaper to compute again.
  static constexpr int64_t kKeepBytes = 1400 << 10;
  // Kept records beyond this size are thinned out until they are about as many as a segment has.
  static constexpr int64_t kHistoryBytes = 16 << 20;

  Sequence<R> s;
  Plan<Real> plan;
  int64_t blocks, middle;
  bool keep_emissions, keep_records;
  int64_t stride;       // items a frame in emissions
  int64_t segment;      // frames between two records that are kept, a multiple of kBlock
  // Kept whole, record t + 1 of alphas is that of frame t and record 0 the empty path, record t - middle of betas
  // that of frame t. Otherwise the records that enter each segment, from below and from above.
  Group *alphas, *betas;
  Group *alpha, *beta;  // [groups] where the halves stand: alpha below the frame at work, beta above it, entered
  Stored* emissions;    // of all frames if kept
  E emission[2];        // of either half
  Gathered gathered[2] = {Gathered::kFine, Gathered::kFine};
  double log2_total = -__builtin_inf();

  Lattice(const Sequence<R>& sequence, Arena& arena) : s(sequence), plan(sequence, arena) {
    const int64_t G = plan.groups, cells = s.T * G * static_cast<int64_t>(sizeof(Group));
    const auto stored = static_cast<int64_t>(sizeof(Stored));
    blocks = ceil_div(s.T, kBlock);
    middle = min_of(ceil_div(blocks, 2) * kBlock, s.T);
    stride = G + E::extra;
    keep_emissions = s.grad && E::kUnitBlank && s.T * stride * stored <= kKeepBytes;
    keep_records = s.grad && cells + (keep_emissions ? s.T * stride * stored : 0) <= kKeepBytes;
    segment = kBlock;
    const int64_t most = kHistoryBytes / (G * static_cast<int64_t>(sizeof(Group)));
    while (s.grad && !keep_records && ceil_div(s.T, segment) > max_of(most, segment)) segment *= 2;
    const int64_t below = s.grad ? ceil_div(middle, segment) : 0, above = s.grad ? ceil_div(s.T - middle, segment) : 0;
    alphas = arena.take<Group>((keep_records ? middle + 1 : below) * G);
    betas = arena.take<Group>((keep_records ? s.T - middle : above) * G);
    alpha = arena.take<Group>(G);
    beta = arena.take<Group>(G);
    emissions = arena.take<Stored>(keep_emissions ? s.T * stride : 0);
  }

  Scratch scratch(Arena& arena) const {
    const int64_t G = plan.groups, gradient = s.grad ? 1 : 0;
    Scratch w;
    w.window = arena.take<Group>(keep_records ? 0 : (segment + 1) * G);
    w.row = arena.take<Group>(G);
    w.emissions = arena.take<Stored>(keep_emissions ? 0 : segment * stride);
    w.posteriors.label = arena.take<Vec<Real>>(gradient * kBlock * G);
    w.by_class = arena.take<Vec<Real>>(gradient * plan.slot_room);
    w.class_rows = arena.take<R>(gradient * kBlock * plan.slot_room);
    w.logit_rows = arena.take<R>(gradient * 2 * round_up(s.C, 16));
    return w;
  }

  int64_t block_length(int64_t t0) const { return min_of<int64_t>(kBlock, s.T - t0); }

  // ------------------------------------------------------------------------------------------ first halves

  void alpha_half(const Scratch& w) {
    const int64_t G = plan.groups;
    const Types run = {plan, stride};
    Group* a = keep_records ? alphas : w.window;
    for (int64_t k = 0; k < G; k++) a[k] = Group::zero();
    a[0].b.set_one(0);
    Band band = {0, 0};
    for (int64_t t0 = 0; t0 < middle; t0 += kBlock) {
      const int64_t n = block_length(t0);
      Stored* y = block_emissions(w, t0, 0);
      gathered[0] = emission[0].gather_block(s, plan, t0, n, +1, y);
      if (gathered[0] != Gathered::kFine) return;
      if (!keep_records && s.grad && t0 % segment == 0) copy(alphas + t0 / segment * G, a);
      run.alpha_block(y, a, t0, n, band);
      if (keep_records) a += n * G;
      else copy(a, a + n * G);
    }
    copy(alpha, a);
  }

  void beta_half(const Scratch& w) {
    const int64_t G = plan.groups;
    const Types run = {plan, stride};
    for (int64_t k = 0; k < G; k++) beta[k] = Group::zero();
    beta[s.L / kLanes<Real>].b.set_one(s.L % kLanes<Real>);
    for (int64_t t0 = (blocks - 1) * kBlock; t0 >= middle; t0 -= kBlock) {
      const int64_t n = block_length(t0), after = t0 + n - middle;
      Stored* y = block_emissions(w, t0, middle);
      gathered[1] = emission[1].gather_block(s, plan, t0, n, -1, y);
      if (gathered[1] != Gathered::kFine) return;
      if (!keep_records && s.grad && (after % segment == 0 || t0 + n == s.T))
        copy(betas + (after - 1) / segment * G, beta);
      run.beta_block(y, beta, keep_records ? betas + (t0 - middle) * G : w.window, t0, n);
    }
  }

  Gathered meet() {
    for (const Gathered g : gathered)
      if (g != Gathered::kFine) return g;
    log2_total = Types{plan, stride}.total(alpha, beta, middle - 1);
    return Gathered::kFine;
  }

  // ----------------------------------------------------------------------------------------- second halves

  // Posteriors of the block at t0 >= middle into w; blocks in rising order.
  void alpha_meets_block(Scratch& w, int64_t t0) {
    const int64_t n = block_length(t0), first = middle + (t0 - middle) / segment * segment;
    if (!keep_records && t0 == first) betas_again(w, first, min_of(first + segment, s.T));
    else if (!keep_emissions) gather_again(w, t0, middle);
    const Group* records = keep_records ? betas + (t0 - middle) * plan.groups : w.window + (t0 - first) * plan.groups;
    Types{plan, stride}.alpha_meets(block_emissions(w, t0, middle), alpha, records, t0, n, total_exponent(),
                                    w.posteriors);
  }

  // Likewise at t0 < middle; blocks in falling order.
  void beta_meets_block(Scratch& w, int64_t t0) {
    const int64_t n = block_length(t0), first = t0 / segment * segment;
    if (!keep_records && t0 + n == min_of(first + segment, middle)) alphas_again(w, first, t0 + n);
    else if (!keep_emissions) gather_again(w, t0, 0);
    const Group* records = keep_records ? alphas + t0 * plan.groups : w.window + (t0 - first) * plan.groups;
    Types{plan, stride}.beta_meets(block_emissions(w, t0, 0), beta, records + plan.groups, t0, n, total_exponent(),
                                   w.posteriors);
  }

 private:
  Stored* block_emissions(const Scratch& w, int64_t t0, int64_t half) const {
    return keep_emissions ? emissions + t0 * stride : w.emissions + (t0 - half) % segment * stride;
  }
  void gather_again(const Scratch& w, int64_t t0, int64_t half) const {
    E().gather_block(s, plan, t0, block_length(t0), half ? +1 : -1, block_emissions(w, t0, half));
  }
  void copy(Group* to, const Group* from) const { memcpy(to, from, static_cast<size_t>(plan.groups) * sizeof(Group)); }
  typename Types::Exponent total_exponent() const {
    return static_cast<typename Types::Exponent>(__builtin_floor(log2_total));
  }

  // The records of a segment, from the one kept at its end.
  void alphas_again(const Scratch& w, int64_t first, int64_t end) const {
    const Types run = {plan, stride};
    copy(w.window, alphas + first / segment * plan.groups);
    Band band = first ? run.band_at(first - 1) : Band{0, 0};
    for (int64_t t0 = first; t0 < end; t0 += kBlock) {
      if (!keep_emissions) gather_again(w, t0, 0);
      run.alpha_block(block_emissions(w, t0, 0), w.window + (t0 - first) * plan.groups, t0, block_length(t0), band);
    }
  }
  void betas_again(const Scratch& w, int64_t first, int64_t end) const {
    const Types run = {plan, stride};
    copy(w.row, betas + (first - middle) / segment * plan.groups);
    for (int64_t t0 = first + (end - first - 1) / kBlock * kBlock; t0 >= first; t0 -= kBlock) {
      if (!keep_emissions) gather_again(w, t0, middle);
      run.beta_block(block_emissions(w, t0, middle), w.row, w.window + (t0 - first) * plan.groups, t0, block_length(t0));
    }
  }
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
