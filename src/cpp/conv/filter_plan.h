// Two frames of a convolution under three neighbouring taps with four products of matrices in place of six: minimal
// filtering, F(2, 3) (Winograd, "Arithmetic complexity of computations", 1980; for networks Lavin & Gray, "Fast algorithms
// for convolutional neural networks", 2016). Rows x0 .. x3 are one dilation d apart, g0 is the oldest tap:
//
//   y[p]     = g0 x0 + g1 x1 + g2 x2 = m + n + first       m = (g0 + g1 + g2) / 2 * (x1 + x2)     first  = g0 (x0 - x2)
//   y[p + d] = g0 x1 + g1 x2 + g2 x3 = m - n + second      n = (g0 - g1 + g2) / 2 * (x2 - x1)     second = g2 (x3 - x1)
//
// Neither frame reads a row that is not under its own taps: what is causal stays so, and a frame's bits do not depend on
// what comes after it. Shared by the kernels and by streams, which make the same sums frame by frame.
#pragma once

#include <cstdint>

namespace pyseq {
namespace {

// Taps from the oldest: groups of three, then the others, which are multiplied as they are.
struct FilterPlan {
  int64_t groups, others;
  bool direct() const { return groups == 0; }
};

// With fewer channels, making the rows to multiply costs what the products save: with 32 AVX-512 takes 1.02 (one thread) and
// 1.10 (two) times as long, with 40 0.91 and 0.82, with 64 0.76; AVX2 takes 0.77 with 32.
constexpr int64_t kFewestFilteredChannels = 40;

// By the sizes of the weight alone: batch, lengths and threads must not show in the results.
inline FilterPlan filter_plan(int64_t taps, int64_t inputs, int64_t outputs) {
  if (inputs < kFewestFilteredChannels || outputs < kFewestFilteredChannels) return {0, taps};
  return {taps / 3, taps % 3};
}

// What the four products take of the weights of a group: numbers or vectors of them.
template <class T>
struct FilterParts {
  T m, n, first, second;
  FilterParts(T g0, T g1, T g2) : m(((g0 + g2) + g1) * 0.5f), n(((g0 + g2) - g1) * 0.5f), first(g0), second(g2) {}
};

}  // namespace
}  // namespace pyseq
