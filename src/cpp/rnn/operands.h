// Products of a lower precision: a cell whose Operand is pairs runs the same scan, and its products read copies of x,
// h' and of the gradients d in pairs, which are half as long.
//
//   x, h'    pairs of neighbouring numbers: the scalars of the forward products
//   d        pairs of neighbouring lanes for dx and dh; pairs of neighbouring frames for dW
//
// Sums, biases, the tape and everything elementwise stay in R. Where operands are numbers, there are no copies.
#pragma once

#include "rnn/scratch.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class C>
constexpr bool paired = C::Operand::size > 1;
template <class C>
PYSEQ_INLINE int64_t operands_in(int64_t numbers) { return ceil_div(numbers, C::Operand::size); }

template <class C, class R>
struct ForwardOperands {
  R* x = nullptr;  // [threads][x_rows][x_width]
  R* h = nullptr;  // [2][batch][h_width]: as even and as odd steps read it
  int64_t x_rows = 0, x_width = 0, h_width = 0, input = 0, batch = 0;

  ForwardOperands() = default;
  ForwardOperands(const Shape& s, int64_t rows, int threads, Arena& arena) : input(s.input), batch(s.batch) {
    if (!paired<C>) return;
    x_rows = rows;
    x_width = round_up(operands_in<C>(s.input), kLanes<R>);
    h_width = round_up(operands_in<C>(s.h_padded), kLanes<R>);
    x = arena.take<R>(threads * x_rows * x_width);
    h = arena.take<R>(2 * s.batch * h_width);
  }
  // What the product of x reads of a frame: the frame itself, or its copy in row n of a thread's.
  const R* of_x(int64_t thread, int64_t n, const R* frame) const {
    if constexpr (paired<C>) {
      R* copy = x + (thread * x_rows + n) * x_width;
      C::Operand::copy(copy, frame, input);
      return copy;
    } else {
      (void)thread, (void)n;
      return frame;
    }
  }
  // Of a sorted sequence, as step t reads it.
  R* of_h(int64_t row, int64_t t) const { return h + ((t & 1) * batch + row) * h_width; }
};

template <class C, class R>
struct BackwardOperands {
  R* by_lanes = nullptr;   // of a chunk: [block][frame][slot][lane / size], blocks `stride` frames apart
  R* by_frames = nullptr;  // of a chunk: [block][frame / size][slot][lane], blocks block_stride(frames / size) apart

  BackwardOperands(const Shape& s, Arena& arena) {
    if (!paired<C>) return;
    by_lanes = arena.take<R>(chunk_slots_size(s) / C::Operand::size);
    by_frames = arena.take<R>(block_stride(operands_in<C>(s.chunk_frames)) * s.blocks * s.frame_size);
  }
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
