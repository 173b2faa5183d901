// Sums of numbers that are kept as logarithms.
#pragma once

#include "ctc/softmax.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// log(1 + z) = 2 artanh(z / (2 + z)) = 2 (s + s^3 / 3 + s^5 / 5 + ...), s = z / (2 + z) <= 1/3 for z in [0, 1]; the
// terms that are left out are below half a unit in the last place of log(2).
template <class R>
constexpr int kArtanhTerms = sizeof(R) == 4 ? 8 : 17;

// log(e^a + e^b) within 2e-7 (3e-16 in double) of the larger; finite a, b.
template <class R>
PYSEQ_INLINE Vec<R> log_add(Vec<R> a, Vec<R> b) {
  const Vec<R> most = vmax(a, b), z = row_exp<R>(vmin(a, b), most);  // 0 where b is nothing beside a
  const Vec<R> s = z * recip(z + R(2)), square = s * s;
  Vec<R> sum = splat(R(1) / R(2 * kArtanhTerms<R> - 1));
  PYSEQ_UNROLL for (int k = kArtanhTerms<R> - 2; k >= 0; k--) sum = fma(sum, square, splat(R(1) / R(2 * k + 1)));
  return fma(s + s, sum, most);
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
