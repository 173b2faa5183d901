// The product that convolution and its input gradient share (conv/correlate.h) in tile registers (simd/tiles.h).
//
//   operands   [row of a ring][part][pair of channels], zeros up to whole tiles and in rows outside the sequence
//   weights    [column / 16][tap][channel / 32] tiles: pairs of channels by columns
//
// 32 frames at a time, counted from the first one of a sequence, whatever thread has them: bias, then the taps from the
// oldest, each summed by 32 channels. Taps that reach none of these frames are left out; under the others, rows outside
// the sequence are zeros. To cut time where the set of taps changes would leave tiles of few rows, which take as long
// as whole ones.
//
// A row is split into its parts once, ahead of the newest tap that reads it, into a ring of a thread as long as the taps
// reach: all taps and columns find it in L2. (A thread splits the rows that its first taps reach among another's once more.)
#pragma once

#include "conv/conv1d.h"
#include "conv/line_ring.h"
#include "gemm/tiled.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

static_assert(kMostRows % kTileGroupRows == 0, "whole groups of rows in a pass over the weights");
static_assert(kTileGroupRows <= kTileDepth, "lines that a ring repeats");

// What a block of tiles sums up.
template <class R>
struct TapProducts {
  const R* rows;      // a ring, `around` numbers long
  int64_t first, next_tap, around;  // numbers from its start to the first row under the first tap, from tap to tap
  TileLayout layout;  // of its rows
  int64_t taps, depth;
  const R* weights;   // of the first tap and column tile
  int64_t column_size;
  const R* bias;      // of the first column; may be null
};

// out[row][16 * N], rows `stride` apart: 16 * MT of them.
template <class P, class R, int MT, int N>
PYSEQ_TILE void tap_products(const TapProducts<R>& p, R* out, int64_t stride) {
  const R* b[N];
  PYSEQ_UNROLL for (int j = 0; j < N; j++) b[j] = p.weights + j * p.column_size;
  if (p.bias) each<MT * N>([&](auto t) { load_tile<t.value>(p.bias + t.value % N * kTileLanes, 0); });
  else zero_tile_block<MT, N>();
  int64_t at = p.first;
  for (int64_t k = 0; k < p.taps; k++) {
    multiply_tile_block<P, MT, N, 0, N>(p.depth, p.rows + at, p.layout, b, packed_tiles<P>());
    at += p.next_tap;
    if (at >= p.around) at -= p.around;
    PYSEQ_UNROLL for (int j = 0; j < N; j++) b[j] += p.depth * P::parts * kTileSize;
  }
  store_tile_block<MT, N>(out, stride, kTileLanes);
}

template <class R, class P>
class Operands<R, P, true> {
 public:
  Operands(const Conv1d<R>& conv, bool reversed, Arena& arena)
      : c(conv),
        direction_(conv, reversed),
        depth_(ceil_div(direction_.inputs, kTileDepth)),
        row_(apart(P::parts * depth_) * kTileLanes),
        column_size_(c.kernel_size * depth_ * P::parts * kTileSize),
        ring_(ring_for(c, kMostRows, 1)) {
    rows_ = arena.take<R>(c.crew.most * ring_.room() * row_);
    weight_ = arena.take<R>(ceil_div(direction_.outputs, kTileLanes) * column_size_);
  }
  void set(const Source<R>& source, const R* bias, const Finish<R>& finish) {
    source_ = source;
    bias_ = bias;
    finish_ = finish;
  }
  void prepare(int64_t, int64_t, int thread, int threads) const {
    const int64_t lists = ceil_div(direction_.outputs, kTileLanes) * c.kernel_size;  // of the tiles under one tap
    for (int64_t i = piece_start(lists, threads, thread); i < piece_start(lists, threads, thread + 1); i++)
      pack_tap(i / c.kernel_size, i % c.kernel_size);
  }
  void multiply(int64_t row0, int64_t row1, int thread, R* scratch) const {
    R* ring = rows_ + thread * ring_.room() * row_;
    configure_tiles(kTileRows);
    int64_t first = 0;
    for (int64_t b = 0; b < c.batch && first < row1; first += c.lengths[b++]) {
      const int64_t begin = round_up(max_of<int64_t>(0, row0 - first), kTileGroupRows);
      const int64_t end = min_of(c.lengths[b], round_up(row1 - first, kTileGroupRows));
      int64_t ready = max_of<int64_t>(begin - direction_.left, 1 - kTileGroupRows);
      for (int64_t t = begin; t < end; t += kMostRows) {
        const int64_t rows = min_of(kMostRows, end - t);
        ready = split_rows(b, ready, t + round_up(rows, kTileGroupRows) + newest(), ring);
        multiply_rows(b, t, rows, ring, scratch);
      }
    }
    release_tiles();
  }

