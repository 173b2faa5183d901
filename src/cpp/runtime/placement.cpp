#include "runtime/placement.h"

#ifdef __linux__
#include "runtime/clock.h"

#include <sched.h>
#endif

namespace pyseq {

#ifdef __linux__

namespace {

// Cores that a thread was restricted to, and those it may use otherwise. Given back by the thread itself.
struct Stay {
  cpu_set_t allowed, free;
  int64_t until = 0;  // 0: not restricted

  void begin(const cpu_set_t& all, const cpu_set_t& some) {
    allowed = all;
    free = some;
    until = clock_now() + kStayNanoseconds;
  }
  void end() {
    cpu_set_t present;
    until = 0;
    if (sched_getaffinity(0, sizeof present, &present) == 0 && CPU_EQUAL(&present, &free))  // else others chose since
      sched_setaffinity(0, sizeof allowed, &allowed);
  }
  bool over() const { return until != 0 && clock_now() >= until; }
  static constexpr int64_t kStayNanoseconds = 1'000'000'000;
};
thread_local Stay stay;

}  // namespace

bool Placement::settle(bool stays) noexcept {
  const auto take = [this](int core) {  // true if another thread has it
    const uint64_t bit = uint64_t{1} << core % 64;
    return (__atomic_fetch_or(&taken_[core / 64], bit, __ATOMIC_RELAXED) & bit) != 0;
  };
  if (stay.over()) stay.end();
  const int here = sched_getcpu();
  if (here < 0 || here >= kCores || !take(here)) return false;
  if (stay.until != 0) stay.end();
  cpu_set_t allowed, free;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return true;
  CPU_ZERO(&free);
  for (int core = 0; core < kCores; core++)
    if (CPU_ISSET(core, &allowed) && !(__atomic_load_n(&taken_[core / 64], __ATOMIC_RELAXED) >> core % 64 & 1)) CPU_SET(core, &free);
  if (CPU_COUNT(&free) == 0 || sched_setaffinity(0, sizeof free, &free) != 0) return true;
  const int there = sched_getcpu();
  if (stays) stay.begin(allowed, free);
  else sched_setaffinity(0, sizeof allowed, &allowed);
  if (there >= 0 && there < kCores) take(there);
  return true;
}

#else

bool Placement::settle(bool) noexcept {
  (void)taken_;
  return false;
}

#endif

}  // namespace pyseq
