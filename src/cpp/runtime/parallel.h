// Threads: the only place that knows OpenMP.
#pragma once

#include <cstdint>

namespace pyseq {

// Threads a kernel may use now: OMP_NUM_THREADS, threadpoolctl and an enclosing parallel region are respected, and no
// more than there are cores for this process. 1 in a child of fork() whose parent had run threads (GNU OpenMP would hang
// there).
int max_threads() noexcept;

// What a call may use of the machine. Decided once, by whoever fills a kernel's arguments: how the work is split follows
// from it and the sizes alone, for the size of the workspace and for the run.
struct Crew {
  int most;   // threads
  bool busy;  // they have lost time waiting for each other a moment ago: only what meets seldom is split
};
Crew crew_now() noexcept;

// What threads cost here, and what one of them does: `python -m bench.calibrate` measures both.
//   A region of threads that still spin costs half a microsecond, of threads asleep 40 to 130: a call may meet either.
//   A barrier costs 55 nanoseconds, and as much again in waiting for the slower thread.
//   The kernels do 100 to 200 floating-point operations a nanosecond.
constexpr double kRegionNanoseconds = 20e3;  // for each thread beyond the first
constexpr double kBarrierNanoseconds = 120;
constexpr double kOperationsPerNanosecond = 150;
constexpr double region_nanoseconds(int threads) { return kRegionNanoseconds * (threads - 1); }
// Work of a thread between two meetings that is worth it on busy cores, where a meeting costs a few time slices of 3 to 4
// milliseconds (`python -m bench.busy`).
constexpr double kBusyNanoseconds = 20e6;

// Threads worth their wake-up for this many floating-point operations, at most crew.most.
int threads_for(const Crew& crew, double operations) noexcept;

// Runs body(context, thread, threads) on up to `threads` threads and returns when all are done.
// `threads` as the body sees it may be smaller. Memory written before a thread ends is visible after.
void run_parallel(int threads, void (*body)(void* context, int thread, int threads), void* context) noexcept;

// A reusable barrier for the threads of one region. Spins for a bounded time, then yields the core; after a wait
// that spinning was too short for, the next one spins half as long. All threads must call wait with the same count.
//
// A thread that comes so late because others run on its core makes the region give up, once all such waits together are
// half of what the region should take: from then on `alone` is true after a wait, for every thread alike. Where the
// code says so, the calling thread then does the rest and the others leave.
struct alignas(64) Barrier {
  int32_t arrived;
  int32_t generation;
  int32_t spins_given_up;
  int32_t alone_from;     // tests: gives up in the wait with this number, from 1 on; 0: never
  int64_t waiting_since;  // when a thread that waits had stopped spinning
  int64_t expected;       // nanoseconds that the region should take
  bool alone;
  void wait(int threads) noexcept;

 private:
  void came_late() noexcept;
};
Barrier new_barrier(double expected_nanoseconds) noexcept;

// For tests: cores to assume (0: ask the system), whether the machine is busy (-1: as regions tell; 0, 1), and the wait
// with which every region gives up (0: none).
struct Assumed {
  int cores = 0, busy = -1;
  int32_t alone_from = 0;
};
void assume(const Assumed& assumed) noexcept;

}  // namespace pyseq
