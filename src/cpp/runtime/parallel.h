// Threads: the only place that knows OpenMP.
#pragma once

#include <cstdint>

namespace pyseq {

// Threads a kernel may use now: OMP_NUM_THREADS, threadpoolctl and an enclosing parallel region are
// respected. 1 in a child of fork() whose parent had run threads (GNU OpenMP would hang there).
int max_threads() noexcept;

// What threads cost here, and what one of them does: `python -m bench.calibrate` measures both.
//   A region of threads that still spin costs half a microsecond, of threads asleep 40 to 130: a call may meet either.
//   A barrier costs 55 nanoseconds, and as much again in waiting for the slower thread.
//   The kernels do 100 to 200 floating-point operations a nanosecond.
constexpr double kRegionNanoseconds = 20e3;  // for each thread beyond the first
constexpr double kBarrierNanoseconds = 120;
constexpr double kOperationsPerNanosecond = 150;
constexpr double region_nanoseconds(int threads) { return kRegionNanoseconds * (threads - 1); }

// Threads worth their wake-up for this many floating-point operations, at most max_threads().
int threads_for(double operations) noexcept;

// Runs body(context, thread, threads) on up to `threads` threads and returns when all are done.
// `threads` as the body sees it may be smaller. Memory written before a thread ends is visible after.
void run_parallel(int threads, void (*body)(void* context, int thread, int threads), void* context) noexcept;

// A reusable barrier for the threads of one region. Spins for a bounded time, then yields the core; after a wait
// that spinning was too short for, the next one spins half as long.
// Zero-initialise; all threads of the region must call wait with the same count.
struct alignas(64) Barrier {
  int32_t arrived;
  int32_t generation;
  int32_t spins_given_up;
  void wait(int threads) noexcept;
};

}  // namespace pyseq
