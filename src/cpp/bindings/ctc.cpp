#include <type_traits>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/buffers.h"
#include "bindings/ctc_problem.h"
#include "bindings/fast_call.h"
#include "bindings/whole.h"
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
    run_kernel(kernels<R>().ctc_loss, p, kernels<R>().ctc_loss_workspace(p));
    return losses;
  });
}

// ------------------------------------------------------------------------------------------- whole arrays

// Numbers of a C-contiguous array of R with so many dimensions, or null.
template <class R>
R* whole_array(py::handle h, py::ssize_t dimensions) {
  if (!py::isinstance<py::array_t<R, py::array::c_style>>(h)) return nullptr;
  const auto a = py::reinterpret_borrow<py::array>(h);
  const bool usual = a.ndim() == dimensions && (a.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) && a.size() > 0;
  return usual ? static_cast<R*>(const_cast<void*>(a.data())) : nullptr;
}

// Labels as kernels want them: where they lie, or as a copy in `own`. Null where they are not as usual.
const int32_t* whole_labels(py::handle targets, py::ssize_t batch, std::vector<int32_t>& own) {
  if (const auto* labels = whole_array<int32_t>(targets, 2))
    return py::reinterpret_borrow<py::array>(targets).shape(0) == batch ? labels : nullptr;
  const auto* labels = whole_array<int64_t>(targets, 2);
  if (!labels) return nullptr;
  const auto a = py::reinterpret_borrow<py::array>(targets);
  if (a.shape(0) != batch) return nullptr;
  own.resize(static_cast<std::size_t>(a.size()));
  for (std::size_t i = 0; i < own.size(); i++)
    own[i] = labels[i] == static_cast<int32_t>(labels[i]) ? static_cast<int32_t>(labels[i]) : -1;
  return own.data();
}

// Room for the gradient: `out`, or new where that is None. False where `out` is not as usual.
template <class R>
bool whole_gradient(CtcLoss<R>& p, const py::array& x, py::handle out, py::object& grad) {
  if (out.is_none()) {
    py::array_t<R> made = empty_array<R>({x.shape(0), x.shape(1), x.shape(2)});
    p.grad = made.mutable_data();
    grad = made;
    return true;
  }
  if (!whole_array<R>(out, 3)) return false;
  const auto given = py::reinterpret_borrow<py::array>(out);
  for (int i = 0; i < 3; i++)
    if (given.shape(i) != x.shape(i)) return false;
  const auto at = reinterpret_cast<uintptr_t>(given.data()), from = reinterpret_cast<uintptr_t>(x.data());
  const auto bytes = static_cast<uintptr_t>(x.nbytes());
  if (!given.writeable() || (at != from && at < from + bytes && from < at + bytes)) return false;
  p.grad = static_cast<R*>(const_cast<void*>(given.data()));
  grad = given;
  return true;
}

// Losses, or (losses, gradient), of arrays (B, T, C) and (B, L) without lengths and options; None where something is not
// as usual, for the general way to convert it or to complain.
py::object ctc_loss_whole(py::handle logits, py::handle targets, py::handle blank, bool with_gradient, py::handle out) {
  const auto run = [&](auto zero) -> py::object {
    using R = decltype(zero);
    CtcLoss<R> p{};
    if (!PyLong_CheckExact(blank.ptr()) || !(p.logits = whole_array<R>(logits, 3))) return py::none();
    const auto x = py::reinterpret_borrow<py::array>(logits);
    int overflow;
    p.batch = x.shape(0);
    p.classes = p.logits_stride = p.grad_stride = x.shape(2);
    p.blank = PyLong_AsLongLongAndOverflow(blank.ptr(), &overflow);
    std::vector<int32_t> own;
    if (overflow || p.blank < 0 || p.blank >= p.classes || !(p.targets = whole_labels(targets, p.batch, own))) return py::none();
    WholeFrames frames, labels;
    frames.set(p.batch, x.shape(1));
    labels.set(p.batch, py::reinterpret_borrow<py::array>(targets).shape(1));
    p.lengths = frames.lengths();
    p.x_start = p.grad_start = frames.start();
    p.target_lengths = labels.lengths();
    p.target_start = labels.start();
    p.crew = crew_now();
    if (first_bad_label(p.targets, p.target_start, p.target_lengths, p.batch, p.classes, p.blank) >= 0) return py::none();
    py::object grad;
    if (with_gradient && !whole_gradient(p, x, out, grad)) return py::none();
    py::array_t<R> losses(p.batch);
    p.losses = losses.mutable_data();
    run_kernel(kernels<R>().ctc_loss, p, kernels<R>().ctc_loss_workspace(p));
    if (with_gradient) return py::make_tuple(losses, grad);
    return losses;
  };
  py::object done = run(float{});
  return done.is_none() ? run(double{}) : done;
}

// An array for `count` gradient rows of the width and dtype of logits, contents irrelevant.
py::array ctc_gradient(const py::array& logits, int64_t count) {
  return by_dtype(logits, "logits", [&](auto zero) -> py::array {
    return empty_array<decltype(zero)>({count, logits.shape(1)});
  });
}

// Labels of all sequences, sequence b from out_start[b] on; how many each has; scores, or None; first frames, ends and
// log-probabilities of the labels, laid out like them, or None.
py::tuple ctc_greedy(const py::array& logits, const py::array& start, const py::array& lengths,
                     const py::array& out_start, int64_t blank, bool scored, bool placed) {
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
    py::array_t<int64_t> labels = empty_array<int64_t>({total}), counts(p.batch);
    p.labels = labels.mutable_data();
    p.out_lengths = counts.mutable_data();
    py::object scores = py::none(), frames = py::none(), ends = py::none(), log_probs = py::none();
    const auto add = [](py::object& made, auto*& data, int64_t size) {
      auto array = empty_array<std::remove_reference_t<decltype(*data)>>({size});
      data = array.mutable_data();
      made = array;
    };
    if (scored || placed) add(scores, p.scores, p.batch);
    if (placed) {
      add(frames, p.frames, total);
      add(ends, p.ends, total);
      add(log_probs, p.log_probs, total);
    }
    without_gil([&] { kernels<R>().ctc_greedy(p); });
    return py::make_tuple(labels, counts, scores, frames, ends, log_probs);
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
  define_fast<&ctc_loss_whole>(m, "ctc_loss_whole");
  m.def("ctc_greedy", &ctc_greedy, py::arg("logits"), py::arg("start"), py::arg("lengths"), py::arg("out_start"),
        py::arg("blank"), py::arg("scored"), py::arg("placed"));
}

}  // namespace pyseq
