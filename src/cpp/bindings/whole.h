// Ways past the checks in Python for the common case, a whole (batch, steps, features) array without lengths. A step of
// a small network takes less time than checking its arguments there, so everything is looked at here. Where something
// is not as usual these functions return None, and the caller goes the general way, which knows how to convert and what
// to complain about.
#pragma once

#include <initializer_list>

#include "bindings/arrays.h"

namespace pyseq {

constexpr int kByte = 2, kFloat = 11, kDouble = 12;  // NumPy's type numbers

// The numbers of a C-contiguous native array of R with this shape, or null.
template <class R>
R* data_of(py::handle h, std::initializer_list<int64_t> shape) {
  if (!py::isinstance<py::array>(h)) return nullptr;
  const auto* a = py::detail::array_proxy(h.ptr());
  const auto* d = py::detail::array_descriptor_proxy(a->descr);
  constexpr int usual = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  constexpr int type = sizeof(R) == 1 ? kByte : sizeof(R) == 4 ? kFloat : kDouble;
  if (a->nd != static_cast<int>(shape.size()) || (a->flags & usual) != usual) return nullptr;
  if (d->type_num != type || d->byteorder == '>') return nullptr;
  int i = 0;
  for (const int64_t n : shape)
    if (a->dimensions[i++] != n) return nullptr;
  return reinterpret_cast<R*>(a->data);
}

// f(float{}) or f(double{}) for a 3-D array of it; else None.
template <class F>
py::object by_whole_dtype(py::handle x, F&& f) {
  if (!py::isinstance<py::array>(x) || py::detail::array_proxy(x.ptr())->nd != 3) return py::none();
  const int type = py::detail::array_descriptor_proxy(py::detail::array_proxy(x.ptr())->descr)->type_num;
  if (type == kFloat) return f(float{});
  if (type == kDouble) return f(double{});
  return py::none();
}

}  // namespace pyseq
