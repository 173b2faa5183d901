#include "bindings/ctc_problem.h"
#include "runtime/dispatch.h"

namespace pyseq {

namespace {

// path, begin, end and confidence of all sequences, sequence b from path_start[b] and span_start[b] on; scores.
py::tuple ctc_align(const py::array& logits, const py::array& start, const py::array& lengths, const py::array& targets,
                    const py::array& target_start, const py::array& target_lengths, int64_t blank,
                    const py::array& path_start, const py::array& span_start) {
  return by_dtype(logits, "logits", [&](auto zero) -> py::tuple {
    using R = decltype(zero);
    const Rows<R> x = rows<R>(logits, "logits");
    CtcAlign<R> p{};
    read_ctc_problem(p, x, start, lengths, targets, target_start, target_lengths, blank);
    int64_t frames = 0, labels = 0;
    for (int64_t b = 0; b < p.batch; b++) {
      frames += p.lengths[b];
      labels += p.target_lengths[b];
    }
    p.path_start = flat<int64_t>(path_start, "path_start", p.batch);
    p.span_start = flat<int64_t>(span_start, "span_start", p.batch);
    check_frames(p.path_start, p.lengths, p.batch, frames, "path_start");
    check_frames(p.span_start, p.target_lengths, p.batch, labels, "span_start");
    py::array_t<int32_t> path(frames);
    py::array_t<int64_t> begin(labels), end(labels);
    py::array_t<R> confidence(labels);
    py::array_t<double> scores(p.batch);
    p.path = path.mutable_data();
    p.begin = begin.mutable_data();
    p.end = end.mutable_data();
    p.confidence = confidence.mutable_data();
    p.scores = scores.mutable_data();
    run_kernel(kernels<R>().ctc_align, p, kernels<R>().ctc_align_workspace(p));
    return py::make_tuple(path, begin, end, confidence, scores);
  });
}

}  // namespace

void register_ctc_align(py::module_& m) {
  m.def("ctc_align", &ctc_align, py::arg("logits"), py::arg("start"), py::arg("lengths"), py::arg("targets"),
        py::arg("target_start"), py::arg("target_lengths"), py::arg("blank"), py::arg("path_start"),
        py::arg("span_start"));
}

}  // namespace pyseq
