// The backward pass with products in tile registers: d goes into the operands of dh, dx and dW as it is computed.
#pragma once

#include "rnn/tiled_forward.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class C, class R, int Q>
void start_tiles(const BackwardContext<C, R, Q>& x, const Share& share) {
  configure_tiles(rows_of_tiles(x.work.plan, share));
}
template <class C, class R, int Q>
void end_tiles(const BackwardContext<C, R, Q>&) { release_tiles(); }

// A thread's part of the weights, and of memory whose unused ends must be zero.
template <class C, class R, int Q>
void prepare_tiles(const BackwardContext<C, R, Q>& x, int thread, int threads) {
  auto& operands = x.work.operands;
  const Shape& s = x.shape();
  if (thread == 0) operands.fill(x.work.plan);
  if (operands.slot_units == s.blocks * kTileLanes) return;
  const int64_t first = piece_start(s.chunk_frames, threads, thread), end = piece_start(s.chunk_frames, threads, thread + 1);
  memset(operands.rows + first * operands.row, 0, static_cast<size_t>((end - first) * operands.row) * sizeof(R));
}

// Where d of a row goes, and putting it there.
template <class C, class R, int Q>
PYSEQ_INLINE void place_gradients(const BackwardContext<C, R, Q>& x, const Chunk& chunk, int64_t t, int64_t row, BackRow<R>& r) {
  const auto& operands = x.work.operands;
  const Plan& plan = x.work.plan;
  r.operands = operands.rows + (plan.offset[t] - plan.offset[chunk.first_step] + row) * operands.row;
  r.line = operands.lines + (operands.first_pair[t] + row) * operands.pair_size;
  r.second = ((t - chunk.first_step) & 1) != 0;
  r.joins = t + 1 < chunk.end_step && row < plan.active[t + 1];
}
template <class C, class R, int Q>
PYSEQ_INLINE void put_gradients(const BackwardContext<C, R, Q>& x, const BackRow<R>& r, int64_t u, const Vec<R> (&d)[C::slots]) {
  using P = typename C::Operand;
  const auto& operands = x.work.operands;
  const int64_t low = x.shape().frame_size;
  R *row = r.operands + u * kTileLanes / 2, *line = r.line + u * operands.block_size;
  PYSEQ_UNROLL for (int v = 0; v < C::slots; v++) {
    R *to = row + v * operands.slot_units / 2, *part = line + v * kTileLanes;
    if (r.second) P::store_second(part, low, to, operands.row_width, d[v]);
    else P::store_first(part, low, to, operands.row_width, d[v], r.joins);
  }
}

// sums[row][16 * N] of n rows of d times N columns of packed weights from column tile `c` on.
template <class C, class R, int MT, int N>
PYSEQ_TILE void tiled_row_block(const R* a, const TileLayout& al, const R* weights, int64_t c, int64_t depth, R* sums) {
  using P = typename C::Operand;
  const R* b[N];
  PYSEQ_UNROLL for (int j = 0; j < N; j++) b[j] = weights + (c + j) * depth * P::parts * kTileSize;
  zero_tile_block<MT, N>();
  multiply_tile_block<P, MT, N, 0, N>(depth, a, al, b, packed_tiles<P>());
  store_tile_block<MT, N>(sums, N * kTileLanes, kTileLanes);
}
// finish(row, column, number of columns, sums[row][columns]) over n rows of d, the first at a, times column tiles
// [first, end) of packed weights, from either end.
template <class C, class R, class F>
void tiled_row_product(int64_t n, const R* a, const TileLayout& al, const R* weights, int64_t first, int64_t end,
                       int64_t depth, bool backwards, const F& finish) {
  alignas(64) R sums[4 * kTileSize];
  const auto columns = [&](int64_t row, int64_t count, int64_t c, auto mt, auto nt) {
    tiled_row_block<C, R, decltype(mt)::value, decltype(nt)::value>(a + row * al.row, al, weights, c, depth, sums);
    for (int64_t i = 0; i < count; i++) finish(row + i, c * kTileLanes, nt * kTileLanes, sums + i * nt * kTileLanes);
  };
  const int most = n > kTileRows ? tile_columns(2) : tile_columns(1);
  const int64_t groups = ceil_div(end - first, most);
  for (int64_t g = 0; g < groups; g++) {
    const int64_t c = first + (backwards ? groups - 1 - g : g) * most;
    tile_row_groups(n, [&](int64_t row, int64_t count, auto mt) {
      constexpr int NT = tile_columns(decltype(mt)::value);
      for (int64_t at = c; at < min_of(end, c + most); at += NT)
        with_rows<NT>(static_cast<int>(min_of<int64_t>(NT, min_of(end, c + most) - at)),
                      [&](auto nt) { columns(row, count, at, mt, nt); });
    });
  }
}

