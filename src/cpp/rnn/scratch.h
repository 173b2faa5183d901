// Memory for what goes beyond one product and one pass a step: extra rows of parameters, masks, second products.
#pragma once

#include "rnn/split.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// A step that makes something of its own and multiplies that once more.
template <class C>
constexpr bool two_passes = C::scheme == Scheme::kGated || C::scheme == Scheme::kProjected;
// x's product may share a tile with that of h'.
template <class C>
constexpr bool products_may_fuse = C::scheme != Scheme::kLinear && C::scheme != Scheme::kNormalised;
// Slots that a chunk's product of x leaves behind.
template <class C>
constexpr int input_slots = C::scheme == Scheme::kNormalised ? C::x_slots : C::slots;
// Slots carry something from pass to pass, also where no backward pass follows.
template <class C>
constexpr bool needs_slots = C::scheme == Scheme::kGated;

// Rows of parameters that the elementwise part takes. After a normalisation: the biases as well, a row a gate.
template <class C>
constexpr int extra_rows = C::extras + (C::scheme == Scheme::kNormalised ? C::gates : 0);

// Statistics of a frame: - mean / deviation and 1 / deviation of the sums over x, of those over h', and of c.
constexpr int kShiftX = 0, kScaleX = 1, kShiftH = 2, kScaleH = 3, kShiftC = 4, kScaleC = 5, kRowStats = 6;

// Where a row of such parameters, or of their gradients, has its vector v of units: [vector][row][lane], in one piece
// what a vector of units needs.
template <class C, class R>
PYSEQ_INLINE int64_t extra_at(int64_t row, int64_t v) { return (v * extra_rows<C> + row) * kLanes<R>; }

// Zero beyond the last unit.
template <class C, class R>
void copy_extra(R* dst, const RnnWeights<R>& w, const Shape& s) {
  constexpr int W = kLanes<R>;
  for (int e = 0; e < extra_rows<C>; e++)
    for (int64_t i = 0; i < s.padded; i++) {
      const int64_t gate = (e - C::extras) * s.hidden + i;
      dst[extra_at<C, R>(e, i / W) + i % W] = i >= s.hidden   ? R(0)
                                              : e < C::extras ? w.extra[e * s.hidden + i]
                                                              : w.bias_ih[gate] + w.bias_hh[gate];
    }
}

template <class C, class R>
struct ForwardScratch {
  R* extra = nullptr;    // by extra_at
  R* masked = nullptr;   // [2][batch][h_padded]: h' times its mask, for even and for odd steps
  R* weight = nullptr;   // of the second product: [block][k][lane] (gated) or panels (projected)
  R* between = nullptr;  // [batch][padded] gated state; the cell's output, without a tape; o (normalised)
  R* stats = nullptr;    // [batch][kRowStats], without a tape
  const R** a_rows = nullptr;  // [threads][batch]
  R** out_rows = nullptr;

  ForwardScratch() = default;
  ForwardScratch(const Shape& s, bool is_masked, bool keeps_tape, int threads, Arena& arena) {
    const bool gated = C::scheme == Scheme::kGated, projected = C::scheme == Scheme::kProjected;
    const bool normalised = C::scheme == Scheme::kNormalised;
    extra = arena.take<R>(extra_rows<C> * s.padded);
    masked = arena.take<R>(is_masked ? 2 * s.batch * s.h_padded : 0);
    weight = arena.take<R>(gated ? s.hidden * s.padded : projected ? panels_size<R>(s.hidden, s.output) : 0);
    between = arena.take<R>(gated || normalised || (projected && !keeps_tape) ? s.batch * s.padded : 0);
    stats = arena.take<R>(normalised && !keeps_tape ? s.batch * kRowStats : 0);
    a_rows = arena.take<const R*>(projected ? s.batch * threads : 0);
    out_rows = arena.take<R*>(projected ? s.batch * threads : 0);
  }
};

// Sums of the gradient of the second product's weights.
template <class C, class R, Scheme = C::scheme>
struct SecondGradient {
  SecondGradient(const Shape&, Arena&) {}
};

template <class C, class R>
struct BackwardScratch {
  R* extra;      // by extra_at
  R* sums;       // [batch], by extra_at: their gradients, each sequence's sum over time
  R* masked_dh;  // [batch][h_padded]: gradient of h' times its mask
  R* operands;   // [2][frames of a chunk][h_padded]: h' times its mask
  R* weight;     // of the second product, in panels
  R* second;     // [batch][padded]: gradient of what the second product reads
  R* rows;       // [2][frames of a chunk][padded or h_padded]: gated states; gradients of h (projected)
  R* gates;      // normalised: [batch][blocks][gate][lane]
  R* units;      // normalised: [batch][blocks][4][lane], sums over the gates of a unit
  R* means;      // normalised: [batch][4]

  BackwardScratch(const Shape& s, bool is_masked, Arena& arena) {
    const bool gated = C::scheme == Scheme::kGated, projected = C::scheme == Scheme::kProjected;
    const bool normalised = C::scheme == Scheme::kNormalised;
    extra = arena.take<R>(extra_rows<C> * s.padded);
    sums = arena.take<R>(s.batch * extra_rows<C> * s.padded);
    masked_dh = arena.take<R>(is_masked ? s.batch * s.h_padded : 0);
    operands = arena.take<R>(is_masked ? 2 * s.chunk_frames * s.h_padded : 0);
    weight = arena.take<R>(gated ? panels_size<R>(s.padded, s.hidden) : projected ? panels_size<R>(s.output, s.hidden) : 0);
    second = arena.take<R>(two_passes<C> ? s.batch * s.padded : 0);
    rows = arena.take<R>(two_passes<C> ? 2 * s.chunk_frames * max_of(s.padded, s.h_padded) : 0);
    gates = arena.take<R>(normalised ? s.batch * s.padded * C::gates : 0);
    units = arena.take<R>(normalised ? s.batch * s.padded * 4 : 0);
    means = arena.take<R>(normalised ? s.batch * 4 : 0);
  }
};

// Where threads split the units, all of a step's must be there before the next pass.
PYSEQ_INLINE void meet(Barrier* barrier, const Share& share) {
  if (share.barriers) barrier->wait(share.threads);
}

// Columns [first, end) of h that a share computes.
struct Columns {
  int64_t first, end;
};
template <class C, class R, int Q>
Columns own_units(const Shape& s, const Share& share) {
  const int64_t width = Q * kLanes<R>;
  return {share.first_block * width, min_of(s.hidden, share.end_block * width)};
}
// Panels [first, end) of a row product with so many columns.
template <class R>
Columns own_panels(int64_t columns, const Share& share) {
  const int64_t panels = ceil_div(columns, kPanelVectors * kLanes<R>);
  if (!share.barriers) return {0, panels};
  return {piece_start(panels, share.threads, share.thread), piece_start(panels, share.threads, share.thread + 1)};
}
template <class C, class R, int Q>
Columns own_columns(const Shape& s, const Share& share) {
  if (C::scheme != Scheme::kProjected) return own_units<C, R, Q>(s, share);
  const Columns p = own_panels<R>(s.output, share);
  const int64_t width = kPanelVectors * kLanes<R>;
  return {p.first * width, min_of(s.output, p.end * width)};
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
