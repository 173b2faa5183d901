// The recurrent kernels with products in tile registers: precision "high" with two bfloat16 numbers for each float32
// one, "medium" with one. Compiled for the tier that has the instructions (cmake/isa.cmake).
#include "rnn/rnn.h"
#include "rnn/tiled_backward.h"

namespace pyseq {
namespace PYSEQ_TIER {

namespace {

// Tiles of sums take several blocks side by side, so a block need not be more than one vector of units.
template <class C, int kParts>
struct InTiles : C {
  using Operand = TilePairs<kParts>;
  static constexpr int most_unit_vectors = 1;
};
template <class C>
using InHalves = InTiles<C, 1>;
template <class C>
using InTwoHalves = InTiles<C, 2>;

// With fewer units weights lie in L1, from where vector instructions read them faster than a product of tiles takes:
// a single sequence, which fills one row of 16, would be slower. By arithmetic, not measured.
constexpr int64_t kFewestTiledUnits = 64;

bool suits(const RnnProblem& p) noexcept {
  bool one_pass = false;
  with_cell<float, InHalves>(p, [&](auto) { one_pass = true; });
  return one_pass && p.hidden >= kFewestTiledUnits;
}

}  // namespace

void fill_rnn_tiles(Kernels<float>& kernels) noexcept {
  kernels.rnn_tiles = rnn_kernels<float, InHalves>(suits);
  kernels.rnn_tiles_x3 = rnn_kernels<float, InTwoHalves>(suits);
}

}  // namespace PYSEQ_TIER
}  // namespace pyseq
