// Moving numbers between the lanes of vectors: shifts, transposes, reductions, lookups, masks. Portable by
// shuffles of the compiler's vector extensions; an intrinsic only where the compiler finds no instruction.
#pragma once

#include "simd/vec.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class R>
struct IntOf;
template <>
struct IntOf<float> {
  using type = int32_t;
};
template <>
struct IntOf<double> {
  using type = int64_t;
};
template <class R>
using Int_t = typename IntOf<R>::type;  // integer of the size of R

// All lanes i.
template <class R>
PYSEQ_INLINE IntVec<R> splat_int(Int_t<R> i) { return IntVec<R>{} + i; }

// The larger of each lane's integers.
template <class I>
PYSEQ_INLINE I int_max(I a, I b) { return a > b ? a : b; }

// ------------------------------------------------------------------------------------------------ shuffles

template <int... I>
struct Indices {};
template <int N, int... I>
struct IndicesBelow : IndicesBelow<N - 1, N - 1, I...> {};
template <int... I>
struct IndicesBelow<0, I...> {
  using type = Indices<I...>;
};
template <class V>
constexpr int kLanesOf = static_cast<int>(sizeof(V) / sizeof(V{}[0]));
template <class V>
using AllLanes = typename IndicesBelow<kLanesOf<V>>::type;

// Lane j of the result is lane I_j of a followed by b.
template <class V, int... I>
PYSEQ_INLINE V shuffle(V a, V b, Indices<I...>) {
#if defined(__clang__) || __GNUC__ >= 12
  return __builtin_shufflevector(a, b, I...);
#else
  return __builtin_shuffle(a, b, decltype(a == b){I...});
#endif
}

// Lane i of the result is lane i - 1 of v; lane 0 is the last lane of `below`.
template <class V, int... I>
PYSEQ_INLINE V lanes_up(V v, V below, Indices<I...>) {
  return shuffle(below, v, Indices<(I + kLanesOf<V> - 1)...>{});
}
template <class V>
PYSEQ_INLINE V lanes_up(V v, V below) { return lanes_up(v, below, AllLanes<V>{}); }

// Lane i of the result is lane i + 1 of v; the last lane is lane 0 of `above`.
template <class V, int... I>
PYSEQ_INLINE V lanes_down(V v, V above, Indices<I...>) {
  return shuffle(v, above, Indices<(I + 1)...>{});
}
template <class V>
PYSEQ_INLINE V lanes_down(V v, V above) { return lanes_down(v, above, AllLanes<V>{}); }

// Transposes a W x W block in log2(W) stages: stage S swaps the off-diagonal blocks of S x S.
template <int S, class V, int... J>
PYSEQ_INLINE void swap_blocks(V& a, V& b, Indices<J...>) {
  constexpr int W = kLanesOf<V>;
  const V low = shuffle(a, b, Indices<((J & S) ? J - S + W : J)...>{});
  b = shuffle(a, b, Indices<((J & S) ? J + W : J + S)...>{});
  a = low;
}
template <int S = 1, class V, int W>
PYSEQ_INLINE void transpose(V (&r)[W]) {
  static_assert(W == kLanesOf<V>, "a square block");
  if constexpr (S < W) {
    PYSEQ_UNROLL for (int i = 0; i < W; i++) {
      if (!(i & S)) swap_blocks<S>(r[i], r[i + S], AllLanes<V>{});
    }
    transpose<2 * S>(r);
  }
}

// Reductions over lanes as a fixed tree.
template <int S, class V, class F, int... I>
PYSEQ_INLINE V reduce_from(V v, F join, Indices<I...> lanes) {
  v = join(v, shuffle(v, v, Indices<(I ^ S)...>{}));
  if constexpr (S > 1) return reduce_from<S / 2>(v, join, lanes);
  else return v;
}
template <class R>
PYSEQ_INLINE R sum_tree(Vec<R> v) {
  return reduce_from<kLanes<R> / 2>(v, [](Vec<R> a, Vec<R> b) { return a + b; }, AllLanes<Vec<R>>{})[0];
}
template <class R>
PYSEQ_INLINE R max_tree(Vec<R> v) {
  return reduce_from<kLanes<R> / 2>(v, [](Vec<R> a, Vec<R> b) { return vmax(a, b); }, AllLanes<Vec<R>>{})[0];
}
template <class R>
PYSEQ_INLINE Int_t<R> int_max_tree(IntVec<R> v) {
  return reduce_from<kLanes<R> / 2>(v, [](IntVec<R> a, IntVec<R> b) { return int_max(a, b); },
                                    AllLanes<IntVec<R>>{})[0];
}

