// Recurrent layers: a scan over time, forward and backward.
#pragma once

#include "kernels/conventions.h"

namespace pyseq {

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

}  // namespace pyseq
