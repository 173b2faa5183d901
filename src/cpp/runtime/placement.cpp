#include "runtime/placement.h"

#ifdef __linux__
#include <sched.h>
#endif

namespace pyseq {

#ifdef __linux__

void Placement::settle() noexcept {
  const auto take = [this](int core) {  // true if another thread has it
    const uint64_t bit = uint64_t{1} << core % 64;
    return (__atomic_fetch_or(&taken_[core / 64], bit, __ATOMIC_RELAXED) & bit) != 0;
  };
  const int here = sched_getcpu();
  if (here < 0 || here >= kCores || !take(here)) return;
  cpu_set_t allowed, free;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  CPU_ZERO(&free);
  for (int core = 0; core < kCores; core++)
    if (CPU_ISSET(core, &allowed) && !(__atomic_load_n(&taken_[core / 64], __ATOMIC_RELAXED) >> core % 64 & 1)) CPU_SET(core, &free);
  if (CPU_COUNT(&free) == 0 || sched_setaffinity(0, sizeof free, &free) != 0) return;
  const int there = sched_getcpu();
  sched_setaffinity(0, sizeof allowed, &allowed);
  if (there >= 0 && there < kCores) take(there);
}

#else

void Placement::settle() noexcept { (void)taken_; }

#endif

}  // namespace pyseq
