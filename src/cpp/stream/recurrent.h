// A recurrent layer as a stage: the scan over one step, with its weights left packed.
//
// Where each frame is one of a few vectors, what x adds to the sums is made of all of them once and looked up from then
// on, to the same bits: half of the weights need not be read any more.
#pragma once

#include "runtime/dispatch.h"
#include "stream/stages.h"

namespace pyseq {

template <class R>
class RecurrentStage : public Stage<R> {
 public:
  RecurrentStage(const R* in, const Lookup<R>& lookup, R* out, const RnnProblem& p, const RnnWeights<R>& w, const RecurrentSizes& n,
                 const R* zoneout_h, const R* zoneout_c)
      : lookup_(lookup),
        ones_(static_cast<std::size_t>(p.batch), 1),
        starts_(static_cast<std::size_t>(p.batch)),
        weights_(n.weight_ih + n.weight_hh + n.bias_ih + n.bias_hh + n.extra),
        h_(p.batch * p.output),
        c_(p.batch * p.hidden),
        zoneout_(p.output + p.hidden),
        workspace_(0),
        table_(0) {
    count_up(starts_);
    a_.problem = p;
    a_.problem.lengths = ones_.data();
    a_.problem.x_start = a_.problem.y_start = starts_.data();
    R* kept = weights_.data();
    const auto keep = [&](const R* from, int64_t count) {
      copy(kept, from, count);
      kept += count;
      return count ? kept - count : nullptr;
    };
    a_.weights = {keep(w.weight_ih, n.weight_ih), keep(w.weight_hh, n.weight_hh), keep(w.bias_ih, n.bias_ih),
                  keep(w.bias_hh, n.bias_hh), keep(w.extra, n.extra)};
    a_.x = in;
    a_.x_stride = p.input;
    a_.y = out;
    a_.y_stride = p.output;
    a_.h0 = a_.h_last = h_.data();
    a_.c0 = a_.c_last = c_.data();
    if (zoneout_h) copy(zoneout_.data(), zoneout_h, p.output);
    if (zoneout_c) copy(zoneout_.data() + p.output, zoneout_c, p.hidden);
    a_.masks.zoneout_h = zoneout_h ? zoneout_.data() : nullptr;  // one row for all frames
    a_.masks.zoneout_c = zoneout_c ? zoneout_.data() + p.output : nullptr;
    a_.problem.masked = zoneout_h || zoneout_c;
    if (lookup_.vectors > kMostTableBytes / (n.bias_ih * static_cast<int64_t>(sizeof(R)))) lookup_ = {};
  }
  void step() override {
    if (lookup_.vectors > 0 && (read_ += a_.problem.batch) > lookup_.vectors) make_table();
    const RnnKernels<R>& run = rnn_kernels<R>(a_.problem);
    const Crew crew = crew_now();
    if (!a_.workspace || crew.most != a_.problem.crew.most || crew.busy != a_.problem.crew.busy) {  // it shares the workspace out
      a_.problem.crew = crew;
      workspace_ = Numbers<R>(run.forward_workspace(a_.problem) / size_ + 1);
      a_.workspace = workspace_.data();
      a_.packed = false;
    }
    run.forward(a_);
    a_.packed = true;
  }
  void reset() override {
    h_.clear();
    c_.clear();
  }

 private:
  static constexpr int64_t kMostTableBytes = int64_t{8} << 20;
  static constexpr int64_t size_ = static_cast<int64_t>(sizeof(R));

  static void count_up(std::vector<int64_t>& numbers) {
    for (std::size_t i = 0; i < numbers.size(); i++) numbers[i] = static_cast<int64_t>(i);
  }
  // Costs about what it saves over as many tokens as it has rows: so it waits for as many.
  void make_table() {
    const std::vector<int64_t> ones(static_cast<std::size_t>(lookup_.vectors), 1);
    std::vector<int64_t> starts(ones.size());
    count_up(starts);
    RnnForward<R> all{};
    all.problem = a_.problem;
    all.problem.batch = lookup_.vectors;
    all.problem.crew = crew_now();
    all.problem.masked = false;
    all.problem.table = InputTable::kFilled;
    all.problem.lengths = ones.data();
    all.problem.x_start = all.problem.y_start = starts.data();
    all.weights = a_.weights;
    all.x = lookup_.weight;
    all.x_stride = lookup_.dim;
    const RnnKernels<R>& run = rnn_kernels<R>(a_.problem);
    table_ = Numbers<R>(run.tape(all.problem) / size_ + 1);
    const Numbers<R> workspace(run.forward_workspace(all.problem) / size_ + 1);
    all.tape = table_.data();
    all.workspace = workspace.data();
    run.forward(all);
    a_.problem.table = InputTable::kRead;
    a_.problem.input = 0;
    a_.table = table_.data();
    a_.table_rows = lookup_.vectors;
    a_.x = lookup_.tokens;
    a_.x_stride = lookup_.stride;
    lookup_ = {};
    a_.workspace = nullptr;  // it is another
  }

  RnnForward<R> a_{};
  Lookup<R> lookup_;  // empty: x is not looked up, or the table is made
  int64_t read_ = 0;
  std::vector<int64_t> ones_, starts_;
  Numbers<R> weights_, h_, c_, zoneout_, workspace_, table_;
};

}  // namespace pyseq
