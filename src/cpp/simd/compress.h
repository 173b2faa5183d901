// Comparisons as bits, one a lane, and the lanes that are set, moved together.
#pragma once

#include <type_traits>

#include "simd/lanes.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class R>
PYSEQ_INLINE IntVec<R> load_ints(const Int_t<R>* p) {
  IntVec<R> v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <class R>
PYSEQ_INLINE void store_ints(Int_t<R>* p, IntVec<R> v) { std::memcpy(p, &v, sizeof v); }

// Lane i is i.
template <class R>
PYSEQ_INLINE IntVec<R> lane_numbers() {
  IntVec<R> v;
  PYSEQ_UNROLL for (int i = 0; i < kLanes<R>; i++) v[i] = i;
  return v;
}

// Bit i of bits_above(a, b): a[i] > b[i], false for NaN. Bit i of bits_equal(a, b): a[i] == b[i], likewise.
#if defined(__AVX512F__)
PYSEQ_INLINE uint32_t bits_above(Vec<float> a, Vec<float> b) {
  return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ);
}
PYSEQ_INLINE uint32_t bits_above(Vec<double> a, Vec<double> b) {
  return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_GT_OQ);
}
PYSEQ_INLINE uint32_t bits_equal(Vec<float> a, Vec<float> b) {
  return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_EQ_OQ);
}
PYSEQ_INLINE uint32_t bits_equal(Vec<double> a, Vec<double> b) {
  return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_EQ_OQ);
}
PYSEQ_INLINE uint32_t bits_equal(IntVec<float> a, IntVec<float> b) {
  return _mm512_cmpeq_epi32_mask((__m512i)a, (__m512i)b);
}
PYSEQ_INLINE uint32_t bits_equal(IntVec<double> a, IntVec<double> b) {
  return _mm512_cmpeq_epi64_mask((__m512i)a, (__m512i)b);
}
#else
template <class I>
PYSEQ_INLINE uint32_t lane_bits(I mask) {
  constexpr bool kSingle = sizeof(mask[0]) == sizeof(float);
#if defined(__AVX2__)
  return static_cast<uint32_t>(kSingle ? _mm256_movemask_ps((__m256)mask) : _mm256_movemask_pd((__m256d)mask));
#elif defined(__SSE2__)
  return static_cast<uint32_t>(kSingle ? _mm_movemask_ps((__m128)mask) : _mm_movemask_pd((__m128d)mask));
#else
  uint32_t bits = 0;
  for (int i = 0; i < kLanesOf<I>; i++) bits |= static_cast<uint32_t>(mask[i] & 1) << i;
  return bits;
#endif
}
template <class V>
PYSEQ_INLINE uint32_t bits_above(V a, V b) { return lane_bits(a > b); }
template <class I>
PYSEQ_INLINE uint32_t bits_equal(I a, I b) { return lane_bits(a == b); }
#endif

// Writes the lanes of v whose bit is set, in order, from `to` on; there must be room for a whole vector. On AVX-512
// compressed in a register: stores that compress are slow on some processors.
#if defined(__AVX512F__)
PYSEQ_INLINE void compress_to(float* to, Vec<float> v, uint32_t bits) {
  store(to, (Vec<float>)_mm512_maskz_compress_ps(static_cast<__mmask16>(bits), (__m512)v));
}
PYSEQ_INLINE void compress_to(double* to, Vec<double> v, uint32_t bits) {
  store(to, (Vec<double>)_mm512_maskz_compress_pd(static_cast<__mmask8>(bits), (__m512d)v));
}
PYSEQ_INLINE void compress_to(int32_t* to, IntVec<float> v, uint32_t bits) {
  store_ints<float>(to, (IntVec<float>)_mm512_maskz_compress_epi32(static_cast<__mmask16>(bits), (__m512i)v));
}
PYSEQ_INLINE void compress_to(int64_t* to, IntVec<double> v, uint32_t bits) {
  store_ints<double>(to, (IntVec<double>)_mm512_maskz_compress_epi64(static_cast<__mmask8>(bits), (__m512i)v));
}
// Lanes of 32 bits to numbers of 64.
PYSEQ_INLINE void compress_to(int64_t* to, IntVec<float> v, uint32_t bits) {
  const __m512i lanes = _mm512_maskz_compress_epi32(static_cast<__mmask16>(bits), (__m512i)v);
  __m256i halves[2];
  std::memcpy(halves, &lanes, sizeof lanes);
  PYSEQ_UNROLL for (int i = 0; i < 2; i++) _mm512_storeu_si512(to + 8 * i, _mm512_maskz_cvtepi32_epi64(0xff, halves[i]));
}
#else
template <class T, class V>
PYSEQ_INLINE void compress_to(T* to, V v, uint32_t bits) {
  std::remove_reference_t<decltype(v[0])> lanes[kLanesOf<V>];
  std::memcpy(lanes, &v, sizeof v);
  for (; bits; bits &= bits - 1) *to++ = lanes[__builtin_ctz(bits)];
}
#endif

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
