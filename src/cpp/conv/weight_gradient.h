// Weight and bias gradients of a convolution:
//
//   grad_weight[o, i, k] = sum_b sum_t grad_y[b, t, o] * x[b, t + k * dilation - left, i]
//   grad_bias[o]         = sum_b sum_t grad_y[b, t, o]
//
// A tile is some input channels under one tap by a panel of output channels; x gives scalars and grad_y vectors,
// both where they lie. Every number is summed over sequences and frames in their order, whatever the tiles and
// the blocks of frames are, so tiles may be shared out among any number of threads.
//
// Operands of another kind than numbers (P, gemm/tile.h) are pairs of neighbouring frames, made block by block; they
// count from the first frame of a block, and a frame that is not there is zero.
#pragma once

#include "gemm/tile.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

constexpr int64_t kFrameBlock = 64;  // frames a pass over the tiles: their x and grad_y stay in L1
constexpr int kGradPanel = 4;        // vectors of output channels in a tile

// sums[i][j] += sum_t x[t][i] * g[t][j], t counting operands; sums is [MR][NV vectors], packed.
template <class R, int MR, int NV, class P>
PYSEQ_TILE void frame_sums_tile(int64_t frames, const R* x, int64_t ldx, const R* g, int64_t ldg, R* sums) {
  constexpr int W = kLanes<R>;
  Vec<R> acc[MR][NV];
  PYSEQ_UNROLL for (int i = 0; i < MR; i++)
    PYSEQ_UNROLL for (int j = 0; j < NV; j++) acc[i][j] = load(sums + (i * NV + j) * W);
  multiply_add<R, MR, NV, NV, 0, P>(acc, frames, [&](int i, int64_t t) { return x[t * ldx + i]; }, g, ldg);
  PYSEQ_UNROLL for (int i = 0; i < MR; i++)
    PYSEQ_UNROLL for (int j = 0; j < NV; j++) store(sums + (i * NV + j) * W, acc[i][j]);
}

// sums[j] += sum_t g[t][j] over the first `columns` columns.
template <class R, int NV>
PYSEQ_INLINE void column_sums(int64_t frames, const R* g, int64_t ldg, int64_t columns, R* sums) {
  constexpr int W = kLanes<R>;
  Vec<R> acc[NV];
  PYSEQ_UNROLL for (int j = 0; j < NV; j++) acc[j] = load(sums + j * W);
  for (int64_t t = 0; t < frames; t++)
    PYSEQ_UNROLL for (int j = 0; j < NV; j++) acc[j] += load_up_to(g + t * ldg + j * W, columns - j * W);
  PYSEQ_UNROLL for (int j = 0; j < NV; j++) store(sums + j * W, acc[j]);
}

// Asks for memory in equal parts, so that it arrives while the tiles of one block of frames, which run from L1,
// leave the bus idle. Any address may be asked for.
class Fetch {
 public:
  Fetch(const void* from, int64_t bytes, int64_t parts)
      : at_(static_cast<const char*>(from)), end_(at_ + bytes), part_(bytes / parts + 64) {}
  void next() {
    for (const char* stop = min_of(end_, at_ + part_); at_ < stop; at_ += 64) __builtin_prefetch(at_);
  }

 private:
  const char *at_, *end_;
  int64_t part_;
};

// The frames that a tap multiplies, of all sequences.
template <class R>
int64_t frames_under(const Conv1d<R>& c, int64_t tap) {
  const int64_t shift = tap * c.dilation - c.left, away = shift < 0 ? -shift : shift;
  int64_t frames = 0;
  for (int64_t b = 0; b < c.batch; b++) frames += max_of<int64_t>(0, c.lengths[b] - away);
  return frames;
}

// What a thread does: tiles [first, last) in the order of a list.
struct Share {
  int threads;
  int64_t first, last;
};
// each_work(f) calls f(work) for every tile of the list. A tap far from the frame itself multiplies fewer frames: threads
// get equal work, not equal numbers.
template <class F>
Share equal_share(int thread, int threads, const F& each_work) {
  int64_t total = 0, before = 0;
  each_work([&](int64_t work) { total += work; });
  Share share = {threads, 0, 0};
  each_work([&](int64_t work) {
    const int64_t owner = (2 * before + work) * threads / (2 * total);  // by the middle of the tile
    share.first += owner < thread;
    share.last += owner <= thread;
    before += work;
  });
  return share;
}