// Lane i of the result is r[i] reduced over its lanes, as one fixed tree, the same for all i. Overwrites r.
template <int S, class V, class F, int... J>
PYSEQ_INLINE V reduce_pair(V a, V b, F join, Indices<J...>) {
  constexpr int W = kLanesOf<V>;
  return join(shuffle(a, b, Indices<((J & S) ? J - S + W : J)...>{}), shuffle(a, b, Indices<((J & S) ? J + W : J + S)...>{}));
}
template <int S = 1, class V, int W, class F>
PYSEQ_INLINE V reduce_each(V (&r)[W], F join) {
  static_assert(W == kLanesOf<V>, "a square block");
  PYSEQ_UNROLL for (int i = 0; i < W; i += 2 * S) r[i] = reduce_pair<S>(r[i], r[i + S], join, AllLanes<V>{});
  if constexpr (2 * S < W) return reduce_each<2 * S>(r, join);
  else return r[0];
}

// --------------------------------------------------------------------------------------------------- masks

// One bit a lane, in the form the tier blends with; from_bits takes lane i from bit i.
template <class R>
struct LaneMask {
#if defined(__AVX512F__)
  uint16_t bits;
  static PYSEQ_INLINE LaneMask from_bits(uint32_t bits) { return {static_cast<uint16_t>(bits)}; }
#else
  IntVec<R> lanes;
  static PYSEQ_INLINE LaneMask from_bits(uint32_t bits) {
    LaneMask mask;
    for (int i = 0; i < kLanes<R>; i++) mask.lanes[i] = -static_cast<Int_t<R>>((bits >> i) & 1);
    return mask;
  }
#endif
};

#if defined(__AVX512F__)
PYSEQ_INLINE Vec<float> blend(LaneMask<float> mask, Vec<float> yes, Vec<float> no) {
  return (Vec<float>)_mm512_mask_blend_ps(mask.bits, (__m512)no, (__m512)yes);
}
PYSEQ_INLINE IntVec<float> blend(LaneMask<float> mask, IntVec<float> yes, IntVec<float> no) {
  return (IntVec<float>)_mm512_mask_blend_epi32(mask.bits, (__m512i)no, (__m512i)yes);
}
PYSEQ_INLINE Vec<double> blend(LaneMask<double> mask, Vec<double> yes, Vec<double> no) {
  return (Vec<double>)_mm512_mask_blend_pd(static_cast<__mmask8>(mask.bits), (__m512d)no, (__m512d)yes);
}
PYSEQ_INLINE IntVec<double> blend(LaneMask<double> mask, IntVec<double> yes, IntVec<double> no) {
  return (IntVec<double>)_mm512_mask_blend_epi64(static_cast<__mmask8>(mask.bits), (__m512i)no, (__m512i)yes);
}
#else
template <class R, class V>
PYSEQ_INLINE V blend(LaneMask<R> mask, V yes, V no) { return mask.lanes ? yes : no; }
#endif

// v in the first n lanes, `other` beyond.
template <class R>
PYSEQ_INLINE Vec<R> first_n(Vec<R> v, int n, Vec<R> other) {
#if defined(__AVX512F__)
  return blend(LaneMask<R>::from_bits((1u << n) - 1), v, other);
#else
  IntVec<R> lane;
  PYSEQ_UNROLL for (int i = 0; i < kLanes<R>; i++) lane[i] = i;
  return lane < splat_int<R>(n) ? v : other;
#endif
}

// First lane set in a mask as comparisons give it; kLanes<R> if none is.
template <class R>
PYSEQ_INLINE int first_lane(IntVec<R> mask) {
#if defined(__AVX512F__)
  const uint32_t bits = sizeof(R) == 4 ? _mm512_movepi32_mask((__m512i)mask) : _mm512_movepi64_mask((__m512i)mask);
#elif defined(__AVX2__)
  const auto bits = static_cast<uint32_t>(sizeof(R) == 4 ? _mm256_movemask_ps((__m256)mask)
                                                         : _mm256_movemask_pd((__m256d)mask));
#elif defined(__SSE2__)
  const auto bits =
      static_cast<uint32_t>(sizeof(R) == 4 ? _mm_movemask_ps((__m128)mask) : _mm_movemask_pd((__m128d)mask));
#else
  uint32_t bits = 0;
  for (int i = 0; i < kLanes<R>; i++) bits |= static_cast<uint32_t>(mask[i] & 1) << i;
#endif
  return bits ? __builtin_ctz(bits) : kLanes<R>;
}

