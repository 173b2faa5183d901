// Convolution with products of bfloat16 pairs, for precision "medium". Compiled where the tier has the instruction
// (cmake/isa.cmake); runtime/dispatch asks the processor before it hands it out.
#include "conv/conv1d.h"
#include "simd/pairs.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// With fewer channels, making pairs costs what the products save.
constexpr int64_t kFewestChannels = 24;

bool suits(const Conv1d<float>& c) noexcept {
  return c.in_channels >= kFewestChannels && c.out_channels >= kFewestChannels;
}

}  // namespace

void fill_conv1d_bf16(Kernels<float>& kernels) noexcept { kernels.conv1d_bf16 = conv1d_kernels<float, Pairs>(suits); }

}  // namespace PYSEQ_TIER
}  // namespace pyseq
