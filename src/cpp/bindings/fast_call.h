// Functions that Python calls without pybind11's dispatch, which looks for overloads, keywords and conversions: some tenths of
// a microsecond, where a whole call takes two. Arguments are positional: numbers, truths, or any object.
#pragma once

#include <exception>
#include <new>
#include <utility>

#include "bindings/arrays.h"

namespace pyseq {

template <class T>
T from_object(PyObject* object);
template <>
inline py::handle from_object(PyObject* object) { return object; }
template <>
inline bool from_object(PyObject* object) {
  const int truth = object == Py_True ? 1 : object == Py_False ? 0 : PyObject_IsTrue(object);
  if (truth < 0) throw py::error_already_set();
  return truth != 0;
}
template <>
inline int from_object(PyObject* object) {
  const long number = PyLong_AsLong(object);
  if (number == -1 && PyErr_Occurred()) throw py::error_already_set();
  return static_cast<int>(number);
}

template <auto f, class... A, std::size_t... i>
PyObject* call_with(py::object (*)(A...), PyObject* const* arguments, std::index_sequence<i...>) {
  return f(from_object<A>(arguments[i])...).release().ptr();
}

template <auto f, class... A>
constexpr Py_ssize_t count_arguments(py::object (*)(A...)) { return sizeof...(A); }

// What CPython calls.
template <auto f>
PyObject* fast_call(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
  constexpr Py_ssize_t expected = count_arguments<f>(f);
  if (count != expected) {
    PyErr_Format(PyExc_TypeError, "%zd arguments, expected %zd", count, expected);
    return nullptr;
  }
  try {
    return call_with<f>(f, arguments, std::make_index_sequence<static_cast<std::size_t>(expected)>());
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const py::builtin_exception& error) {
    error.set_error();
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

// f becomes the module's function `name`.
template <auto f>
void define_fast(py::module_& m, const char* name) {
  PyObject* (*const function)(PyObject*, PyObject* const*, Py_ssize_t) = fast_call<f>;
  static PyMethodDef definition = {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function)),
                                   METH_FASTCALL, nullptr};
  const auto made = py::reinterpret_steal<py::object>(PyCFunction_NewEx(&definition, nullptr, m.attr("__name__").ptr()));
  if (!made) throw py::error_already_set();
  m.attr(name) = made;
}

}  // namespace pyseq
