// Softmax of rows of logits: its logarithm's denominator, and the gradient row softmax(x) - posterior.
#pragma once

#include "simd/activations.h"
#include "simd/lanes.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// exp(x - top) for x <= top; exactly 0 where it is below about 1e-38 (1e-308), NaN for NaN.
// p(f) approximates 2^f on [-1/2, 1/2]; adding `round` rounds to an integer, biased so that shifting its bits
// gives the power of two.
template <class R>
struct RowExp;
template <>
struct RowExp<float> {
  static constexpr int degree = 5;  // minimax, relative error 9e-8
  static constexpr float p[degree + 1] = {1.0f,           6.931469776e-1f, 2.402224205e-1f,
                                          5.550733769e-2f, 9.671514767e-3f, 1.326472445e-3f};
  static constexpr float round = 12582912.0f + 127, lowest = -127;
};
template <>
struct RowExp<double> {
  static constexpr int degree = 13;  // Taylor series: ln(2)^k / k!, remainder 1e-17
  static constexpr double p[degree + 1] = {
      1.0,                      6.93147180559945309e-01, 2.40226506959100712e-01, 5.55041086648215799e-02,
      9.61812910762847716e-03, 1.33335581464284434e-03, 1.54035303933816099e-04, 1.52527338040598403e-05,
      1.32154867901443095e-06, 1.01780860092396997e-07, 7.05491162080112333e-09, 4.44553827187081150e-10,
      2.56784359934882051e-11, 1.36914888539041289e-12};
  static constexpr double round = 6755399441055744.0 + 1023, lowest = -1023;
};

template <class R>
PYSEQ_INLINE Vec<R> row_exp(Vec<R> x, Vec<R> top) {
  using C = RowExp<R>;
  const Vec<R> z = vmax(splat(C::lowest), (x - top) * Exp2<R>::log2e_hi);
  const Vec<R> t = z + C::round, f = z - (t - C::round);
  Vec<R> p = splat(C::p[C::degree]);
  PYSEQ_UNROLL for (int i = C::degree - 1; i >= 0; i--) p = fma(p, f, splat(C::p[i]));
  return p * (Vec<R>)((IntVec<R>)t << Exp2<R>::mantissa_bits);
}

// The largest number of a row and the sum of exp(x - top) over it.
template <class R>
struct RowSum {
  R top, sum;
};

// Rows of up to this many vectors stay in registers.
constexpr int kRowRegisters = 8;

// grad = (softmax(x) - posterior) * scale, C numbers in N vectors. posterior readable up to whole vectors.
template <int N, class R>
PYSEQ_INLINE RowSum<R> short_row(const R* x, int64_t C, R* grad, const R* posterior, R scale = 1) {
  constexpr int W = kLanes<R>;
  const int tail = static_cast<int>(C) - (N - 1) * W;
  Vec<R> v[N], most, sum;
  PYSEQ_UNROLL for (int i = 0; i < N - 1; i++) v[i] = load(x + i * W);
  v[N - 1] = first_n<R>(load_n(x + (N - 1) * W, tail), tail, splat(-static_cast<R>(__builtin_inf())));
  most = v[0];
  PYSEQ_UNROLL for (int i = 1; i < N; i++) most = vmax(most, v[i]);
  const R top = max_tree<R>(most);
  PYSEQ_UNROLL for (int i = 0; i < N; i++) v[i] = row_exp<R>(v[i], splat(top));
  sum = v[0];
  PYSEQ_UNROLL for (int i = 1; i < N; i++) sum += v[i];
  const R total = sum_tree<R>(sum);
  if (grad) {
    const Vec<R> factor = splat(1 / total);
    PYSEQ_UNROLL for (int i = 0; i < N - 1; i++)
      store(grad + i * W, fma(v[i], factor, -load(posterior + i * W)) * scale);
    store_n(grad + (N - 1) * W, fma(v[N - 1], factor, -load(posterior + (N - 1) * W)) * scale, tail);
  }
  return {top, total};
}

