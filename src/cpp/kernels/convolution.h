// Convolutions along time, over whole sequences and one frame at a time.
#pragma once

#include "kernels/conventions.h"

namespace pyseq {

// What follows the products, by output channel o of the weight (C of them), in the kernels' Conv1d:
//   kNone, kRelu, kTanh:  a[o] = z[o], max(z[o], 0), tanh(z[o]);            y[o] = a[o] + residual[o]
//   kGated:  a[o] = tanh(z[o]) for o < C / 2, else sigmoid(z[o]);           y[o] = a[o] a[C / 2 + o] + residual[o]
enum class ConvActivation : int32_t { kNone, kRelu, kTanh, kGated };

//   z[b, t, o] = bias[o] + sum_k sum_i weight[o, i, k] * x[b, t + k * dilation - left, i]
// with zeros outside a sequence. Causal: left = (kernel_size - 1) * dilation. Centred: half of it.
template <class R>
struct Conv1d {
  int64_t batch, in_channels, out_channels, kernel_size, dilation, left;
  ConvActivation activation;  // kGated: out_channels is even, frames of y have half as many
  const int64_t* lengths;  // [batch]
  const int64_t* x_start;  // [batch] rows of x
  const int64_t* y_start;  // [batch] rows of y and grad_y
  const int64_t* grad_x_start;  // [batch] rows of grad_x; x may be a view of sequences that overlap or lie apart
  const R* weight;         // [out_channels][in_channels][kernel_size]
  const R* bias;           // [out_channels], may be null
  const R* x;              // frames of in_channels; null for the workspace query
  int64_t x_stride;
  const int64_t* residual_start;  // [batch] rows of residual
  const R* residual;       // frames as those of y, may be null; backward: as those of grad_x, is added to it. Not y.
  int64_t residual_stride;
  R* activated;            // a: frames of out_channels at y_start. Forward: written, may be null. Backward: read;
  int64_t activated_stride;  // null for kNone. kRelu and kTanh without residual may give y here.
  R* y;                    // forward
  int64_t y_stride;
  const R* grad_y;         // backward
  int64_t grad_y_stride;
  R* grad_x;               // backward, may be null: not wanted
  int64_t grad_x_stride;
  R* grad_weight;          // backward, layout of weight, overwritten
  R* grad_bias;            // backward, [out_channels], may be null
  void* workspace;
  Crew crew;
};

// One frame of a causal convolution for many streams; with one tap, a dense layer.
//   y[r, o] = bias[o] + sum_k sum_i weight[o, i, k] * x[k][r, i]     x[taps - 1]: the new frame
// Summed from the bias and the oldest tap on, by channels. The sum may be made in parts: older taps ahead, for many frames.
// stream/convolution.h makes of such sums what Conv1d makes, to the same bits.
template <class R>
struct ConvStep {
  int64_t rows, inputs, outputs, taps;
  int64_t first_tap, end_tap;  // those to add; x of the others is not read
  const R* const* x;     // [taps] oldest first; each [rows][inputs]
  const R* start;        // [rows][outputs] sums to go on from, may be null: the bias; may be y
  const void* packed;    // written by conv_step_pack
  R* y;                  // [rows][outputs]
};

}  // namespace pyseq
