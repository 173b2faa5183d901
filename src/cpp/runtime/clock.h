// The clock of everything that waits.
#pragma once

#include <time.h>

#include <cstdint>

namespace pyseq {

// Nanoseconds; they only rise.
inline int64_t clock_now() noexcept {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

}  // namespace pyseq
