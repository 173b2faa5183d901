#include "bindings/arrays.h"
#include "bindings/buffers.h"
#include "bindings/fast_call.h"
#include "bindings/whole.h"
#include "runtime/dispatch.h"

namespace pyseq {

namespace {

constexpr int64_t kMostReach = int64_t{1} << 40;  // frames between the outermost taps: offsets stay below 64 bits

ConvActivation checked_activation(int code, const py::array& weight) {
  if (code < 0 || code > static_cast<int>(ConvActivation::kGated)) reject("activation", "a code from CONV_ACTIVATIONS");
  const auto activation = static_cast<ConvActivation>(code);
  if (activation == ConvActivation::kGated && weight.shape(0) % 2 != 0) reject("weight", "as many gates as filters");
  return activation;
}

template <class R>
int64_t output_columns(const Conv1d<R>& c) {
  return c.activation == ConvActivation::kGated ? c.out_channels / 2 : c.out_channels;
}

// Sizes, weights and inputs, common to both directions.
template <class R>
Conv1d<R> conv1d_problem(const py::array& x, const py::array& x_start, const py::array& lengths, const py::array& weight,
                         const py::array& y_start, int64_t dilation, int64_t left, int activation) {
  const Rows<R> in = rows<R>(x, "x");
  if (weight.ndim() != 3 || weight.size() == 0) reject("weight", "(out_channels, in_channels, kernel_size), none of them 0");
  Conv1d<R> c{};
  c.batch = lengths.size();
  c.out_channels = weight.shape(0);
  c.in_channels = weight.shape(1);
  c.kernel_size = weight.shape(2);
  c.dilation = dilation;
  c.left = left;
  c.activation = checked_activation(activation, weight);
  c.crew = crew_now();
  if (in.width != c.in_channels) reject("x", "as many columns as weight has input channels");
  if (dilation < 1 || dilation > kMostReach / c.kernel_size) reject("dilation", "at least 1, and a reach within 2**40");
  if (left < 0 || left > (c.kernel_size - 1) * dilation) reject("left", "between 0 and (kernel_size - 1) * dilation");
  c.lengths = flat<int64_t>(lengths, "lengths", -1);
  c.x_start = flat<int64_t>(x_start, "x_start", c.batch);
  c.y_start = flat<int64_t>(y_start, "y_start", c.batch);
  c.weight = flat<R>(weight, "weight", -1);
  c.x = in.data;
  c.x_stride = in.stride;
  check_frames(c.x_start, c.lengths, c.batch, in.count, "x");
  return c;
}

// Rows of `columns` numbers for all sequences from `start` on; none for None.
template <class R>
Rows<R> frames_of(const Conv1d<R>& c, const MaybeArray& array, const int64_t* start, int64_t columns, const char* name,
                  bool writeable) {
  const Rows<R> found = rows<R>(array, name, writeable);
  if (!array) return found;
  if (found.width != columns) reject(name, std::to_string(columns) + " columns");
  check_frames(start, c.lengths, c.batch, found.count, name);
  return found;
}

template <class R>
void take_residual(Conv1d<R>& c, const MaybeArray& residual, const MaybeArray& residual_start, int64_t columns) {
  if (residual && !residual_start) reject("residual_start", "the first row of each sequence in residual");
  c.residual_start = flat<int64_t>(residual_start, "residual_start", c.batch);
  const Rows<R> found = frames_of(c, residual, c.residual_start, columns, "residual", false);
  c.residual = found.data;
  c.residual_stride = found.stride;
}

template <class R>
void take_activated(Conv1d<R>& c, const MaybeArray& activated, bool writeable) {
  const Rows<R> found = frames_of(c, activated, c.y_start, c.out_channels, "activated", writeable);
  c.activated = found.data;
  c.activated_stride = found.stride;
}

void conv1d_forward(const py::array& x, const py::array& x_start, const py::array& lengths, const py::array& weight,
                    const MaybeArray& bias, const py::array& y, const py::array& y_start, int64_t dilation, int64_t left,
                    int activation, const MaybeArray& residual, const MaybeArray& residual_start,
                    const MaybeArray& activated, int precision) {
  by_dtype(x, "x", [&](auto zero) {
    using R = decltype(zero);
    Conv1d<R> c = conv1d_problem<R>(x, x_start, lengths, weight, y_start, dilation, left, activation);
    const Rows<R> out = rows<R>(y, "y", true);
    if (out.width != output_columns(c)) reject("y", "a column for each output channel, or for each pair if gated");
    check_frames(c.y_start, c.lengths, c.batch, out.count, "y");
    c.bias = flat<R>(bias, "bias", c.out_channels);
    c.y = out.data;
    c.y_stride = out.stride;
    take_residual(c, residual, residual_start, output_columns(c));
    take_activated(c, activated, true);
    const Conv1dKernels<R>& kernels = conv1d_kernels(c, checked_precision(precision));
    run_kernel(kernels.forward, c, kernels.forward_workspace(c));
  });
}

py::tuple conv1d_backward(const py::array& x, const py::array& x_start, const py::array& lengths, const py::array& weight,
                          const py::array& grad_y, const py::array& y_start, const MaybeArray& grad_x,
                          const py::array& grad_x_start, int64_t dilation, int64_t left, int activation,
                          const MaybeArray& activated, const MaybeArray& add, const MaybeArray& add_start, int precision) {
  return by_dtype(x, "x", [&](auto zero) -> py::tuple {
    using R = decltype(zero);
    Conv1d<R> c = conv1d_problem<R>(x, x_start, lengths, weight, y_start, dilation, left, activation);
    const Rows<R> g = rows<R>(grad_y, "grad_y"), gx = rows<R>(grad_x, "grad_x", true);
    if (g.width != output_columns(c)) reject("grad_y", "a column for each output channel, or for each pair if gated");
    check_frames(c.y_start, c.lengths, c.batch, g.count, "grad_y");
    if (grad_x) {
      if (gx.width != c.in_channels) reject("grad_x", "a column for each input channel");
      c.grad_x_start = flat<int64_t>(grad_x_start, "grad_x_start", c.batch);
      check_frames(c.grad_x_start, c.lengths, c.batch, gx.count, "grad_x");
    }
    take_activated(c, activated, false);
    if (!c.activated && c.activation != ConvActivation::kNone) reject("activated", "what the forward pass kept");
    take_residual(c, add, add_start, c.in_channels);
    py::array_t<R> grad_weight = empty_array<R>({c.out_channels, c.in_channels, c.kernel_size}), grad_bias(c.out_channels);
    c.grad_y = g.data;
    c.grad_y_stride = g.stride;
    c.grad_x = gx.data;
    c.grad_x_stride = gx.stride;
    c.grad_weight = grad_weight.mutable_data();
    c.grad_bias = grad_bias.mutable_data();
    const Conv1dKernels<R>& kernels = conv1d_kernels(c, checked_precision(precision));
    run_kernel(kernels.backward, c, kernels.backward_workspace(c));
    return py::make_tuple(grad_weight, grad_bias);
  });
}

// ------------------------------------------------------------------------------------------- the common case
//
// Of whole (batch, steps, features) arrays (bindings/whole.h), with no activation that a tape holds and nothing beside.

template <class R>
struct WholeConv {
  WholeFrames frames;
  Conv1d<R> conv{};
  int64_t steps = 0;
};

// x and weight as kernels want them; false where something is not as usual.
template <class R>
bool whole_of(WholeConv<R>& w, py::handle x, py::handle weight, py::handle dilation, bool causal) {
  const auto* a = py::detail::array_proxy(x.ptr());
  if (!py::isinstance<py::array>(weight) || py::detail::array_proxy(weight.ptr())->nd != 3 || !PyLong_CheckExact(dilation.ptr())) return false;
  const auto* shape = py::detail::array_proxy(weight.ptr())->dimensions;
  Conv1d<R>& c = w.conv;
  c.batch = a->dimensions[0];
  w.steps = a->dimensions[1];
  c.in_channels = a->dimensions[2];
  c.out_channels = shape[0];
  c.kernel_size = shape[2];
  if (c.batch < 1 || w.steps < 1 || c.in_channels < 1 || c.out_channels < 1 || c.kernel_size < 1) return false;
  if (!(c.x = data_of<R>(x, {c.batch, w.steps, c.in_channels}))) return false;
  if (!(c.weight = data_of<R>(weight, {c.out_channels, c.in_channels, c.kernel_size}))) return false;
  int overflow = 0;
  c.dilation = PyLong_AsLongLongAndOverflow(dilation.ptr(), &overflow);
  if (overflow != 0 || c.dilation < 1 || c.dilation > kMostReach / c.kernel_size || (!causal && c.kernel_size % 2 == 0)) return false;
  c.left = (c.kernel_size - 1) * c.dilation / (causal ? 1 : 2);
  c.x_stride = c.in_channels;
  if (c.batch * w.steps > kMostReach / c.out_channels) return false;
  w.frames.set(c.batch, w.steps);
  c.lengths = w.frames.lengths();
  c.x_start = c.y_start = c.grad_x_start = w.frames.start();
  c.crew = crew_now();
  return true;
}

py::object conv1d_forward_whole(py::handle x, py::handle weight, py::handle bias, py::handle dilation, bool causal,
                                int activation, int precision) {
  return by_whole_dtype(x, [&](auto zero) -> py::object {
    using R = decltype(zero);
    WholeConv<R> w;
    Conv1d<R>& c = w.conv;
    if (!whole_of(w, x, weight, dilation, causal)) return py::none();
    if (!bias.is_none() && !(c.bias = data_of<R>(bias, {c.out_channels}))) return py::none();
    if (activation < 0 || activation >= static_cast<int>(ConvActivation::kGated)) return py::none();
    c.activation = static_cast<ConvActivation>(activation);
    py::array_t<R> y = empty_array<R>({c.batch, w.steps, c.out_channels});
    c.y = y.mutable_data();
    c.y_stride = c.out_channels;
    const Conv1dKernels<R>& kernels = conv1d_kernels(c, checked_precision(precision));
    run_kernel(kernels.forward, c, kernels.forward_workspace(c));
    return y;
  });
}

py::object conv1d_backward_whole(py::handle x, py::handle weight, py::handle grad_y, py::handle dilation, bool causal,
                                 bool need_grad_x, int precision) {
  return by_whole_dtype(x, [&](auto zero) -> py::object {
    using R = decltype(zero);
    WholeConv<R> w;
    Conv1d<R>& c = w.conv;
    if (!whole_of(w, x, weight, dilation, causal)) return py::none();
    if (!(c.grad_y = data_of<R>(grad_y, {c.batch, w.steps, c.out_channels}))) return py::none();
    c.grad_y_stride = c.out_channels;
    py::object grad_x = py::none();
    if (need_grad_x) {
      py::array_t<R> g = empty_array<R>({c.batch, w.steps, c.in_channels});
      c.grad_x = g.mutable_data();
      c.grad_x_stride = c.in_channels;
      grad_x = g;
    }
    py::array_t<R> grad_weight = empty_array<R>({c.out_channels, c.in_channels, c.kernel_size}), grad_bias(c.out_channels);
    c.grad_weight = grad_weight.mutable_data();
    c.grad_bias = grad_bias.mutable_data();
    const Conv1dKernels<R>& kernels = conv1d_kernels(c, checked_precision(precision));
    run_kernel(kernels.backward, c, kernels.backward_workspace(c));
    return py::make_tuple(grad_x, grad_weight, grad_bias);
  });
}

}  // namespace

void register_conv1d(py::module_& m) {
  m.attr("CONV_ACTIVATIONS") = py::make_tuple("none", "relu", "tanh", "gated");  // as ConvActivation numbers them
  m.def("conv1d_forward", &conv1d_forward, py::arg("x"), py::arg("x_start"), py::arg("lengths"), py::arg("weight"),
        py::arg("bias"), py::arg("y"), py::arg("y_start"), py::arg("dilation"), py::arg("left"),
        py::arg("activation") = 0, py::arg("residual") = py::none(), py::arg("residual_start") = py::none(),
        py::arg("activated") = py::none(), py::arg("precision") = 0);
  m.def("conv1d_backward", &conv1d_backward, py::arg("x"), py::arg("x_start"), py::arg("lengths"), py::arg("weight"),
        py::arg("grad_y"), py::arg("y_start"), py::arg("grad_x"), py::arg("grad_x_start"), py::arg("dilation"),
        py::arg("left"), py::arg("activation") = 0, py::arg("activated") = py::none(), py::arg("add") = py::none(),
        py::arg("add_start") = py::none(), py::arg("precision") = 0);
  define_fast<&conv1d_forward_whole>(m, "conv1d_forward_whole");
  define_fast<&conv1d_backward_whole>(m, "conv1d_backward_whole");
}

}  // namespace pyseq
