// The product that convolution and its input gradient share (conv/correlate.h) in tile registers (simd/tiles.h).
//
//   operands   [row][part][pair of channels], zeros up to whole tiles; rows of zeros around each sequence
//   weights    [column / 16][tap][channel / 32] tiles: pairs of channels by columns
//
// 32 frames at a time, counted from the first one of a sequence, whatever thread has them: bias, then the taps from the
// oldest, each summed by 32 channels. Taps that reach none of these frames are left out; under the others, rows outside
// the sequence are zeros. To cut time where the set of taps changes would leave tiles of few rows, which take as long
// as whole ones.
#pragma once

#include "conv/conv1d.h"
#include "gemm/tiled.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

static_assert(kMostRows % kTileGroupRows == 0, "whole groups of rows in a pass over the weights");

// What a block of tiles sums up.
template <class R>
struct TapProducts {
  const R* a;         // first row under the first tap
  TileLayout layout;  // of it
  int64_t taps, next_tap, depth;  // next_tap: numbers from a tap's rows to those of the next
  const R* weights;   // of the first tap and column tile
  int64_t column_size;
  const R* bias;      // of the first column; may be null
};

// out[row][16 * N], rows `stride` apart: 16 * MT of them.
template <class P, class R, int MT, int N>
PYSEQ_TILE void tap_products(const TapProducts<R>& p, R* out, int64_t stride) {
  const R *a = p.a, *b[N];
  PYSEQ_UNROLL for (int j = 0; j < N; j++) b[j] = p.weights + j * p.column_size;
  if (p.bias) each<MT * N>([&](auto t) { load_tile<t.value>(p.bias + t.value % N * kTileLanes, 0); });
  else zero_tile_block<MT, N>();
  for (int64_t k = 0; k < p.taps; k++, a += p.next_tap) {
    multiply_tile_block<P, MT, N, 0, N>(p.depth, a, p.layout, b, packed_tiles<P>());
    PYSEQ_UNROLL for (int j = 0; j < N; j++) b[j] += p.depth * P::parts * kTileSize;
  }
  store_tile_block<MT, N>(out, stride, kTileLanes);
}

template <class R, class P>
class Operands<R, P, true> {
 public:
  Operands(const Conv1d<R>& conv, int64_t inputs, int64_t outputs, Arena& arena)
      : c(conv),
        depth_(ceil_div(inputs, kTileDepth)),
        row_(apart(P::parts * depth_) * kTileLanes),
        gap_(min_of<int64_t>(kTileGroupRows - 1, (c.kernel_size - 1) * c.dilation)),
        column_size_(c.kernel_size * depth_ * P::parts * kTileSize) {
    start_ = arena.take<int64_t>(c.batch);
    copies_ = arena.take<R>((total_rows(c) + (c.batch + 1) * gap_ + kTileGroupRows) * row_);
    weight_ = arena.take<R>(ceil_div(outputs, kTileLanes) * column_size_);
  }
  void set(const Source<R>& source, const Packing<R>& packing, int64_t left, const R* bias, const Finish<R>& finish) {
    source_ = source;
    packing_ = packing;
    left_ = left;
    bias_ = bias;
    finish_ = finish;
    int64_t row = gap_;
    for (int64_t b = 0; b < c.batch; row += c.lengths[b++] + gap_) start_[b] = row;
  }
  void prepare(int64_t row0, int64_t row1, int thread, int threads) const {
    each_frame(c, row0, row1, [&](int64_t b, int64_t t, int64_t) {
      P::copy(copies_ + (start_[b] + t) * row_, source_.data + (source_.start[b] + t) * source_.stride, source_.width,
              depth_ * kTileLanes, depth_ * kTileLanes);
    });
    if (thread == 0) clear_rows(0);
    for (int64_t b = piece_start(c.batch, threads, thread); b < piece_start(c.batch, threads, thread + 1); b++)
      clear_rows(start_[b] + c.lengths[b]);
    const int64_t lists = ceil_div(packing_.columns, kTileLanes) * c.kernel_size;  // of the tiles under one tap
    for (int64_t i = piece_start(lists, threads, thread); i < piece_start(lists, threads, thread + 1); i++)
      pack_tap(i / c.kernel_size, i % c.kernel_size);
  }
  void multiply(int64_t row0, int64_t row1, R* scratch) const {
    configure_tiles(kTileRows);
    int64_t first = 0;
    for (int64_t b = 0; b < c.batch && first < row1; first += c.lengths[b++]) {
      const int64_t begin = round_up(max_of<int64_t>(0, row0 - first), kTileGroupRows);
      const int64_t end = min_of(c.lengths[b], round_up(row1 - first, kTileGroupRows));
      for (int64_t t = begin; t < end; t += kMostRows) multiply_rows(b, t, min_of(kMostRows, end - t), scratch);
    }
    release_tiles();
  }

