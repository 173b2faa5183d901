// Ways past the checks in Python for the common case, a whole (batch, steps, features) array without lengths. A step of
// a small network takes less time than checking its arguments there, so everything is looked at here. Where something
// is not as usual these functions return None, and the caller goes the general way, which knows how to convert and what
// to complain about.
#pragma once

#include <initializer_list>
#include <vector>

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

// Lengths and first rows of `batch` sequences of `steps` frames each, one after the other. Stays where it is.
class WholeFrames {
 public:
  WholeFrames() = default;
  WholeFrames(const WholeFrames&) = delete;
  void set(int64_t batch, int64_t steps) {
    const auto size = static_cast<std::size_t>(batch);
    lengths_ = few_;
    if (batch > kFew) {
      many_.resize(2 * size);
      lengths_ = many_.data();
    }
    start_ = lengths_ + size;
    for (int64_t b = 0; b < batch; b++) {
      lengths_[b] = steps;
      start_[b] = b * steps;
    }
  }
  const int64_t* lengths() const { return lengths_; }
  const int64_t* start() const { return start_; }

 private:
  static constexpr int64_t kFew = 8;  // sequences without memory from the heap
  int64_t few_[2 * kFew];
  std::vector<int64_t> many_;
  int64_t *lengths_ = nullptr, *start_ = nullptr;
};

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
