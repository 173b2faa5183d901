// Products in tile registers (simd/tiles.h): blocks of 2 x 2 or of 1 x 4 tiles of sums.
#pragma once

#include "simd/tiles.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// Where tiles of an operand lie: rows `row` floats apart, the next 32 numbers of k `next` floats further, low parts
// `low` floats from the high ones.
struct TileLayout {
  int64_t row, next, low;
};
// Packed weights: tile by tile, high and low in turn.
template <class P>
constexpr TileLayout packed_tiles() { return {kTileLanes, P::parts * kTileSize, kTileSize}; }

// Rows of tiles of sums for so many rows, and how many tiles wide they then are.
constexpr int kTileGroupRows = 2 * kTileRows;
constexpr int tile_columns(int row_tiles) { return row_tiles == 1 ? 4 : 2; }

// f(Int<0>), f(Int<1>), ...
template <int N, int I = 0, class F>
PYSEQ_INLINE void each(const F& f) {
  if constexpr (I < N) {
    f(Int<I>{});
    each<N, I + 1>(f);
  }
}

// Tiles of sums i * LD + OFF + j, i < MT, j < N:  += A[i] B[j] over `depth` tiles of k.
// a: the first row; row tiles follow each other. b: the tiles of each column.
template <class P, int MT, int LD, int OFF, int N>
PYSEQ_INLINE void multiply_tile_block(int64_t depth, const float* a, TileLayout al, const float* const (&b)[N],
                                      TileLayout bl) {
  static_assert(MT * LD <= 4 && OFF + N <= LD, "four tiles of sums");
  const int64_t a_row = al.row, a_low = al.low, b_row = bl.row, b_low = bl.low;
  int64_t at = 0;
#pragma GCC unroll 1
  for (int64_t k = 0; k < depth; k++, a += al.next, at += bl.next) {
    if constexpr (MT == 1) {  // tiles of A stay, those of B pass by
      load_tile<4>(a, a_row);
      if constexpr (P::parts == 2) load_tile<5>(a + a_low, a_row);
      each<N>([&](auto j) {
        constexpr int c = OFF + j.value;
        if constexpr (P::parts == 2) {
          load_tile<6>(b[j] + at, b_row);
          multiply_tiles<c, 5, 6>();
          multiply_tiles<c, 4, 6>();
          load_tile<7>(b[j] + at + b_low, b_row);
          multiply_tiles<c, 4, 7>();
        } else {
          load_tile<6 + j.value % 2>(b[j] + at, b_row);
          multiply_tiles<c, 4, 6 + j.value % 2>();
        }
      });
    } else {
      const auto load_a = [&](const float* p) {
        load_tile<4>(p, a_row);
        load_tile<5>(p + kTileRows * a_row, a_row);
      };
      const auto load_b = [&](int64_t low) {
        each<N>([&](auto j) { load_tile<6 + j.value>(b[j] + at + low, b_row); });
      };
      const auto multiply = [&] {
        each<2>([&](auto i) {
          each<N>([&](auto j) { multiply_tiles<i.value * LD + OFF + j.value, 4 + i.value, 6 + j.value>(); });
        });
      };
      if constexpr (P::parts == 2) {
        load_a(a + a_low);
        load_b(0);
        multiply();
      }
      load_a(a);
      if constexpr (P::parts == 1) load_b(0);
      multiply();
      if constexpr (P::parts == 2) {
        load_b(b_low);
        multiply();
      }
    }
  }
}

template <int MT, int N>
PYSEQ_INLINE void zero_tile_block() {
  each<MT * N>([](auto t) { zero_tile<t.value>(); });
}
// Tile j of row tile i lies at p + i * 16 * row + j * column.
template <int MT, int N>
PYSEQ_INLINE void load_tile_block(const float* p, int64_t row, int64_t column) {
  each<MT * N>([&](auto t) { load_tile<t.value>(p + t.value / N * kTileRows * row + t.value % N * column, row); });
}
template <int MT, int N>
PYSEQ_INLINE void store_tile_block(float* p, int64_t row, int64_t column) {
  each<MT * N>([&](auto t) { store_tile<t.value>(p + t.value / N * kTileRows * row + t.value % N * column, row); });
}

// f(first, rows, Int<row tiles>) over n rows, two tiles of rows at a time while there are more than one.
template <class F>
PYSEQ_INLINE void tile_row_groups(int64_t n, const F& f) {
  for (int64_t first = 0; first < n; first += kTileGroupRows) {
    const int64_t rows = min_of<int64_t>(kTileGroupRows, n - first);
    if (rows > kTileRows) f(first, rows, Int<2>{});
    else f(first, rows, Int<1>{});
  }
}

// Columns [m, m + 16) of rows, of which `left` exist, transposed: to[column][pair], low parts `low` behind the high ones.
// rows[2 pair] and rows[2 pair + 1] become pairs, null ones zeros.
template <class R, class P>
PYSEQ_TILE void transpose_columns(const R* const* rows, int64_t pairs, int64_t m, int64_t left, R* to, int64_t row,
                                  int64_t low) {
  for (int64_t first = 0; first < pairs; first += kTileLanes) {
    Vec<R> r[P::parts][kTileLanes];
    for (int i = 0; i < kTileLanes; i++) {
      const R *one = rows[2 * (first + i)], *other = rows[2 * (first + i) + 1];
      Vec<R> joined[P::parts];
      P::join(one ? load_up_to(one + m, left) : Vec<R>{}, other ? load_up_to(other + m, left) : Vec<R>{}, joined);
      for (int p = 0; p < P::parts; p++) r[p][i] = joined[p];
    }
    for (int p = 0; p < P::parts; p++) {
      transpose(r[p]);
      for (int i = 0; i < kTileRows; i++) store(to + i * row + p * low + first, r[p][i]);
    }
  }
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
