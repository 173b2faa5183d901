#include "runtime/patience.h"

#include <algorithm>

namespace pyseq {

void Patience::lost(int64_t now, int64_t nanoseconds) noexcept {
  if (holds_back(now)) return;
  const int32_t losses = __atomic_load_n(&losses_, __ATOMIC_RELAXED);
  int64_t pause = std::min(std::max<int64_t>(nanoseconds, 1), kLongestPause) * kFirstPause;
  for (int32_t i = 0; i < losses && pause < kLongestPause; i++) pause *= 2;
  __atomic_store_n(&proven_, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&losses_, losses + (pause < kLongestPause), __ATOMIC_RELAXED);
  __atomic_store_n(&until_, now + std::min(pause, kLongestPause), __ATOMIC_RELAXED);
}

void Patience::kept(int64_t now, int64_t nanoseconds) noexcept {
  if (undisturbed() || holds_back(now)) return;
  if (__atomic_add_fetch(&proven_, nanoseconds, __ATOMIC_RELAXED) < kProof) return;
  __atomic_store_n(&losses_, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&until_, 0, __ATOMIC_RELAXED);
}

}  // namespace pyseq
