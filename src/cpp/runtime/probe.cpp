#include "runtime/probe.h"

#include <chrono>

#include "runtime/cpu.h"
#include "runtime/dispatch.h"
#include "runtime/parallel.h"

namespace pyseq {

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

template <class F>
void in_parallel(int threads, F& body) {
  run_parallel(threads, [](void* f, int thread, int n) { (*static_cast<F*>(f))(thread, n); }, &body);
}

int64_t work(Probe which, int64_t rounds, const float* data, int64_t size) {
  const Probes& probes = kernel_table().probes;
  float sink = 0;
  if (which == Probe::kMultiplyAdd) return probes.multiply_add(rounds, &sink);
  if (which == Probe::kBfloat16Dot) return probes.bfloat16_dot(rounds, &sink);
  if (which == Probe::kTileDot) return probes.tile_dot(rounds, &sink);
  int64_t bytes = 0;
  for (int64_t r = 0; r < rounds; r++) bytes += probes.read(data, size, &sink);
  return bytes;
}

}  // namespace

bool probe_exists(Probe which) noexcept {
  if (which == Probe::kTileDot) return kernel_table().probes.tile_dot != nullptr;
  return which != Probe::kBfloat16Dot || (kernel_table().probes.bfloat16_dot && cpu_has_avx512_bf16());
}

void probe_rates(Probe which, int threads, int64_t rounds, const float* data, int64_t size, double* rates,
                 int64_t samples) noexcept {
  Barrier barrier = {};
  double begun = 0;
  int64_t done = 0;
  for (int64_t i = 0; i < samples; i++) {
    done = 0;
    auto body = [&](int thread, int n) {
      const int64_t part = size / n;
      work(which, 1, data + part * thread, part);  // loads what the cache holds
      barrier.wait(n);
      if (thread == 0) begun = now();
      __atomic_fetch_add(&done, work(which, rounds, data + part * thread, part), __ATOMIC_RELAXED);
    };
    in_parallel(threads, body);
    rates[i] = static_cast<double>(done) / (now() - begun);
  }
}

void probe_regions(int threads, int64_t steps, double operations, double* seconds, int64_t samples) noexcept {
  const double one_round = static_cast<double>(work(Probe::kMultiplyAdd, 1, nullptr, 0));
  Barrier barrier = {};
  for (int64_t i = 0; i < samples; i++) {
    auto body = [&](int, int n) {
      const auto rounds = static_cast<int64_t>(operations / n / one_round);
      for (int64_t step = 0; step < steps; step++) {
        if (rounds > 0) work(Probe::kMultiplyAdd, rounds, nullptr, 0);
        barrier.wait(n);
      }
    };
    const double begun = now();
    in_parallel(threads, body);
    seconds[i] = now() - begun;
  }
}

}  // namespace pyseq
