#include "rnn/rnn.h"

namespace pyseq {
namespace PYSEQ_TIER {

void fill_rnn(Kernels<float>& kernels) noexcept { fill(kernels); }

}  // namespace PYSEQ_TIER
}  // namespace pyseq