 private:
  // Cache lines from row to row for rows of so many: rows multiples of 8 apart would share few of L1's sets.
  static int64_t apart(int64_t lines) { return lines % 8 == 0 ? lines + 1 : lines; }
  void clear_rows(int64_t row) const { memset(copies_ + row * row_, 0, static_cast<size_t>(gap_ * row_) * sizeof(R)); }
  // The tiles of 16 columns under tap k of the packing's weight.
  void pack_tap(int64_t column_tile, int64_t k) const {
    const Packing<R>& p = packing_;
    const int64_t tap = p.reversed ? c.kernel_size - 1 - k : k;
    const int64_t columns = min_of<int64_t>(kTileLanes, p.columns - column_tile * kTileLanes);
    R* tile = weight_ + column_tile * column_size_ + tap * depth_ * P::parts * kTileSize;
    const auto line = [&](int64_t channel) {
      Vec<R> v = {};
      if (channel >= p.channels) return v;
      const R* w = p.weight + column_tile * kTileLanes * p.stride_c + channel * p.stride_a + k;
      for (int64_t i = 0; i < columns; i++) v[i] = w[i * p.stride_c];
      return v;
    };
    for (int64_t pair = 0; pair < depth_ * kTileLanes; pair++) {
      Vec<R> pairs[P::parts];
      P::join(line(2 * pair), line(2 * pair + 1), pairs);
      R* to = tile + pair / kTileRows * P::parts * kTileSize + pair % kTileRows * kTileLanes;
      for (int part = 0; part < P::parts; part++) store(to + part * kTileSize, pairs[part]);
    }
  }

  // Rows [t, t + rows) of sequence b: at most kMostRows, the first a multiple of kTileGroupRows.
  void multiply_rows(int64_t b, int64_t t, int64_t rows, R* scratch) const {
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
            multiply_block<MT, N>(products(b, t + row, count, at), out + row, count, at * kTileLanes);
          });
      });
    }
    finish_.rows(b, t, out, rows);
  }
  // The products of rows [t, t + rows) and column tiles from `tile` on: of the taps that reach any of these rows.
  TapProducts<R> products(int64_t b, int64_t t, int64_t rows, int64_t tile) const {
    const int64_t first = max_of<int64_t>(0, ceil_div(left_ - (t + rows - 1), c.dilation));
    const int64_t last = max_of(first, min_of(c.kernel_size, ceil_div(c.lengths[b] + left_ - t, c.dilation)));
    return {copies_ + (start_[b] + t + first * c.dilation - left_) * row_,
            {row_, kTileLanes, depth_ * kTileLanes},
            last - first,
            c.dilation * row_,
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
  int64_t depth_;        // tiles of channels
  int64_t row_;          // numbers from row to row of copies
  int64_t gap_;          // rows of zeros before, between and after sequences
  int64_t column_size_;  // numbers in the weights of 16 columns
  int64_t* start_;       // [batch] first row of each sequence in copies
  R *copies_, *weight_;
  Source<R> source_ = {};
  Packing<R> packing_ = {};
  int64_t left_ = 0;
  const R* bias_ = nullptr;
  Finish<R> finish_ = {};
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
