// Vectors of the tier's width in GCC/Clang vector extensions. Arithmetic is operators; the few operations a
// compiler cannot be coaxed into are intrinsics here, each with a portable form. Nothing outside simd/ uses
// an intrinsic.
//
//   Vec<R>      kLanes<R> numbers          IntVec<R>  integers of the same size (masks, bit patterns)
//
// A multiply and add that belong together are written fma(): contraction is off in the kernels' flags, so that
// every instance of a template rounds alike, which batch- and thread-invariance rest on.
#pragma once

#include <cstdint>
#include <cstring>

#include "tier.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define PYSEQ_INLINE inline __attribute__((always_inline))
#define PYSEQ_NOINLINE __attribute__((noinline))  // one copy for all callers, where the call costs nothing
// A tile function: one out-of-line copy for each shape, so that its registers are allocated on its own.
#define PYSEQ_TILE __attribute__((noinline))
// In front of every short loop over an array of accumulators: without it GCC unrolls late and the array
// lives in memory.
#define PYSEQ_UNROLL _Pragma("GCC unroll 32")

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class R>
struct VecOf;
template <>
struct VecOf<float> {
  typedef float type __attribute__((vector_size(PYSEQ_VECTOR_BYTES)));
  typedef float loose __attribute__((vector_size(PYSEQ_VECTOR_BYTES), aligned(4), may_alias));
  typedef int32_t ints __attribute__((vector_size(PYSEQ_VECTOR_BYTES)));
};
template <>
struct VecOf<double> {
  typedef double type __attribute__((vector_size(PYSEQ_VECTOR_BYTES)));
  typedef double loose __attribute__((vector_size(PYSEQ_VECTOR_BYTES), aligned(8), may_alias));
  typedef int64_t ints __attribute__((vector_size(PYSEQ_VECTOR_BYTES)));
};
template <class R>
using Vec = typename VecOf<R>::type;
template <class R>
using IntVec = typename VecOf<R>::ints;
template <class R>
constexpr int kLanes = PYSEQ_VECTOR_BYTES / static_cast<int>(sizeof(R));

// Vector registers a tile may fill with sums; the rest hold a line of weights and a broadcast.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kAccumulators = 24;
#else
constexpr int kAccumulators = 12;
#endif

template <class R>
PYSEQ_INLINE Vec<R> load(const R* p) {
  return *reinterpret_cast<const typename VecOf<R>::loose*>(p);
}
template <class R>
PYSEQ_INLINE void store(R* p, Vec<R> v) {
  *reinterpret_cast<typename VecOf<R>::loose*>(p) = v;
}

// All lanes s. Not `Vec<R>{} + s`: signed zeros keep that addition in the code, before every broadcast.
PYSEQ_INLINE Vec<float> splat(float s) {
#if PYSEQ_VECTOR_BYTES == 64
  return Vec<float>{s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s};
#elif PYSEQ_VECTOR_BYTES == 32
  return Vec<float>{s, s, s, s, s, s, s, s};
#else
  return Vec<float>{s, s, s, s};
#endif
}
PYSEQ_INLINE Vec<double> splat(double s) {
#if PYSEQ_VECTOR_BYTES == 64
  return Vec<double>{s, s, s, s, s, s, s, s};
#elif PYSEQ_VECTOR_BYTES == 32
  return Vec<double>{s, s, s, s};
#else
  return Vec<double>{s, s};
#endif
}

// -------------------------------------------------------------------- operations that need an instruction

