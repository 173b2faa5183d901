// Dilated convolution along time, forward and backward (Conv1d in kernels/convolution.h).
//
// Operands of another kind than numbers (P, gemm/tile.h): the products of z and grad_x then read copies of x and grad_z
// in pairs of neighbouring channels, half as long. Sums and what follows stay in R.
#pragma once

#include "conv/minimal_filter.h"
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

// One of a convolution's two correlations. Forward makes z of x. `reversed` makes grad_x of grad_z: with the taps counted
// from the other end it is the same with channels exchanged,
//
//   grad_x[s] = residual[s] + sum_k grad_z[s + left - k * dilation] W_k^T.
template <class R>
struct Direction {
  bool reversed;
  int64_t taps, inputs, outputs, left;
  const R* weight;
  int64_t by_input, by_output;  // numbers of weight from channel to channel

  Direction(const Conv1d<R>& c, bool back)
      : reversed(back),
        taps(c.kernel_size),
        inputs(back ? c.out_channels : c.in_channels),
        outputs(back ? c.in_channels : c.out_channels),
        left(back ? (c.kernel_size - 1) * c.dilation - c.left : c.left),
        weight(c.weight),
        by_input(c.kernel_size * (back ? c.in_channels : 1)),
        by_output(c.kernel_size * (back ? 1 : c.in_channels)) {}
  // The weights of outputs [output, output + n) by one input under tap k of the correlation, and zeros up to a vector.
  PYSEQ_INLINE void line(int64_t k, int64_t input, int64_t output, R* to) const {
    const R* w = weight + input * by_input + output * by_output + (reversed ? taps - 1 - k : k);
    const int64_t n = input < inputs ? min_of<int64_t>(kLanes<R>, outputs - output) : 0, step = by_output;
    for (int64_t i = 0; i < n; i++) to[i] = w[i * step];
    for (int64_t i = n; i < kLanes<R>; i++) to[i] = 0;
  }
};

