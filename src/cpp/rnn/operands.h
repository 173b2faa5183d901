// Products of a lower precision: a cell whose Operand is pairs runs the same scan, and its products read copies of x,
// h' and of the gradients d in pairs, which are half as long.
//
//   x, h'    pairs of neighbouring numbers: the scalars of the forward products
//   d        pairs of neighbouring lanes for dx and dh; pairs of neighbouring frames for dW
//
// Sums, biases, the tape and everything elementwise stay in R. Where operands are numbers, there are no copies. Products
// in tile registers have layouts of their own for d (rnn/tiled.h).
#pragma once

#include "rnn/scratch.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// Products read copies; those of vectors, or of tiles.
template <class C>
constexpr bool converts = C::Operand::size > 1;
template <class C>
constexpr bool tiled = C::Operand::tiled;
template <class C>
constexpr bool paired = converts<C> && !tiled<C>;
template <class C>
PYSEQ_INLINE int64_t operands_in(int64_t numbers) { return ceil_div(numbers, C::Operand::size); }

// Floats from row to row of operands. An odd number of cache lines spreads the rows of a tile over the cache's sets.
template <class C>
constexpr int64_t floats_of_row(int64_t width) {
  return tiled<C> ? (ceil_div(width * C::Operand::parts, 16) | 1) * 16 : width;
}

template <class C, class R>
struct ForwardOperands {
  R* x = nullptr;  // [threads][x_rows][x_row]: of a row, x_width operands, or as many high and as many low parts of them
  R* h = nullptr;  // [2][batch][h_row]: as even and as odd steps read it
  int64_t x_rows = 0, x_width = 0, x_row = 0, h_width = 0, h_row = 0, input = 0, output = 0, batch = 0;

  ForwardOperands() = default;
  ForwardOperands(const Shape& s, int64_t rows, int threads, Arena& arena)
      : input(s.input), output(s.output), batch(s.batch) {
    if (!converts<C>) return;
    x_rows = rows;
    x_width = round_up(operands_in<C>(s.input), kLanes<R>);
    x_row = floats_of_row<C>(x_width);
    h_width = round_up(operands_in<C>(s.h_padded), kLanes<R>);
    h_row = floats_of_row<C>(h_width);
    x = arena.take<R>((threads * x_rows + tail_rows(1)) * x_row);
    h = arena.take<R>((2 * s.batch + tail_rows(threads)) * h_row);
  }
  // Rows that tiles read beyond the last, and make nothing of; rows lie `apart` from each other.
  static constexpr int64_t tail_rows(int64_t apart) { return tiled<C> ? 15 * apart : 0; }
  // What the product of x reads of a frame: the frame itself, or its copy in row n of a thread's.
  const R* of_x(int64_t thread, int64_t n, const R* frame) const {
    if constexpr (converts<C>) {
      R* copy = x + (thread * x_rows + n) * x_row;
      C::Operand::copy(copy, frame, input, x_width, x_width);
      return copy;
    } else {
      (void)thread, (void)n;
      return frame;
    }
  }
  // Of a sorted sequence, as step t reads it.
  R* of_h(int64_t row, int64_t t) const { return h + ((t & 1) * batch + row) * h_row; }
  // A row of h, or columns [first, end) of it; and a vector of it.
  void copy_h(R* to, const R* numbers, int64_t first, int64_t end) const {
    C::Operand::copy(to + first / C::Operand::size, numbers + first, end - first, operands_in<C>(end - first), h_width);
  }
  PYSEQ_INLINE void store_h(R* to, int64_t column, Vec<R> v) const {
    C::Operand::store(to + column / C::Operand::size, v, h_width);
  }
};

template <class C, class R, bool = tiled<C>>
struct BackwardOperands {
  R* by_lanes = nullptr;   // of a chunk: [block][frame][slot][lane / size], blocks `stride` frames apart
  R* by_frames = nullptr;  // of a chunk: [block][frame / size][slot][lane], blocks block_stride(frames / size) apart

  BackwardOperands(const Shape& s, int, Arena& arena) {
    if (!paired<C>) return;
    by_lanes = arena.take<R>(chunk_slots_size(s) / C::Operand::size);
    by_frames = arena.take<R>(block_stride(operands_in<C>(s.chunk_frames)) * s.blocks * s.frame_size);
  }
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
