#include "tier.h"
namespace pyseq { namespace PYSEQ_TIER {
void fill_conv1d(KernelTable&) noexcept {}
} }
