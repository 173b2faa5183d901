// A causal convolution one frame at a time (ConvStep in kernels/convolution.h).
//
// Weights are packed once, in panels of kStepVectors vectors of outputs: a single row needs that many sums to cover
// the latency of a multiply-add. Lines of a panel are read once a frame, in order, so weights beyond the caches come at
// the rate memory gives; kept in bfloat16 they are half as long.
#include "gemm/tile.h"
#include "simd/brief.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

constexpr int kStepVectors = 8;
constexpr int kStepRows = kAccumulators / kStepVectors;

// How lines of weights are kept: as they are, or two vectors in one.
struct Whole {
  static constexpr int vectors(int nv) { return nv; }
  template <class R, int NV>
  PYSEQ_INLINE static void read(const R* line, Vec<R> (&v)[NV]) {
    PYSEQ_UNROLL for (int j = 0; j < NV; j++) v[j] = load(line + kLanes<R> * j);
  }
};
struct Halved {
  static constexpr int vectors(int nv) { return (nv + 1) / 2; }
  template <int NV>
  PYSEQ_INLINE static void read(const float* line, Vec<float> (&v)[NV]) {
    PYSEQ_UNROLL for (int j = 0; j < NV; j += 2) {
      const Vec<float> pairs = load(line + kLanes<float> * (j / 2));
      v[j] = lower_of(pairs);
      if (j + 1 < NV) v[j + 1] = upper_of(pairs);
    }
  }
};

// [bias: outputs rounded up to vectors][panels: taps * inputs lines]
template <class R, class Kept>
struct StepWeights {
  const R *bias, *lines;
  StepWeights(const void* packed, int64_t outputs) : bias(static_cast<const R*>(packed)), lines(bias + bias_size(outputs)) {}
  static int64_t bias_size(int64_t outputs) { return round_up(round_up(outputs, kLanes<R>), kAlignment); }
  // Numbers in a line of all panels, or of those before a column.
  static int64_t line_size(int64_t columns) {
    constexpr int64_t panel = kStepVectors * kLanes<R>;
    const int64_t left = columns % panel;
    return (columns / panel * Kept::vectors(kStepVectors) + Kept::vectors(static_cast<int>(ceil_div(left, kLanes<R>)))) * kLanes<R>;
  }
};

// f(first output, Int<vectors>) for each panel.
template <class R, class F>
PYSEQ_INLINE void each_panel(int64_t outputs, const F& f) {
  for (int64_t column = 0; column < outputs; column += kStepVectors * kLanes<R>) {
    const int64_t nv = min_of<int64_t>(kStepVectors, ceil_div(outputs - column, kLanes<R>));
    with_rows<kStepVectors>(static_cast<int>(nv), [&](auto v) { f(column, v); });
  }
}

template <class R, class Kept, int MR, int NV>
PYSEQ_TILE void conv_step_tile(const ConvStep<R>& s, int64_t row, const R* bias, const R* panel, int64_t column) {
  constexpr int W = kLanes<R>;
  Vec<R> acc[MR][NV];
  PYSEQ_UNROLL for (int i = 0; i < MR; i++)
    PYSEQ_UNROLL for (int j = 0; j < NV; j++) {
      const int64_t o = column + W * j;
      acc[i][j] = s.start ? load_up_to(s.start + (row + i) * s.outputs + o, s.outputs - o) : load(bias + o);
    }
  for (int64_t k = s.first_tap; k < s.end_tap; k++) {
    const R* x = s.x[k] + row * s.inputs;
    const R* b = panel + k * s.inputs * Kept::vectors(NV) * W;
#pragma GCC unroll 1
    for (int64_t c = 0; c < s.inputs; c++, b += Kept::vectors(NV) * W) {
      Vec<R> line[NV];
      Kept::read(b, line);
      PYSEQ_UNROLL for (int i = 0; i < MR; i++) {
        const Vec<R> v = splat(x[i * s.inputs + c]);
        PYSEQ_UNROLL for (int j = 0; j < NV; j++) acc[i][j] = fma(v, line[j], acc[i][j]);
      }
    }
  }
  PYSEQ_UNROLL for (int i = 0; i < MR; i++)
    PYSEQ_UNROLL for (int j = 0; j < NV; j++)
      store_up_to(s.y + (row + i) * s.outputs + column + W * j, acc[i][j], s.outputs - column - W * j);
}

template <class R, class Kept>
void run_conv_step(const ConvStep<R>& s) {
  using Weights = StepWeights<R, Kept>;
  const Weights weights(s.packed, s.outputs);
  each_panel<R>(s.outputs, [&](int64_t column, auto v) {
    const R* panel = weights.lines + s.taps * s.inputs * Weights::line_size(column);
    row_blocks<kStepRows>(s.rows, [&](int64_t row, auto mr) {
      conv_step_tile<R, Kept, decltype(mr)::value, decltype(v)::value>(s, row, weights.bias, panel, column);
    });
  });
}
template <class R>
void conv_step(const ConvStep<R>& s, bool brief) noexcept {
  if constexpr (sizeof(R) == sizeof(float)) {
    if (brief) return run_conv_step<R, Halved>(s);
  }
  (void)brief;
  run_conv_step<R, Whole>(s);
}

template <class R>
int64_t conv_step_size(int64_t outputs, int64_t inputs, int64_t taps, bool brief) noexcept {
  const bool halved = brief && sizeof(R) == sizeof(float);
  const int64_t line = halved ? StepWeights<R, Halved>::line_size(outputs) : StepWeights<R, Whole>::line_size(outputs);
  return (StepWeights<R, Whole>::bias_size(outputs) + taps * inputs * line) * static_cast<int64_t>(sizeof(R));
}

template <class R>
void conv_step_pack(const R* weight, const R* bias, int64_t outputs, int64_t inputs, int64_t taps, bool brief,
                    void* packed) noexcept {
  constexpr int W = kLanes<R>;
  R* start = static_cast<R*>(packed);
  for (int64_t o = 0; o < round_up(outputs, W); o++) start[o] = bias && o < outputs ? bias[o] : R(0);
  R* line = start + StepWeights<R, Whole>::bias_size(outputs);
  each_panel<R>(outputs, [&](int64_t column, auto v) {
    constexpr int NV = decltype(v)::value;
    for (int64_t k = 0; k < taps; k++)
      for (int64_t c = 0; c < inputs; c++) {
        const auto w = [&](int64_t j) {
          const int64_t o = column + j;
          return j < NV * W && o < outputs ? weight[(o * inputs + c) * taps + k] : R(0);
        };
        if constexpr (sizeof(R) == sizeof(float)) {
          if (brief) {
            for (int64_t j = 0; j < Halved::vectors(NV) * W; j++) *line++ = brief_pair(w(j + j / W * W), w(j + j / W * W + W));
            continue;
          }
        }
        (void)brief;
        for (int64_t j = 0; j < NV * W; j++) *line++ = w(j);
      }
  });
}

template <class R>
void fill(Kernels<R>& k) {
  k.conv_step_size = conv_step_size<R>;
  k.conv_step_pack = conv_step_pack<R>;
  k.conv_step = conv_step<R>;
}

}  // namespace

void fill_conv_step(KernelTable& table) noexcept {
  fill(table.f32);
  fill(table.f64);
}

}  // namespace PYSEQ_TIER
}  // namespace pyseq
