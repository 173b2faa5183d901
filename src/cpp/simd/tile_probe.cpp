// One product of tile registers, and the most that they give a kernel (simd/probe.cpp has the other probes).
#include "simd/tiles.h"
#include "tier.h"

namespace pyseq {
namespace PYSEQ_TIER {

namespace {

void tile_product(int rows, const float* a, const float* b, float* c) noexcept {
  configure_tiles(rows);
  load_tile<0>(c, kTileLanes);
  load_tile<4>(a, kTileLanes);
  load_tile<6>(b, kTileLanes);
  multiply_tiles<0, 4, 6>();
  store_tile<0>(c, kTileLanes);
  release_tiles();
}

#if !defined(PYSEQ_EMULATED_TILES)
//   C_i += A B, five chains: a product is ready after 52 cycles, and the next may start after 16
int64_t tile_dot(int64_t rounds, float* sink) noexcept {
  alignas(64) float sums[kTileSize];
  configure_tiles(kTileRows);
  for (int64_t r = 0; r < rounds; r++) {
    multiply_tiles<0, 5, 6>();
    multiply_tiles<1, 5, 6>();
    multiply_tiles<2, 5, 6>();
    multiply_tiles<3, 5, 6>();
    multiply_tiles<4, 5, 6>();
  }
  store_tile<0>(sums, kTileLanes);
  release_tiles();
  *sink = sums[0];
  return rounds * 5 * kTileSize * kTileDepth * 2;
}
#endif

}  // namespace

void fill_tile_probe(KernelTable& table) noexcept {
  table.probes.tile_product = tile_product;
#if !defined(PYSEQ_EMULATED_TILES)
  table.probes.tile_dot = tile_dot;
#endif
}

}  // namespace PYSEQ_TIER
}  // namespace pyseq
