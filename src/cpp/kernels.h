// The contract between bindings and kernels: plain structs, which stand in kernels/, and a table of functions per tier.
#pragma once

#include "kernels/convolution.h"
#include "kernels/ctc.h"
#include "kernels/dense.h"
#include "kernels/recurrent.h"

namespace pyseq {

// Work of a known amount, to measure the machine with. Each returns how much it did, and writes a number that depends
// on all of it to *sink, which holds 0 on entry.
struct Probes {
  int64_t (*multiply_add)(int64_t rounds, float* sink) noexcept;           // float32 operations, in registers
  int64_t (*bfloat16_dot)(int64_t rounds, float* sink) noexcept;           // likewise; may be null: not in this tier
  int64_t (*tile_dot)(int64_t rounds, float* sink) noexcept;               // the same in tile registers; may be null
  int64_t (*read)(const float* data, int64_t size, float* sink) noexcept;  // bytes of data [size], in whole lines
  // c [rows][16] += a [rows][16] times b [16][16], whose numbers are pairs of bfloat16 (simd/tiles.h): for tests of the
  // tile registers. 1 to 16 rows. Null where there are none.
  void (*tile_product)(int rows, const float* a, const float* b, float* c) noexcept;
};

// The tape of one is nothing to another: forward and backward of a layer are taken from the same.
template <class R>
struct RnnKernels {
  bool (*suits)(const RnnProblem&) noexcept;  // whether to take these, by cell and sizes but batch and lengths
  int64_t (*tape)(const RnnProblem&) noexcept;
  int64_t (*forward_workspace)(const RnnProblem&) noexcept;
  int64_t (*backward_workspace)(const RnnProblem&) noexcept;
  void (*forward)(const RnnForward<R>&) noexcept;
  void (*backward)(const RnnBackward<R>&) noexcept;
};

template <class R>
struct Conv1dKernels {
  bool (*suits)(const Conv1d<R>&) noexcept;  // whether to take these, by the sizes of the weight alone
  int64_t (*forward_workspace)(const Conv1d<R>&) noexcept;
  int64_t (*backward_workspace)(const Conv1d<R>&) noexcept;
  void (*forward)(const Conv1d<R>&) noexcept;
  void (*backward)(const Conv1d<R>&) noexcept;
};

template <class R>
struct Kernels {
  RnnKernels<R> rnn;       // suit everything
  RnnKernels<R> rnn_bf16;  // kMedium; all null where the tier has none
  RnnKernels<R> rnn_tiles, rnn_tiles_x3;  // kMedium and kHigh in tile registers, to be preferred; likewise

  Conv1dKernels<R> conv1d;       // suit everything
  Conv1dKernels<R> conv1d_bf16;  // kMedium; all null where the tier has none
  Conv1dKernels<R> conv1d_tiles, conv1d_tiles_x3;  // kMedium and kHigh in tile registers, to be preferred; likewise

  // weight [outputs][inputs][taps], bias [outputs] or null. `brief`: kept in bfloat16 (float32 only), sums unchanged.
  int64_t (*conv_step_size)(int64_t outputs, int64_t inputs, int64_t taps, bool brief) noexcept;  // bytes of `packed`
  void (*conv_step_pack)(const R* weight, const R* bias, int64_t outputs, int64_t inputs, int64_t taps, bool brief,
                         void* packed) noexcept;
  void (*conv_step)(const ConvStep<R>&, bool brief) noexcept;

  int64_t (*ctc_loss_workspace)(const CtcLoss<R>&) noexcept;
  void (*ctc_loss)(const CtcLoss<R>&) noexcept;
  int64_t (*ctc_align_workspace)(const CtcAlign<R>&) noexcept;
  void (*ctc_align)(const CtcAlign<R>&) noexcept;
  void (*ctc_greedy)(const CtcGreedy<R>&) noexcept;
  int64_t (*ctc_beam_workspace)(const CtcBeamFrame<R>&) noexcept;
  BeamFrameResult<R> (*ctc_beam_frame)(const CtcBeamFrame<R>&) noexcept;

  int64_t (*dense_workspace)(const Dense<R>&) noexcept;
  void (*dense_forward)(const Dense<R>&) noexcept;
  void (*dense_backward)(const Dense<R>&) noexcept;
  void (*embedding_forward)(const Embedding<R>&) noexcept;
  void (*embedding_backward)(const Embedding<R>&) noexcept;

  void (*adam_update)(const AdamUpdate<R>&) noexcept;
  void (*sgd_update)(const SgdUpdate<R>&) noexcept;
  double (*squared_norm)(const R* values, int64_t size) noexcept;

  void (*activation)(Activation which, const R* x, R* y, int64_t size) noexcept;
};

struct KernelTable {
  const char* tier;
  int vector_bytes;
  Kernels<float> f32;
  Kernels<double> f64;
  Probes probes;
};

}  // namespace pyseq
