// Vectors of float32 as vectors of float64, and masks as bits.
#pragma once

#include "simd/lanes.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// Bit i is set where lane i of a mask is, as comparisons give it.
PYSEQ_INLINE uint32_t lane_bits(IntVec<double> mask) {
#if defined(__AVX512F__)
  return _mm512_movepi64_mask((__m512i)mask);
#elif defined(__AVX2__)
  return static_cast<uint32_t>(_mm256_movemask_pd((__m256d)mask));
#elif defined(__SSE2__)
  return static_cast<uint32_t>(_mm_movemask_pd((__m128d)mask));
#else
  uint32_t bits = 0;
  for (int i = 0; i < kLanes<double>; i++) bits |= static_cast<uint32_t>(mask[i] & 1) << i;
  return bits;
#endif
}

// The same numbers in float64, in as many vectors as they need.
PYSEQ_INLINE void widen(Vec<double> v, Vec<double> (&out)[1]) { out[0] = v; }
PYSEQ_INLINE void widen(Vec<float> v, Vec<double> (&out)[2]) {
#if defined(__AVX512F__)
  __m256 half[2];
  memcpy(half, &v, sizeof v);
  out[0] = (Vec<double>)_mm512_maskz_cvtps_pd(0xff, half[0]);
  out[1] = (Vec<double>)_mm512_maskz_cvtps_pd(0xff, half[1]);
#elif defined(__AVX2__)
  out[0] = (Vec<double>)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)v));
  out[1] = (Vec<double>)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)v, 1));
#else
  PYSEQ_UNROLL for (int i = 0; i < kLanes<float>; i++) out[i / kLanes<double>][i % kLanes<double>] = v[i];
#endif
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