// In tile registers: conv/tiled_weight_gradient.h.
template <class R, class P, bool kTiled = P::tiled>
class WeightGradient {
 public:
  WeightGradient(const Conv1d<R>& conv, int threads, Arena& arena) : c(conv) {
    const int64_t columns = round_up(c.out_channels, W);
    sums_ = arena.take<R>(c.kernel_size * c.in_channels * columns);
    bias_sums_ = arena.take<R>(columns);
    strips_ = arena.take<R>(kFrameBlock * kGradPanel * W * threads);
    windows_ = arena.take<R>(paired ? kMostPairs * window_width() * threads : 0);
  }

  // The part of one of `threads` threads: its tiles of grad_weight, and their columns of grad_bias.
  void run(int thread, int threads) {
    const Share share = share_of(thread, threads);
    if (share.first == share.last) return;
    each_tile(share, [&](const Tile& tile, auto) {
      memset(tile.sums, 0, static_cast<size_t>(tile.rows * tile.width) * sizeof(R));
      if (tile.bias_sums) memset(tile.bias_sums, 0, static_cast<size_t>(tile.width) * sizeof(R));
    });
    const Room room = {strips_ + kFrameBlock * kGradPanel * W * thread,
                       paired ? windows_ + kMostPairs * window_width() * thread : nullptr};
    for (int64_t b = 0; b < c.batch; b++) {
      const int64_t blocks = ceil_div(c.lengths[b], kFrameBlock);
      for (int64_t q = 0; q < blocks; q++)
        add_frames(share, b, piece_start(c.lengths[b], blocks, q), piece_start(c.lengths[b], blocks, q + 1), room);
    }
    each_tile(share, [&](const Tile& tile, auto) { write(tile); });
  }

 private:
  static constexpr int W = kLanes<R>;
  static constexpr bool paired = P::size > 1;
  static constexpr int64_t kMostPairs = kFrameBlock / P::size;
  struct Room {  // of a thread
    R* strip;    // [kFrameBlock][kGradPanel vectors]
    R* window;   // [kMostPairs][window_width()]; null unless paired
  };
  struct Tile {
    int64_t column, width;  // its panel: first output channel, numbers in a row of sums
    int64_t tap, row, rows;
    R* sums;       // [rows][width]
    R* bias_sums;  // [width] of the panel; null for all but its first tile
  };

  // f(first output channel, Int<vectors>)
  template <class F>
  void each_panel(const F& f) const {
    for (int64_t column = 0; column < c.out_channels; column += kGradPanel * W) {
      const int64_t nv = min_of<int64_t>(kGradPanel, ceil_div(c.out_channels - column, W));
      with_rows<kGradPanel>(static_cast<int>(nv), [&](auto v) { f(column, v); });
    }
  }
  // Tiles over the input channels of one tap: few, but enough for all threads to have one.
  int64_t tiles_high(int nv, int threads) const {
    const int64_t others = c.kernel_size * ceil_div(c.out_channels, kGradPanel * W);
    return min_of(c.in_channels, max_of(ceil_div(c.in_channels, tile_rows(nv)), ceil_div(threads, others)));
  }
  // f(tile, Int<vectors>) for the tiles of a share, panel by panel.
  template <class F>
  void each_tile(const Share& share, const F& f) const {
    int64_t index = 0;
    each_panel([&](int64_t column, auto nv) {
      const int64_t high = tiles_high(nv, share.threads), width = nv * W;
      const int64_t least = c.in_channels / high, more = c.in_channels % high;  // the first ones have a row more
      R* sums = sums_ + c.in_channels * c.kernel_size * column;
      for (int64_t k = 0; k < c.kernel_size; k++)
        for (int64_t q = 0, row = 0; q < high; q++, index++) {
          const int64_t rows = least + (q < more);
          if (index >= share.first && index < share.last)
            f(Tile{column, width, k, row, rows, sums, k + q == 0 ? bias_sums_ + column : nullptr}, nv);
          row += rows;
          sums += rows * width;
        }
    });
  }

  Share share_of(int thread, int threads) const {
    return equal_share(thread, threads, [&](const auto& f) {
      int64_t tap = -1, frames = 0;
      each_tile(Share{threads, 0, INT64_MAX}, [&](const Tile& tile, auto) {
        if (tile.tap != tap) frames = frames_under(c, tap = tile.tap);
        f(tile.rows * tile.width * (frames + 1));
      });
    });
  }

