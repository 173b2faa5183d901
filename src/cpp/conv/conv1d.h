// Dilated convolution along time, forward and backward (Conv1d in kernels.h).
//
// Operands of another kind than numbers (P, gemm/tile.h): the products of z and grad_x then read copies of x and grad_z
// in pairs of neighbouring channels, half as long. Sums and what follows stay in R.
#pragma once

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
  return threads_for(c.crew, 2.0 * static_cast<double>(rows) * static_cast<double>(c.kernel_size) *
                     static_cast<double>(c.in_channels) * static_cast<double>(c.out_channels));
}

// A weight in panels: dst gets lines (k, a) of `columns` numbers weight[a * stride_a + column * stride_c + tap k]. Operand a
// of P is made of `channels`, zero beyond them. `reversed`: line (k, a) holds tap taps - 1 - k.
template <class R>
struct Packing {
  R* dst;
  const R* weight;
  int64_t taps, channels, columns, stride_a, stride_c;
  bool reversed;
};

// Operands [first, last) of it.
template <class P, class R>
void pack_taps(const Packing<R>& p, int64_t first, int64_t last) {
  constexpr int W = kLanes<R>;
  const int64_t width = kPanelVectors * W, operands = ceil_div(p.channels, P::size);
  for (int64_t c0 = 0; c0 < p.columns; c0 += width) {
    const int64_t wide = min_of<int64_t>(width, round_up(p.columns - c0, W));
    R* panel = p.dst + p.taps * operands * c0;
    for (int64_t a = first; a < last; a++)
      for (int64_t k = 0; k < p.taps; k++)
        for (int64_t c = 0; c < wide; c += W) {
          const R* w = p.weight + (c0 + c) * p.stride_c + k;
          const int64_t n = min_of<int64_t>(W, p.columns - c0 - c);
          store(panel + ((p.reversed ? p.taps - 1 - k : k) * operands + a) * wide + c, P::join([&](int part) {
            const int64_t channel = a * P::size + part;
            Vec<R> v = {};
            if (channel < p.channels)
              for (int64_t i = 0; i < n; i++) v[i] = w[channel * p.stride_a + i * p.stride_c];
            return v;
          }));
        }
  }
}

// f(b, t, row) for frames t of sequences b that are rows [row0, row1), counted over all sequences.
template <class R, class F>
PYSEQ_INLINE void each_frame(const Conv1d<R>& c, int64_t row0, int64_t row1, const F& f) {
  int64_t first = 0;
  for (int64_t b = 0; b < c.batch && first < row1; first += c.lengths[b++])
    for (int64_t t = max_of<int64_t>(0, row0 - first); t < min_of(c.lengths[b], row1 - first); t++) f(b, t, first + t);
}

// Where the frames of all sequences begin, packed one after the other.
template <class R>
void packed_starts(const Conv1d<R>& c, int64_t* start) {
  int64_t rows = 0;
  for (int64_t b = 0; b < c.batch; rows += c.lengths[b++]) start[b] = rows;
}

// Frames of numbers, as they lie.
template <class R>
struct Source {
  const int64_t* start;  // [batch]
  const R* data;
  int64_t stride, width;
};

// grad_z of rows [row0, row1).
template <class R>
void unfinish(const Conv1d<R>& c, int64_t row0, int64_t row1, R* grad_z) {
  const int64_t columns = conv1d_columns(c);
  with_activation(c.activation, [&](auto activation) {
    each_frame(c, row0, row1, [&](int64_t b, int64_t t, int64_t row) {
      const int64_t at = c.y_start[b] + t;
      unfinish_row<decltype(activation)::value>(c.activated + at * c.activated_stride, c.grad_y + at * c.grad_y_stride,
                                                grad_z + row * c.out_channels, columns);
    });
  });
}

// Operands of rows [row0, row1), `width` of them in a row.
template <class P, class R>
void copy_operands(const Conv1d<R>& c, const Source<R>& source, int64_t row0, int64_t row1, R* copies, int64_t width) {
  each_frame(c, row0, row1, [&](int64_t b, int64_t t, int64_t row) {
    const R* from = source.data + (source.start[b] + t) * source.stride;
    for (int64_t k = 0; k < width; k += kLanes<R>)
      store_up_to(copies + row * width + k, P::load(from + P::size * k, source.width - P::size * k), width - k);
  });
}

