#include "bindings/arrays.h"
#include "runtime/dispatch.h"

namespace pyseq {

namespace {

constexpr int64_t kMostReach = int64_t{1} << 40;  // frames between the outermost taps: offsets stay below 64 bits

// Sizes, weights and inputs, common to both directions.
template <class R>
Conv1d<R> conv1d_problem(const py::array& x, const py::array& x_start, const py::array& lengths, const py::array& weight,
                         const py::array& y_start, int64_t dilation, int64_t left) {
  const Rows<R> in = rows<R>(x, "x");
  if (weight.ndim() != 3 || weight.size() == 0) reject("weight", "(out_channels, in_channels, kernel_size), none of them 0");
  Conv1d<R> c{};
  c.batch = lengths.size();
  c.out_channels = weight.shape(0);
  c.in_channels = weight.shape(1);
  c.kernel_size = weight.shape(2);
  c.dilation = dilation;
  c.left = left;
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

void conv1d_forward(const py::array& x, const py::array& x_start, const py::array& lengths, const py::array& weight,
                    const MaybeArray& bias, const py::array& y, const py::array& y_start, int64_t dilation, int64_t left) {
  by_dtype(x, "x", [&](auto zero) {
    using R = decltype(zero);
    Conv1d<R> c = conv1d_problem<R>(x, x_start, lengths, weight, y_start, dilation, left);
    const Rows<R> out = rows<R>(y, "y", true);
    if (out.width != c.out_channels) reject("y", "a column for each output channel");
    check_frames(c.y_start, c.lengths, c.batch, out.count, "y");
    c.bias = flat<R>(bias, "bias", c.out_channels);
    c.y = out.data;
    c.y_stride = out.stride;
    Workspace workspace(kernels<R>().conv1d_forward_workspace(c));
    c.workspace = workspace.data();
    without_gil([&] { kernels<R>().conv1d_forward(c); });
  });
}

py::tuple conv1d_backward(const py::array& x, const py::array& x_start, const py::array& lengths, const py::array& weight,
                          const py::array& grad_y, const py::array& y_start, const MaybeArray& grad_x,
                          const py::array& grad_x_start, int64_t dilation, int64_t left) {
  return by_dtype(x, "x", [&](auto zero) -> py::tuple {
    using R = decltype(zero);
    Conv1d<R> c = conv1d_problem<R>(x, x_start, lengths, weight, y_start, dilation, left);
    const Rows<R> g = rows<R>(grad_y, "grad_y"), gx = rows<R>(grad_x, "grad_x", true);
    if (g.width != c.out_channels) reject("grad_y", "a column for each output channel");
    check_frames(c.y_start, c.lengths, c.batch, g.count, "grad_y");
    if (grad_x) {
      if (gx.width != c.in_channels) reject("grad_x", "a column for each input channel");
      c.grad_x_start = flat<int64_t>(grad_x_start, "grad_x_start", c.batch);
      check_frames(c.grad_x_start, c.lengths, c.batch, gx.count, "grad_x");
    }
    py::array_t<R> grad_weight({c.out_channels, c.in_channels, c.kernel_size}), grad_bias(c.out_channels);
    c.grad_y = g.data;
    c.grad_y_stride = g.stride;
    c.grad_x = gx.data;
    c.grad_x_stride = gx.stride;
    c.grad_weight = grad_weight.mutable_data();
    c.grad_bias = grad_bias.mutable_data();
    Workspace workspace(kernels<R>().conv1d_backward_workspace(c));
    c.workspace = workspace.data();
    without_gil([&] { kernels<R>().conv1d_backward(c); });
    return py::make_tuple(grad_weight, grad_bias);
  });
}

}  // namespace

void register_conv1d(py::module_& m) {
  m.def("conv1d_forward", &conv1d_forward, py::arg("x"), py::arg("x_start"), py::arg("lengths"), py::arg("weight"),
        py::arg("bias"), py::arg("y"), py::arg("y_start"), py::arg("dilation"), py::arg("left"));
  m.def("conv1d_backward", &conv1d_backward, py::arg("x"), py::arg("x_start"), py::arg("lengths"), py::arg("weight"),
        py::arg("grad_y"), py::arg("y_start"), py::arg("grad_x"), py::arg("grad_x_start"), py::arg("dilation"),
        py::arg("left"));
}

}  // namespace pyseq