  // Adds frames [t0, t1) of sequence b to the sums of a share.
  void add_frames(const Share& share, int64_t b, int64_t t0, int64_t t1, const Room& room) const {
    const R *g = nullptr, *grad_y = c.grad_y + (c.y_start[b] + t0) * c.grad_y_stride;
    int64_t ldg = 0, panel = -1, tap = -1;
    const int64_t rows = t1 - t0, newest = t1 + (c.kernel_size - 1) * c.dilation - c.left, tiles = share.last - share.first;
    const int64_t size = static_cast<int64_t>(sizeof(R));
    Fetch next_x(c.x + (c.x_start[b] + newest) * c.x_stride, rows * c.x_stride * size, tiles);
    Fetch next_g(grad_y + rows * c.grad_y_stride, rows * c.grad_y_stride * size, tiles);
    each_tile(share, [&](const Tile& tile, auto nv) {
      constexpr int NV = decltype(nv)::value;
      next_x.next();
      next_g.next();
      const int64_t columns = min_of(tile.width, c.out_channels - tile.column);
      if (panel != tile.column) {
        panel = tile.column;
        g = grad_y + panel;
        ldg = c.grad_y_stride;
        if (paired || columns < tile.width) {
          if (paired) pair_rows(g, c.grad_y_stride, rows, 0, rows, columns, tile.width, room.strip);
          else copy_columns(g, rows, columns, tile.width, room.strip);
          g = room.strip;
          ldg = tile.width;
        }
      }
      if (tile.bias_sums) {
        if (paired) column_sums<R, NV>(rows, grad_y + panel, c.grad_y_stride, columns, tile.bias_sums);
        else column_sums<R, NV>(rows, g, ldg, tile.width, tile.bias_sums);
      }
      const int64_t shift = tile.tap * c.dilation - c.left;
      const int64_t first = max_of(t0, -shift), last = min_of(t1, c.lengths[b] - shift);
      if (first >= last) return;
      Products p = {last - first, c.x + (c.x_start[b] + first + shift) * c.x_stride, c.x_stride, g + (first - t0) * ldg, ldg};
      if (paired) {
        if (tap != tile.tap)
          pair_rows(p.x, c.x_stride, rows, first - t0, last - t0, c.in_channels, window_width(), room.window);
        tap = tile.tap;
        p = {ceil_div(rows, P::size), room.window, window_width(), g, ldg};
      }
      with_rows<tile_rows(NV)>(static_cast<int>(tile.rows), [&](auto mr) {
        frame_sums_tile<R, decltype(mr)::value, NV, P>(p.count, p.x + tile.row, p.ldx, p.g, p.ldg, tile.sums);
      });
    });
  }
  // What a tile sums up: `count` operands a row of x and of g.
  struct Products {
    int64_t count;
    const R* x;
    int64_t ldx;
    const R* g;
    int64_t ldg;
  };
  int64_t window_width() const { return round_up(c.in_channels, W); }
  // Operands of `frames` frames, of which [first, last) exist and lie at `rows`; `width` numbers each, of which `columns`
  // exist.
  void pair_rows(const R* rows, int64_t stride, int64_t frames, int64_t first, int64_t last, int64_t columns, int64_t width,
                 R* pairs) const {
    for (int64_t t = 0; t < frames; t += P::size)
      for (int64_t j = 0; j < width; j += W)
        store(pairs + t / P::size * width + j, P::join([&](int part) {
          const int64_t at = t + part;
          if (at < first || at >= last) return Vec<R>{};
          return load_up_to(rows + (at - first) * stride + j, columns - j);
        }));
  }
  // The last, partial panel of grad_y, filled up with zeros: its vectors would reach beyond a row.
  void copy_columns(const R* g, int64_t frames, int64_t columns, int64_t width, R* strip) const {
    const int64_t stride = c.grad_y_stride;
    for (int64_t t = 0; t < frames; t++, g += stride, strip += width)
      for (int64_t j = 0; j < width; j += W) store(strip + j, load_up_to(g + j, columns - j));
  }
  void write(const Tile& tile) const {
    const int64_t columns = min_of(tile.width, c.out_channels - tile.column);
    for (int64_t j = 0; j < columns; j++) {
      R* out = c.grad_weight + ((tile.column + j) * c.in_channels + tile.row) * c.kernel_size + tile.tap;
      for (int64_t i = 0; i < tile.rows; i++) out[i * c.kernel_size] = tile.sums[i * tile.width + j];
    }
    if (tile.bias_sums && c.grad_bias)
      memcpy(c.grad_bias + tile.column, tile.bias_sums, static_cast<size_t>(columns) * sizeof(R));
  }

  const Conv1d<R>& c;
  R *sums_;       // [panel][tap][in_channels][width]
  R *bias_sums_;  // [out_channels rounded up to vectors]
  R *strips_, *windows_;  // for each thread, a Room
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