// A correlation of what a source holds, with whatever it reads in place of it. In tile registers: conv/tiled_correlate.h.
template <class R, class P, bool kTiled = P::tiled>
class Operands {
 public:
  Operands(const Conv1d<R>& conv, int64_t inputs, int64_t outputs, Arena& arena) : c(conv), width_(ceil_div(inputs, P::size)) {
    start_ = arena.take<int64_t>(copied ? c.batch : 0);
    copies_ = arena.take<R>(copied ? total_rows(c) * width_ : 0);
    weight_ = arena.take<R>(panels_size<R>(c.kernel_size * width_, outputs));
  }
  // Which one. bias: [outputs rounded up to vectors], may be null.
  void set(const Source<R>& source, Packing<R> packing, int64_t left, const R* bias, const Finish<R>& finish) {
    source_ = source;
    packing_ = packing;
    packing_.dst = weight_;
    if (copied) packed_starts(c, start_);
    correlation_ = {c.batch, width_, finish.outputs, c.kernel_size, c.dilation, left, c.lengths, copied ? start_ : source.start,
                    copied ? copies_ : source.data, copied ? width_ : source.stride, weight_, bias, finish};
  }
  // A thread's part of what all of them read: operands of rows [row0, row1), some of the weights.
  void prepare(int64_t row0, int64_t row1, int thread, int threads) const {
    if (copied) copy_operands<P>(c, source_, row0, row1, copies_, width_);
    pack_taps<P>(packing_, piece_start(width_, threads, thread), piece_start(width_, threads, thread + 1));
  }
  // scratch: kMostRows rows of z, where it is kept nowhere.
  void multiply(int64_t row0, int64_t row1, R* scratch) const { correlate(correlation_, row0, row1, scratch); }

 private:
  static constexpr bool copied = P::size > 1;  // else the numbers themselves are the operands
  const Conv1d<R>& c;
  int64_t width_;  // operands in a row
  int64_t* start_;  // [batch] of the copies
  R *copies_, *weight_;
  Source<R> source_ = {};
  Packing<R> packing_ = {};
  Correlation<R, P> correlation_ = {};
};

template <class R, class P>
struct Run {
  const Conv1d<R>& c;
  const Operands<R, P>* operands;   // null: no correlation
  WeightGradient<R, P>* gradient;   // null: none
  int64_t rows;
  R* grad_z;         // where the gradient before the activation goes, packed; null: there is no activation
  R* scratch;        // for each thread kMostRows rows of z that are kept nowhere
  Barrier barrier;
};

template <class R, class P>
void run_thread(void* context, int thread, int threads) {
  Run<R, P>& run = *static_cast<Run<R, P>*>(context);
  const int64_t row0 = piece_start(run.rows, threads, thread), row1 = piece_start(run.rows, threads, thread + 1);
  if (run.grad_z) unfinish(run.c, row0, row1, run.grad_z);
  if (run.operands) run.operands->prepare(row0, row1, thread, threads);
  run.barrier.wait(threads);  // others read these rows and weights too
  if (run.operands) {
    R* scratch = run.scratch ? run.scratch + thread * kMostRows * run.c.out_channels : nullptr;
    run.operands->multiply(row0, row1, scratch);
  }
  if (run.gradient) run.gradient->run(thread, threads);
}

// Whether z is written beside y.
template <class R>
bool z_apart(const Conv1d<R>& c) {
  return c.activation == ConvActivation::kGated || (c.activated && c.activated != c.y);
}

template <class R, class P>
struct ForwardWork {
  Operands<R, P> operands;
  R *bias, *scratch;
  ForwardWork(const Conv1d<R>& c, Arena& arena) : operands(c, c.in_channels, c.out_channels, arena) {
    const bool kept = !z_apart(c) || c.activated;
    bias = arena.take<R>(round_up(c.out_channels, kLanes<R>));
    scratch = kept ? nullptr : arena.take<R>(conv1d_threads(c, total_rows(c)) * kMostRows * c.out_channels);
  }
};

template <class R, class P>
int64_t conv1d_forward_workspace(const Conv1d<R>& c) noexcept {
  Arena count(nullptr);
  ForwardWork<R, P> work(c, count);
  return count.used();
}

