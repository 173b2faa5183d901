#include "bindings/arrays.h"
#include "bindings/buffers.h"
#include "bindings/ctc_problem.h"
#include "runtime/dispatch.h"

namespace pyseq {

namespace {

int64_t ctc_first_bad_label(const py::array& targets, const py::array& start, const py::array& lengths, int64_t classes,
                            int64_t blank) {
  const int64_t batch = lengths.size();
  const auto* starts = flat<int64_t>(start, "start", batch);
  const auto* counts = flat<int64_t>(lengths, "lengths", -1);
  check_frames(starts, counts, batch, targets.size(), "targets");
  if (py::isinstance<py::array_t<int32_t>>(targets))
    return first_bad_label(flat<int32_t>(targets, "targets", -1), starts, counts, batch, classes, blank);
  return first_bad_label(flat<int64_t>(targets, "targets", -1), starts, counts, batch, classes, blank);
}

// Losses [batch]; grad, if given, gets the gradient in rows laid out as those of logits.
py::array ctc_loss(const py::array& logits, const py::array& start, const py::array& lengths, const py::array& targets,
                   const py::array& target_start, const py::array& target_lengths, int64_t blank,
                   const MaybeArray& grad, const MaybeArray& grad_start, const MaybeArray& class_bias,
                   const MaybeArray& grad_scale, double smoothing) {
  return by_dtype(logits, "logits", [&](auto zero) -> py::array {
    using R = decltype(zero);
    const Rows<R> x = rows<R>(logits, "logits"), g = rows<R>(grad, "grad", true);
    CtcLoss<R> p{};
    read_ctc_problem(p, x, start, lengths, targets, target_start, target_lengths, blank);
    if (grad) {
      if (g.width != x.width) reject("grad", "as many columns as logits");
      p.grad_start = flat<int64_t>(grad_start, "grad_start", p.batch);
      if (!p.grad_start) reject("grad_start", "an array beside grad");
      check_frames(p.grad_start, p.lengths, p.batch, g.count, "grad");
      p.grad = g.data;
      p.grad_stride = g.stride;
    }
    p.class_bias = flat<R>(class_bias, "class_bias", p.classes);
    p.grad_scale = flat<R>(grad_scale, "grad_scale", p.batch);
    if (!(smoothing >= 0 && smoothing < 1)) reject("smoothing", "a number from 0 to below 1");
    p.smoothing = smoothing;
    py::array_t<R> losses(p.batch);
    p.losses = losses.mutable_data();
    Workspace workspace(kernels<R>().ctc_loss_workspace(p));
    p.workspace = workspace.data();
    without_gil([&] { kernels<R>().ctc_loss(p); });
    return losses;
  });
}

// An array for `count` gradient rows of the width and dtype of logits, contents irrelevant.
py::array ctc_gradient(const py::array& logits, int64_t count) {
  return by_dtype(logits, "logits", [&](auto zero) -> py::array {
    return empty_array<decltype(zero)>({count, logits.shape(1)});
  });
}

// labels, first frames, ends and log-probabilities of all sequences, sequence b from out_start[b] on; how many each
// has; scores.
py::tuple ctc_greedy(const py::array& logits, const py::array& start, const py::array& lengths,
                     const py::array& out_start, int64_t blank) {
  return by_dtype(logits, "logits", [&](auto zero) -> py::tuple {
    using R = decltype(zero);
    const Rows<R> x = rows<R>(logits, "logits");
    CtcGreedy<R> p{};
    p.batch = lengths.size();
    p.classes = x.width;
    p.blank = blank;
    if (blank < 0 || blank >= x.width) reject("blank", "a class");
    p.lengths = flat<int64_t>(lengths, "lengths", -1);
    p.x_start = flat<int64_t>(start, "start", p.batch);
    check_frames(p.x_start, p.lengths, p.batch, x.count, "logits");
    p.logits = x.data;
    p.logits_stride = x.stride;
    p.out_start = flat<int64_t>(out_start, "out_start", p.batch);
    int64_t total = 0;
    for (int64_t b = 0; b < p.batch; b++) total += p.lengths[b];
    check_frames(p.out_start, p.lengths, p.batch, total, "out_start");
    py::array_t<int32_t> labels(total);
    py::array_t<int64_t> frames(total), ends(total), counts(p.batch);
    py::array_t<float> log_probs(total);
    py::array_t<R> scores(p.batch);
    p.labels = labels.mutable_data();
    p.frames = frames.mutable_data();
    p.ends = ends.mutable_data();
    p.log_probs = log_probs.mutable_data();
    p.out_lengths = counts.mutable_data();
    p.scores = scores.mutable_data();
    without_gil([&] { kernels<R>().ctc_greedy(p); });
    return py::make_tuple(labels, frames, ends, log_probs, counts, scores);
  });
}

}  // namespace

void register_ctc(py::module_& m) {
  m.def("ctc_gradient", &ctc_gradient, py::arg("logits"), py::arg("count"));
  m.def("ctc_first_bad_label", &ctc_first_bad_label, py::arg("targets"), py::arg("start"), py::arg("lengths"),
        py::arg("classes"), py::arg("blank"));
  m.def("ctc_loss", &ctc_loss, py::arg("logits"), py::arg("start"), py::arg("lengths"), py::arg("targets"),
        py::arg("target_start"), py::arg("target_lengths"), py::arg("blank"), py::arg("grad"), py::arg("grad_start"),
        py::arg("class_bias"), py::arg("grad_scale"), py::arg("smoothing"));
  m.def("ctc_greedy", &ctc_greedy, py::arg("logits"), py::arg("start"), py::arg("lengths"), py::arg("out_start"),
        py::arg("blank"));
}

}  // namespace pyseq
