// Weights as tiles, and what comes out of tiles (rnn/tiled.h has the layouts). P is TilePairs.
#pragma once

#include "gemm/tiled.h"
#include "rnn/tiled.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// The tiles of one slot of a block in the layout of forward: its `units` rows of K numbers at `w`. Common to all cells.
template <class R, class P>
PYSEQ_NOINLINE void pack_tiles(R* tile, const R* w, int units, int64_t K) {
  for (int64_t k = 0; k < K; k += kTileDepth) {
    Vec<R> r[P::parts][kTileLanes] = {};
    for (int j = 0; j < units; j++) {
      Vec<R> pairs[P::parts];
      P::load(w + j * K + k, K - k, pairs);
      for (int p = 0; p < P::parts; p++) r[p][j] = pairs[p];
    }
    for (int p = 0; p < P::parts; p++, tile += kTileSize) {
      transpose(r[p]);
      for (int i = 0; i < kTileRows; i++) store(tile + i * kTileLanes, r[p][i]);
    }
  }
}
// Blocks [first, end) of that layout.
template <class Side, class R, int Q, class P>
void pack_forward_tiles(R* packed, const R* w, const Shape& s, int64_t K, int64_t first, int64_t end) {
  const int64_t size = ceil_div(K, kTileDepth) * P::parts * kTileSize;
  for (int64_t u = first; u < end; u++)
    for (int v = 0; v < Side::slots; v++)
      pack_tiles<R, P>(packed + (u * Side::slots + v) * size, w + weight_row<Side, R, Q>(u, v, 0, s.hidden) * K,
                       unit_lanes<Side, R, Q>(u, v, s.hidden), K);
}

// Columns of panels [first, end) of the layout of backward.
template <class Side, class R, int Q, class P>
void pack_backward_tiles(R* packed, const R* w, const Shape& s, int64_t columns, int64_t first, int64_t end) {
  const int64_t units = tiled_units(s), depth = Side::slots * units / kTileDepth, panel = kPanelVectors * kTileLanes;
  for (int64_t c = first * panel; c < min_of(columns, end * panel); c += kTileLanes) {
    R* tiles = packed + c / kTileLanes * depth * P::parts * kTileSize;
    for (int v = 0; v < Side::slots; v++)
      for (int64_t unit = 0; unit < units; unit += 2) {
        const int64_t u = unit / kTileLanes, k = v * units + unit;
        const int lane = static_cast<int>(unit % kTileLanes);
        const int lanes = u < s.blocks ? unit_lanes<Side, R, Q>(u, v, s.hidden) : 0;
        const R* from = w + weight_row<Side, R, Q>(u, v, lane, s.hidden) * columns + c;
        Vec<R> pairs[P::parts];
        P::join(lane < lanes ? load_up_to(from, columns - c) : Vec<R>{},
                lane + 1 < lanes ? load_up_to(from + columns, columns - c) : Vec<R>{}, pairs);
        R* line = tiles + k / kTileDepth * P::parts * kTileSize + k % kTileDepth / 2 * kTileLanes;
        for (int p = 0; p < P::parts; p++) store(line + p * kTileSize, pairs[p]);
      }
  }
}

// Sums of a thread's tiles of dW to the caller's layout.
template <class Side, class R, int Q>
void unpack_gradient(const Shape& s, const TiledGradient<Side, R>& g, int64_t first_tile, int64_t end_tile, R* out) {
  for (int64_t q = first_tile; q < end_tile; q++) {
    const int64_t k0 = q * kTileRows;
    const int rows = static_cast<int>(min_of<int64_t>(kTileRows, g.K - k0));
    for (int64_t u = 0; u < s.blocks; u++)
      for (int v = 0; v < Side::slots; v++)
        unpack_slot(g.sums + ((q * s.blocks + u) * Side::slots + v) * kTileSize, kTileLanes, rows,
                    out + weight_row<Side, R, Q>(u, v, 0, s.hidden) * g.K + k0, unit_lanes<Side, R, Q>(u, v, s.hidden), g.K);
  }
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
