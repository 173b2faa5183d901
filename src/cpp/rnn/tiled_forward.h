// Steps of the forward pass with products in tile registers.
//
// For up to 32 rows and as many columns as tiles of sums hold: bias or the chunk's product of x, then x, then h', as in
// rnn/forward.h; tiles go to a block of memory on the stack, from where the cell's arithmetic continues.
#pragma once

#include "rnn/tiled_pack.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// Rows of a tile: fewer than 16 where a thread never has more. Less is then loaded and stored.
PYSEQ_INLINE int rows_of_tiles(const Plan& plan, const Share& share) {
  const int64_t most = plan.shape.steps > 0 ? share.count(plan.active[0]) : 1;
  return static_cast<int>(max_of<int64_t>(1, min_of<int64_t>(kTileRows, most)));
}
template <class C, class R, int Q>
void start_tiles(const ForwardContext<C, R, Q>& x, const Share& share) {
  configure_tiles(rows_of_tiles(x.work.plan, share));
}
template <class C, class R, int Q>
void end_tiles(const ForwardContext<C, R, Q>&) { release_tiles(); }

// Blocks whose slots fill four tiles of sums.
template <class C>
constexpr int kTiledBlocks = C::slots < 4 && C::x_slots == C::slots && C::h_slots == C::slots ? 4 / C::slots : 1;
// Rows in the cell's arithmetic.
template <class C>
constexpr int kTiledCellRows = C::slots >= 3 ? 4 : 8;

// Columns [first, first + N) of NB blocks' sums, as far as they belong to a side's slots.
template <class Side, int S, int NB, int FIRST, int N>
struct SideColumns {
  static constexpr int first = NB > 1 || FIRST > Side::first ? FIRST : Side::first;
  static constexpr int end = NB > 1 || FIRST + N < Side::first + Side::slots ? FIRST + N : Side::first + Side::slots;
  static constexpr int count = end > first ? end - first : 0;
};

// Tiles of sums += a W of one side, from block u on.
template <class Side, class C, class R, int MT, int NB, int FIRST, int N>
PYSEQ_INLINE void multiply_side(const R* a, const TileLayout& al, const R* weights, int64_t u, int64_t depth) {
  using Own = SideColumns<Side, C::slots, NB, FIRST, N>;
  using P = typename C::Operand;
  if constexpr (Own::count > 0) {
    const R* b[Own::count];
    const int64_t column = depth * P::parts * kTileSize;
    PYSEQ_UNROLL for (int j = 0; j < Own::count; j++)
      b[j] = weights + (u * Side::slots + Own::first - Side::first + j) * column;
    multiply_tile_block<P, MT, N, Own::first - FIRST, Own::count>(depth, a, al, b, packed_tiles<P>());
  }
}

// Where a row's sums of the columns from FIRST on lie among its slots.
template <int S>
constexpr int64_t slot_of_column(int c, int64_t block_slots) {
  return c / S * block_slots + c % S * kTileLanes;
}

// f(Int<first>, Int<number>) over the columns of sums, four or two at a time.
template <int MT, int NC, class F>
PYSEQ_INLINE void column_groups(const F& f) {
  constexpr int most = tile_columns(MT);
  each<(NC + most - 1) / most>([&](auto g) {
    constexpr int first = g.value * most;
    f(Int<first>{}, Int<(NC - first < most ? NC - first : most)>{});
  });
}

// Operands of the rows of a step or of a chunk: x may be null, where its product is in the slots.
template <class R>
struct TiledRows {
  const R *x, *h;
  TileLayout x_layout, h_layout;
  int64_t slots_row;  // floats from row to row of the slots
  int64_t n;          // rows
  bool whole;         // as many as the tiles have
};

// Sums of NB blocks before the cell's arithmetic: sums[row][column of NB * S][lane].
template <class C, class R, int Q, int MT, int NB>
PYSEQ_INLINE void tiled_sums(const ForwardContext<C, R, Q>& context, const TiledRows<R>& a, const Row<R>* rows, int64_t u,
                             int64_t block_slots, R* sums) {
  constexpr int S = C::slots, NC = NB * S;
  const auto& work = context.work;
  const Shape& s = work.plan.shape;
  if (!a.x && !a.whole)
    for (int64_t i = 0; i < a.n; i++)
      PYSEQ_UNROLL for (int c = 0; c < NC; c++)
        store(sums + (i * NC + c) * kTileLanes, load(rows[i].slots + u * block_slots + slot_of_column<S>(c, block_slots)));
  column_groups<MT, NC>([&](auto first, auto count) {
    constexpr int FIRST = first.value, N = count.value;
    each<MT * N>([&](auto tile) {
      constexpr int c = FIRST + tile.value % N, r = tile.value / N * kTileRows;
      if (a.x) load_tile<tile.value>(work.bias + (u * S + c) * kTileLanes, 0);
      else if (!a.whole) load_tile<tile.value>(sums + (r * NC + c) * kTileLanes, NC * kTileLanes);
      else
        load_tile<tile.value>(rows[0].slots + u * block_slots + slot_of_column<S>(c, block_slots) + r * a.slots_row,
                              a.slots_row);
    });
    if (a.x)
      multiply_side<InputSide<C>, C, R, MT, NB, FIRST, N>(a.x, a.x_layout, work.weight_ih, u,
                                                          ceil_div(s.input, kTileDepth));
    if (a.h)
      multiply_side<HiddenSide<C>, C, R, MT, NB, FIRST, N>(a.h, a.h_layout, work.weight_hh, u,
                                                           ceil_div(s.output, kTileDepth));
    store_tile_block<MT, N>(sums + FIRST * kTileLanes, NC * kTileLanes, kTileLanes);
  });
}

