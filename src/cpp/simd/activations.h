// exp, sigmoid and tanh on vectors: one definition for all tiers.
//
// Everything rests on E(z) = 2^z - 1 with a small relative error also near 0:
//   z = n + f, |f| <= 1/2;   E = (2^n - 1) + 2^n f q(f),   q(f) = (2^f - 1) / f
//   sigmoid(x) = 1 / (E(-x log2 e) + 2)        tanh(x) = E / (E + 2) with E = E(2 x log2 e)
// Errors against correctly rounded values, tested in tests/test_activations.py: ACTIVATION_ULP there.
#pragma once

#include "simd/vec.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class R>
struct Exp2;

// q: minimax fit of degree 5, relative error 1e-8.
template <>
struct Exp2<float> {
  static constexpr int degree = 5;
  static constexpr float q[degree + 1] = {6.931471879e-01f, 2.402264979e-01f, 5.550357434e-02f,
                                          9.618237500e-03f, 1.339073547e-03f, 1.540351070e-04f};
  static constexpr float round = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  static constexpr int mantissa_bits = 23;
  static constexpr int32_t one_bits = 0x3f800000;
  static constexpr float limit = 60.0f;        // of |z|: sigmoid and tanh are saturated long before
  static constexpr float log2e_hi = 1.44269504f, log2e_lo = 1.925963033e-8f;
  static constexpr float ln2_hi = 0.693145751953125f, ln2_lo = 1.42860682030941723e-6f;  // hi: 13 bits
};
// q: Taylor series, ln(2)^(k+1) / (k+1)!, remainder 2e-18.
template <>
struct Exp2<double> {
  static constexpr int degree = 13;
  static constexpr double q[degree + 1] = {
      6.93147180559945309e-01, 2.40226506959100712e-01, 5.55041086648215799e-02, 9.61812910762847716e-03,
      1.33335581464284434e-03, 1.54035303933816099e-04, 1.52527338040598403e-05, 1.32154867901443095e-06,
      1.01780860092396997e-07, 7.05491162080112333e-09, 4.44553827187081150e-10, 2.56784359934882051e-11,
      1.36914888539041289e-12, 6.77872635482254564e-14};
  static constexpr double round = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr int mantissa_bits = 52;
  static constexpr int64_t one_bits = 0x3ff0000000000000;
  static constexpr double limit = 120.0;
  static constexpr double log2e_hi = 1.4426950408889634, log2e_lo = 2.0355273740931033e-17;
  static constexpr double ln2_hi = 0.69314718036912381649, ln2_lo = 1.90821492927058770002e-10;  // hi: 32 bits
};

// f = m x log2(e) - n for a whole n near it and m = -1, 1 or 2, without cancelling the digits of x. Fused, the
// product is exact inside the operation; else n ln(2) is taken off in two parts (Cody & Waite 1980).
template <class R>
PYSEQ_INLINE Vec<R> fraction(Vec<R> x, R m, Vec<R> n) {
  using C = Exp2<R>;
  if (kFused) return fma(x, splat(m * C::log2e_lo), fma(x, splat(m * C::log2e_hi), -n));
  return ((x * m - n * C::ln2_hi) - n * C::ln2_lo) * C::log2e_hi;
}

// Its first digits, enough for q: one operation less to wait for.
template <class R>
PYSEQ_INLINE Vec<R> first_digits(Vec<R> x, R m, Vec<R> n) {
  return kFused ? fma(x, splat(m * Exp2<R>::log2e_hi), -n) : fraction<R>(x, m, n);
}

// x[i] <- sigmoid(x[i]) where !is_tanh[i], tanh(x[i]) where is_tanh[i]. Operation by operation over N vectors:
// one activation is a chain of 17 dependent operations, and N of them fill the pipelines.
template <class R, int N>
PYSEQ_INLINE void activate(Vec<R> (&x)[N], const bool (&is_tanh)[N]) {
  using C = Exp2<R>;
  Vec<R> z[N], f[N], s[N], q[N];
  R m[N];
  PYSEQ_UNROLL for (int i = 0; i < N; i++) {
    m[i] = is_tanh[i] ? R(2) : R(-1);
    const R bound = C::limit / (is_tanh[i] ? 2 * C::log2e_hi : C::log2e_hi);
    x[i] = vmin(splat(bound), vmax(splat(-bound), x[i]));
  }
  PYSEQ_UNROLL for (int i = 0; i < N; i++) z[i] = fma(x[i], splat(m[i] * C::log2e_hi), splat(C::round));
  PYSEQ_UNROLL for (int i = 0; i < N; i++) {
    const Vec<R> n = z[i] - C::round;
    z[i] = (Vec<R>)(((IntVec<R>)z[i] << C::mantissa_bits) + C::one_bits);  // 2^n, straight into the exponent
    s[i] = z[i] * fraction<R>(x[i], m[i], n);
    f[i] = first_digits<R>(x[i], m[i], n);
    q[i] = splat(C::q[C::degree]);
  }
  PYSEQ_UNROLL for (int d = C::degree - 1; d >= 0; d--) {
    PYSEQ_UNROLL for (int i = 0; i < N; i++) q[i] = fma(q[i], f[i], splat(C::q[d]));
  }
  PYSEQ_UNROLL for (int i = 0; i < N; i++) {
    const Vec<R> divisor = fma(s[i], q[i], z[i] + R(1));
    x[i] = is_tanh[i] ? quotient(fma(s[i], q[i], z[i] - R(1)), divisor) : recip(divisor);
  }
}

template <class R>
PYSEQ_INLINE Vec<R> vsigmoid(Vec<R> x) {
  Vec<R> v[1] = {x};
  activate<R>(v, {false});
  return v[0];
}
template <class R>
PYSEQ_INLINE Vec<R> vtanh(Vec<R> x) {
  Vec<R> v[1] = {x};
  activate<R>(v, {true});
  return v[0];
}

// e^x; below about -87 (float) or -708 (double) the result is the smallest normal number or near it, above
// +88 or +709 it is near the largest: no zeros, infinities or subnormals. NaN comes through.
template <class R>
PYSEQ_INLINE Vec<R> vexp(Vec<R> x) {
  using C = Exp2<R>;
  constexpr R low = sizeof(R) == 4 ? R(-87) : R(-708), high = sizeof(R) == 4 ? R(88) : R(709);
  x = vmin(splat(high), vmax(splat(low), x));
  const Vec<R> z = fma(x, splat(C::log2e_hi), splat(C::round)), n = z - C::round;
  const Vec<R> f = fraction<R>(x, R(1), n);
  const Vec<R> s = (Vec<R>)(((IntVec<R>)z << C::mantissa_bits) + C::one_bits);
  Vec<R> q = splat(C::q[C::degree]);
  PYSEQ_UNROLL for (int d = C::degree - 1; d >= 0; d--) q = fma(q, f, splat(C::q[d]));
  return fma(f * s, q, s);
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
