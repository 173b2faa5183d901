// What the bindings of the CTC loss and of the alignment read alike.
#pragma once

#include "bindings/arrays.h"

namespace pyseq {

// Where, in the flat array of all targets, the first label stands that is blank or no class; -1: nowhere.
template <class I>
int64_t first_bad_label(const I* labels, const int64_t* start, const int64_t* lengths, int64_t batch, int64_t classes,
                        int64_t blank) {
  for (int64_t b = 0; b < batch; b++)
    for (int64_t i = start[b]; i < start[b] + lengths[b]; i++)
      if (labels[i] < 0 || labels[i] >= classes || labels[i] == blank) return i;
  return -1;
}

// Logits and targets of P<R>, CtcLoss or CtcAlign, whose fields have the same names.
template <class P, class R>
void read_ctc_problem(P& p, const Rows<R>& x, const py::array& start, const py::array& lengths, const py::array& targets,
                      const py::array& target_start, const py::array& target_lengths, int64_t blank) {
  p.batch = lengths.size();
  p.classes = x.width;
  p.blank = blank;
  if (blank < 0 || blank >= x.width) reject("blank", "a class");
  p.lengths = flat<int64_t>(lengths, "lengths", -1);
  p.x_start = flat<int64_t>(start, "start", p.batch);
  check_frames(p.x_start, p.lengths, p.batch, x.count, "logits");
  p.logits = x.data;
  p.logits_stride = x.stride;
  p.crew = crew_now();
  p.targets = flat<int32_t>(targets, "targets", -1);
  p.target_start = flat<int64_t>(target_start, "target_start", p.batch);
  p.target_lengths = flat<int64_t>(target_lengths, "target_lengths", p.batch);
  check_frames(p.target_start, p.target_lengths, p.batch, targets.size(), "targets");
  if (first_bad_label(p.targets, p.target_start, p.target_lengths, p.batch, p.classes, blank) >= 0)
    reject("targets", "classes other than blank");
}

}  // namespace pyseq
