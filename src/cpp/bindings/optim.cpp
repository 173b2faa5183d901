#include "bindings/arrays.h"
#include "runtime/dispatch.h"

namespace pyseq {

namespace {

void adam_update(const py::array& param, const py::array& grad, const py::array& m, const py::array& v, double lr,
                 double beta1, double beta2, double eps, double weight_decay, bool decoupled, double scale,
                 double correction1, double correction2) {
  by_dtype(param, "param", [&](auto zero) {
    using R = decltype(zero);
    const int64_t n = param.size();
    const AdamUpdate<R> u = {n, flat<R>(param, "param", n, true), flat<R>(m, "m", n, true), flat<R>(v, "v", n, true),
                             flat<R>(grad, "grad", n), lr, beta1, beta2, eps, weight_decay, scale, correction1,
                             correction2, decoupled};
    without_gil([&] { kernels<R>().adam_update(u); });
  });
}

void sgd_update(const py::array& param, const py::array& grad, const py::array& velocity, double lr, double momentum,
                bool nesterov, double weight_decay, double scale) {
  by_dtype(param, "param", [&](auto zero) {
    using R = decltype(zero);
    const int64_t n = param.size();
    const SgdUpdate<R> u = {n, flat<R>(param, "param", n, true), flat<R>(velocity, "velocity", n, true),
                            flat<R>(grad, "grad", n), lr, momentum, weight_decay, scale, nesterov};
    without_gil([&] { kernels<R>().sgd_update(u); });
  });
}

double squared_norm(const py::array& values) {
  return by_dtype(values, "values", [&](auto zero) {
    using R = decltype(zero);
    return kernels<R>().squared_norm(flat<R>(values, "values", -1), values.size());
  });
}

}  // namespace

void register_updates(py::module_& m) {
  m.def("adam_update", &adam_update, py::arg("param"), py::arg("grad"), py::arg("m"), py::arg("v"), py::arg("lr"),
        py::arg("beta1"), py::arg("beta2"), py::arg("eps"), py::arg("weight_decay"), py::arg("decoupled"),
        py::arg("scale"), py::arg("correction1"), py::arg("correction2"));
  m.def("sgd_update", &sgd_update, py::arg("param"), py::arg("grad"), py::arg("velocity"), py::arg("lr"),
        py::arg("momentum"), py::arg("nesterov"), py::arg("weight_decay"), py::arg("scale"));
  m.def("squared_norm", &squared_norm, py::arg("values"));
}

}  // namespace pyseq
