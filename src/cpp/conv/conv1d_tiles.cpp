// Convolution with products in tile registers: precision "high" with two bfloat16 numbers for each float32 one, "medium"
// with one. Compiled for the tier that has the instructions (cmake/isa.cmake).
#include "conv/tiled_correlate.h"
#include "conv/tiled_weight_gradient.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// As in conv1d_bf16.cpp. Tiles hold 32 channels by two times 16: with 24 and 24, 0.56 of their products are not of zeros,
// with 16 and 16 a half, where "high" would gain little over float32. By arithmetic, not measured.
constexpr int64_t kFewestTiledChannels = 24;

bool suits(const Conv1d<float>& c) noexcept {
  return c.in_channels >= kFewestTiledChannels && c.out_channels >= kFewestTiledChannels;
}

}  // namespace

void fill_conv1d_tiles(Kernels<float>& kernels) noexcept {
  kernels.conv1d_tiles = conv1d_kernels<float, TilePairs<1>>(suits);
  kernels.conv1d_tiles_x3 = conv1d_kernels<float, TilePairs<2>>(suits);
}

}  // namespace PYSEQ_TIER
}  // namespace pyseq
