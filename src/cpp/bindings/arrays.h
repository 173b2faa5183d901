// NumPy arrays to pointers and back. Shapes and dtypes are checked here only as far as memory safety needs;
// messages for people are the business of pyseq.ops.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>  // std::optional

#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <new>
#include <optional>
#include <string>

#include "kernels.h"

namespace pyseq {

namespace py = pybind11;

// Kernel scratch memory of the calling thread: grows, and is kept between calls unless it is large.
class Workspace {
 public:
  explicit Workspace(int64_t bytes) : bytes_(bytes) {
    Kept& kept = local();
    if (bytes > kept.bytes) {
      std::free(kept.memory);
      kept.bytes = 0;
      const auto size = static_cast<std::size_t>((bytes + kAlignment - 1) / kAlignment * kAlignment);
      kept.memory = std::aligned_alloc(static_cast<std::size_t>(kAlignment), size);
      if (!kept.memory) throw std::bad_alloc();
      kept.bytes = static_cast<int64_t>(size);
    }
    data_ = kept.memory;
  }
  ~Workspace() {
    if (bytes_ > kMostKept) local().release();
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  void* data() const { return data_; }
  // Gives the calling thread's scratch memory back to the system; its bytes.
  static int64_t release() {
    const int64_t bytes = local().bytes;
    local().release();
    return bytes;
  }

 private:
  static constexpr int64_t kMostKept = int64_t{64} << 20;
  struct Kept {
    void* memory = nullptr;
    int64_t bytes = 0;
    void release() {
      std::free(memory);
      memory = nullptr;
      bytes = 0;
    }
    ~Kept() { release(); }
  };
  static Kept& local() {
    static thread_local Kept kept;
    return kept;
  }
  int64_t bytes_;
  void* data_;
};

[[noreturn]] inline void reject(const char* name, const std::string& expected) {
  throw py::value_error(std::string(name) + ": expected " + expected);
}

inline Precision checked_precision(int code) {
  if (code < 0 || code > static_cast<int>(Precision::kMedium)) reject("precision", "a code from PRECISIONS");
  return static_cast<Precision>(code);
}

// A new C-contiguous array, contents irrelevant: what py::array_t's constructor does, without the two vectors it makes.
using Extents = std::initializer_list<py::ssize_t>;
template <class R>
py::array_t<R> new_array(Extents shape) {
  const auto& numpy = py::detail::npy_api::get();
  PyObject* const array = numpy.PyArray_NewFromDescr_(numpy.PyArray_Type_, py::dtype::of<R>().release().ptr(),
                                                      static_cast<int>(shape.size()), shape.begin(), nullptr, nullptr, 0, nullptr);
  if (!array) throw py::error_already_set();
  return py::reinterpret_steal<py::array_t<R>>(array);
}

// A 2-D array of rows: numbers of a row are contiguous, rows have a stride.
template <class R>
struct Rows {
  R* data;
  int64_t count, width, stride;
};

template <class R>
Rows<R> rows(const py::array& a, const char* name, bool writeable = false) {
  if (!py::isinstance<py::array_t<R>>(a) || a.ndim() != 2) reject(name, "a 2-D array of the common dtype");
  if (writeable && !a.writeable()) reject(name, "a writeable array");
  const bool contiguous = a.strides(1) == static_cast<py::ssize_t>(sizeof(R));
  if (!contiguous && a.size() > 0 && a.shape(1) > 1) reject(name, "contiguous rows");  // empty ones have any strides
  if (a.strides(0) % static_cast<py::ssize_t>(sizeof(R)) != 0) reject(name, "an aligned row stride");
  return {static_cast<R*>(const_cast<void*>(a.data())), a.shape(0), a.shape(1),
          a.strides(0) / static_cast<py::ssize_t>(sizeof(R))};
}

// A C-contiguous array of any shape with `size` numbers; -1: any number.
template <class R>
R* flat(const py::array& a, const char* name, int64_t size, bool writeable = false) {
  if (!py::isinstance<py::array_t<R>>(a) || !(a.flags() & py::array::c_style))
    reject(name, "a C-contiguous array of the common dtype");
  if (writeable && !a.writeable()) reject(name, "a writeable array");
  if (size >= 0 && a.size() != size)
    reject(name, std::to_string(size) + " numbers, got " + std::to_string(a.size()));
  return static_cast<R*>(const_cast<void*>(a.data()));
}

// Optional arguments: None is a null pointer.
using MaybeArray = std::optional<py::array>;
template <class R>
R* flat(const MaybeArray& a, const char* name, int64_t size, bool writeable = false) {
  return a ? flat<R>(*a, name, size, writeable) : nullptr;
}
template <class R>
Rows<R> rows(const MaybeArray& a, const char* name, bool writeable = false) {
  return a ? rows<R>(*a, name, writeable) : Rows<R>{nullptr, 0, 0, 0};
}

// The sequences of a batch must lie within the rows of the array they index.
inline void check_frames(const int64_t* start, const int64_t* lengths, int64_t batch, int64_t count, const char* name) {
  for (int64_t b = 0; b < batch; b++)
    if (lengths[b] < 0 || start[b] < 0 || lengths[b] > count || start[b] > count - lengths[b])
      reject(name, "sequences within its rows");
}

// f(float{}) or f(double{}) by the array's dtype.
template <class F>
auto by_dtype(const py::array& a, const char* name, F&& f) {
  if (py::isinstance<py::array_t<float>>(a)) return f(float{});
  if (py::isinstance<py::array_t<double>>(a)) return f(double{});
  reject(name, "float32 or float64");
}

// Runs f without the GIL: only raw memory may be touched in it. (pybind11's own way looks up its records first.)
template <class F>
void without_gil(F&& f) {
  const struct Released {
    PyThreadState* state = PyEval_SaveThread();
    Released() = default;
    Released(const Released&) = delete;
    ~Released() { PyEval_RestoreThread(state); }
  } released;
  f();
}

// Runs a kernel on its arguments, with so many bytes of scratch memory.
template <class A>
void run_kernel(void (*kernel)(const A&) noexcept, A& arguments, int64_t workspace_bytes) {
  const Workspace workspace(workspace_bytes);
  arguments.workspace = workspace.data();
  without_gil([&] { kernel(arguments); });
}

void register_runtime(py::module_& m);
void register_dense(py::module_& m);
void register_updates(py::module_& m);
void register_rnn(py::module_& m);
void register_conv1d(py::module_& m);
void register_stream(py::module_& m);
void register_ctc(py::module_& m);
void register_ctc_align(py::module_& m);
void register_decoding(py::module_& m);
void register_language(py::module_& m);

}  // namespace pyseq
