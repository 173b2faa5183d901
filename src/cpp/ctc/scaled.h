// Positive reals as mantissa * 2^exponent with one exponent a lane.
//
// The lattice only adds and multiplies non-negative numbers, so with a separate exponent nothing under- or
// overflows, and no exp or log is needed inside the recursion. Mantissas drift (a sum keeps the larger one's
// exponent): normalise() at least every kBlock frames bounds a mantissa to about [2^-8, 2^34], the product of
// an alpha and a beta of one block likewise.
#pragma once

#include "simd/activations.h"
#include "simd/lanes.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

constexpr int kBlock = 16;  // frames between two normalisations

// exp(d) = m * 2^n with m in [0.70, 1.42], to one ulp of m; NaN gives a NaN m.  d = n ln 2 + r, and p(r) = exp(r).
// The product n * ln2_hi is exact, so tiers without fma are as accurate, for |n| < 2^11 (float) or 2^20.
template <class R>
struct SplitExp;
template <>
struct SplitExp<float> {
  static constexpr float ln2_hi = 0.693145751953125f, ln2_lo = 1.42860682030941723e-6f;
  static constexpr int degree = 6;  // minimax, relative error 3e-9
  static constexpr float p[degree + 1] = {1.0f,           1.0f,           4.999999344e-1f, 1.666652051e-1f,
                                          4.166838946e-2f, 8.368731491e-3f, 1.381456826e-3f};
};
template <>
struct SplitExp<double> {
  static constexpr double ln2_hi = 6.93147180369123816490e-01, ln2_lo = 1.90821492927058770002e-10;
  static constexpr int degree = 13;  // Taylor series, remainder 4e-18
  static constexpr double p[degree + 1] = {1.0,         1.0,          1.0 / 2,       1.0 / 6,        1.0 / 24,
                                           1.0 / 120,   1.0 / 720,    1.0 / 5040,    1.0 / 40320,    1.0 / 362880,
                                           1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800};
};

// n = z - Exp2<R>::round; also the integer difference of their bit patterns, for |n| < 2^22 (2^51).
template <class R>
PYSEQ_INLINE Vec<R> exp_mantissa(Vec<R> d, Vec<R>& z) {
  using C = SplitExp<R>;
  z = fma(d, splat(Exp2<R>::log2e_hi), splat(Exp2<R>::round));
  const Vec<R> n = z - Exp2<R>::round;
  const Vec<R> r = fma(n, splat(-C::ln2_lo), fma(n, splat(-C::ln2_hi), d));
  Vec<R> p = splat(C::p[C::degree]);
  PYSEQ_UNROLL for (int i = C::degree - 1; i >= 0; i--) p = fma(p, r, splat(C::p[i]));
  return p;
}

template <class R>
struct ScaledInt {
  using Real = R;
  using Exponent = Int_t<R>;
  Vec<R> m;
  IntVec<R> e;

  // Stands for zero, far below every number that occurs; kSpan bounds the exponents of those. 18 products of
  // kZero (a block, and alpha times beta) stay within an int64.
  static constexpr Exponent kZero = sizeof(R) == 4 ? -(Exponent(1) << 29) : -(Exponent(1) << (sizeof(R) * 8 - 7));
  static constexpr Exponent kSpan = -(kZero / 2);

  // A copy made vector by vector: compilers copy a struct in memory by halves of a vector, by way of the stack, and
  // reading a whole vector behind two stores of halves waits for both to reach the cache.
  PYSEQ_INLINE ScaledInt copy() const { return {m, e}; }
  static PYSEQ_INLINE ScaledInt zero() { return {splat(R(1)), splat_int<R>(kZero)}; }
  // exp(d) for the d of a lane
  static PYSEQ_INLINE ScaledInt exp(Vec<R> d) {
    Vec<R> z;
    const Vec<R> m = exp_mantissa<R>(d, z);
    return {m, (IntVec<R>)z - (IntVec<R>)splat(Exp2<R>::round)};
  }
  void set_one(int64_t lane) {
    m[lane] = 1;
    e[lane] = 0;
  }
  double log2_of(int64_t lane) const { return __builtin_log2(static_cast<double>(m[lane])) + static_cast<double>(e[lane]); }

  // m * 2^d for d <= 0. The clamp keeps the exponent field normal: what lies more than kAlign below its
  // partner is replaced by something still rounded away.
  static constexpr Exponent kAlign = sizeof(R) == 4 ? 100 : 900;
  static PYSEQ_INLINE Vec<R> align(Vec<R> m, IntVec<R> d) {
    return (Vec<R>)((IntVec<R>)m + (int_max(d, splat_int<R>(-kAlign)) << Exp2<R>::mantissa_bits));
  }
  static PYSEQ_INLINE ScaledInt add(ScaledInt a, ScaledInt b) {
    const IntVec<R> e = int_max(a.e, b.e);
    return {align(a.m, a.e - e) + align(b.m, b.e - e), e};
  }
  // a / 2^e as plain numbers
  static PYSEQ_INLINE Vec<R> value(ScaledInt a, Exponent e) { return align(a.m, a.e - e); }
  PYSEQ_INLINE void normalise() {
    using C = Exp2<R>;
    const IntVec<R> bits = (IntVec<R>)m;
    constexpr Exponent fraction = (Exponent(1) << C::mantissa_bits) - 1;
    e = int_max(e + (bits >> C::mantissa_bits) - (C::one_bits >> C::mantissa_bits), splat_int<R>(kZero));
    m = (Vec<R>)((bits & fraction) | C::one_bits);
  }
};

template <class N>
PYSEQ_INLINE N shift_up(N v, N below) { return {lanes_up(v.m, below.m), lanes_up(v.e, below.e)}; }
template <class N>
PYSEQ_INLINE N shift_down(N v, N above) { return {lanes_down(v.m, above.m), lanes_down(v.e, above.e)}; }
template <class N>
PYSEQ_INLINE N choose(LaneMask<typename N::Real> mask, N yes, N no) {
  return {blend(mask, yes.m, no.m), blend(mask, yes.e, no.e)};
}
template <class N>
PYSEQ_INLINE N operator*(N a, N b) { return {a.m * b.m, a.e + b.e}; }

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
