// Layouts for products in tile registers (simd/tiles.h), where a cell's Operand is TilePairs. Activations and states keep
// the layouts of the other products; the rest is cut so that a tile is 16 rows of one cache line:
//
//   weights, forward    [block][slot][k / 32] tiles: k by units
//   weights, backward   [column / 16][slot][unit / 32] tiles: units by columns
//   d, as rows          [frame][slot][unit], for dh and dx
//   d, as lines         [block][pair of steps][slot][lane], for dW: a line holds a row's d of two steps that follow each
//                       other, whose rows belong to one thread
//   x, h' transposed    [column][pair of steps], for dW
//   dW                  [column / 16][block][slot] tiles: columns by units
//
// d is written in both of its forms at once and never as float32.
#pragma once

#include "rnn/backward_state.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// Columns of x or h' that are transposed at a time: with a chunk's frames well within L2. For each lot of them, all of d
// is read again; where that lies in L2, fewer columns do.
constexpr int64_t kTransposedRows = 256, kFewTransposedRows = 64;

template <class C, class R>
struct BackwardOperands<C, R, true> {
  R* rows = nullptr;            // [frames of a chunk][row], low parts row_width behind the high ones
  R* lines = nullptr;           // [block][pair][part][slot][lane]
  R* transposed = nullptr;      // [threads][transposed_rows][transposed_row]
  int64_t* first_pair = nullptr;  // [steps] pair of the first row, from the chunk's first
  int64_t slot_units, row_width, row, pairs, pair_size, block_size, transposed_rows, transposed_row, transposed_width;

  BackwardOperands(const Shape& s, int threads, Arena& arena) {
    constexpr int parts = C::Operand::parts;
    slot_units = tiled_units(s);
    row_width = C::slots * slot_units / 2;
    row = floats_of_row<C>(row_width);
    pairs = round_up(most_pairs(s), kTileRows);
    pair_size = parts * s.frame_size;
    block_size = (pairs * parts * C::slots | 1) * kTileLanes;
    const bool near = s.blocks * block_size * static_cast<int64_t>(sizeof(R)) <= kChunkBytes;
    transposed_rows = min_of(near ? kFewTransposedRows : kTransposedRows, round_up(max_of(s.input, s.output), kTileRows));
    transposed_width = pairs;
    transposed_row = floats_of_row<C>(transposed_width);
    rows = arena.take<R>((s.chunk_frames + ForwardOperands<C, R>::tail_rows(threads)) * row);
    lines = arena.take<R>(s.blocks * block_size);
    transposed = arena.take<R>(threads * transposed_rows * transposed_row);
    first_pair = arena.take<int64_t>(s.steps);
  }
  static int64_t most_pairs(const Shape& s) { return ceil_div(min_of(s.chunk_steps, s.steps), 2) * s.batch; }
  void fill(const Plan& plan) {
    for (int64_t c = 0; c < plan.shape.chunks; c++) {
      int64_t pair = 0;
      for (int64_t t = plan.chunks[c].first_step; t < plan.chunks[c].end_step; t += 2) {
        first_pair[t] = pair;
        if (t + 1 < plan.chunks[c].end_step) first_pair[t + 1] = pair;
        pair += plan.active[t];
      }
    }
  }
  int64_t pairs_of(const Plan& plan, const Chunk& chunk) const {
    const int64_t last = chunk.first_step + ((chunk.end_step - 1 - chunk.first_step) & ~int64_t{1});
    return first_pair[last] + plan.active[last];
  }
};

// Sums of one side of dW.
template <class Side, class R>
struct TiledGradient {
  int64_t K, tiles;
  R* sums;
  TiledGradient(const Shape& s, int64_t k, Arena& arena) : K(k), tiles(ceil_div(k, kTileRows)) {
    sums = arena.take<R>(tiles * tile_size(s));
  }
  int64_t tile_size(const Shape& s) const { return s.blocks * Side::slots * kTileSize; }
  void clear(const Shape& s, int64_t first_tile, int64_t end_tile) {
    memset(sums + first_tile * tile_size(s), 0, static_cast<size_t>((end_tile - first_tile) * tile_size(s)) * sizeof(R));
  }
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
