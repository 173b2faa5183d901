#include "bindings/arrays.h"
#include "bindings/buffers.h"
#include "bindings/cells.h"
#include "bindings/fast_call.h"
#include "bindings/whole.h"
#include "runtime/dispatch.h"

namespace pyseq {

namespace {

// Of a cell whose c is as long as its h, weight_ih says nothing new.
RnnProblem problem(const CellInfo& info, int cell, int precision, bool reverse, int64_t input, int64_t output, const py::array& weight_ih,
                   const py::array& lengths, const py::array& x_start, const py::array& y_start) {
  const int64_t batch = lengths.size();
  const int64_t hidden = info.projects() && weight_ih.ndim() == 2 ? weight_ih.shape(0) / info.gates : output;
  return {static_cast<Cell>(cell), checked_precision(precision), reverse, false, batch, input, hidden, output,
          flat<int64_t>(lengths, "lengths", batch), flat<int64_t>(x_start, "x_start", batch),
          flat<int64_t>(y_start, "y_start", batch), InputTable::kNone, crew_now()};
}

// Rows of zoneout beside the frames of y, or one for all of them.
template <class R>
const R* zoneout(const MaybeArray& a, const char* name, int64_t width, int64_t count, int64_t& stride) {
  const Rows<R> z = rows<R>(a, name);
  if (z.data && (z.width != width || (z.count != count && z.count != 1))) reject(name, "one row, or one for each of y");
  stride = z.count == 1 ? 0 : z.stride;
  return z.data;
}
template <class R>
RnnMasks<R> masks(const CellInfo& info, RnnProblem& p, const MaybeArray& recurrent, const MaybeArray& h,
                  const MaybeArray& c, int64_t count) {
  RnnMasks<R> m{};
  m.recurrent = flat<R>(recurrent, "recurrent_mask", p.batch * p.output);
  if (m.recurrent && info.recurrent_gates == 0) reject("recurrent_mask", "none: this cell has no recurrent product");
  m.zoneout_h = zoneout<R>(h, "zoneout_h", p.output, count, m.zoneout_h_stride);
  m.zoneout_c = zoneout<R>(c, "zoneout_c", p.hidden, count, m.zoneout_c_stride);
  p.masked = m.recurrent || m.zoneout_h || m.zoneout_c;
  return m;
}

template <class R>
py::object new_tape(RnnForward<R>& a) {
  const int64_t size = rnn_kernels<R>(a.problem).tape(a.problem);
  py::array_t<uint8_t> bytes = from_pool<uint8_t>({size}, static_cast<std::size_t>(size));
  a.tape = bytes.mutable_data();
  return bytes;
}

// New arrays for all gradients of the weights, of extra rows where there are any, and of the initial state.
template <class R>
py::list new_gradients(RnnBackward<R>& a, const CellInfo& info) {
  const RnnProblem& p = a.problem;
  const int64_t rows = info.gates * p.hidden, recurrent_rows = info.recurrent_gates * p.hidden;
  const int64_t extra_rows = info.extra_rows_of(p);
  py::list all;
  const auto add = [&](Extents shape) {
    py::array_t<R> array = empty_array<R>(shape);
    all.append(array);
    return array.mutable_data();
  };
  a.grad_weight_ih = add({rows, p.input});
  a.grad_weight_hh = add({recurrent_rows, p.output});
  a.grad_bias_ih = add({rows});
  a.grad_bias_hh = add({recurrent_rows});
  if (extra_rows > 0) a.grad_extra = add({extra_rows, p.hidden});
  a.grad_h0 = add({p.batch, p.output});
  if (info.has_cell) a.grad_c0 = add({p.batch, p.hidden});
  return all;
}

py::tuple rnn_forward(int cell, int precision, bool reverse, const py::array& x, const py::array& x_start, const py::array& lengths,
                      const py::array& weight_ih, const py::array& weight_hh, const py::array& bias_ih,
                      const py::array& bias_hh, const MaybeArray& extra, const MaybeArray& h0, const MaybeArray& c0,
                      const MaybeArray& recurrent_mask, const MaybeArray& zoneout_h, const MaybeArray& zoneout_c,
                      const py::array& y, const py::array& y_start, bool keep_tape) {
  const CellInfo info = cell_info(cell);
  return by_dtype(x, "x", [&](auto zero) -> py::tuple {
    using R = decltype(zero);
    const Rows<R> in = rows<R>(x, "x"), out = rows<R>(y, "y", true);
    RnnForward<R> a{};
    a.problem = problem(info, cell, precision, reverse, in.width, out.width, weight_ih, lengths, x_start, y_start);
    check_frames(a.problem.x_start, a.problem.lengths, a.problem.batch, in.count, "x_start");
    check_frames(a.problem.y_start, a.problem.lengths, a.problem.batch, out.count, "y_start");
    a.weights = cell_weights<R>(info, a.problem, weight_ih, weight_hh, bias_ih, bias_hh, extra);
    a.masks = masks<R>(info, a.problem, recurrent_mask, zoneout_h, zoneout_c, out.count);
    a.x = in.data;
    a.x_stride = in.stride;
    a.y = out.data;
    a.y_stride = out.stride;
    a.h0 = flat<R>(h0, "h0", a.problem.batch * a.problem.output);
    a.c0 = flat<R>(c0, "c0", a.problem.batch * a.problem.hidden);
    py::array_t<R> h_last = new_array<R>({a.problem.batch, a.problem.output});
    a.h_last = h_last.mutable_data();
    py::object c_last = py::none(), tape = py::none();
    if (info.has_cell) {
      py::array_t<R> c = new_array<R>({a.problem.batch, a.problem.hidden});
      a.c_last = c.mutable_data();
      c_last = c;
    }
    if (keep_tape) {
      tape = new_tape<R>(a);
    }
    const RnnKernels<R>& run = rnn_kernels<R>(a.problem);
    run_kernel(run.forward, a, run.forward_workspace(a.problem));
    return py::make_tuple(h_last, c_last, tape);
  });
}

py::list rnn_backward(int cell, int precision, bool reverse, const py::array& x, const py::array& x_start, const py::array& lengths,
                       const py::array& weight_ih, const py::array& weight_hh, const py::array& bias_ih,
                       const py::array& bias_hh, const MaybeArray& extra, const MaybeArray& h0, const MaybeArray& c0,
                       const MaybeArray& recurrent_mask, const MaybeArray& zoneout_h, const MaybeArray& zoneout_c,
                       const py::array& y, const py::array& y_start, const py::array& tape, const MaybeArray& grad_y,
                       const MaybeArray& grad_h_last, const MaybeArray& grad_c_last, const MaybeArray& grad_x,
                       const MaybeArray& grad_x_start, bool adds_to_grad_x) {
  const CellInfo info = cell_info(cell);
  return by_dtype(x, "x", [&](auto zero) -> py::list {
    using R = decltype(zero);
    const Rows<R> in = rows<R>(x, "x"), out = rows<R>(y, "y");
    const Rows<R> gy = rows<R>(grad_y, "grad_y"), gx = rows<R>(grad_x, "grad_x", true);
    RnnBackward<R> a{};
    a.problem = problem(info, cell, precision, reverse, in.width, out.width, weight_ih, lengths, x_start, y_start);
    a.masks = masks<R>(info, a.problem, recurrent_mask, zoneout_h, zoneout_c, out.count);
    const RnnProblem& p = a.problem;
    check_frames(p.x_start, p.lengths, p.batch, in.count, "x_start");
    check_frames(p.y_start, p.lengths, p.batch, out.count, "y_start");
    if (gy.data && (gy.count != out.count || gy.width != out.width)) reject("grad_y", "the shape of y");
    if (gx.data && gx.width != in.width) reject("grad_x", "a column for each of x");
    a.tape = flat<uint8_t>(tape, "tape", rnn_kernels<R>(p).tape(p), true);
    a.weights = cell_weights<R>(info, p, weight_ih, weight_hh, bias_ih, bias_hh, extra);
    const int64_t h_size = p.batch * p.output, c_size = p.batch * p.hidden;
    a.x = in.data;
    a.x_stride = in.stride;
    a.y = out.data;
    a.y_stride = out.stride;
    a.h0 = flat<R>(h0, "h0", h_size);
    a.c0 = flat<R>(c0, "c0", c_size);
    a.grad_y = gy.data;
    a.grad_y_stride = gy.stride;
    a.grad_h_last = flat<R>(grad_h_last, "grad_h_last", h_size);
    a.grad_c_last = flat<R>(grad_c_last, "grad_c_last", c_size);
    a.grad_x = gx.data;
    a.grad_x_stride = gx.stride;
    a.adds_to_grad_x = adds_to_grad_x;
    if (grad_x) {
      a.grad_x_start = flat<int64_t>(grad_x_start, "grad_x_start", p.batch);
      if (!a.grad_x_start) reject("grad_x_start", "an array beside grad_x");
      check_frames(a.grad_x_start, p.lengths, p.batch, gx.count, "grad_x_start");
    }
    const py::list gradients = new_gradients(a, info);
    const RnnKernels<R>& run = rnn_kernels<R>(p);
    run_kernel(run.backward, a, run.backward_workspace(p));
    return gradients;
  });
}

// ------------------------------------------------------------------------------------------- the common case
//
// Of whole (batch, steps, features) arrays (bindings/whole.h).

template <class R>
struct Whole {
  WholeFrames frames;
  RnnProblem problem;
  RnnWeights<R> weights;
  R* x;
};

// A state, or a pair of them: false where it is not as usual. None is a null pointer.
template <class R>
bool state_of(py::handle state, const CellInfo& info, const RnnProblem& p, const R*& h, const R*& c) {
  h = c = nullptr;
  if (state.is_none()) return true;
  py::handle first = state, second;
  if (info.has_cell) {
    if (!PyTuple_CheckExact(state.ptr()) || PyTuple_GET_SIZE(state.ptr()) != 2) return false;
    first = PyTuple_GET_ITEM(state.ptr(), 0);
    second = PyTuple_GET_ITEM(state.ptr(), 1);
    if (!second.is_none() && !(c = data_of<R>(second, {p.batch, p.hidden}))) return false;
  }
  return first.is_none() || (h = data_of<R>(first, {p.batch, p.output}));
}

// x and weights as kernels want them; false where something is not as usual.
template <class R>
bool whole_of(Whole<R>& w, const CellInfo& info, int cell, int precision, bool reverse, py::handle x, py::handle weights,
              py::handle extra) {
  const auto* a = py::detail::array_proxy(x.ptr());
  const int64_t batch = a->dimensions[0], steps = a->dimensions[1], input = a->dimensions[2];
  if (!(w.x = data_of<R>(x, {batch, steps, input})) || batch == 0 || steps == 0 || input == 0) return false;
  if (!PyTuple_Check(weights.ptr()) || PyTuple_GET_SIZE(weights.ptr()) < 4) return false;
  const auto item = [&](int i) { return py::handle(PyTuple_GET_ITEM(weights.ptr(), i)); };
  if (!py::isinstance<py::array>(item(1)) || py::detail::array_proxy(item(1).ptr())->nd != 2) return false;
  const int64_t output = py::detail::array_proxy(item(1).ptr())->dimensions[1];
  if (!extra.is_none() && (!py::isinstance<py::array>(extra) || py::detail::array_proxy(extra.ptr())->nd != 2)) return false;
  const int64_t hidden = info.projects() && !extra.is_none() ? py::detail::array_proxy(extra.ptr())->dimensions[1] : output;
  if (hidden == 0 || output == 0) return false;
  w.frames.set(batch, steps);
  w.problem = {static_cast<Cell>(cell), checked_precision(precision), reverse, false, batch, input, hidden, output,
               w.frames.lengths(), w.frames.start(), w.frames.start(), InputTable::kNone, crew_now()};
  const int64_t rows = info.gates * hidden, recurrent_rows = info.recurrent_gates * hidden;
  const int64_t extra_rows = info.extra_rows_of(w.problem);
  w.weights = {data_of<R>(item(0), {rows, input}), data_of<R>(item(1), {recurrent_rows, output}),
               data_of<R>(item(2), {rows}), data_of<R>(item(3), {recurrent_rows}),
               extra_rows > 0 ? data_of<R>(extra, {extra_rows, hidden}) : nullptr};
  if (!w.weights.weight_ih || !w.weights.weight_hh || !w.weights.bias_ih || !w.weights.bias_hh) return false;
  if ((extra_rows > 0) != (w.weights.extra != nullptr)) return false;
  return true;
}

py::object rnn_forward_whole(int cell, int precision, bool reverse, py::handle x, py::handle weights, py::handle extra,
                             py::handle state, bool keep_tape) {
  const CellInfo info = cell_info(cell);
  return by_whole_dtype(x, [&](auto zero) -> py::object {
    using R = decltype(zero);
    Whole<R> w;
    RnnForward<R> a{};
    if (!whole_of(w, info, cell, precision, reverse, x, weights, extra) || !state_of(state, info, w.problem, a.h0, a.c0)) return py::none();
    const RnnProblem& p = a.problem = w.problem;
    a.weights = w.weights;
    a.x = w.x;
    a.x_stride = p.input;
    py::array_t<R> y = empty_array<R>({p.batch, p.lengths[0], p.output});
    a.y = y.mutable_data();
    a.y_stride = p.output;
    py::array_t<R> h_last = new_array<R>({p.batch, p.output});
    a.h_last = h_last.mutable_data();
    py::object last = h_last, tape = py::none();
    if (info.has_cell) {
      py::array_t<R> c_last = new_array<R>({p.batch, p.hidden});
      a.c_last = c_last.mutable_data();
      last = py::make_tuple(h_last, c_last);
    }
    if (keep_tape) tape = new_tape<R>(a);
    const RnnKernels<R>& run = rnn_kernels<R>(p);
    run_kernel(run.forward, a, run.forward_workspace(p));
    return py::make_tuple(y, last, tape);
  });
}

py::object rnn_backward_whole(int cell, int precision, bool reverse, py::handle x, py::handle weights, py::handle extra,
                              py::handle state, py::handle y, py::handle tape, py::handle grad_y, py::handle grad_state, bool need_grad_x) {
  const CellInfo info = cell_info(cell);
  return by_whole_dtype(x, [&](auto zero) -> py::object {
    using R = decltype(zero);
    Whole<R> w;
    RnnBackward<R> a{};
    if (!whole_of(w, info, cell, precision, reverse, x, weights, extra) || !state_of(state, info, w.problem, a.h0, a.c0)) return py::none();
    const RnnProblem& p = a.problem = w.problem;
    const int64_t steps = p.lengths[0];
    if (!state_of(grad_state, info, p, a.grad_h_last, a.grad_c_last)) return py::none();
    if (!(a.y = data_of<R>(y, {p.batch, steps, p.output}))) return py::none();
    if (!grad_y.is_none() && !(a.grad_y = data_of<R>(grad_y, {p.batch, steps, p.output}))) return py::none();
    if (!(a.tape = data_of<uint8_t>(tape, {rnn_kernels<R>(p).tape(p)}))) return py::none();
    a.weights = w.weights;
    a.x = w.x;
    a.x_stride = p.input;
    a.y_stride = a.grad_y_stride = p.output;
    py::object grad_x = py::none();
    if (need_grad_x) {
      py::array_t<R> g = empty_array<R>({p.batch, steps, p.input});
      a.grad_x = g.mutable_data();
      a.grad_x_stride = p.input;
      a.grad_x_start = p.x_start;
      grad_x = g;
    }
    const py::list gradients = new_gradients(a, info);
    const RnnKernels<R>& run = rnn_kernels<R>(p);
    run_kernel(run.backward, a, run.backward_workspace(p));
    return py::make_tuple(grad_x, gradients);
  });
}

// Bytes of (tape, scratch of forward, scratch of backward) for `batch` sequences of `steps` frames.
py::tuple rnn_memory(int cell, int precision, bool single, int64_t batch, int64_t steps, int64_t input, int64_t hidden,
                     int64_t output) {
  cell_info(cell);
  if (batch < 0 || steps < 0 || input < 0 || hidden < 1 || output < 1) reject("sizes", "positive numbers");
  const std::vector<int64_t> lengths(static_cast<std::size_t>(batch), steps);
  RnnProblem p{};
  p.cell = static_cast<Cell>(cell);
  p.precision = checked_precision(precision);
  p.batch = batch;
  p.input = input;
  p.hidden = hidden;
  p.output = output;
  p.lengths = p.x_start = p.y_start = lengths.data();
  p.crew = crew_now();
  const auto sizes = [&](const auto& k) {
    return py::make_tuple(k.tape(p), k.forward_workspace(p), k.backward_workspace(p));
  };
  return single ? sizes(rnn_kernels<float>(p)) : sizes(rnn_kernels<double>(p));
}

}  // namespace

void register_rnn(py::module_& m) {
  m.def("rnn_memory", &rnn_memory);
  m.def("rnn_forward", &rnn_forward);
  m.def("rnn_backward", &rnn_backward);
  define_fast<&rnn_forward_whole>(m, "rnn_forward_whole");
  define_fast<&rnn_backward_whole>(m, "rnn_backward_whole");
}

}  // namespace pyseq
