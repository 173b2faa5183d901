// The activations alone, over flat arrays: what the tests measure the error of.
#include "simd/activations.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class R>
void activation(Activation which, const R* x, R* y, int64_t size) noexcept {
  for (int64_t i = 0; i < size; i += kLanes<R>) {
    const int n = static_cast<int>(min_of<int64_t>(kLanes<R>, size - i));
    const Vec<R> v = load_n(x + i, n);
    const Vec<R> r = which == Activation::kSigmoid ? vsigmoid<R>(v)
                     : which == Activation::kTanh  ? vtanh<R>(v)
                                                   : vexp<R>(v);
    store_n(y + i, r, n);
  }
}

}  // namespace

void fill_simd(KernelTable& table) noexcept {
  table.f32.activation = activation<float>;
  table.f64.activation = activation<double>;
}

}  // namespace PYSEQ_TIER
}  // namespace pyseq
