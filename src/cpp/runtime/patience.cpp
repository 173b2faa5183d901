#include "runtime/patience.h"

#include <algorithm>

namespace pyseq {

void Patience::lost(int64_t now, int64_t nanoseconds) noexcept {
  if (holds_back(now)) return;
  const int32_t losses = __atomic_load_n(&losses_, __ATOMIC_RELAXED);
  const int64_t counted = std::min(std::max<int64_t>(nanoseconds, 1), kMostCounted);
  const int64_t longest = std::max(kSecond, counted * kLongestPause);
  int64_t pause = counted * kFirstPause;
  for (int32_t i = 0; i < losses && pause < longest; i++) pause *= 2;
  __atomic_store_n(&proven_, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&losses_, losses + (pause < longest), __ATOMIC_RELAXED);
  __atomic_store_n(&until_, now + std::min(pause, longest), __ATOMIC_RELAXED);
}

void Patience::kept(int64_t now, int64_t nanoseconds) noexcept {
  if (undisturbed() || holds_back(now)) return;
  if (__atomic_add_fetch(&proven_, nanoseconds, __ATOMIC_RELAXED) < kProof) return;
  __atomic_store_n(&losses_, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&until_, 0, __ATOMIC_RELAXED);
}

}  // namespace pyseq