// ------------------------------------------------------------------------------------------------- lookups

// Lane i of gather(base, at) is base[at[i]].
#if defined(__AVX512F__)
PYSEQ_INLINE Vec<float> gather(const float* base, IntVec<float> at) {
  return (Vec<float>)_mm512_mask_i32gather_ps(_mm512_setzero_ps(), 0xffff, (__m512i)at, base, 4);
}
PYSEQ_INLINE Vec<double> gather(const double* base, IntVec<double> at) {
  return (Vec<double>)_mm512_mask_i64gather_pd(_mm512_setzero_pd(), 0xff, (__m512i)at, base, 8);
}
#else
template <class R>
PYSEQ_INLINE Vec<R> gather(const R* base, IntVec<R> at) {
  Vec<R> v;
  PYSEQ_UNROLL for (int i = 0; i < kLanes<R>; i++) v[i] = base[at[i]];
  return v;
}
#endif

// Rows of at most 2 kLanes numbers can be looked up in two registers, which costs less than a gather.
#if defined(__AVX512F__)
template <class R>
constexpr bool kHasLookup = true;
PYSEQ_INLINE Vec<float> lookup(Vec<float> low, Vec<float> high, IntVec<float> at) {
  return (Vec<float>)_mm512_permutex2var_ps((__m512)low, (__m512i)at, (__m512)high);
}
PYSEQ_INLINE Vec<double> lookup(Vec<double> low, Vec<double> high, IntVec<double> at) {
  return (Vec<double>)_mm512_permutex2var_pd((__m512d)low, (__m512i)at, (__m512d)high);
}
#else
template <class R>
constexpr bool kHasLookup = false;
template <class V, class I>
PYSEQ_INLINE V lookup(V low, V, I) { return low; }
#if defined(__AVX2__)
template <>
constexpr bool kHasLookup<float> = true;
// The permutation reads three bits of an index; the fourth, made the sign, says which register.
PYSEQ_INLINE Vec<float> lookup(Vec<float> low, Vec<float> high, IntVec<float> at) {
  const __m256 a = _mm256_permutevar8x32_ps((__m256)low, (__m256i)at);
  const __m256 b = _mm256_permutevar8x32_ps((__m256)high, (__m256i)at);
  return (Vec<float>)_mm256_blendv_ps(a, b, (__m256)(at << 28));
}
#endif
#endif

// ------------------------------------------------------------------------------------------ memory, modes

// Stores that bypass the caches, for results larger than these; p is aligned to a vector. Other memory
// operations see them after stream_fence().
#if defined(__AVX512F__)
PYSEQ_INLINE void stream(float* p, Vec<float> v) { _mm512_stream_ps(p, (__m512)v); }
PYSEQ_INLINE void stream(double* p, Vec<double> v) { _mm512_stream_pd(p, (__m512d)v); }
#elif defined(__AVX2__)
PYSEQ_INLINE void stream(float* p, Vec<float> v) { _mm256_stream_ps(p, (__m256)v); }
PYSEQ_INLINE void stream(double* p, Vec<double> v) { _mm256_stream_pd(p, (__m256d)v); }
#elif defined(__SSE2__)
PYSEQ_INLINE void stream(float* p, Vec<float> v) { _mm_stream_ps(p, (__m128)v); }
PYSEQ_INLINE void stream(double* p, Vec<double> v) { _mm_stream_pd(p, (__m128d)v); }
#else
template <class R>
PYSEQ_INLINE void stream(R* p, Vec<R> v) { store(p, v); }
#endif
PYSEQ_INLINE void stream_fence() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

// Subnormal numbers count as zero in this scope: on x86 each would cost a microcode assist of 150 cycles.
struct FlushToZero {
#if defined(__SSE2__)
  unsigned saved = _mm_getcsr();
  FlushToZero() { _mm_setcsr(saved | 0x8040); }
  ~FlushToZero() { _mm_setcsr(saved); }
#else
  FlushToZero() {}
#endif
  FlushToZero(const FlushToZero&) = delete;
  FlushToZero& operator=(const FlushToZero&) = delete;
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
