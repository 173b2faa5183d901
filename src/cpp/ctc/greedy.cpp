// Greedy CTC decoding: the most probable class of every frame, repeats merged, blanks dropped.
#include "ctc/softmax.h"
#include "runtime/parallel.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// First index of the number `value` in a row; -1 if it is not there (a row with NaN may have no largest).
template <class R>
PYSEQ_INLINE int64_t find_number(const R* x, int64_t C, R value) {
  constexpr int W = kLanes<R>;
  int64_t c = 0;
  for (; c + W <= C; c += W) {
    const int lane = first_lane<R>(load(x + c) == splat(value));
    if (lane < W) return c + lane;
  }
  for (; c < C; c++)
    if (x[c] == value) return c;
  return -1;
}

// The labels of one sequence, as runs of frames.
template <class R>
class Runs {
 public:
  Runs(const CtcGreedy<R>& p, int64_t b)
      : blank_(p.blank), previous_(p.blank), labels_(p.labels + p.out_start[b]), frames_(p.frames + p.out_start[b]),
        ends_(p.ends + p.out_start[b]), log_probs_(p.log_probs + p.out_start[b]) {}

  // Frame t is of class `best`, with probability 1 / denominator.
  PYSEQ_INLINE void add(int64_t t, int64_t best, R denominator) {
    if (best != previous_) {
      if (previous_ != blank_) finish(t);
      if (best != blank_) {
        labels_[count_] = static_cast<int32_t>(best);
        frames_[count_] = t;
        run_ = LogProduct();
      }
      previous_ = best;
    }
    if (best == blank_) return;
    run_.add(0, static_cast<double>(denominator));
    if (t % 16 == 15) run_.settle();
  }
  int64_t count(int64_t length) {
    if (previous_ != blank_) finish(length);
    return count_;
  }

 private:
  void finish(int64_t t) {
    ends_[count_] = t;
    log_probs_[count_++] = static_cast<float>(-run_.value());
  }
  int64_t blank_, previous_, count_ = 0;
  int32_t* labels_;
  int64_t *frames_, *ends_;
  float* log_probs_;
  LogProduct run_;
};

template <class R>
void decode_sequence(const CtcGreedy<R>& p, int64_t b) {
  Runs<R> runs(p, b);
  LogProduct denominator;  // the best class is at the top of its row: its log softmax is -log(sum)
  for (int64_t t = 0; t < p.lengths[b]; t++) {
    const R* x = p.logits + (p.x_start[b] + t) * p.logits_stride;
    RowSum<R> r;
    if (!with_short_row<R>(p.classes, [&](auto vectors) {
          r = short_row<decltype(vectors)::value, R>(x, p.classes, nullptr, nullptr);
        }))
      r = exp_row<R>(x, p.classes, nullptr);
    denominator.add(0, static_cast<double>(r.sum));
    if (t % 16 == 15) denominator.settle();
    runs.add(t, r.sum == r.sum ? find_number(x, p.classes, r.top) : p.blank, r.sum);
  }
  p.out_lengths[b] = runs.count(p.lengths[b]);
  p.scores[b] = static_cast<R>(-denominator.value());
}

template <class R>
struct GreedyContext {
  const CtcGreedy<R>& p;
  int64_t next;
};

template <class R>
void greedy_thread(void* context, int, int) {
  auto& c = *static_cast<GreedyContext<R>*>(context);
  const FlushToZero flush;
  for (;;) {
    const int64_t b = __atomic_fetch_add(&c.next, 1, __ATOMIC_RELAXED);
    if (b >= c.p.batch) return;
    decode_sequence(c.p, b);
  }
}

template <class R>
void ctc_greedy(const CtcGreedy<R>& p) noexcept {
  constexpr double kOperationsPerClass = 20, kOperationsPerFrame = 500;
  double frames = 0;
  for (int64_t b = 0; b < p.batch; b++) frames += static_cast<double>(p.lengths[b]);
  const double per_frame = kOperationsPerFrame + static_cast<double>(p.classes) * kOperationsPerClass;
  GreedyContext<R> context = {p, 0};
  const int threads = min_of(threads_for(frames * per_frame), static_cast<int>(min_of<int64_t>(p.batch, 1 << 20)));
  run_parallel(max_of(threads, 1), greedy_thread<R>, &context);
}

}  // namespace

void fill_ctc_greedy(KernelTable& table) noexcept {
  table.f32.ctc_greedy = ctc_greedy<float>;
  table.f64.ctc_greedy = ctc_greedy<double>;
}

}  // namespace PYSEQ_TIER
}  // namespace pyseq
