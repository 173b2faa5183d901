// The recurrent kernels with products of bfloat16 pairs, for precision "medium". Compiled where the tier has the
// instruction (cmake/isa.cmake); runtime/dispatch asks the processor before it hands them out.
#include "rnn/rnn.h"
#include "simd/pairs.h"

namespace pyseq {
namespace PYSEQ_TIER {

namespace {

// A cell as it is, but for what its products multiply.
template <class C>
struct Halved : C {
  using Operand = Pairs;
};

// From this width on, no cell was slower than in float32 with any batch, in training or inference. Below, single
// sequences were, by up to a quarter: what a step saves in products, it spends on making pairs.
constexpr int64_t kFewestUnits = 48;

bool suits(const RnnProblem& p) noexcept {
  bool one_pass = false;
  with_cell<float, Halved>(p, [&](auto) { one_pass = true; });
  return one_pass && p.hidden >= kFewestUnits;
}

}  // namespace

void fill_rnn_bf16(Kernels<float>& kernels) noexcept { kernels.rnn_bf16 = rnn_kernels<float, Halved>(suits); }

}  // namespace PYSEQ_TIER
}  // namespace pyseq
