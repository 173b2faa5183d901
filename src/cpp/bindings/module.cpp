#include "bindings/arrays.h"

// Kernels are re-entrant and touch no Python object: the GIL is not needed.
PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used()) {
  m.doc() = "pyseq's native kernels. Use pyseq.ops, which checks its arguments.";
  pyseq::register_runtime(m);
  pyseq::register_dense(m);
  pyseq::register_updates(m);
  pyseq::register_rnn(m);
  pyseq::register_conv1d(m);
  pyseq::register_stream(m);
  pyseq::register_ctc(m);
  pyseq::register_ctc_align(m);
}