// fma(a, b, c) = a * b + c, rounded once where the tier has the instruction (kFused).
// vmin(a, b) = a < b ? a : b, and vmax likewise: with the bound first, a NaN in b comes through.
// load_n / store_n touch the first n lanes, 0 <= n <= kLanes, and no other memory; other lanes load as zero.
// recip(d) = 1 / d, quotient(a, d) = a / d, within 2 ulp, for normal d.
#if defined(__FMA__) || defined(__aarch64__)
constexpr bool kFused = true;
#else
constexpr bool kFused = false;
#endif
#if defined(__AVX512F__)
PYSEQ_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return (Vec<float>)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
PYSEQ_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return (Vec<double>)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
}
// The masked forms keep the operand order, which decides what happens to a NaN.
PYSEQ_INLINE Vec<float> vmin(Vec<float> a, Vec<float> b) {
  return (Vec<float>)_mm512_maskz_min_ps(0xffff, (__m512)a, (__m512)b);
}
PYSEQ_INLINE Vec<float> vmax(Vec<float> a, Vec<float> b) {
  return (Vec<float>)_mm512_maskz_max_ps(0xffff, (__m512)a, (__m512)b);
}
PYSEQ_INLINE Vec<double> vmin(Vec<double> a, Vec<double> b) {
  return (Vec<double>)_mm512_maskz_min_pd(0xff, (__m512d)a, (__m512d)b);
}
PYSEQ_INLINE Vec<double> vmax(Vec<double> a, Vec<double> b) {
  return (Vec<double>)_mm512_maskz_max_pd(0xff, (__m512d)a, (__m512d)b);
}
PYSEQ_INLINE Vec<float> load_n(const float* p, int n) {
  return (Vec<float>)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
}
PYSEQ_INLINE Vec<double> load_n(const double* p, int n) {
  return (Vec<double>)_mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << n) - 1), p);
}
PYSEQ_INLINE void store_n(float* p, Vec<float> v, int n) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), (__m512)v);
}
PYSEQ_INLINE void store_n(double* p, Vec<double> v, int n) {
  _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << n) - 1), (__m512d)v);
}
// The 14-bit estimate and one Newton step pipeline; a 64-byte divide blocks its port for 16 cycles.
PYSEQ_INLINE Vec<float> recip(Vec<float> d) {
  const Vec<float> r = (Vec<float>)_mm512_maskz_rcp14_ps(0xffff, (__m512)d);
  return fma(r, fma(-d, r, splat(1.0f)), r);
}
PYSEQ_INLINE Vec<double> recip(Vec<double> d) { return 1.0 / d; }
PYSEQ_INLINE Vec<float> quotient(Vec<float> a, Vec<float> d) {
  const Vec<float> r = (Vec<float>)_mm512_maskz_rcp14_ps(0xffff, (__m512)d), first = a * r;
  return fma(first, fma(-d, r, splat(1.0f)), first);
}
PYSEQ_INLINE Vec<double> quotient(Vec<double> a, Vec<double> d) { return a / d; }
#else
#if defined(__FMA__)
PYSEQ_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return (Vec<float>)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
PYSEQ_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return (Vec<double>)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
}
#elif defined(__aarch64__)
PYSEQ_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  PYSEQ_UNROLL for (int i = 0; i < kLanes<float>; i++) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return c;
}
PYSEQ_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  PYSEQ_UNROLL for (int i = 0; i < kLanes<double>; i++) c[i] = __builtin_fma(a[i], b[i], c[i]);
  return c;
}
#else
template <class V>
PYSEQ_INLINE V fma(V a, V b, V c) { return a * b + c; }
#endif
#if defined(__AVX2__)
PYSEQ_INLINE Vec<float> vmin(Vec<float> a, Vec<float> b) { return (Vec<float>)_mm256_min_ps((__m256)a, (__m256)b); }
PYSEQ_INLINE Vec<float> vmax(Vec<float> a, Vec<float> b) { return (Vec<float>)_mm256_max_ps((__m256)a, (__m256)b); }
PYSEQ_INLINE Vec<double> vmin(Vec<double> a, Vec<double> b) {
  return (Vec<double>)_mm256_min_pd((__m256d)a, (__m256d)b);
}
PYSEQ_INLINE Vec<double> vmax(Vec<double> a, Vec<double> b) {
  return (Vec<double>)_mm256_max_pd((__m256d)a, (__m256d)b);
}
#else
template <class V>
PYSEQ_INLINE V vmin(V a, V b) { return a < b ? a : b; }
template <class V>
PYSEQ_INLINE V vmax(V a, V b) { return a > b ? a : b; }
#endif
#if defined(__AVX2__)
PYSEQ_INLINE __m256i first_lanes(float, int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
PYSEQ_INLINE __m256i first_lanes(double, int n) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}
PYSEQ_INLINE Vec<float> load_n(const float* p, int n) {
  return (Vec<float>)_mm256_maskload_ps(p, first_lanes(0.0f, n));
}
PYSEQ_INLINE Vec<double> load_n(const double* p, int n) {
  return (Vec<double>)_mm256_maskload_pd(p, first_lanes(0.0, n));
}
PYSEQ_INLINE void store_n(float* p, Vec<float> v, int n) {
  _mm256_maskstore_ps(p, first_lanes(0.0f, n), (__m256)v);
}
PYSEQ_INLINE void store_n(double* p, Vec<double> v, int n) {
  _mm256_maskstore_pd(p, first_lanes(0.0, n), (__m256d)v);
}
#else
template <class R>
PYSEQ_INLINE Vec<R> load_n(const R* p, int n) {
  Vec<R> v = {};
  for (int i = 0; i < kLanes<R>; i++) v[i] = i < n ? p[i] : R(0);
  return v;
}
template <class R>
PYSEQ_INLINE void store_n(R* p, Vec<R> v, int n) {
  for (int i = 0; i < kLanes<R>; i++)
    if (i < n) p[i] = v[i];
}
#endif
template <class V>
PYSEQ_INLINE V recip(V d) { return 1 / d; }
template <class V>
PYSEQ_INLINE V quotient(V a, V d) { return a / d; }
#endif

