// Weight and bias gradients of a convolution (conv/weight_gradient.h) in tile registers (simd/tiles.h).
//
//   grad_y transposed   [channel][part][pair of frames], for a block of frames
//   x as lines          [line][part][channel]: a line holds pairs of two frames that follow each other
//   sums                [output / 16][tap][input / 16] tiles: outputs by inputs
//
// A tap reads the same lines from another one on. Where a tap is moved by an odd number of frames, a line begins at every
// frame, else at every second one. Lines lie in a ring as long as the taps reach, so each is made once.
// Each sum runs over sequences, blocks and 32 frames at a time in their order; frames outside a sequence are zeros. Threads
// share the tiles of sums; each makes the operands that it reads.
#pragma once

#include "conv/line_ring.h"
#include "conv/weight_gradient.h"
#include "gemm/tiled.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

constexpr int64_t kTiledFrames = 256;  // in a block
constexpr int64_t kTransposedLow = kTiledFrames / 2;

// Tiles of sums, MT outputs by N inputs: += transposed grad_y times the lines of x.
template <class R>
struct FrameProducts {
  const R *a, *b;  // first transposed row, ring of lines from the first input on
  TileLayout a_layout, b_layout;
  int64_t line_size;
  LineRing ring;
  int64_t t, first, end;  // frame of x that the block's first one meets; tiles of the block
  R* sums;
  int64_t sums_row;  // numbers from row tile to row tile
};
template <class P, class R, int MT, int N>
PYSEQ_TILE void frame_products(const FrameProducts<R>& p) {
  const auto place = [&](auto t) { return p.sums + t.value / N * p.sums_row + t.value % N * kTileSize; };
  each<MT * N>([&](auto t) { load_tile<t.value>(place(t), kTileLanes); });
  p.ring.each_run(p.t, p.first, p.end, [&](int64_t k, int64_t tiles, int64_t line) {
    const R* b[N];
    PYSEQ_UNROLL for (int j = 0; j < N; j++) b[j] = p.b + line * p.line_size + j * kTileLanes;
    multiply_tile_block<P, MT, N, 0, N>(tiles, p.a + k * kTileLanes, p.a_layout, b, p.b_layout);
  });
  each<MT * N>([&](auto t) { store_tile<t.value>(place(t), kTileLanes); });
}

template <class R, class P>
class WeightGradient<R, P, true> {
 public:
  WeightGradient(const Conv1d<R>& conv, int threads, Arena& arena)
      : c(conv),
        in_tiles_(ceil_div(c.in_channels, kTileLanes)),
        out_tiles_(ceil_div(c.out_channels, kTileLanes)),
        line_size_((P::parts * in_tiles_ | 1) * kTileLanes) {
    const bool odd = (c.left | (c.kernel_size > 1 ? c.dilation : 0)) & 1;
    ring_ = ring_for(c, kTiledFrames, odd ? 1 : 2);
    sums_ = arena.take<R>(out_tiles_ * sums_row());
    bias_sums_ = arena.take<R>(out_tiles_ * kTileLanes);
    transposed_ = arena.take<R>(threads * transposed_size());
    lines_ = arena.take<R>(threads * lines_size());
  }

  // The part of one of `threads` threads: its tiles of grad_weight, and their columns of grad_bias.
  void run(int thread, int threads) {
    const Share share = equal_share(thread, threads, [&](const auto& f) {
      each_block(Share{threads, 0, INT64_MAX}, [&](const Block& block, auto mt, auto nt) {
        f(mt * nt * (frames_under(c, block.tap) + 1));
      });
    });
    if (share.first == share.last) return;
    Room room = {transposed_ + thread * transposed_size(), lines_ + thread * lines_size(), out_tiles_, 0, 0, 0};
    each_block(share, [&](const Block& block, auto mt, auto nt) {
      room.first_tile = min_of(room.first_tile, block.out_tile);
      room.end_tile = max_of(room.end_tile, block.out_tile + mt);
      for (int i = 0; i < mt; i++) memset(sums_of(block, i), 0, static_cast<size_t>(nt * kTileSize) * sizeof(R));
      if (block.sums_bias()) memset(bias_sums_ + block.out_tile * kTileLanes, 0, static_cast<size_t>(mt * kTileLanes) * sizeof(R));
    });
    configure_tiles(kTileRows);
    for (int64_t b = 0; b < c.batch; b++) {
      room.ready = room.oldest = max_of<int64_t>(-c.left, -kTileDepth);
      for (int64_t t = 0; t < c.lengths[b]; t += kTiledFrames)
        add_frames(share, b, t, min_of(c.lengths[b], t + kTiledFrames), room);
    }
    release_tiles();
    each_block(share, [&](const Block& block, auto mt, auto nt) { write(block, mt, nt); });
  }