template <class R, class P>
void conv1d_forward(const Conv1d<R>& c) noexcept {
  Arena arena(c.workspace);
  ForwardWork<R, P> work(c, arena);
  const Packing<R> packing = {nullptr, c.weight, c.kernel_size, c.in_channels, c.out_channels,
                              c.kernel_size, c.in_channels * c.kernel_size, false};
  for (int64_t o = 0; c.bias && o < round_up(c.out_channels, kLanes<R>); o++)
    work.bias[o] = o < c.out_channels ? c.bias[o] : R(0);
  const Finish<R> finish = {c.activation, c.out_channels, conv1d_columns(c), c.residual_start, c.residual,
                            c.residual_stride, c.y_start, c.y, c.y_stride, c.activated, c.activated_stride, z_apart(c)};
  work.operands.set({c.x_start, c.x, c.x_stride, c.in_channels}, packing, c.left, c.bias ? work.bias : nullptr, finish);
  Run<R, P> run = {c, &work.operands, nullptr, total_rows(c), nullptr, work.scratch, new_barrier(0)};
  run_parallel(conv1d_threads(c, run.rows), run_thread<R, P>, &run);
}

// The same problem seen from z: its gradient takes the place of that of y.
template <class R>
Conv1d<R> before_activation(const Conv1d<R>& c, const int64_t* start, const R* grad_z) {
  Conv1d<R> linear = c;
  if (c.activation == ConvActivation::kNone) return linear;
  linear.y_start = start;
  linear.grad_y = grad_z;
  linear.grad_y_stride = c.out_channels;
  return linear;
}

template <class R, class P>
struct BackwardWork {
  int64_t* start;  // [batch] rows of grad_z
  R* grad_z;       // packed rows of out_channels
  Conv1d<R> linear;
  WeightGradient<R, P> gradient;
  Operands<R, P> operands;
  BackwardWork(const Conv1d<R>& c, Arena& arena)
      : start(arena.take<int64_t>(c.batch)),
        grad_z(arena.take<R>(c.activation == ConvActivation::kNone ? 0 : total_rows(c) * c.out_channels)),
        linear(before_activation(c, start, grad_z)),
        gradient(linear, conv1d_threads(c, total_rows(c)), arena),
        operands(c, c.out_channels, c.in_channels, arena) {}
};

template <class R, class P>
int64_t conv1d_backward_workspace(const Conv1d<R>& c) noexcept {
  Arena count(nullptr);
  BackwardWork<R, P> work(c, count);
  return count.used();
}

// grad_x[s] = residual[s] + sum_k grad_z[s + left - k * dilation] W_k^T: with the taps counted from the other end, the
// same correlation with channels exchanged.
template <class R, class P>
void conv1d_backward(const Conv1d<R>& c) noexcept {
  Arena arena(c.workspace);
  BackwardWork<R, P> work(c, arena);
  packed_starts(c, work.start);
  const Packing<R> packing = {nullptr, c.weight, c.kernel_size, c.out_channels, c.in_channels,
                              c.in_channels * c.kernel_size, c.kernel_size, true};
  const Finish<R> finish = {ConvActivation::kNone, c.in_channels, c.in_channels, c.residual_start, c.residual,
                            c.residual_stride, c.grad_x_start, c.grad_x, c.grad_x_stride, nullptr, 0, false};
  const Source<R> source = {work.linear.y_start, work.linear.grad_y, work.linear.grad_y_stride, c.out_channels};
  const int64_t left = (c.kernel_size - 1) * c.dilation - c.left;
  work.operands.set(source, packing, left, nullptr, finish);
  R* grad_z = c.activation == ConvActivation::kNone ? nullptr : work.grad_z;
  Run<R, P> run = {c, c.grad_x ? &work.operands : nullptr, &work.gradient, total_rows(c), grad_z, nullptr, new_barrier(0)};
  run_parallel(conv1d_threads(c, run.rows), run_thread<R, P>, &run);
}

// All functions of the kernels whose products multiply P.
template <class R, class P>
Conv1dKernels<R> conv1d_kernels(bool (*suits)(const Conv1d<R>&) noexcept) {
  return {suits, conv1d_forward_workspace<R, P>, conv1d_backward_workspace<R, P>, conv1d_forward<R, P>,
          conv1d_backward<R, P>};
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