// dh of the step before, over a share's columns (rnn/backward.h: step_back).
template <class C, class R, int Q>
void tiled_step_back(const BackwardContext<C, R, Q>& x, const Chunk& chunk, const Share& share, int64_t t) {
  constexpr int W = kTileLanes;
  auto& work = x.work;
  const auto& operands = work.operands;
  const Plan& plan = work.plan;
  const Shape& s = plan.shape;
  const int64_t n = share.count(plan.active[t]), tiles = ceil_div(s.output, W);
  const bool masked = x.args.masks.recurrent != nullptr, carries = C::carries_h || x.args.masks.zoneout_h != nullptr;
  const int64_t frame = plan.offset[t] - plan.offset[chunk.first_step] + share.row;
  const R* a = operands.rows + frame * operands.row + C::h_first * operands.slot_units / 2;
  R* out = (masked ? work.scratch.masked_dh : work.dh) + share.row * s.h_padded;
  const Columns own = own_panels<R>(s.output, share);
  tiled_row_product<C>(n, a, {operands.row * share.row_step, W, operands.row_width}, work.weight_hh,
                       own.first * kPanelVectors, min_of(tiles, own.end * kPanelVectors),
                       C::h_slots * operands.slot_units / kTileDepth, t & 1,
                       [&](int64_t row, int64_t column, int64_t count, const R* sums) {
                         R* to = out + row * share.row_step * s.h_padded + column;
                         for (int64_t i = 0; i < count; i += W)
                           store(to + i, carries && !masked ? load(to + i) + load(sums + i) : load(sums + i));
                       });
  if (masked) add_masked(x, share, n, own, carries);
}

// dx of a thread's part of a chunk's frames, whoever has made their d. So many frames at a time that their d stay in L2.
constexpr int64_t kTiledGradientBytes = 1 << 20;
template <class C, class R, int Q>
void tiled_input_gradient(const BackwardContext<C, R, Q>& x, const Chunk& chunk, const Share& share) {
  constexpr int W = kTileLanes;
  auto& work = x.work;
  const auto& operands = work.operands;
  const Plan& plan = work.plan;
  const Shape& s = plan.shape;
  const RnnBackward<R>& args = x.args;
  R** out = work.out_rows + share.thread * work.room;
  const int64_t begin = piece_start(chunk.frames, share.threads, share.thread);
  const int64_t end = piece_start(chunk.frames, share.threads, share.thread + 1);
  for (int64_t t = chunk.first_step; t < chunk.end_step; t++)
    for (int64_t row = 0; row < plan.active[t]; row++) {
      const int64_t frame = plan.offset[t] - plan.offset[chunk.first_step] + row;
      if (frame >= begin && frame < end)
        out[frame - begin] = args.grad_x + x.frame(args.grad_x_start, plan.order[row], t) * args.grad_x_stride;
    }
  const int64_t most = kTiledGradientBytes / (operands.row * static_cast<int64_t>(sizeof(R)));
  const int64_t block = max_of<int64_t>(1, most / kTileGroupRows) * kTileGroupRows;
  for (int64_t first = begin; first < end; first += block) {
    const R* a = operands.rows + first * operands.row + C::x_first * operands.slot_units / 2;
    tiled_row_product<C>(min_of(block, end - first), a, {operands.row, W, operands.row_width}, work.weight_ih, 0,
                         ceil_div(s.input, W), C::x_slots * operands.slot_units / kTileDepth, false,
                         [&](int64_t row, int64_t column, int64_t count, const R* sums) {
                           R* to = out[first - begin + row] + column;
                           for (int64_t i = 0; i < count; i += W) {
                             const int64_t left = s.input - column - i;
                             const Vec<R> sum = load(sums + i);
                             store_up_to(to + i, args.adds_to_grad_x ? load_up_to(to + i, left) + sum : sum, left);
                           }
                         });
  }
}

// A block's part of the gradient of the biases, and zeros after its last pair, up to a whole tile of k.
template <class C, class R, int Q>
void tiled_block_gradients(const BackwardContext<C, R, Q>& x, const Chunk& chunk, int64_t u) {
  constexpr int W = kTileLanes, S = C::slots;
  const auto& operands = x.work.operands;
  R *sums = x.work.bias + u * S * W, *lines = operands.lines + u * operands.block_size;
  const int64_t pairs = operands.pairs_of(x.work.plan, chunk);
  Vec<R> acc[S];
  PYSEQ_UNROLL for (int v = 0; v < S; v++) acc[v] = load(sums + v * W);
  for (int64_t k = 0; k < pairs; k++)
    PYSEQ_UNROLL for (int v = 0; v < S; v++) acc[v] = C::Operand::add_line(acc[v], lines + k * operands.pair_size + v * W, S * W);
  PYSEQ_UNROLL for (int v = 0; v < S; v++) store(sums + v * W, acc[v]);
  memset(lines + pairs * operands.pair_size, 0,
         static_cast<size_t>((round_up(pairs, kTileRows) - pairs) * operands.pair_size) * sizeof(R));
}

