#include "bindings/arrays.h"
#include "runtime/dispatch.h"

namespace pyseq {

namespace {

template <class R>
Dense<R> dense_problem(const py::array& x, const py::array& weight) {
  const Rows<R> in = rows<R>(x, "x"), w = rows<R>(weight, "weight");
  if (w.width != in.width) reject("weight", "as many columns as x");
  Dense<R> d{};
  d.rows = in.count;
  d.inputs = in.width;
  d.outputs = w.count;
  d.x = in.data;
  d.x_stride = in.stride;
  d.weight = flat<R>(weight, "weight", -1);
  d.crew = crew_now();
  return d;
}

py::array dense_forward(const py::array& x, const py::array& weight, const MaybeArray& bias) {
  return by_dtype(x, "x", [&](auto zero) -> py::array {
    using R = decltype(zero);
    Dense<R> d = dense_problem<R>(x, weight);
    py::array_t<R> y({d.rows, d.outputs});
    d.bias = flat<R>(bias, "bias", d.outputs);
    d.y = y.mutable_data();
    d.y_stride = d.outputs;
    run_kernel(kernels<R>().dense_forward, d, kernels<R>().dense_workspace(d));
    return y;
  });
}

py::tuple dense_backward(const py::array& x, const py::array& weight, const py::array& grad_y, bool need_grad_x) {
  return by_dtype(x, "x", [&](auto zero) -> py::tuple {
    using R = decltype(zero);
    Dense<R> d = dense_problem<R>(x, weight);
    const Rows<R> g = rows<R>(grad_y, "grad_y");
    if (g.count != d.rows || g.width != d.outputs) reject("grad_y", "the shape of y");
    d.grad_y = g.data;
    d.grad_y_stride = g.stride;
    py::array_t<R> grad_weight({d.outputs, d.inputs}), grad_bias(d.outputs);
    py::object grad_x = py::none();
    if (need_grad_x) {
      py::array_t<R> a({d.rows, d.inputs});
      d.grad_x = a.mutable_data();
      grad_x = a;
    }
    d.grad_weight = grad_weight.mutable_data();
    d.grad_bias = grad_bias.mutable_data();
    run_kernel(kernels<R>().dense_backward, d, kernels<R>().dense_workspace(d));
    return py::make_tuple(grad_x, grad_weight, grad_bias);
  });
}

void check_tokens(const int64_t* tokens, int64_t rows, int64_t vocabulary) {
  for (int64_t i = 0; i < rows; i++)
    if (tokens[i] < 0 || tokens[i] >= vocabulary) reject("tokens", "ids below the number of embeddings");
}

py::array embedding_forward(const py::array& tokens, const py::array& weight) {
  return by_dtype(weight, "weight", [&](auto zero) -> py::array {
    using R = decltype(zero);
    const Rows<R> w = rows<R>(weight, "weight");
    Embedding<R> e{};
    e.rows = tokens.size();
    e.vocabulary = w.count;
    e.dim = w.width;
    e.tokens = flat<int64_t>(tokens, "tokens", -1);
    e.weight = flat<R>(weight, "weight", -1);
    check_tokens(e.tokens, e.rows, e.vocabulary);
    py::array_t<R> y({e.rows, e.dim});
    e.y = y.mutable_data();
    without_gil([&] { kernels<R>().embedding_forward(e); });
    return y;
  });
}

py::array embedding_backward(const py::array& tokens, const py::array& grad_y, int64_t vocabulary) {
  return by_dtype(grad_y, "grad_y", [&](auto zero) -> py::array {
    using R = decltype(zero);
    Embedding<R> e{};
    e.rows = tokens.size();
    e.vocabulary = vocabulary;
    e.dim = rows<R>(grad_y, "grad_y").width;
    e.tokens = flat<int64_t>(tokens, "tokens", -1);
    e.grad_y = flat<R>(grad_y, "grad_y", e.rows * e.dim);
    check_tokens(e.tokens, e.rows, e.vocabulary);
    py::array_t<R> grad_weight({vocabulary, e.dim});
    e.grad_weight = grad_weight.mutable_data();
    without_gil([&] { kernels<R>().embedding_backward(e); });
    return grad_weight;
  });
}

}  // namespace

void register_dense(py::module_& m) {
  m.def("dense_forward", &dense_forward, py::arg("x"), py::arg("weight"), py::arg("bias"));
  m.def("dense_backward", &dense_backward, py::arg("x"), py::arg("weight"), py::arg("grad_y"), py::arg("need_grad_x"));
  m.def("embedding_forward", &embedding_forward, py::arg("tokens"), py::arg("weight"));
  m.def("embedding_backward", &embedding_backward, py::arg("tokens"), py::arg("grad_y"), py::arg("num_embeddings"));
}

}  // namespace pyseq