 private:
  struct Room {  // of a thread
    R *transposed, *lines;
    int64_t first_tile, end_tile;  // of outputs that it reads
    int64_t oldest, ready;         // frames: lines from the one to the other are made
  };
  struct Block {  // of tiles of sums
    int64_t out_tile, tap, in_tile;
    bool sums_bias() const { return tap == 0 && in_tile == 0; }
  };

  int64_t sums_row() const { return c.kernel_size * in_tiles_ * kTileSize; }
  R* sums_of(const Block& block, int64_t i) const {
    return sums_ + (block.out_tile + i) * sums_row() + (block.tap * in_tiles_ + block.in_tile) * kTileSize;
  }
  static constexpr int64_t kTransposedRow = (P::parts * kTransposedLow / kTileLanes | 1) * kTileLanes;
  int64_t transposed_size() const { return out_tiles_ * kTileRows * kTransposedRow; }
  int64_t lines_size() const { return ring_.room() * line_size_; }

  // f(block, Int<row tiles>, Int<column tiles>) for the blocks of a share.
  template <class F>
  void each_block(const Share& share, const F& f) const {
    int64_t index = 0;
    for (int64_t out = 0; out < out_tiles_; out += 2)
      with_rows<2>(static_cast<int>(min_of<int64_t>(2, out_tiles_ - out)), [&](auto mt) {
        constexpr int N = tile_columns(decltype(mt)::value);
        for (int64_t tap = 0; tap < c.kernel_size; tap++)
          for (int64_t in = 0; in < in_tiles_; in += N, index++) {
            if (index < share.first || index >= share.last) continue;
            with_rows<N>(static_cast<int>(min_of<int64_t>(N, in_tiles_ - in)), [&](auto nt) { f(Block{out, tap, in}, mt, nt); });
          }
      });
  }