// Its weights in panels of lines (tap, input) for conv/correlate.h: operands [first, last) of P among the inputs.
template <class P, class R>
void pack_taps(const Direction<R>& d, int64_t first, int64_t last, R* weights) {
  constexpr int W = kLanes<R>;
  const int64_t width = kPanelVectors * W, operands = ceil_div(d.inputs, P::size);
  for (int64_t c0 = 0; c0 < d.outputs; c0 += width) {
    const int64_t wide = min_of<int64_t>(width, round_up(d.outputs - c0, W));
    R* panel = weights + d.taps * operands * c0;
    for (int64_t a = first; a < last; a++)
      for (int64_t k = 0; k < d.taps; k++)
        for (int64_t c = 0; c < wide; c += W) {
          R* to = panel + (k * operands + a) * wide + c;
          // number by number, to where they lie: a vector that is made of them waits for each
          if constexpr (P::size == 1) d.line(k, a, c0 + c, to);
          else store(to, P::join([&](int part) {
            R numbers[W];
            d.line(k, a * P::size + part, c0 + c, numbers);
            return load(numbers);
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
  int64_t stride;
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

// Operands of rows [row0, row1) of `inputs` numbers.
template <class P, class R>
void copy_operands(const Conv1d<R>& c, const Source<R>& source, int64_t inputs, int64_t row0, int64_t row1, R* copies) {
  const int64_t width = ceil_div(inputs, P::size);
  each_frame(c, row0, row1, [&](int64_t b, int64_t t, int64_t row) {
    const R* from = source.data + (source.start[b] + t) * source.stride;
    for (int64_t k = 0; k < width; k += kLanes<R>)
      store_up_to(copies + row * width + k, P::load(from + P::size * k, inputs - P::size * k), width - k);
  });
}

// A correlation of what a source holds, with whatever it reads in place of it. In tile registers: conv/tiled_correlate.h.
template <class R, class P, bool kTiled = P::tiled>
class Operands {
 public:
  Operands(const Conv1d<R>& conv, bool reversed, Arena& arena)
      : c(conv),
        direction_(conv, reversed),
        width_(ceil_div(direction_.inputs, P::size)),
        filter_(copied ? FilterPlan{0, c.kernel_size} : filter_plan(c.kernel_size, c.in_channels, c.out_channels),
                direction_.inputs, direction_.outputs, conv1d_threads(c, total_rows(c)), arena) {
    start_ = arena.take<int64_t>(copied ? c.batch : 0);
    copies_ = arena.take<R>(copied ? total_rows(c) * width_ : 0);
    weight_ = arena.take<R>(panels_size<R>(c.kernel_size * width_, direction_.outputs));
  }
  // bias: [outputs rounded up to vectors], may be null.
  void set(const Source<R>& source, const R* bias, const Finish<R>& finish) {
    source_ = source;
    if (copied) packed_starts(c, start_);
    correlation_ = {c.batch, width_, direction_.outputs, c.kernel_size, c.dilation, direction_.left, c.lengths,
                    copied ? start_ : source.start, copied ? copies_ : source.data, copied ? width_ : source.stride,
                    weight_, bias, finish};
  }
  // A thread's part of what all of them read: operands of rows [row0, row1), some of the weights.
  void prepare(int64_t row0, int64_t row1, int thread, int threads) const {
    if (copied) copy_operands<P>(c, source_, direction_.inputs, row0, row1, copies_);
    const int64_t first = piece_start(width_, threads, thread), last = piece_start(width_, threads, thread + 1);
    pack_taps<P>(direction_, first, last, weight_);
    if (filter_.used()) filter_.pack(weight_, first, last);
  }
  // scratch: kMostRows rows of z, where it is kept nowhere.
  void multiply(int64_t row0, int64_t row1, int thread, R* scratch) const {
    if constexpr (!copied)
      if (filter_.used()) return filter_.correlate(correlation_, row0, row1, thread, scratch);
    correlate(correlation_, row0, row1, scratch);
  }

 private:
  static constexpr bool copied = P::size > 1;  // else the numbers themselves are the operands
  const Conv1d<R>& c;
  Direction<R> direction_;
  int64_t width_;  // operands in a row
  MinimalFilter<R> filter_;
  int64_t* start_;  // [batch] of the copies
  R *copies_, *weight_;
  Source<R> source_ = {};
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
    run.operands->multiply(row0, row1, thread, scratch);
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
  ForwardWork(const Conv1d<R>& c, Arena& arena) : operands(c, false, arena) {
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
  for (int64_t o = 0; c.bias && o < round_up(c.out_channels, kLanes<R>); o++)
    work.bias[o] = o < c.out_channels ? c.bias[o] : R(0);
  const Finish<R> finish = {c.activation, c.out_channels, conv1d_columns(c), c.residual_start, c.residual,
                            c.residual_stride, c.y_start, c.y, c.y_stride, c.activated, c.activated_stride, z_apart(c)};
  work.operands.set({c.x_start, c.x, c.x_stride}, c.bias ? work.bias : nullptr, finish);
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
        operands(c, true, arena) {}
};

template <class R, class P>
int64_t conv1d_backward_workspace(const Conv1d<R>& c) noexcept {
  Arena count(nullptr);
  BackwardWork<R, P> work(c, count);
  return count.used();
}

template <class R, class P>
void conv1d_backward(const Conv1d<R>& c) noexcept {
  Arena arena(c.workspace);
  BackwardWork<R, P> work(c, arena);
  packed_starts(c, work.start);
  const Finish<R> finish = {ConvActivation::kNone, c.in_channels, c.in_channels, c.residual_start, c.residual,
                            c.residual_stride, c.grad_x_start, c.grad_x, c.grad_x_stride, nullptr, 0, false};
  work.operands.set({work.linear.y_start, work.linear.grad_y, work.linear.grad_y_stride}, nullptr, finish);
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