// The cell's arithmetic for MR rows of block u, whose sums lie `row` floats apart.
template <class C, class R, int Q, int MR>
PYSEQ_TILE void tiled_cell(const ForwardContext<C, R, Q>& context, const Row<R>* rows, int64_t u, int64_t block_slots,
                           const R* sums, int64_t row) {
  Vec<R> acc[MR][C::slots];
  PYSEQ_UNROLL for (int i = 0; i < MR; i++)
    PYSEQ_UNROLL for (int j = 0; j < C::slots; j++) acc[i][j] = load(sums + i * row + j * kTileLanes);
  finish_tile<C, R, Q, MR, 1>(context, rows, u, block_slots, acc);
}

template <class C, class R, int Q, int MT, int NB>
PYSEQ_TILE void tiled_step_block(const ForwardContext<C, R, Q>& context, const TiledRows<R>& a, const Row<R>* rows,
                                 int64_t u, int64_t block_slots) {
  constexpr int S = C::slots, NC = NB * S;
  alignas(64) R sums[MT * kTileRows * NC * kTileLanes];
  tiled_sums<C, R, Q, MT, NB>(context, a, rows, u, block_slots, sums);
  for (int b = 0; b < NB; b++)
    row_blocks<kTiledCellRows<C>>(a.n, [&](int64_t first, auto mr) {
      tiled_cell<C, R, Q, decltype(mr)::value>(context, rows + first, u + b, block_slots,
                                               sums + (first * NC + b * S) * kTileLanes, NC * kTileLanes);
    });
}

// One step of n rows over a share's blocks, in turn from either end (rnn/forward.h: step).
template <class C, class R, int Q>
void tiled_step(const ForwardContext<C, R, Q>& context, const Row<R>* rows, int64_t n, const Share& share, int64_t t,
                int64_t block_slots) {
  const auto& work = context.work;
  const auto& operands = work.operands;
  const int height = rows_of_tiles(work.plan, share);
  row_blocks<kTiledBlocks<C>>(share.end_block - share.first_block, [&](int64_t first_block, auto nb) {
    constexpr int NB = decltype(nb)::value;
    const int64_t u = t & 1 ? share.end_block - first_block - NB : share.first_block + first_block;
    tile_row_groups(n, [&](int64_t first, int64_t count, auto mt) {
      TiledRows<R> a;
      a.x = work.fused ? operands.x + (share.thread * operands.x_rows + first) * operands.x_row : nullptr;
      a.h = operands.of_h(share.row + first * share.row_step, t);
      a.x_layout = {operands.x_row, kTileLanes, operands.x_width};
      a.h_layout = {operands.h_row * share.row_step, kTileLanes, operands.h_width};
      a.slots_row = share.row_step * work.plan.shape.frame_size;
      a.n = count;
      a.whole = count == mt.value * kTileRows || count == height;
      tiled_step_block<C, R, Q, decltype(mt)::value, NB>(context, a, rows + first, u, block_slots);
    });
  });
}

// bias + x W_ih of n frames whose copies are a thread's rows of x, left in the slots.
template <class C, class R, int Q, int MT, int NB>
PYSEQ_TILE void tiled_input_block(const ForwardContext<C, R, Q>& context, const TiledRows<R>& a, R* const* slots, int64_t u,
                                  int64_t block_slots) {
  constexpr int NC = NB * C::slots;
  alignas(64) R sums[MT * kTileRows * NC * kTileLanes];
  tiled_sums<C, R, Q, MT, NB>(context, a, nullptr, u, block_slots, sums);
  for (int64_t i = 0; i < a.n; i++)
    PYSEQ_UNROLL for (int c = 0; c < NC; c++)
      store(slots[i] + u * block_slots + slot_of_column<C::slots>(c, block_slots), load(sums + (i * NC + c) * kTileLanes));
}
template <class C, class R, int Q>
void tiled_input(const ForwardContext<C, R, Q>& context, const Chunk& chunk, const Share& share, int64_t n, R* const* slots) {
  const auto& operands = context.work.operands;
  configure_tiles(kTileRows);
  row_blocks<kTiledBlocks<C>>(share.end_block - share.first_block, [&](int64_t first_block, auto nb) {
    tile_row_groups(n, [&](int64_t first, int64_t count, auto mt) {
      TiledRows<R> a = {};
      a.x = operands.x + (share.thread * operands.x_rows + first) * operands.x_row;
      a.x_layout = {operands.x_row, kTileLanes, operands.x_width};
      a.n = count;
      tiled_input_block<C, R, Q, decltype(mt)::value, decltype(nb)::value>(
          context, a, slots + first, share.first_block + first_block, chunk.stride * context.work.plan.shape.frame_size);
    });
  });
  start_tiles(context, share);
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
