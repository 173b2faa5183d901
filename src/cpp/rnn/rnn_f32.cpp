#include "tier.h"
namespace pyseq { namespace PYSEQ_TIER {
void fill_rnn(Kernels<float>&) noexcept {}
} }