 private:
  // Cache lines from row to row for rows of so many: rows multiples of 8 apart would share few of L1's sets.
  static int64_t apart(int64_t lines) { return lines % 8 == 0 ? lines + 1 : lines; }
  int64_t newest() const { return (c.kernel_size - 1) * c.dilation - direction_.left; }  // frames ahead that a tap reads
  // Frames [t, end) of sequence b into the ring, zeros outside the sequence; those that no tile reads are left out. Returns
  // where to go on.
  int64_t split_rows(int64_t b, int64_t t, int64_t end, R* ring) const {
    const R* rows = source_.data + source_.start[b] * source_.stride;
    const int64_t depth = depth_ * kTileLanes;
    for (end = min_of(end, c.lengths[b] + kTileGroupRows - 1); t < end; t++) {
      const int64_t at = ring_.at(t), again = ring_.again(at);
      R* row = ring + at * row_;
      if (t < 0 || t >= c.lengths[b]) memset(row, 0, static_cast<size_t>(row_) * sizeof(R));
      else P::copy(row, rows + t * source_.stride, direction_.inputs, depth, depth);
      if (again != at) memcpy(ring + again * row_, row, static_cast<size_t>(row_) * sizeof(R));
    }
    return t;
  }
  // The tiles of 16 columns under tap k.
  void pack_tap(int64_t column_tile, int64_t k) const {
    R* tile = weight_ + column_tile * column_size_ + k * depth_ * P::parts * kTileSize;
    const auto line = [&](int64_t channel) {
      R numbers[kTileLanes];
      direction_.line(k, channel, column_tile * kTileLanes, numbers);
      return load(numbers);
    };
    for (int64_t pair = 0; pair < depth_ * kTileLanes; pair++) {
      Vec<R> pairs[P::parts];
      P::join(line(2 * pair), line(2 * pair + 1), pairs);
      R* to = tile + pair / kTileRows * P::parts * kTileSize + pair % kTileRows * kTileLanes;
      for (int part = 0; part < P::parts; part++) store(to + part * kTileSize, pairs[part]);
    }
  }

  // Rows [t, t + rows) of sequence b: at most kMostRows, the first a multiple of kTileGroupRows.
  void multiply_rows(int64_t b, int64_t t, int64_t rows, const R* ring, R* scratch) const {
    R* out[kMostRows];
    R* z = finish_.z_rows(b, t, scratch);
    for (int64_t i = 0; i < rows; i++) out[i] = z + i * finish_.z_stride();
    const int64_t tiles = ceil_div(finish_.outputs, kTileLanes);
    const int most = rows > kTileRows ? tile_columns(2) : tile_columns(1);
    for (int64_t column = 0; column < tiles; column += most) {
      const int64_t end = min_of(tiles, column + most);
      tile_row_groups(rows, [&](int64_t row, int64_t count, auto mt) {
        constexpr int MT = decltype(mt)::value, NT = tile_columns(MT);
        for (int64_t at = column; at < end; at += NT)
          with_rows<NT>(static_cast<int>(min_of<int64_t>(NT, end - at)), [&](auto nt) {
            constexpr int N = decltype(nt)::value;
            multiply_block<MT, N>(products(ring, b, t + row, count, at), out + row, count, at * kTileLanes);
          });
      });
    }
    finish_.rows(b, out, rows, [&](int64_t i) { return t + i; });
  }
  // The products of rows [t, t + rows) and column tiles from `tile` on: of the taps that reach any of these rows.
  TapProducts<R> products(const R* ring, int64_t b, int64_t t, int64_t rows, int64_t tile) const {
    const int64_t left = direction_.left;
    const int64_t first = max_of<int64_t>(0, ceil_div(left - (t + rows - 1), c.dilation));
    const int64_t last = max_of(first, min_of(c.kernel_size, ceil_div(c.lengths[b] + left - t, c.dilation)));
    return {ring,
            ring_.at(t + first * c.dilation - left) * row_,
            c.dilation * row_,
            ring_.lines() * row_,
            {row_, kTileLanes, depth_ * kTileLanes},
            last - first,
            depth_,
            weight_ + tile * column_size_ + first * depth_ * P::parts * kTileSize,
            column_size_,
            bias_ ? bias_ + tile * kTileLanes : nullptr};
  }
  // Whole tiles go where they belong, others by a block of memory on the stack.
  template <int MT, int N>
  void multiply_block(const TapProducts<R>& p, R* const* out, int64_t rows, int64_t column) const {
    constexpr int width = N * kTileLanes;
    if (rows == MT * kTileRows && column + width <= finish_.outputs) {
      tap_products<P, R, MT, N>(p, out[0] + column, out[1] - out[0]);
      return;
    }
    alignas(64) R sums[MT * kTileRows * width];
    tap_products<P, R, MT, N>(p, sums, width);
    for (int64_t i = 0; i < rows; i++)
      for (int j = 0; j < width; j += kTileLanes)
        store_up_to(out[i] + column + j, load(sums + i * width + j), finish_.outputs - column - j);
  }

  const Conv1d<R>& c;
  Direction<R> direction_;
  int64_t depth_;        // tiles of channels
  int64_t row_;          // numbers from row to row of a ring
  int64_t column_size_;  // numbers in the weights of 16 columns
  LineRing ring_;
  R *rows_, *weight_;    // rows_: a ring for each thread
  Source<R> source_ = {};
  const R* bias_ = nullptr;
  Finish<R> finish_ = {};
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
