// Loops that do nothing but multiply-adds in registers, or nothing but loads: the most this machine gives a kernel.
#include "simd/vec.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// What neither compiler nor processor can leave out: the sum of all lanes.
template <int N>
PYSEQ_INLINE float total(const Vec<float> (&v)[N]) {
  float sum = 0;
  for (int i = 0; i < N; i++)
    for (int lane = 0; lane < kLanes<float>; lane++) sum += v[i][lane];
  return sum;
}

//   v[i] <- v[i] * a + b, as many chains as there are accumulators: latency is hidden, all ports are busy
PYSEQ_TILE int64_t multiply_add(int64_t rounds, float* sink) noexcept {
  const Vec<float> a = splat(0.5f + *sink), b = splat(0.25f);
  Vec<float> v[kAccumulators];
  PYSEQ_UNROLL for (int i = 0; i < kAccumulators; i++) v[i] = splat(static_cast<float>(i));
  for (int64_t r = 0; r < rounds; r++)
    PYSEQ_UNROLL for (int i = 0; i < kAccumulators; i++) v[i] = fma(v[i], a, b);
  *sink = total(v);
  return rounds * kAccumulators * kLanes<float> * 2;
}

PYSEQ_TILE int64_t read(const float* data, int64_t size, float* sink) noexcept {
  constexpr int chains = 8, line = chains * kLanes<float>;
  Vec<float> v[chains] = {};
  const int64_t whole = size / line * line;
  for (int64_t at = 0; at < whole; at += line)
    PYSEQ_UNROLL for (int i = 0; i < chains; i++) v[i] += load(data + at + i * kLanes<float>);
  *sink = total(v);
  return whole * static_cast<int64_t>(sizeof(float));
}

#if defined(__AVX512F__)
//   v[i][lane] += a[2 lane] * b[2 lane] + a[2 lane + 1] * b[2 lane + 1]
// The tier is compiled without this instruction: runtime/probe asks the processor before it calls.
__attribute__((noinline, target("avx512bf16"))) int64_t bfloat16_dot(int64_t rounds, float* sink) noexcept {
  const __m512bh ones = (__m512bh)_mm512_set1_epi32(0x3f803f80);
  Vec<float> v[kAccumulators];
  PYSEQ_UNROLL for (int i = 0; i < kAccumulators; i++) v[i] = splat(static_cast<float>(i));
  for (int64_t r = 0; r < rounds; r++)
    PYSEQ_UNROLL for (int i = 0; i < kAccumulators; i++)
      v[i] = (Vec<float>)_mm512_dpbf16_ps((__m512)v[i], ones, ones);
  *sink = total(v);
  return rounds * kAccumulators * kLanes<float> * 4;
}
#endif

}  // namespace

void fill_probe(KernelTable& table) noexcept {
  table.probes = {multiply_add, nullptr, nullptr, read, nullptr};
#if defined(__AVX512F__)
  table.probes.bfloat16_dot = bfloat16_dot;
#endif
}

}  // namespace PYSEQ_TIER
}  // namespace pyseq
