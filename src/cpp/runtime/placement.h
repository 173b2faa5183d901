// Threads of one region on cores of their own.
#pragma once

#include <cstdint>

namespace pyseq {

// After a rest the scheduler may wake a thread on the core of the one that woke it, and leave both there for
// milliseconds while another core idles: with a barrier a step that costs several times one thread's time.
// A thread that finds its core taken moves once to a free one of those it may use, and may then use all of
// them as before: nothing stays pinned. Zero-initialise for each region.
class Placement {
 public:
  // Called by every thread of the region as it starts.
  void settle() noexcept;

 private:
  static constexpr int kCores = 1024;  // cores beyond are left to the scheduler
  uint64_t taken_[kCores / 64];
};

}  // namespace pyseq
