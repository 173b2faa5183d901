// What a cell is: gate arithmetic over vectors, and a description of its gates that everything else reads.
//
// A *block* is Q vectors of units (Q * kLanes units). Of each frame and block the products leave S *slots*, one
// vector of sums each, side by side in memory; the cell turns them into the new state. Member by member:
//
//   gates                  G, blocks of rows in the caller's weights (PyTorch's order)
//   slots                  S
//   x_first, x_slots       the slots that the input product adds to
//   h_first, h_slots       the slots that the recurrent product adds to
//   x_gate(s), h_gate(s)   which gate's weights feed slot s, for s in those ranges
//   unit(s)                which of the block's Q vectors of units slot s belongs to
//   has_cell               a second state c besides h
//   keeps_slots            backward reads the slots as forward left them
//   carries_h              h reaches the step before also outside the recurrent product
//   most_unit_vectors      largest useful Q
//
//   forward<N>(a, h_prev, c_prev, c, h)   N rows: slots `a` in, activated slots out, new states
//   backward(a, h_prev, c_prev, h, dh, dc, d, dh_prev, dc_prev)
//                          one row: d = gradients of the slots before activation; dh_prev is what reaches the step
//                          before directly (carries_h), dc_prev what reaches its c
//
// What most cells have no use for stands in CellDefaults:
//
//   extras                 E, rows of `hidden` parameters beside the weights. forward takes them as a last argument e,
//                          [NB][E][Q]: the N rows are those of NB blocks, one after the other. backward takes e,
//                          [E][Q], and adds to their gradients de
//   scheme                 how a step runs; each but kOnePass has a header with its own demands on the cell
//   Operand                what its products multiply: numbers, or pairs of a lower precision (rnn/operands.h)
#pragma once

#include "gemm/tile.h"
#include "simd/activations.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

enum class Scheme {
  kOnePass,     // products, then the cell
  kLinear,      // no recurrent product (rnn/linear.h)
  kGated,       // a second product, of a state that a gate has scaled (rnn/gated.h)
  kProjected,   // a second product, of the cell's output (rnn/projected.h)
  kNormalised,  // sums over all units between products and gates (rnn/normalised.h)
};

struct CellDefaults {
  static constexpr int extras = 0;
  static constexpr Scheme scheme = Scheme::kOnePass;
  using Operand = Numbers;
};

// Activations in flight together: enough to fill the pipelines, few enough for the registers.
constexpr int kActivationGroup = kAccumulators / 3;

// x[i][s] <- tanh or sigmoid, in groups of about kActivationGroup. is_tanh(s) for slot s; S slots a row.
template <class R, int N, int S, class T>
PYSEQ_INLINE void activate_slots(Vec<R> (&x)[N][S], const T& is_tanh) {
  constexpr int most = S >= kActivationGroup ? 1 : kActivationGroup / S;  // rows in flight
  constexpr int groups = (N + most - 1) / most, group = (N + groups - 1) / groups;
  PYSEQ_UNROLL for (int first = 0; first < N; first += group) {
    Vec<R> v[group * S];
    bool kind[group * S];
    PYSEQ_UNROLL for (int i = 0; i < group * S; i++) {
      const int row = first + i / S;
      v[i] = x[row < N ? row : N - 1][i % S];
      kind[i] = is_tanh(i % S);
    }
    activate<R>(v, kind);
    PYSEQ_UNROLL for (int i = 0; i < group * S; i++)
      if (first + i / S < N) x[first + i / S][i % S] = v[i];
  }
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
