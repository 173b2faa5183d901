#include "bindings/arrays.h"
#include "runtime/dispatch.h"

namespace pyseq {

namespace {

struct CellInfo {
  int64_t gates;
  bool has_cell;
};
CellInfo cell_info(int code) {
  static const CellInfo all[] = {
#define PYSEQ_CELL(id, type, name, gate_count, cell_state) {gate_count, cell_state},
#include "rnn/cells.def"
#undef PYSEQ_CELL
  };
  if (code < 0 || code >= static_cast<int>(sizeof all / sizeof all[0])) reject("cell", "a code from CELLS");
  return all[code];
}

RnnProblem problem(int cell, bool reverse, int64_t input, int64_t hidden, const py::array& lengths,
                   const py::array& x_start, const py::array& y_start) {
  const int64_t batch = lengths.size();
  return {static_cast<Cell>(cell), reverse, batch, input, hidden, flat<int64_t>(lengths, "lengths", batch),
          flat<int64_t>(x_start, "x_start", batch), flat<int64_t>(y_start, "y_start", batch)};
}

template <class R>
RnnWeights<R> weights(const CellInfo& info, const RnnProblem& p, const py::array& weight_ih, const py::array& weight_hh,
                      const py::array& bias_ih, const py::array& bias_hh) {
  const int64_t rows = info.gates * p.hidden;
  return {flat<R>(weight_ih, "weight_ih", rows * p.input), flat<R>(weight_hh, "weight_hh", rows * p.hidden),
          flat<R>(bias_ih, "bias_ih", rows), flat<R>(bias_hh, "bias_hh", rows)};
}

// A tape is bytes with room to align them.
void* aligned(const py::array& tape) {
  const auto p = reinterpret_cast<uintptr_t>(tape.data());
  return reinterpret_cast<void*>((p + kAlignment - 1) / kAlignment * kAlignment);
}

py::tuple rnn_forward(int cell, bool reverse, const py::array& x, const py::array& x_start, const py::array& lengths,
                      const py::array& weight_ih, const py::array& weight_hh, const py::array& bias_ih,
                      const py::array& bias_hh, const MaybeArray& h0, const MaybeArray& c0, const py::array& y,
                      const py::array& y_start, bool keep_tape) {
  const CellInfo info = cell_info(cell);
  return by_dtype(x, "x", [&](auto zero) -> py::tuple {
    using R = decltype(zero);
    const Rows<R> in = rows<R>(x, "x"), out = rows<R>(y, "y", true);
    RnnForward<R> a{};
    a.problem = problem(cell, reverse, in.width, out.width, lengths, x_start, y_start);
    check_frames(a.problem.x_start, a.problem.lengths, a.problem.batch, in.count, "x_start");
    check_frames(a.problem.y_start, a.problem.lengths, a.problem.batch, out.count, "y_start");
    a.weights = weights<R>(info, a.problem, weight_ih, weight_hh, bias_ih, bias_hh);
    const int64_t states = a.problem.batch * a.problem.hidden;
    a.x = in.data;
    a.x_stride = in.stride;
    a.y = out.data;
    a.y_stride = out.stride;
    a.h0 = flat<R>(h0, "h0", states);
    a.c0 = flat<R>(c0, "c0", states);
    py::array_t<R> h_last({a.problem.batch, a.problem.hidden});
    a.h_last = h_last.mutable_data();
    py::object c_last = py::none(), tape = py::none();
    if (info.has_cell) {
      py::array_t<R> c({a.problem.batch, a.problem.hidden});
      a.c_last = c.mutable_data();
      c_last = c;
    }
    if (keep_tape) {
      py::array_t<uint8_t> bytes(kernels<R>().rnn_tape(a.problem) + kAlignment);
      a.tape = aligned(bytes);
      tape = bytes;
    }
    Workspace workspace(kernels<R>().rnn_forward_workspace(a.problem));
    a.workspace = workspace.data();
    without_gil([&] { kernels<R>().rnn_forward(a); });
    return py::make_tuple(h_last, c_last, tape);
  });
}

py::tuple rnn_backward(int cell, bool reverse, const py::array& x, const py::array& x_start, const py::array& lengths,
                       const py::array& weight_ih, const py::array& weight_hh, const py::array& bias_ih,
                       const py::array& bias_hh, const MaybeArray& h0, const MaybeArray& c0, const py::array& y,
                       const py::array& y_start, const py::array& tape, const MaybeArray& grad_y,
                       const MaybeArray& grad_h_last, const MaybeArray& grad_c_last, const MaybeArray& grad_x,
                       const MaybeArray& grad_x_start) {
  const CellInfo info = cell_info(cell);
  return by_dtype(x, "x", [&](auto zero) -> py::tuple {
    using R = decltype(zero);
    const Rows<R> in = rows<R>(x, "x"), out = rows<R>(y, "y");
    const Rows<R> gy = rows<R>(grad_y, "grad_y"), gx = rows<R>(grad_x, "grad_x", true);
    RnnBackward<R> a{};
    const RnnProblem& p = a.problem = problem(cell, reverse, in.width, out.width, lengths, x_start, y_start);
    check_frames(p.x_start, p.lengths, p.batch, in.count, "x_start");
    check_frames(p.y_start, p.lengths, p.batch, out.count, "y_start");
    if (gy.data && (gy.count != out.count || gy.width != out.width)) reject("grad_y", "the shape of y");
    if (gx.data && gx.width != in.width) reject("grad_x", "a column for each of x");
    if (flat<uint8_t>(tape, "tape", kernels<R>().rnn_tape(p) + kAlignment) == nullptr) reject("tape", "bytes");
    a.weights = weights<R>(info, p, weight_ih, weight_hh, bias_ih, bias_hh);
    const int64_t states = p.batch * p.hidden, gate_rows = info.gates * p.hidden;
    a.x = in.data;
    a.x_stride = in.stride;
    a.y = out.data;
    a.y_stride = out.stride;
    a.h0 = flat<R>(h0, "h0", states);
    a.c0 = flat<R>(c0, "c0", states);
    a.tape = aligned(tape);
    a.grad_y = gy.data;
    a.grad_y_stride = gy.stride;
    a.grad_h_last = flat<R>(grad_h_last, "grad_h_last", states);
    a.grad_c_last = flat<R>(grad_c_last, "grad_c_last", states);
    a.grad_x = gx.data;
    a.grad_x_stride = gx.stride;
    if (grad_x) {
      a.grad_x_start = flat<int64_t>(grad_x_start, "grad_x_start", p.batch);
      if (!a.grad_x_start) reject("grad_x_start", "an array beside grad_x");
      check_frames(a.grad_x_start, p.lengths, p.batch, gx.count, "grad_x_start");
    }
    py::array_t<R> grad_ih({gate_rows, p.input}), grad_hh({gate_rows, p.hidden}), grad_bias_ih(gate_rows),
        grad_bias_hh(gate_rows), grad_h0({p.batch, p.hidden});
    a.grad_weight_ih = grad_ih.mutable_data();
    a.grad_weight_hh = grad_hh.mutable_data();
    a.grad_bias_ih = grad_bias_ih.mutable_data();
    a.grad_bias_hh = grad_bias_hh.mutable_data();
    a.grad_h0 = grad_h0.mutable_data();
    py::object grad_c0 = py::none();
    if (info.has_cell) {
      py::array_t<R> c({p.batch, p.hidden});
      a.grad_c0 = c.mutable_data();
      grad_c0 = c;
    }
    Workspace workspace(kernels<R>().rnn_backward_workspace(p));
    a.workspace = workspace.data();
    without_gil([&] { kernels<R>().rnn_backward(a); });
    return py::make_tuple(grad_ih, grad_hh, grad_bias_ih, grad_bias_hh, grad_h0, grad_c0);
  });
}

}  // namespace

void register_rnn(py::module_& m) {
  m.def("rnn_forward", &rnn_forward);
  m.def("rnn_backward", &rnn_backward);
}

}  // namespace pyseq