template <class R>
PYSEQ_INLINE R row_max(const R* x, int64_t C) {
  constexpr int W = kLanes<R>;
  const Vec<R> low = splat(-static_cast<R>(__builtin_inf()));
  Vec<R> most[4] = {low, low, low, low};
  int64_t c = 0;
  for (; c + 4 * W <= C; c += 4 * W) {
    PYSEQ_UNROLL for (int i = 0; i < 4; i++) most[i] = vmax(most[i], load(x + c + i * W));
  }
  for (; c + W <= C; c += W) most[0] = vmax(most[0], load(x + c));
  const int tail = static_cast<int>(C - c);
  most[1] = vmax(most[1], first_n<R>(load_n(x + c, tail), tail, low));
  return max_tree<R>(vmax(vmax(most[0], most[1]), vmax(most[2], most[3])));
}

// exp(x - top) into row (whole vectors, zeros beyond C) unless that is null. next: a row to fetch meanwhile, or null.
template <class R>
PYSEQ_INLINE RowSum<R> exp_row(const R* x, int64_t C, R* row, const R* next = nullptr) {
  constexpr int W = kLanes<R>;
  const R top = row_max(x, C);
  Vec<R> sum[2] = {};
  int64_t c = 0;
  for (; c + 2 * W <= C; c += 2 * W) {
    if (next)
      for (int line = 0; line < 2 * PYSEQ_VECTOR_BYTES; line += 64)
        __builtin_prefetch(reinterpret_cast<const char*>(next + c) + line, 0, 2);
    PYSEQ_UNROLL for (int i = 0; i < 2; i++) {
      const Vec<R> e = row_exp<R>(load(x + c + i * W), splat(top));
      if (row) store(row + c + i * W, e);
      sum[i] += e;
    }
  }
  for (; c < C; c += W) {
    const int n = static_cast<int>(min_of<int64_t>(W, C - c));
    const Vec<R> low = splat(-static_cast<R>(__builtin_inf()));
    const Vec<R> e = row_exp<R>(first_n<R>(load_n(x + c, n), n, low), splat(top));
    if (row) store(row + c, e);
    sum[0] += e;
  }
  return {top, sum_tree<R>(sum[0] + sum[1])};
}

// f(Int<N>) for the N vectors of a short row; false for a longer one.
template <class R, class F>
PYSEQ_INLINE bool with_short_row(int64_t C, F&& f) {
  switch (ceil_div(C, kLanes<R>)) {
    case 1: f(Int<1>{}); return true;
    case 2: f(Int<2>{}); return true;
    case 3: f(Int<3>{}); return true;
    case 4: f(Int<4>{}); return true;
    case 5: f(Int<5>{}); return true;
    case 6: f(Int<6>{}); return true;
    case 7: f(Int<7>{}); return true;
    case kRowRegisters: f(Int<kRowRegisters>{}); return true;
    default: return false;
  }
}

// to = from * factor, past the caches.
template <class R>
PYSEQ_INLINE void stream_scaled(R* to, const R* from, int64_t n, R factor) {
  constexpr int W = kLanes<R>;
  const auto misplaced = static_cast<int64_t>(reinterpret_cast<uintptr_t>(to) % PYSEQ_VECTOR_BYTES / sizeof(R));
  int64_t c = min_of(n, misplaced ? W - misplaced : 0);
  store_n(to, load_n(from, static_cast<int>(c)) * factor, static_cast<int>(c));
  for (; c + W <= n; c += W) stream(to + c, load(from + c) * factor);
  store_n(to + c, load_n(from + c, static_cast<int>(n - c)) * factor, static_cast<int>(n - c));
}
template <class R>
PYSEQ_INLINE void store_scaled(R* to, const R* from, int64_t n, R factor) {
  constexpr int W = kLanes<R>;
  int64_t c = 0;
  for (; c + W <= n; c += W) store(to + c, load(from + c) * factor);
  store_n(to + c, load_n(from + c, static_cast<int>(n - c)) * factor, static_cast<int>(n - c));
}

// Sum of the logarithms of many denominators without a logarithm each.
class LogProduct {
 public:
  void add(double offset, double factor) {
    offset_ += offset;
    product_ *= factor;
  }
  // At least every 16 factors: rows of 1e19 numbers would still not overflow between.
  void settle() {
    int e;
    product_ = __builtin_frexp(product_, &e);
    exponent_ += e;
  }
  void add(const LogProduct& other) {
    offset_ += other.offset_;
    product_ *= other.product_;
    exponent_ += other.exponent_;
    settle();
  }
  double value() const {
    return offset_ + __builtin_log(product_) + static_cast<double>(exponent_) * 0.693147180559945309;
  }

 private:
  double offset_ = 0, product_ = 1;
  int64_t exponent_ = 0;
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
