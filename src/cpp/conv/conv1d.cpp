// Dilated convolution along time, forward and backward (Conv1d in kernels.h).
#include "conv/correlate.h"
#include "conv/weight_gradient.h"
#include "runtime/parallel.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class R>
int64_t total_rows(const Conv1d<R>& c) {
  int64_t rows = 0;
  for (int64_t b = 0; b < c.batch; b++) rows += c.lengths[b];
  return rows;
}

template <class R>
int conv1d_threads(const Conv1d<R>& c, int64_t rows) {
  return threads_for(2.0 * static_cast<double>(rows) * static_cast<double>(c.kernel_size) *
                     static_cast<double>(c.in_channels) * static_cast<double>(c.out_channels));
}

// dst gets lines (k, a) of `columns` numbers weight[a * stride_a + column * stride_c + tap k], in panels.
// `reversed`: line (k, a) holds tap taps - 1 - k.
template <class R>
void pack_taps(R* dst, const R* weight, int64_t taps, int64_t channels, int64_t columns, int64_t stride_a,
               int64_t stride_c, bool reversed) {
  const int64_t width = kPanelVectors * kLanes<R>;
  for (int64_t c0 = 0; c0 < columns; c0 += width) {
    const int64_t wide = min_of(width, round_up(columns - c0, kLanes<R>)), n = min_of(wide, columns - c0);
    R* panel = dst + taps * channels * c0;
    for (int64_t a = 0; a < channels; a++)
      for (int64_t k = 0; k < taps; k++) {
        R* line = panel + ((reversed ? taps - 1 - k : k) * channels + a) * wide;
        const R* w = weight + c0 * stride_c + a * stride_a + k;
        for (int64_t c = 0; c < n; c++) line[c] = w[c * stride_c];
        for (int64_t c = n; c < wide; c++) line[c] = 0;
      }
  }
}

template <class R>
struct Run {
  const Correlation<R>* correlation;  // null: none
  WeightGradient<R>* gradient;        // null: none
  int64_t rows;
};

template <class R>
void run_thread(void* context, int thread, int threads) {
  const Run<R>& run = *static_cast<Run<R>*>(context);
  if (run.correlation)
    correlate(*run.correlation, piece_start(run.rows, threads, thread), piece_start(run.rows, threads, thread + 1));
  if (run.gradient) run.gradient->run(thread, threads);
}

template <class R>
struct ForwardWork {
  R *weight, *bias;
  ForwardWork(const Conv1d<R>& c, Arena& arena)
      : weight(arena.take<R>(panels_size<R>(c.kernel_size * c.in_channels, c.out_channels))),
        bias(arena.take<R>(round_up(c.out_channels, kLanes<R>))) {}
};

template <class R>
int64_t conv1d_forward_workspace(const Conv1d<R>& c) noexcept {
  Arena count(nullptr);
  ForwardWork<R> work(c, count);
  return count.used();
}

template <class R>
void conv1d_forward(const Conv1d<R>& c) noexcept {
  Arena arena(c.workspace);
  ForwardWork<R> work(c, arena);
  pack_taps(work.weight, c.weight, c.kernel_size, c.in_channels, c.out_channels, c.kernel_size,
            c.in_channels * c.kernel_size, false);
  for (int64_t o = 0; c.bias && o < round_up(c.out_channels, kLanes<R>); o++)
    work.bias[o] = o < c.out_channels ? c.bias[o] : R(0);
  const Correlation<R> forward = {c.batch, c.in_channels, c.out_channels, c.kernel_size, c.dilation, c.left,
                                  c.lengths, c.x_start, c.y_start, c.x, c.x_stride, work.weight,
                                  c.bias ? work.bias : nullptr, c.y, c.y_stride};
  Run<R> run = {&forward, nullptr, total_rows(c)};
  run_parallel(conv1d_threads(c, run.rows), run_thread<R>, &run);
}

template <class R>
struct BackwardWork {
  WeightGradient<R> gradient;
  R* weight;
  BackwardWork(const Conv1d<R>& c, Arena& arena)
      : gradient(c, max_threads(), arena),
        weight(arena.take<R>(panels_size<R>(c.kernel_size * c.out_channels, c.in_channels))) {}
};

template <class R>
int64_t conv1d_backward_workspace(const Conv1d<R>& c) noexcept {
  Arena count(nullptr);
  BackwardWork<R> work(c, count);
  return count.used();
}

// grad_x[s] = sum_k grad_y[s + left - k * dilation] W_k^T: with the taps counted from the other end, the same
// correlation with channels exchanged.
template <class R>
void conv1d_backward(const Conv1d<R>& c) noexcept {
  Arena arena(c.workspace);
  BackwardWork<R> work(c, arena);
  if (c.grad_x)
    pack_taps(work.weight, c.weight, c.kernel_size, c.out_channels, c.in_channels, c.in_channels * c.kernel_size,
              c.kernel_size, true);
  const int64_t left = (c.kernel_size - 1) * c.dilation - c.left;
  const Correlation<R> transposed = {c.batch, c.out_channels, c.in_channels, c.kernel_size, c.dilation, left,
                                     c.lengths, c.y_start, c.grad_x_start, c.grad_y, c.grad_y_stride, work.weight,
                                     nullptr, c.grad_x, c.grad_x_stride};
  Run<R> run = {c.grad_x ? &transposed : nullptr, &work.gradient, total_rows(c)};
  run_parallel(conv1d_threads(c, run.rows), run_thread<R>, &run);
}

template <class R>
void fill(Kernels<R>& k) {
  k.conv1d_forward_workspace = conv1d_forward_workspace<R>;
  k.conv1d_backward_workspace = conv1d_backward_workspace<R>;
  k.conv1d_forward = conv1d_forward<R>;
  k.conv1d_backward = conv1d_backward<R>;
}

}  // namespace

void fill_conv1d(KernelTable& table) noexcept {
  fill(table.f32);
  fill(table.f64);
}

}  // namespace PYSEQ_TIER
}  // namespace pyseq
