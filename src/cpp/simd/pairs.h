// Pairs of bfloat16 numbers in the lanes of float vectors: the operands of the reduced precision.
//
//   bfloat16(v): v rounded to 8 significant bits, to nearest and ties to even; NaN stays NaN, subnormal numbers are 0
//
// A pair lies in memory where a float would lie (its first number in the low half), so that products walk over pairs
// with the loops that walk over numbers. As a float it means nothing: it is moved and multiplied, never computed with.
#pragma once

#include "simd/vec.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

#if defined(__AVX512BF16__)
struct Pairs {
  static constexpr int size = 2, parts = 1;
  static constexpr bool tiled = false;
  static constexpr double rate = 2;

  //   sum[lane] + a[lane].first * b[lane].first + a[lane].second * b[lane].second, in float32
  PYSEQ_INLINE static Vec<float> multiply_add(Vec<float> a, Vec<float> b, Vec<float> sum) {
    return (Vec<float>)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
  }
  // Pairs of neighbours of the numbers at p, of which the first `left` exist; others are zero.
  PYSEQ_INLINE static Vec<float> load(const float* p, int64_t left) {
    constexpr int W = kLanes<float>;
    const Vec<float> first = load_up_to(p, left), second = left > W ? load_up_to(p + W, left - W) : Vec<float>{};
    return (Vec<float>)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
  }
  // Pairs (f(0)[lane], f(1)[lane]).
  template <class F>
  PYSEQ_INLINE static Vec<float> join(const F& f) {
    const __m512i lanes = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,  //
                                           23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const Vec<float> first = f(0), second = f(1);
    const __m512bh halves = _mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
    return (Vec<float>)_mm512_permutexvar_epi16(lanes, (__m512i)halves);
  }
  // The pairs of neighbours of v: half as many as it has lanes. (Operands with low parts say where they go.)
  PYSEQ_INLINE static void store(float* p, Vec<float> v, int64_t = 0) {
    _mm256_storeu_ps(p, (__m256)_mm512_cvtneps_pbh((__m512)v));
  }
  // Fills `room` pairs with the neighbours of `count` numbers, and zeros beyond.
  PYSEQ_INLINE static void copy(float* pairs, const float* numbers, int64_t count, int64_t room, int64_t = 0) {
    for (int64_t k = 0; k < room; k += kLanes<float>)
      store_up_to(pairs + k, load(numbers + size * k, count - size * k), room - k);
  }
};
#endif

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
