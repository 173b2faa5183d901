// What the bindings of recurrent kernels share: the list of cells, and weights as arrays.
#pragma once

#include "bindings/arrays.h"

namespace pyseq {

struct CellInfo {
  int64_t gates, recurrent_gates;
  bool has_cell;
  int64_t extra_rows;
  bool projects() const { return extra_rows == kOutputRows; }
  int64_t extra_rows_of(const RnnProblem& p) const { return projects() ? p.output : extra_rows; }
};
inline CellInfo cell_info(int code) {
  static const CellInfo all[] = {
#define PYSEQ_CELL(id, type, name, gate_count, recurrent_count, cell_state, extra_rows) \
  {gate_count, recurrent_count, cell_state, extra_rows},
#include "rnn/cells.def"
#undef PYSEQ_CELL
  };
  if (code < 0 || code >= static_cast<int>(sizeof all / sizeof all[0])) reject("cell", "a code from CELLS");
  return all[code];
}

template <class R>
RnnWeights<R> cell_weights(const CellInfo& info, const RnnProblem& p, const py::array& weight_ih, const py::array& weight_hh,
                           const py::array& bias_ih, const py::array& bias_hh, const MaybeArray& extra) {
  const int64_t rows = info.gates * p.hidden, recurrent_rows = info.recurrent_gates * p.hidden;
  const int64_t more = info.extra_rows_of(p) * p.hidden;
  if (more > 0 && !extra) reject("extra", "an array for this cell");
  return {flat<R>(weight_ih, "weight_ih", rows * p.input), flat<R>(weight_hh, "weight_hh", recurrent_rows * p.output),
          flat<R>(bias_ih, "bias_ih", rows), flat<R>(bias_hh, "bias_hh", recurrent_rows), flat<R>(extra, "extra", more)};
}

}  // namespace pyseq