  // Adds frames [t0, t1) of sequence b to the sums of a share.
  void add_frames(const Share& share, int64_t b, int64_t t0, int64_t t1, Room& room) const {
    const int64_t tiles = ceil_div(t1 - t0, kTileDepth);
    transpose_frames(b, t0, t1, tiles, room);
    const int64_t newest = (c.kernel_size - 1) * c.dilation - c.left;
    make_lines(b, min_of(t0 + tiles * kTileDepth + newest, c.lengths[b] + kTileDepth), room);
    const int64_t from = ring_.line_frames == 1 ? 2 : 1;  // lines from pair to pair
    const R* grad_y = c.grad_y + (c.y_start[b] + t0) * c.grad_y_stride;
    each_block(share, [&](const Block& block, auto mt, auto nt) {
      constexpr int MT = decltype(mt)::value, N = decltype(nt)::value;
      const int64_t column = block.out_tile * kTileLanes;
      if (block.sums_bias())
        column_sums<R, MT>(t1 - t0, grad_y + column, c.grad_y_stride, c.out_channels - column, bias_sums_ + column);
      const int64_t shift = block.tap * c.dilation - c.left;
      const int64_t first = max_of(t0, -shift), last = min_of(t1, c.lengths[b] - shift);
      if (first >= last) return;
      frame_products<P, R, MT, N>({room.transposed + (block.out_tile - room.first_tile) * kTileRows * kTransposedRow,
                                   room.lines + block.in_tile * kTileLanes,
                                   {kTransposedRow, kTileLanes, kTransposedLow},
                                   {from * line_size_, kTileRows * from * line_size_, in_tiles_ * kTileLanes},
                                   line_size_, ring_, t0 + shift, (first - t0) / kTileDepth,
                                   ceil_div(last - t0, kTileDepth), sums_of(block, 0), sums_row()});
    });
  }
  // The outputs that a thread reads of grad_y, zeros up to a whole tile of frames.
  void transpose_frames(int64_t b, int64_t t0, int64_t t1, int64_t tiles, const Room& room) const {
    const R* rows[kTiledFrames];
    for (int64_t i = 0; i < tiles * kTileDepth; i++)
      rows[i] = t0 + i < t1 ? c.grad_y + (c.y_start[b] + t0 + i) * c.grad_y_stride : nullptr;
    for (int64_t tile = room.first_tile; tile < room.end_tile; tile++)
      transpose_columns<R, P>(rows, tiles * kTileRows, tile * kTileLanes, c.out_channels - tile * kTileLanes,
                              room.transposed + (tile - room.first_tile) * kTileRows * kTransposedRow, kTransposedRow,
                              kTransposedLow);
  }
  // Lines of x up to frame `end` of sequence b. Of lines at every frame, each begins with the frame that ended the one
  // before: it is split once.
  void make_lines(int64_t b, int64_t end, Room& room) const {
    const auto row = [&](int64_t t) { return t >= 0 && t < c.lengths[b] ? c.x + (c.x_start[b] + t) * c.x_stride : nullptr; };
    const int64_t low = in_tiles_ * kTileLanes;
    for (int64_t& t = room.ready; t < end; t += ring_.line_frames) {
      const R *one = row(t), *other = row(t + 1);
      const int64_t at = ring_.at(t);
      R *line = room.lines + at * line_size_, *again = room.lines + ring_.again(at) * line_size_;
      const R* before = ring_.line_frames == 1 && t > room.oldest ? room.lines + ring_.at(t - 1) * line_size_ : nullptr;
      for (int64_t i = 0; i < low; i += kTileLanes) {
        const auto part_of = [&](const R* x) { return x ? load_up_to(x + i, c.in_channels - i) : Vec<R>{}; };
        Vec<R> pairs[P::parts], earlier[P::parts];
        if (before) {
          for (int p = 0; p < P::parts; p++) earlier[p] = load(before + p * low + i);
          P::join_next(earlier, part_of(other), pairs);
        } else {
          P::join(part_of(one), part_of(other), pairs);
        }
        for (int p = 0; p < P::parts; p++) {
          store(line + p * low + i, pairs[p]);
          store(again + p * low + i, pairs[p]);
        }
      }
    }
  }
  void write(const Block& block, int64_t row_tiles, int64_t column_tiles) const {
    const int64_t column = block.out_tile * kTileLanes, row = block.in_tile * kTileLanes;
    const int64_t columns = min_of(row_tiles * kTileLanes, c.out_channels - column);
    const int64_t rows = min_of(column_tiles * kTileLanes, c.in_channels - row);
    for (int64_t o = 0; o < columns; o++) {
      const R* sums = sums_of(block, o / kTileRows) + o % kTileRows * kTileLanes;
      R* out = c.grad_weight + ((column + o) * c.in_channels + row) * c.kernel_size + block.tap;
      for (int64_t i = 0; i < rows; i++) out[i * c.kernel_size] = sums[i / kTileLanes * kTileSize + i % kTileLanes];
    }
    if (block.sums_bias() && c.grad_bias)
      memcpy(c.grad_bias + column, bias_sums_ + column, static_cast<size_t>(columns) * sizeof(R));
  }

  const Conv1d<R>& c;
  int64_t in_tiles_, out_tiles_;
  int64_t line_size_;  // numbers from line to line
  LineRing ring_;
  R *sums_, *bias_sums_;
  R *transposed_, *lines_;  // for each thread, a Room
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
