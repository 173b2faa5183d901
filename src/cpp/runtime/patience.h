// Whether threads that wait for each other are worth it now: what regions have lost decides.
#pragma once

#include <cstdint>

namespace pyseq {

// Beside other work on all cores, one thread of a region is always waiting for its core, and the others for it: each
// wait costs a time slice of somebody else, thousands of times what a barrier costs. A region that has lost so much tells,
// and for a while regions are not split finely. The while is in proportion to what was lost and doubles from loss to loss,
// up to a second, or more where that much was lost: so trying again costs a few percent, and a machine that was
// interrupted once has its threads back at once. Regions that lose nothing for long enough end the matter.
//
// Times are nanoseconds of a clock that only rises. Any thread may call; a race loses a report at most.
class Patience {
 public:
  static constexpr int64_t kFirstPause = 2, kLongestPause = 16;  // times what was lost
  static constexpr int64_t kSecond = 1'000'000'000;              // or so long
  static constexpr int64_t kMostCounted = 250'000'000;  // more is not other work: the process was stopped
  static constexpr int64_t kProof = 50'000'000;  // of regions without loss: longer than scheduling is ever even by chance

  // No region has lost anything since the last proof: no need to look at the clock.
  bool undisturbed() const noexcept { return pause_end() == 0; }
  bool holds_back(int64_t now) const noexcept { return now < pause_end(); }
  int64_t pause_end() const noexcept { return __atomic_load_n(&until_, __ATOMIC_RELAXED); }

  // A region that ended at `now` lost so much. What was begun before a pause says nothing new in it.
  void lost(int64_t now, int64_t nanoseconds) noexcept;
  // A region that ended at `now` took so long and lost nothing.
  void kept(int64_t now, int64_t nanoseconds) noexcept;

 private:
  int64_t until_ = 0, proven_ = 0;
  int32_t losses_ = 0;
};

}  // namespace pyseq
