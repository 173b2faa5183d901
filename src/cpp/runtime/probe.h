// Measures the machine and the threads: what benches divide by, and what the bounds in runtime/parallel.cpp rest on.
#pragma once

#include <cstdint>

namespace pyseq {

enum class Probe { kMultiplyAdd, kBfloat16Dot, kTileDot, kRead };

bool probe_exists(Probe which) noexcept;  // in the tier in use, on this CPU

// Work a second of `threads` threads at once: operations, or bytes for kRead.
// rounds: of the loop, or for kRead passes over the data
// data: [size], each thread reads an equal part of its own; null unless kRead
// rates: [samples], one measurement each
void probe_rates(Probe which, int threads, int64_t rounds, const float* data, int64_t size, double* rates,
                 int64_t samples) noexcept;

// Seconds of a parallel region of so many steps with a barrier after each, in which `threads` threads share
// `operations` float32 operations a step. No steps: the price of a region. No operations: that of its barriers.
// seconds: [samples], one region each
void probe_regions(int threads, int64_t steps, double operations, double* seconds, int64_t samples) noexcept;

}  // namespace pyseq
