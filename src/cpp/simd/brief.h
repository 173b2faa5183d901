// float32 numbers kept in their upper half: bfloat16, for weights that are read more often than computed with.
// Two vectors share one: the first in the lower half of every lane, the second in the upper.
#pragma once

#include "simd/vec.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// Nearest, ties to even, as the upper half of 32 bits; NaN stays NaN.
PYSEQ_INLINE uint32_t shorten(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if (x != x) return bits | 0x400000u;
  return (bits + 0x7fffu + (bits >> 16 & 1)) & 0xffff0000u;
}
PYSEQ_INLINE float brief_pair(float lower, float upper) {
  const uint32_t bits = shorten(lower) >> 16 | shorten(upper);
  float pair;
  memcpy(&pair, &bits, sizeof pair);
  return pair;
}

PYSEQ_INLINE Vec<float> lower_of(Vec<float> pairs) { return (Vec<float>)((IntVec<float>)pairs << 16); }
PYSEQ_INLINE Vec<float> upper_of(Vec<float> pairs) {
  return (Vec<float>)((IntVec<float>)pairs & static_cast<int32_t>(0xffff0000u));
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
