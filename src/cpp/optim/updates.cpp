// Optimizer steps over flat parameter buffers, one pass over memory each; global norm.
#include "simd/vec.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class R>
PYSEQ_INLINE Vec<R> vsqrt(Vec<R> v) {
  Vec<R> r;
  PYSEQ_UNROLL for (int i = 0; i < kLanes<R>; i++) r[i] = sizeof(R) == 4 ? __builtin_sqrtf(static_cast<float>(v[i])) : static_cast<R>(__builtin_sqrt(v[i]));
  return r;
}

// f(offset, lanes) over vectors of a flat array, the last one partial.
template <class R, class F>
PYSEQ_INLINE void each_vector(int64_t size, const F& f) {
  int64_t i = 0;
  for (; i + kLanes<R> <= size; i += kLanes<R>) f(i, Int<kLanes<R>>{});
  if (i < size) f(i, static_cast<int>(size - i));
}

template <class R>
void adam_update(const AdamUpdate<R>& u) noexcept {
  const R keep1 = R(u.beta1), new1 = R(1 - u.beta1), keep2 = R(u.beta2), new2 = R(1 - u.beta2);
  const R step = R(u.lr / u.correction1), root = R(1 / __builtin_sqrt(u.correction2)), eps = R(u.eps);
  const R coupled = u.decoupled ? R(0) : R(u.weight_decay), shrink = u.decoupled ? R(u.lr * u.weight_decay) : R(0);
  each_vector<R>(u.size, [&](int64_t i, auto n) {
    const Vec<R> p = load_n(u.param + i, n);
    const Vec<R> g = fma(p, splat(coupled), load_n(u.grad + i, n) * R(u.scale));
    const Vec<R> m = fma(load_n(u.m + i, n), splat(keep1), g * new1);
    const Vec<R> v = fma(load_n(u.v + i, n), splat(keep2), g * g * new2);
    store_n(u.m + i, m, n);
    store_n(u.v + i, v, n);
    store_n(u.param + i, p - p * shrink - m * step / (vsqrt<R>(v) * root + eps), n);
  });
}

template <class R>
void sgd_update(const SgdUpdate<R>& u) noexcept {
  const R momentum = R(u.momentum), lr = R(u.lr), scale = R(u.scale), decay = R(u.weight_decay);
  each_vector<R>(u.size, [&](int64_t i, auto n) {
    const Vec<R> p = load_n(u.param + i, n);
    const Vec<R> g = fma(p, splat(decay), load_n(u.grad + i, n) * scale);
    const Vec<R> velocity = fma(load_n(u.velocity + i, n), splat(momentum), g);
    store_n(u.velocity + i, velocity, n);
    store_n(u.param + i, p - (u.nesterov ? fma(velocity, splat(momentum), g) : velocity) * lr, n);
  });
}

// In float64, in four interleaved sums, combined in a fixed order.
template <class R>
double squared_norm(const R* values, int64_t size) noexcept {
  double sums[4] = {};
  for (int64_t i = 0; i < size; i++) sums[i & 3] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

template <class R>
void fill(Kernels<R>& k) {
  k.adam_update = adam_update<R>;
  k.sgd_update = sgd_update<R>;
  k.squared_norm = squared_norm<R>;
}

}  // namespace

void fill_updates(KernelTable& table) noexcept {
  fill(table.f32);
  fill(table.f64);
}

}  // namespace PYSEQ_TIER
}  // namespace pyseq