// Tiles of one side's dW, MT x N of them: sums[row tile][block][slot].
template <class Side, class C, class R, int MT, int N>
PYSEQ_TILE void tiled_gradient_block(const R* a, const TileLayout& al, const R* const (&b)[N], const TileLayout& bl,
                                     int64_t depth, R* sums, int64_t tile_size) {
  const auto place = [&](auto t) { return sums + t.value / N * tile_size + t.value % N * kTileSize; };
  each<MT * N>([&](auto t) { load_tile<t.value>(place(t), kTileLanes); });
  multiply_tile_block<typename C::Operand, MT, N, 0, N>(depth, a, al, b, bl);
  each<MT * N>([&](auto t) { store_tile<t.value>(place(t), kTileLanes); });
}

// Adds a chunk's part of one side of dW, of row tiles [first_tile, end_tile).
template <class Side, class C, class R, int Q, class F>
void tiled_side_gradient(const BackwardContext<C, R, Q>& x, const Chunk& chunk, const Share& share,
                         const TiledGradient<Side, R>& g, int64_t first_tile, int64_t end_tile, const F& row_of) {
  using P = typename C::Operand;
  const auto& operands = x.work.operands;
  const Plan& plan = x.work.plan;
  const Shape& s = plan.shape;
  if (first_tile >= end_tile) return;
  const int64_t depth = ceil_div(operands.pairs_of(plan, chunk), kTileRows), pairs = depth * kTileRows;
  const R** rows = x.work.a_rows + share.thread * x.work.room;
  int64_t pair = 0;
  for (int64_t t = chunk.first_step; t < chunk.end_step; t += 2)
    for (int64_t row = 0; row < plan.active[t]; row++, pair++) {
      rows[2 * pair] = row_of(row, t);
      rows[2 * pair + 1] = t + 1 < chunk.end_step && row < plan.active[t + 1] ? row_of(row, t + 1) : nullptr;
    }
  for (int64_t i = 2 * pair; i < 2 * pairs; i++) rows[i] = nullptr;
  R* transposed = x.work.operands.transposed + share.thread * operands.transposed_rows * operands.transposed_row;
  const TileLayout al = {operands.transposed_row, kTileLanes, operands.transposed_width};
  const TileLayout bl = {operands.pair_size, kTileRows * operands.pair_size, s.frame_size};
  const int64_t most = operands.transposed_rows / kTileRows, columns = s.blocks * Side::slots;
  for (int64_t tile = first_tile; tile < end_tile; tile += most) {
    const int64_t tiles = min_of(most, end_tile - tile);
    for (int64_t q = 0; q < tiles; q++)
      transpose_columns<R, P>(rows, pairs, (tile + q) * kTileRows, g.K - (tile + q) * kTileRows,
                              transposed + q * kTileRows * operands.transposed_row, operands.transposed_row,
                              operands.transposed_width);
    for (int64_t c = 0; c < columns; c += 2)
      with_rows<2>(static_cast<int>(min_of<int64_t>(2, columns - c)), [&](auto n) {
        constexpr int N = decltype(n)::value;
        const R* b[N];
        for (int j = 0; j < N; j++)
          b[j] = operands.lines + (c + j) / Side::slots * operands.block_size +
                 (Side::first + (c + j) % Side::slots) * kTileLanes;
        tile_row_groups(tiles * kTileRows, [&](int64_t first, int64_t, auto mt) {
          tiled_gradient_block<Side, C, R, decltype(mt)::value, N>(
              transposed + first * operands.transposed_row, al, b, bl, depth,
              g.sums + (tile + first / kTileRows) * g.tile_size(s) + c * kTileSize, g.tile_size(s));
        });
      });
  }
}
// dx and dW of a chunk, of whose rows all are there.
template <class C, class R, int Q>
void tiled_gradients(const BackwardContext<C, R, Q>& x, const Chunk& chunk, const Share& share, const Tiles<C, R, Q>& tiles) {
  const RnnBackward<R>& a = x.args;
  const int64_t* order = x.work.plan.order;
  configure_tiles(kTileRows);
  if (a.grad_x) tiled_input_gradient(x, chunk, share);
  x.work.barrier->wait(share.threads);  // ends of lines are zero
  tiled_side_gradient(x, chunk, share, x.work.input, tiles.input_first, tiles.input_end,
                      [&](int64_t row, int64_t t) { return a.x + x.frame(a.problem.x_start, order[row], t) * a.x_stride; });
  tiled_side_gradient(x, chunk, share, x.work.hidden, tiles.hidden_first, tiles.hidden_end,
                      [&](int64_t row, int64_t t) { return x.operand(chunk, row, t); });
  x.work.barrier->wait(share.threads);  // the next chunk's d take the place of these
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
