// Threads of one region on cores of their own.
#pragma once

#include <cstdint>

namespace pyseq {

// After a rest the scheduler may wake a thread on the core of the one that woke it. That one works on, and the other can
// neither start nor move away until it waits: a call of two threads then takes longer than one of one, and so does the
// next, as long as calls are few. A thread that finds its core taken moves to a free one of those it may use. The thread
// that called may use all of them again at once. The others stay off the cores that were taken for a second of calls, or
// until they find theirs taken again. Zero-initialise for each region.
class Placement {
 public:
  // Called by every thread of the region as it starts. `stays`: not the one that called. Whether its core was taken.
  bool settle(bool stays) noexcept;

 private:
  static constexpr int kCores = 1024;  // cores beyond are left to the scheduler
  uint64_t taken_[kCores / 64];
};

}  // namespace pyseq
