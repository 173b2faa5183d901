// Convolution with products of plain numbers.
#include "conv/conv1d.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class R>
bool suits_all(const Conv1d<R>&) noexcept {
  return true;
}

}  // namespace

void fill_conv1d(KernelTable& table) noexcept {
  table.f32.conv1d = conv1d_kernels<float, Numbers>(suits_all<float>);
  table.f64.conv1d = conv1d_kernels<double, Numbers>(suits_all<double>);
}

}  // namespace PYSEQ_TIER
}  // namespace pyseq
