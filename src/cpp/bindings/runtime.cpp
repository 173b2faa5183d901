#include <cstring>
#include <tuple>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/buffers.h"
#include "runtime/cores.h"
#include "runtime/dispatch.h"
#include "runtime/parallel.h"
#include "runtime/patience.h"
#include "runtime/probe.h"

namespace pyseq {

namespace {

py::list tier_names(bool supported_only) {
  int count = 0;
  const Tier* all = tiers(&count);
  py::list names;
  for (int i = 0; i < count; i++)
    if ((!supported_only || all[i].supported()) && !names.contains(all[i].name)) names.append(all[i].name);
  return names;
}

std::string joined(const py::list& names) { return py::str(", ").attr("join")(names).cast<std::string>(); }

void select_at_import() {
  const char* forced = std::getenv("PYSEQ_ISA");
  if (forced && !*forced) forced = nullptr;
  if (select_tier(forced)) return;
  throw py::import_error("PYSEQ_ISA is '" + std::string(forced ? forced : "") + "', but this build on this CPU has: " +
                         joined(tier_names(true)) + ". Set it to one of these, or unset it for the best.");
}

py::array activation(const std::string& name, const py::array& x) {
  const Activation which = name == "sigmoid" ? Activation::kSigmoid
                           : name == "tanh"  ? Activation::kTanh
                           : name == "exp"   ? Activation::kExp
                                             : (reject("name", "sigmoid, tanh or exp"), Activation::kExp);
  return by_dtype(x, "x", [&](auto zero) -> py::array {
    using R = decltype(zero);
    py::array_t<R> y(x.size());
    kernels<R>().activation(which, flat<R>(x, "x", -1), y.mutable_data(), x.size());
    return y;
  });
}

Probe probe_named(const std::string& name) {
  if (name == "multiply_add") return Probe::kMultiplyAdd;
  if (name == "bfloat16_dot") return Probe::kBfloat16Dot;
  if (name == "tile_dot") return Probe::kTileDot;
  if (name != "read") reject("name", "multiply_add, bfloat16_dot, tile_dot or read");
  return Probe::kRead;
}

py::array_t<double> rates(const std::string& name, int threads, int64_t rounds, const MaybeArray& data, int64_t samples) {
  const Probe which = probe_named(name);
  if (!probe_exists(which)) reject("name", "a probe that this tier and CPU have");
  if ((which == Probe::kRead) != data.has_value()) reject("data", "an array for read, None for others");
  const float* const numbers = flat<float>(data, "data", -1);
  const int64_t size = data ? data->size() : 0;
  py::array_t<double> result(samples);
  double* const out = result.mutable_data();
  without_gil([&] { probe_rates(which, threads, rounds, numbers, size, out, samples); });
  return result;
}

py::array_t<double> regions(int threads, int64_t steps, double operations, int64_t samples) {
  py::array_t<double> result(samples);
  double* const out = result.mutable_data();
  without_gil([&] { probe_regions(threads, steps, operations, out, samples); });
  return result;
}

// What threads would be allowed after each of these events, (nanoseconds of the clock, lost, kept): the end of the pause.
std::vector<int64_t> replay(const std::vector<std::tuple<int64_t, int64_t, int64_t>>& events) {
  Patience patience;
  std::vector<int64_t> ends;
  for (const auto& [now, lost, kept] : events) {
    if (lost > 0) patience.lost(now, lost);
    if (kept > 0) patience.kept(now, kept);
    ends.push_back(patience.pause_end());
  }
  return ends;
}

py::array_t<float> tile_product(const py::array& a, const py::array& b, const py::array& c) {
  const auto multiply = kernel_table().probes.tile_product;
  if (!multiply) reject("a", "a tier with tile registers");
  const int64_t rows = a.size() / 16;
  if (rows < 1 || rows > 16) reject("a", "1 to 16 rows of 16 pairs");
  const float *left = flat<float>(a, "a", rows * 16), *right = flat<float>(b, "b", 256), *sums = flat<float>(c, "c", rows * 16);
  py::array_t<float> result({rows, int64_t{16}});
  std::memcpy(result.mutable_data(), sums, static_cast<std::size_t>(rows) * 16 * sizeof(float));
  multiply(static_cast<int>(rows), left, right, result.mutable_data());
  return result;
}

}  // namespace

void register_runtime(py::module_& m) {
  select_at_import();
  m.def("active_tier", &active_tier, "Name of the instruction-set tier in use.");
  m.def("available_tiers", [] { return tier_names(true); }, "Tiers that this build has and this CPU runs.");
  m.def("compiled_tiers", [] { return tier_names(false); }, "Tiers that this build has.");
  m.def("vector_bytes", [] { return kernel_table().vector_bytes; }, "Width of a vector of the tier in use.");
  m.def("get_num_threads", &max_threads, "Threads a kernel may use now.");
  m.def("compiler", [] { return PYSEQ_COMPILER; }, "The compiler that built the kernels.");
  m.def("activation", &activation, py::arg("name"), py::arg("x"), "sigmoid, tanh or exp of a flat array.");

  m.def("probe_rates", &rates, py::arg("name"), py::arg("threads"), py::arg("rounds"), py::arg("data"),
        py::arg("samples"), "Operations or bytes a second.");
  m.def("has_probe", [](const std::string& name) { return probe_exists(probe_named(name)); }, py::arg("name"),
        "Whether this tier and CPU have that probe.");
  m.def("tile_product", &tile_product, py::arg("a"), py::arg("b"), py::arg("c"),
        "c + a b in tile registers; a and b are pairs of bfloat16 in float32 places.");
  m.def("has_tile_product", [] { return kernel_table().probes.tile_product != nullptr; }, "Whether the tier has it.");
  m.def("probe_regions", &regions, py::arg("threads"), py::arg("steps"), py::arg("operations"), py::arg("samples"),
        "Seconds of a parallel region with barriers.");

  m.def("cores_allowed", &cores_allowed, "Cores that this process may use; 0 if the system does not tell.");
  m.def("cores_of_quota", [](const std::string& words) { return cores_of_quota(words.c_str()); }, py::arg("words"),
        "Cores that a quota in the words of cpu.max is worth; 0: no limit.");
  m.def("replay_patience", &replay, py::arg("events"), "For tests: ends of pauses after events (now, lost, kept).");
  m.def(
      "assume_threads", [](int cores, int busy, int alone_from) { assume({cores, busy, alone_from}); }, py::arg("cores") = 0,
      py::arg("busy") = -1, py::arg("alone_from") = 0,
      "For tests: cores to assume, whether they are busy (1, 0; -1: find out), and the wait in which regions give up.");

  m.attr("PRECISIONS") = py::make_tuple("highest", "high", "medium");  // in the order of their codes
  m.def(
      "empty_rows",
      [](py::ssize_t rows, py::ssize_t width, bool single) -> py::array {
        if (single) return empty_array<float>({rows, width});
        return empty_array<double>({rows, width});
      },
      py::arg("rows"), py::arg("width"), py::arg("single"),
      "An array (rows, width) of float32 if single, else float64, from memory that is used again. Contents irrelevant.");
  m.def("release_memory", [] { return static_cast<int64_t>(BufferPool::instance().release()) + Workspace::release(); },
        "Gives memory that is kept for the next calls back to the system; its bytes.");
  m.def("kept_memory", [] { return BufferPool::instance().kept(); }, "Bytes of outputs and tapes kept for the next calls.");
  m.def("is_native", [](int precision) { return is_native(static_cast<Precision>(precision)); }, py::arg("precision"),
        "Whether kernels of the precision with this code exist here.");

  py::list cells;
#define PYSEQ_CELL(id, type, name, gate_count, recurrent_count, cell_state, extra_rows) \
  cells.append(py::make_tuple(name, static_cast<int>(Cell::id), gate_count, recurrent_count, cell_state));
#include "rnn/cells.def"
#undef PYSEQ_CELL
  m.attr("CELLS") = py::tuple(cells);  // (name, code, gates, recurrent gates, has a cell state)
}

}  // namespace pyseq
