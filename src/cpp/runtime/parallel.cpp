#include "runtime/parallel.h"

#include "runtime/clock.h"
#include "runtime/cores.h"
#include "runtime/patience.h"
#include "runtime/placement.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace pyseq {

namespace {

// Longer than a barrier of threads that all run; the thread that is waited for may need this core. About 10
// microseconds of pause instructions; less where waiting that long was in vain before.
constexpr int32_t kMostSpins = 400, kFewestSpins = 4;
// Nanoseconds that a thread may be late without being asked why, and that it may start late: to wake up on an idle core takes
// tenths of a millisecond after a rest, time slices of others are longer.
constexpr int64_t kLate = 200'000, kLateStart = 1'000'000;

bool ran_threads = false;      // this process has started a team
bool forked_after_team = false;
Patience patience;
Assumed assumed;

#ifdef _OPENMP
void after_fork_in_child() { forked_after_team = forked_after_team || ran_threads; }
const int registered = pthread_atfork(nullptr, nullptr, after_fork_in_child);
#endif

void pause_core() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// What the threads of a region have lost by waiting for one whose core others had.
struct Region {
  int64_t begun;
  int64_t first_done = 0;  // when the calling thread had done its part
  int64_t lost = 0;        // in barriers
  int64_t lost_at_end = 0;
  bool gave_up = false;
};

// Of the calling thread.
struct Member {
  Region* region = nullptr;
  bool started_late = false;
  long preemptions = 0;  // when last looked at
};
thread_local Member member;

// Whether this thread waited for its core since this was last asked. A thread with more work than the others is late too,
// which is no reason to give up; but nobody has taken its core from it.
bool was_held_up() {
  if (member.started_late) {
    member.started_late = false;
    return true;
  }
#ifdef RUSAGE_THREAD
  rusage usage;
  if (getrusage(RUSAGE_THREAD, &usage) != 0 || usage.ru_nivcsw == member.preemptions) return false;
  member.preemptions = usage.ru_nivcsw;
  return true;
#else
  return false;
#endif
}

#ifdef _OPENMP
void enter(Region& region, Placement& placement, int thread) {
  member.region = &region;
  const bool late = thread > 0 && clock_now() - region.begun > kLateStart;
  const bool met = placement.settle(thread > 0);  // then it waited for a thread of its own region
  member.started_late = late && !met;
}

void leave(Region& region, int thread) {
  member.region = nullptr;
  if (thread == 0) {
    __atomic_store_n(&region.first_done, clock_now(), __ATOMIC_RELAXED);
    return;
  }
  const int64_t waiting_since = __atomic_load_n(&region.first_done, __ATOMIC_RELAXED);
  if (waiting_since == 0) return;
  const int64_t late = clock_now() - waiting_since;
  if (late <= kLate || !was_held_up()) return;
  int64_t most = __atomic_load_n(&region.lost_at_end, __ATOMIC_RELAXED);
  while (late > most && !__atomic_compare_exchange_n(&region.lost_at_end, &most, late, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
}

// A region that lost more than half of its time took longer than one thread would have; where threads take what is left to
// do, one that comes late leaves most of it to the others, and a quarter is as bad.
void report(const Region& region) {
  const int64_t lost = region.lost + region.lost_at_end;
  if (lost == 0 && patience.undisturbed()) return;
  const int64_t end = clock_now(), taken = end - region.begun;
  if (region.gave_up || lost > taken / 4) patience.lost(end, lost);
  else if (lost == 0) patience.kept(end, taken);
}
#endif

}  // namespace

int max_threads() noexcept {
#ifdef _OPENMP
  (void)registered;
  if (forked_after_team || omp_in_parallel()) return 1;
  const int wanted = omp_get_max_threads();
  if (wanted <= 1) return 1;
  const int cores = assumed.cores ? assumed.cores : cores_allowed();
  return cores > 0 && cores < wanted ? cores : wanted;
#else
  return 1;
#endif
}

Crew crew_now() noexcept {
  const int most = max_threads();
  if (assumed.busy >= 0) return {most, assumed.busy > 0};
  return {most, most > 1 && !patience.undisturbed() && patience.holds_back(clock_now())};
}

int threads_for(const Crew& crew, double operations) noexcept {
  const double least = crew.busy ? kBusyNanoseconds : kRegionNanoseconds;  // a share pays for its thread
  const double wanted = operations / (kOperationsPerNanosecond * least);
  if (wanted < 2) return 1;
  return wanted < crew.most ? static_cast<int>(wanted) : crew.most;
}

void run_parallel(int threads, void (*body)(void*, int, int), void* context) noexcept {
#ifdef _OPENMP
  if (threads > 1 && max_threads() > 1) {
    __atomic_store_n(&ran_threads, true, __ATOMIC_RELAXED);
    Placement placement = {};
    Region region = {clock_now()};
#pragma omp parallel num_threads(threads)
    {
      const int thread = omp_get_thread_num();
      enter(region, placement, thread);
      body(context, thread, omp_get_num_threads());
      leave(region, thread);
    }
    report(region);
    return;
  }
#endif
  (void)threads;
  body(context, 0, 1);
}

Barrier new_barrier(double expected_nanoseconds) noexcept {
  return {0, 0, 0, assumed.alone_from, 0, static_cast<int64_t>(expected_nanoseconds), false};
}

void assume(const Assumed& what) noexcept { assumed = what; }

// Called by the last thread to arrive, before it lets the others go.
void Barrier::came_late() noexcept {
  if (generation + 1 == alone_from) alone = true;
  const int64_t since = __atomic_exchange_n(&waiting_since, 0, __ATOMIC_RELAXED);
  Region* const region = member.region;
  if (since == 0 || !region) return;
  const int64_t time = clock_now(), late = time - since;
  if (late <= kLate || !was_held_up()) return;
  region->lost += late;  // of all threads only the last one is here, and the barrier orders them
  const int64_t taken = time - region->begun;
  if (region->lost > (taken > expected ? taken : expected) / 2) alone = region->gave_up = true;
}

void Barrier::wait(int threads) noexcept {
  if (threads == 1) return;
  const int32_t seen = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
  if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == threads) {
    __atomic_store_n(&arrived, 0, __ATOMIC_RELAXED);
    if (__atomic_load_n(&waiting_since, __ATOMIC_RELAXED) != 0 || seen + 1 == alone_from) came_late();
    __atomic_store_n(&generation, seen + 1, __ATOMIC_RELEASE);
    return;
  }
  const int32_t given_up = __atomic_load_n(&spins_given_up, __ATOMIC_RELAXED), spins = kMostSpins - given_up;
  int32_t spin = 0;
  int64_t since = 0;
  for (; __atomic_load_n(&generation, __ATOMIC_ACQUIRE) == seen; spin++) {
    if (spin < spins) {
      pause_core();
      continue;
    }
    if (spin == spins) __atomic_store_n(&waiting_since, since = clock_now(), __ATOMIC_RELAXED);
    sched_yield();
  }
  const int32_t next = spin <= spins ? 2 * spins : spins / 2;
  if (since)  // it may have come too late to be read; another thread may wait again since then
    __atomic_compare_exchange_n(&waiting_since, &since, 0, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  if (spin > spins || given_up > 0)
    __atomic_store_n(&spins_given_up, kMostSpins - (next > kMostSpins ? kMostSpins : next < kFewestSpins ? kFewestSpins : next),
                     __ATOMIC_RELAXED);
}

}  // namespace pyseq
