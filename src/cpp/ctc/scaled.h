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

// exp(d) = m * 2^n with m in [0.70, 1.42], relative error of m as that of Exp2<R>; NaN gives a NaN m.
// n = z - Exp2<R>::round; also the integer difference of their bit patterns, for |n| < 2^22 (2^51).
template <class R>
PYSEQ_INLINE Vec<R> exp_mantissa(Vec<R> d, Vec<R>& z) {
  using C = Exp2<R>;
  z = fma(d, splat(C::log2e_hi), splat(C::round));
  const Vec<R> n = z - C::round;
  const Vec<R> f = fma(d, splat(C::log2e_lo), fma(d, splat(C::log2e_hi), -n));
  Vec<R> q = splat(C::q[C::degree]);
  PYSEQ_UNROLL for (int i = C::degree - 1; i >= 0; i--) q = fma(q, f, splat(C::q[i]));
  return fma(f, q, splat(R(1)));
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