// mask ? yes : no, lane by lane; mask as comparisons give it.
template <class R>
PYSEQ_INLINE Vec<R> select(IntVec<R> mask, Vec<R> yes, Vec<R> no) { return mask ? yes : no; }

// ------------------------------------------------------------------------------------------------ helpers

// <algorithm> would do, but emits weak symbols.
template <class T>
PYSEQ_INLINE T min_of(T a, T b) { return b < a ? b : a; }
template <class T>
PYSEQ_INLINE T max_of(T a, T b) { return a < b ? b : a; }
PYSEQ_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
PYSEQ_INLINE int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// Lanes of the next vector where `left` numbers are left: all, some or none.
template <class R>
PYSEQ_INLINE int lanes_left(int64_t left) {
  return static_cast<int>(max_of<int64_t>(0, min_of<int64_t>(kLanes<R>, left)));
}
// The first `left` numbers at p, at most a vector: a plain load where it is whole.
template <class R>
PYSEQ_INLINE Vec<R> load_up_to(const R* p, int64_t left) {
  return left >= kLanes<R> ? load(p) : load_n(p, lanes_left<R>(left));
}
template <class R>
PYSEQ_INLINE void store_up_to(R* p, Vec<R> v, int64_t left) {
  if (left >= kLanes<R>) store(p, v);
  else store_n(p, v, lanes_left<R>(left));
}

// Cuts a workspace into aligned pieces. Over a null base it only counts: the same code that takes the pieces
// computes the size to ask for.
class Arena {
 public:
  explicit Arena(void* base) : base_(static_cast<char*>(base)), used_(0) {}
  template <class T>
  T* take(int64_t count) {
    char* p = base_ ? base_ + used_ : nullptr;
    used_ += round_up(count * static_cast<int64_t>(sizeof(T)), kAlignment);
    return reinterpret_cast<T*>(p);
  }
  int64_t used() const { return used_; }

 private:
  char* base_;
  int64_t used_;
};

// An integer constant as a value, for generic lambdas that choose a template.
template <int N>
struct Int {
  static constexpr int value = N;
  constexpr operator int() const { return N; }
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
