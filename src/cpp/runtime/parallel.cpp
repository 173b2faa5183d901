#include "runtime/parallel.h"

#include "runtime/placement.h"

#include <pthread.h>
#include <sched.h>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace pyseq {

namespace {

// Longer than a barrier of threads that all run; the thread that is waited for may need this core. About 10
// microseconds of pause instructions; less where waiting that long was in vain before.
constexpr int32_t kMostSpins = 400, kFewestSpins = 4;

bool ran_threads = false;      // this process has started a team
bool forked_after_team = false;

#ifdef _OPENMP
void after_fork_in_child() { forked_after_team = forked_after_team || ran_threads; }
const int registered = pthread_atfork(nullptr, nullptr, after_fork_in_child);
#endif

void pause_core() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

int max_threads() noexcept {
#ifdef _OPENMP
  (void)registered;
  if (forked_after_team || omp_in_parallel()) return 1;
  return omp_get_max_threads();
#else
  return 1;
#endif
}

int threads_for(double operations) noexcept {
  const double wanted = operations / (kOperationsPerNanosecond * kRegionNanoseconds);  // a share pays for its thread
  if (wanted < 2) return 1;
  const int most = max_threads();
  return wanted < most ? static_cast<int>(wanted) : most;
}

void run_parallel(int threads, void (*body)(void*, int, int), void* context) noexcept {
#ifdef _OPENMP
  if (threads > 1 && max_threads() > 1) {
    __atomic_store_n(&ran_threads, true, __ATOMIC_RELAXED);
    Placement placement = {};
#pragma omp parallel num_threads(threads)
    {
      placement.settle();
      body(context, omp_get_thread_num(), omp_get_num_threads());
    }
    return;
  }
#endif
  (void)threads;
  body(context, 0, 1);
}

void Barrier::wait(int threads) noexcept {
  if (threads == 1) return;
  const int32_t seen = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
  if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == threads) {
    __atomic_store_n(&arrived, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&generation, seen + 1, __ATOMIC_RELEASE);
    return;
  }
  const int32_t given_up = __atomic_load_n(&spins_given_up, __ATOMIC_RELAXED), spins = kMostSpins - given_up;
  int32_t spin = 0;
  for (; __atomic_load_n(&generation, __ATOMIC_ACQUIRE) == seen; spin++) {
    if (spin < spins) pause_core();
    else sched_yield();
  }
  const int32_t next = spin <= spins ? 2 * spins : spins / 2;
  if (spin > spins || given_up > 0)
    __atomic_store_n(&spins_given_up, kMostSpins - (next > kMostSpins ? kMostSpins : next < kFewestSpins ? kFewestSpins : next),
                     __ATOMIC_RELAXED);
}

}  // namespace pyseq
