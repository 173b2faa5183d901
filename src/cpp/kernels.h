// The contract between bindings and kernels: plain structs in, a table of functions per tier.
//
// Conventions. R is float or double. Frames are rows of a 2-D array with a row stride in elements;
// frame t of sequence b is row start[b] + t. So padded batches (start = b * T), packed ragged batches and
// mini-batches picked out of a larger data set are one thing, and nothing is read beyond a sequence's
// length. Pointers never alias unless said; "may be null" is said where it holds. Kernels allocate nothing,
// throw nothing, and choose their number of threads from `crew` and the size of the work; results do not depend on it.
// Workspaces come from the caller, aligned to 64 bytes, contents irrelevant, size in bytes from the
// *_workspace function for the same struct (pointers need not be set for it).
#pragma once

#include <cstdint>

#include "runtime/parallel.h"

namespace pyseq {

constexpr int64_t kAlignment = 64;

// ---------------------------------------------------------------------------------------------- recurrent

enum class Cell : int32_t {
#define PYSEQ_CELL(id, type, name, gate_count, recurrent_count, cell_state, extra_rows) id,
#include "rnn/cells.def"
#undef PYSEQ_CELL
};

constexpr int64_t kOutputRows = -1;  // in cells.def: as many extra rows as the output has numbers

// How exact products of float32 numbers must be; sums are float32. A permission: kernels may be more exact.
enum class Precision : int32_t {
  kHighest,  // float32 operands
  kHigh,     // bf16x3: each operand in a high and a low bfloat16 half, three products
  kMedium,   // bfloat16 operands
};

// What x adds to the sums of a frame, for frames that are few and come again: kFilled, a forward pass with a tape leaves
// it there for frame 0 of every sequence, and ends. kRead, forward takes that tape as a table: `input` is 0, and a frame
// of x is one number, the row of the table.
enum class InputTable : int32_t { kNone, kFilled, kRead };

// Sizes and sequences of one layer and direction.
struct RnnProblem {
  Cell cell;
  Precision precision;
  bool reverse;            // from each sequence's last frame to its first
  bool masked;             // RnnMasks has a pointer that is not null
  int64_t batch, input, hidden;
  int64_t output;          // numbers of h: `hidden`, but for a cell with a projection
  const int64_t* lengths;  // [batch], 0 allowed
  const int64_t* x_start;  // [batch] first row of each sequence in x
  const int64_t* y_start;  // [batch] first row of each sequence in y and grad_y
  InputTable table = InputTable::kNone;
  Crew crew = {1, false};
};

// Weights in PyTorch's layout; G gates of the cell in PyTorch's order, of which U have a recurrent product.
template <class R>
struct RnnWeights {
  const R* weight_ih;  // [G*hidden][input]
  const R* weight_hh;  // [U*hidden][output]
  const R* bias_ih;    // [G*hidden]
  const R* bias_hh;    // [U*hidden]
  const R* extra;      // [extra rows][hidden], their meaning in the cell's file; null where cells.def has none
};

// What is kept of the old state at random. Each pointer may be null: nothing.
//   h' * recurrent          enters the recurrent product in place of h'      (Gal & Ghahramani 2016)
//   z * h' + (1 - z) * h    is the new state, likewise for c                 (zoneout: Krueger et al. 2017)
template <class R>
struct RnnMasks {
  const R* recurrent;        // [batch][output], the same at every step
  const R* zoneout_h;        // frames of `output` numbers at the rows of y; or one row, with stride 0
  int64_t zoneout_h_stride;
  const R* zoneout_c;        // likewise, `hidden` numbers; cells with a cell state only
  int64_t zoneout_c_stride;
};

template <class R>
struct RnnForward {
  RnnProblem problem;
  RnnWeights<R> weights;
  const R* x;          // frames of `input` numbers
  int64_t x_stride;
  const R* h0;         // [batch][output], may be null: zeros; may be h_last
  const R* c0;         // [batch][hidden], may be null: zeros; cells with a cell state only; may be c_last
  RnnMasks<R> masks;
  R* y;                // frames of `output` numbers
  int64_t y_stride;
  R* h_last;           // [batch][output], state after each sequence's last frame
  R* c_last;           // [batch][hidden], likewise; cells with a cell state only
  void* tape;          // bytes by RnnKernels::tape, aligned; null when no backward pass follows
  void* workspace;     // bytes by RnnKernels::forward_workspace
  bool packed;         // an earlier call with the same problem and weights, whose workspace this is, packed them
  const R* table;      // the tape of the call that filled it; InputTable::kRead only
  int64_t table_rows;  // sequences of that call
};

template <class R>
struct RnnBackward {
  RnnProblem problem;  // as given to forward
  RnnWeights<R> weights;
  const R* x;          // x, h0, c0, masks, y: unchanged since forward
  int64_t x_stride;
  const R* h0;
  const R* c0;
  RnnMasks<R> masks;
  const R* y;
  int64_t y_stride;
  void* tape;          // written by forward; consumed (a second backward needs a new forward)
  const R* grad_y;     // frames of `output` numbers, may be null: zeros
  int64_t grad_y_stride;
  const R* grad_h_last;  // [batch][output], may be null
  const R* grad_c_last;  // [batch][hidden], may be null
  R* grad_x;           // frames of `input` numbers, may be null: not wanted
  int64_t grad_x_stride;
  const int64_t* grad_x_start;  // [batch] first row of each sequence in grad_x
  bool adds_to_grad_x;  // to what is there, or overwrites it
  R* grad_weight_ih;   // layouts of RnnWeights; overwritten
  R* grad_weight_hh;
  R* grad_bias_ih;
  R* grad_bias_hh;
  R* grad_extra;       // where cells.def has extra rows
  R* grad_h0;          // [batch][output]
  R* grad_c0;          // [batch][hidden]; cells with a cell state only
  void* workspace;     // bytes by RnnKernels::backward_workspace
};

// --------------------------------------------------------------------------------------------- convolution

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

// ----------------------------------------------------------------------------------------------------- CTC

//   nll[b]  = -log sum over alignments of targets[b] of prod_t exp(class_bias[label_t]) softmax(x_t)[label_t]
//   loss[b] = (1 - smoothing) nll[b] + smoothing sum_t cross entropy of softmax(x_t) with the uniform distribution
//   grad    = grad_scale[b] d loss[b] / d x
// Infeasible targets: loss +inf, gradient 0. The uniform distribution is over the classes of a frame that are not -inf.
template <class R>
struct CtcLoss {
  int64_t batch, classes, blank;
  const int64_t* lengths;         // [batch] frames, 0 allowed
  const int64_t* x_start;         // [batch] rows of logits and of grad
  const int64_t* grad_start;
  const R* logits;                // frames of `classes` numbers
  int64_t logits_stride;
  const int32_t* targets;         // labels of all sequences, one after the other; in [0, classes), not blank
  const int64_t* target_start;    // [batch]
  const int64_t* target_lengths;  // [batch], 0 allowed
  const R* class_bias;            // [classes], finite; may be null: 0
  const R* grad_scale;            // [batch], may be null: 1
  double smoothing;               // in [0, 1)
  R* losses;                      // [batch]
  R* grad;                        // frames of `classes` numbers, may be null: loss only; may be logits, with equal
  int64_t grad_stride;            //   starts and strides and no frame in two sequences
  void* workspace;                // its size depends on whether grad and class_bias are null
  Crew crew;
};

// The most probable alignment of each target. Of equal ones: the one that, from the last frame backwards, ends in blank
// rather than a label, stays where it is rather than comes from another state, and comes from the blank before a label
// rather than from the label before that. Scores of alignments are float64 sums of logits in order of the frames.
template <class R>
struct CtcAlign {
  int64_t batch, classes, blank;
  const int64_t* lengths;         // [batch] frames, 0 allowed
  const int64_t* x_start;         // [batch]
  const R* logits;
  int64_t logits_stride;
  const int32_t* targets;         // as in CtcLoss
  const int64_t* target_start;
  const int64_t* target_lengths;
  const int64_t* path_start;      // [batch] where the frames of each sequence go in path
  const int64_t* span_start;      // [batch] where its labels go in begin, end and confidence
  int32_t* path;                  // class of every frame; -1 where there is no alignment
  int64_t *begin, *end;           // first frame of every label and the one after its last; -1 likewise
  R* confidence;                  // mean over these frames of the label's probability; 0 likewise
  double* scores;                 // [batch] log-probability; -inf where there is no alignment, NaN for NaN
  void* workspace;
  Crew crew;
};

// Best class of every frame, repeats merged, blanks dropped. Ties go to the lower class. Without scores and places a frame
// costs the search for its largest number alone.
template <class R>
struct CtcGreedy {
  int64_t batch, classes, blank;
  const int64_t* lengths;
  const int64_t* x_start;
  const R* logits;
  int64_t logits_stride;
  const int64_t* out_start;  // [batch] where the labels of each sequence go; room for lengths[b] of them
  int64_t* labels;           // at out_start[b]: out_lengths[b] labels
  int64_t* frames;           // same layout: first frame of each label; null: no places, ends and log_probs likewise
  int64_t* ends;             // same layout: frame after the last of each label
  float* log_probs;          // same layout: log-probability of the label, summed over its frames
  int64_t* out_lengths;      // [batch]
  R* scores;                 // [batch] sum over frames of log softmax of the best class; null: no scores and no places
};

// One frame of a prefix beam search. An entry of the beam is a prefix, a sequence of labels, with the logarithms of
// the probability of its alignments so far that end in a blank and of those that end in its last label. Its score is
// the logarithm of their sum; what other sources say of a prefix (a language model) is part of both.
//   kept      blank' = (blank + label) p(blank)
//             label' = label p(last) + (parent's score, or its blank if it ends in the same label) gain p(last)
//   extended  label' = (score, or blank if the label repeats the last one) row[label] p(label)
// The `width` best of all kept and extended prefixes stay, best first come first: of equal scores, kept prefixes
// precede extended ones, these in the order of the prefix they extend, then of their label.
constexpr double kNoScore = -1e30;  // the logarithm of 0: finite, so that differences are
constexpr int64_t beam_room(int64_t width) { return (width + 15) / 16 * 16; }  // numbers in an array of entries

template <class R>
struct BeamScores {
  R* blank;  // [beam_room(width)] aligned to 64 bytes
  R* label;  // likewise
};

template <class R>
struct CtcBeamFrame {
  int64_t classes, blank, width;
  R least;                      // labels of a smaller log-probability extend nothing, unless the frame has no larger
  const R* logits;              // [classes]
  int64_t count;                // entries, at most width
  BeamScores<R> now;            // up to beam_room: kNoScore beyond count
  const int32_t* last;          // [beam_room(width)] last label; the blank for the empty prefix
  const int32_t* parent;        // [count] entry of the prefix without its last label, or -1
  int64_t children;             // entries that have a parent
  const int32_t* child;         // [children] which
  const R* gain;                // [beam_room(width)] what other sources added with the last label
  const float* const* rows;     // [count] each [beam_room(classes)]: what they would add with each label; may be null
  const float* row_most;        // [beam_room(width)] the largest number of each row; null where rows is
  BeamScores<R> next;           // out, up to beam_room(width); relative to the best score
  int32_t* from;                // out, [width] which entry an entry was
  int32_t* label;               // out, [width] the label that extends it, or -1: kept; those that are kept come first
  void* workspace;
};

template <class R>
struct BeamFrameResult {
  int64_t count;      // entries after the frame; -1 if its softmax is NaN: nothing is written then
  R best;             // score that the new ones are relative to
  R log_denominator;  // log p(c) = logits[c] - log_denominator
};

// ------------------------------------------------------------------------------- dense, embedding, updates

//   y = x W^T + b
template <class R>
struct Dense {
  int64_t rows, inputs, outputs;
  const R* x;       // [rows][inputs], row stride x_stride
  int64_t x_stride;
  const R* weight;  // [outputs][inputs]
  const R* bias;    // [outputs], may be null
  R* y;             // forward: [rows][outputs]
  int64_t y_stride;
  const R* grad_y;  // backward: [rows][outputs]
  int64_t grad_y_stride;
  R* grad_x;        // backward, may be null: not wanted; row stride `inputs`
  R* grad_weight;   // backward, overwritten
  R* grad_bias;     // backward, overwritten, may be null
  void* workspace;
  Crew crew;
};

template <class R>
struct Embedding {
  int64_t rows, vocabulary, dim;
  const int64_t* tokens;  // [rows], each in [0, vocabulary)
  const R* weight;        // forward: [vocabulary][dim]
  R* y;                   // forward: [rows][dim]
  const R* grad_y;        // backward: [rows][dim]
  R* grad_weight;         // backward: [vocabulary][dim], overwritten
};

// One step over flat arrays; g = scale * grad (+ weight_decay * param unless decoupled).
//   m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
//   param -= lr * (m / correction1) / (sqrt(v / correction2) + eps)      (Kingma & Ba 2015)
//   decoupled: param -= lr * weight_decay * param first                   (Loshchilov & Hutter 2019)
template <class R>
struct AdamUpdate {
  int64_t size;
  R *param, *m, *v;
  const R* grad;
  double lr, beta1, beta2, eps, weight_decay, scale, correction1, correction2;
  bool decoupled;
};

//   velocity = momentum * velocity + g;  param -= lr * (nesterov ? g + momentum * velocity : velocity)
template <class R>
struct SgdUpdate {
  int64_t size;
  R *param, *velocity;
  const R* grad;
  double lr, momentum, weight_decay, scale;
  bool nesterov;
};

enum class Activation : int32_t { kSigmoid, kTanh, kExp };

// -------------------------------------------------------------------------------------------------- probes

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

// --------------------------------------------------------------------------------------------------- table

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
