// The best single alignment of each prefix of a beam: where its labels begin and end, and how sure they are.
//
// Beside the sum over alignments, an entry has its best path that ends in a blank and its best that ends in its last
// label. A path knows the run of frames of its last label; the runs before it are a list that paths share.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels.h"

namespace pyseq {

struct Run {
  int32_t before;      // the run of the label before, in RunList; -1: none
  int32_t begin, end;  // frames [begin, end)
  float log_prob;      // of the label, summed over its frames
};

struct Path {
  double score;  // log-probability, with what other sources say of the prefix
  Run run;       // of the last label; begin < 0: there is none
};

struct Paths {
  Path blank, label;
  const Path& best() const { return blank.score >= label.score ? blank : label; }
  void lower(double by) {
    for (Path* path : {&blank, &label}) path->score = path->score - by > kNoScore ? path->score - by : kNoScore;
  }
};

class RunList {
 public:
  void clear() { runs_.clear(); }
  const Run& operator[](int32_t run) const { return runs_[static_cast<std::size_t>(run)]; }
  std::size_t size() const { return runs_.size(); }

  int32_t add(const Run& run) {
    if (run.begin < 0) return -1;
    runs_.push_back(run);
    return static_cast<int32_t>(runs_.size()) - 1;
  }

  // Forgets what none of these needs.
  void compact(Paths* entries, int64_t count) {
    std::vector<int32_t> renamed(runs_.size(), -1);
    const auto new_number = [&](int32_t run) -> int32_t& { return renamed[static_cast<std::size_t>(run)]; };
    for (int64_t i = 0; i < count; i++)
      for (const Path* path : {&entries[i].blank, &entries[i].label})
        for (int32_t r = path->run.before; r >= 0 && new_number(r) < 0; r = (*this)[r].before) new_number(r) = 0;
    int32_t kept = 0;  // what comes before has a smaller number
    for (std::size_t r = 0; r < runs_.size(); r++) {
      if (renamed[r] < 0) continue;
      Run moved = runs_[r];
      if (moved.before >= 0) moved.before = new_number(moved.before);
      renamed[r] = kept;
      runs_[static_cast<std::size_t>(kept++)] = moved;
    }
    runs_.resize(static_cast<std::size_t>(kept));
    for (int64_t i = 0; i < count; i++)
      for (Path* path : {&entries[i].blank, &entries[i].label})
        if (path->run.before >= 0) path->run.before = new_number(path->run.before);
  }

 private:
  std::vector<Run> runs_;
};

}  // namespace pyseq
