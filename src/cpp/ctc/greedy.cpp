// Greedy CTC decoding: the most probable class of every frame, repeats merged, blanks dropped.
//
// A block of frames at a time, as many as a vector has lanes: the largest number of each, and the sum of its
// exponentials, is a reduction that no other frame waits for.
#include "ctc/softmax.h"
#include "runtime/parallel.h"
#include "simd/compress.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class R>
PYSEQ_INLINE Vec<R> lowest() { return splat(-static_cast<R>(__builtin_inf())); }

// The numbers of a row from c on, its last ones; those beyond it are -inf.
template <class R>
PYSEQ_INLINE Vec<R> row_end(const R* x, int64_t c, int64_t C) {
  const auto n = static_cast<int>(C - c);
  return first_n<R>(load_n(x + c, n), n, lowest<R>());
}
template <class R>
PYSEQ_INLINE Vec<R> row_part(const R* x, int64_t c, int64_t C) {
  return c + kLanes<R> <= C ? load(x + c) : row_end(x, c, C);
}
// each(v) for the vectors of a row.
template <int N, class R, class F>
PYSEQ_INLINE void each_part(const R* x, int64_t C, F&& each) {
  constexpr int W = kLanes<R>;
  if constexpr (N > 0) {
    PYSEQ_UNROLL for (int i = 0; i < N - 1; i++) each(load(x + i * W));
    each(row_end(x, (N - 1) * W, C));
  } else {
    for (int64_t c = 0; c < C; c += W) each(row_part(x, c, C));
  }
}

// First index of the number `value` in a row of which it is the largest. N: as in Frames.
template <int N, class R>
PYSEQ_INLINE int64_t find_number(const R* x, int64_t C, R value) {
  constexpr int W = kLanes<R>;
  const Vec<R> wanted = splat(value);
  if constexpr (N > 0) {  // no branch that depends on where it is
    uint64_t bits = 0;
    PYSEQ_UNROLL for (int i = 0; i < N; i++)
      bits |= static_cast<uint64_t>(bits_equal(i < N - 1 ? load(x + i * W) : row_end(x, (N - 1) * W, C), wanted)) << i * W;
    return __builtin_ctzll(bits);
  }
  for (int64_t c = 0; c < C; c += W)
    if (const uint32_t bits = bits_equal(row_part(x, c, C), wanted)) return c + __builtin_ctz(bits);
  return 0;
}

// Up to a vector of frames: what is the largest of each. N: vectors of a row, or 0 where they are many.
template <class R, int N>
class Frames {
 public:
  static constexpr int W = kLanes<R>;
  R tops[W], sums[W];  // sums: of exp(x - top)

  Frames(const R* x, int64_t stride, int64_t n, int64_t C) : x_(x), stride_(stride), n_(n), C_(C) {}

  // True if every frame has a largest number, which is finite, and none holds a NaN. False says nothing.
  bool find_tops() {
    Vec<R> most[W], all = {};  // a sum over everything, for a NaN to show in
    for (int64_t f = 0; f < W; f++) most[f] = row_top(x_ + (f < n_ ? f : 0) * stride_, all);
    const Vec<R> top = reduce_each(most, [](Vec<R> a, Vec<R> b) { return vmax(a, b); });
    store(tops, top);
    constexpr uint32_t every = (1u << W) - 1;
    return (bits_equal(all, all) & bits_above(top, lowest<R>()) & bits_above(-lowest<R>(), top)) == every;
  }
  void add_up() {
    Vec<R> sum[W];
    for (int64_t f = 0; f < W; f++) sum[f] = f < n_ ? row_sum(x_ + f * stride_, splat(tops[f])) : splat(R(1));
    store(sums, reduce_each(sum, [](Vec<R> a, Vec<R> b) { return a + b; }));
  }
  int64_t best(int64_t f) const { return find_number<N>(x_ + f * stride_, C_, tops[f]); }

 private:
  PYSEQ_INLINE Vec<R> row_top(const R* row, Vec<R>& all) const {
    Vec<R> most = lowest<R>(), sum = {};
    each_part<N>(row, C_, [&](Vec<R> v) {
      most = vmax(most, v);
      sum += v;
    });
    all += sum;
    return most;
  }
  PYSEQ_INLINE Vec<R> row_sum(const R* row, Vec<R> top) const {
    Vec<R> sum = {};
    each_part<N>(row, C_, [&](Vec<R> v) { sum += row_exp<R>(v, top); });
    return sum;
  }
  const R* x_;
  int64_t stride_, n_, C_;
};

// Labels, and where asked for their places, as frames come.
template <class R>
class Runs {
 public:
  Runs(const CtcGreedy<R>& p, int64_t b)
      : blank_(p.blank), previous_(p.blank), labels_(p.labels + p.out_start[b]),
        frames_(p.frames ? p.frames + p.out_start[b] : nullptr), ends_(p.ends + p.out_start[b]),
        log_probs_(p.log_probs + p.out_start[b]) {}

  // The next frame is of class `best`. What is written and does not count is written over: there is room for a label
  // a frame.
  PYSEQ_INLINE void add(int64_t best) {
    labels_[count_] = best;
    count_ += best != previous_ && best != blank_;
    previous_ = best;
  }
  // The same with the frame's number, and the probability 1 / denominator of its class.
  PYSEQ_INLINE void add(int64_t t, int64_t best, R denominator) {
    if (best != previous_ && previous_ != blank_) finish();
    if (best != previous_ && best != blank_) {
      frames_[count_] = t;
      run_ = LogProduct();
    }
    add(best);
    if (best == blank_) return;
    ends_[count_ - 1] = t + 1;
    run_.add(0, static_cast<double>(denominator));
    if (t % 16 == 15) run_.settle();
  }
  bool places() const { return frames_ != nullptr; }
  int64_t count() {
    if (places() && previous_ != blank_) finish();
    return count_;
  }

 private:
  void finish() { log_probs_[count_ - 1] = static_cast<float>(-run_.value()); }
  int64_t blank_, previous_, count_ = 0;
  int64_t *labels_, *frames_, *ends_;
  float* log_probs_;
  LogProduct run_;
};

template <int N, class R>
void decode_sequence(const CtcGreedy<R>& p, int64_t b) {
  constexpr int W = kLanes<R>;
  Runs<R> runs(p, b);
  LogProduct denominator;  // the best class is at the top of its row: its log softmax is -log(sum)
  for (int64_t t = 0; t < p.lengths[b]; t += W) {
    const int64_t n = min_of<int64_t>(W, p.lengths[b] - t);
    Frames<R, N> frames(p.logits + (p.x_start[b] + t) * p.logits_stride, p.logits_stride, n, p.classes);
    const bool usual = frames.find_tops();
    if (usual && !p.scores) {
      for (int64_t f = 0; f < n; f++) runs.add(frames.best(f));
      continue;
    }
    frames.add_up();
    for (int64_t f = 0; f < n; f++) {
      const R sum = frames.sums[f];
      const int64_t best = sum == sum ? frames.best(f) : p.blank;
      denominator.add(0, static_cast<double>(sum));
      if (runs.places()) runs.add(t + f, best, sum);
      else runs.add(best);
    }
    denominator.settle();
  }
  p.out_lengths[b] = runs.count();
  if (p.scores) p.scores[b] = static_cast<R>(-denominator.value());
}

// Which numbers of a short row are equal to another fits into so many bits.
constexpr int64_t kBitsOfShortRow = 64;

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
    switch (c.p.classes <= kBitsOfShortRow ? ceil_div(c.p.classes, kLanes<R>) : 0) {
      case 1: decode_sequence<1>(c.p, b); break;
      case 2: decode_sequence<2>(c.p, b); break;
      case 3: decode_sequence<3>(c.p, b); break;
      case 4: decode_sequence<4>(c.p, b); break;
      default: decode_sequence<0>(c.p, b);
    }
  }
}

template <class R>
void ctc_greedy(const CtcGreedy<R>& p) noexcept {
  // In operations as threads are counted by: of the search alone, and with scores.
  constexpr double kPerNumber = 15, kPerFrame = 150, kScoredPerNumber = 40, kScoredPerFrame = 1000;
  double frames = 0;
  for (int64_t b = 0; b < p.batch; b++) frames += static_cast<double>(p.lengths[b]);
  const auto classes = static_cast<double>(p.classes);
  const double per_frame = p.scores ? kScoredPerFrame + classes * kScoredPerNumber : kPerFrame + classes * kPerNumber;
  GreedyContext<R> context = {p, 0};
  const int threads = min_of(threads_for(crew_now(), frames * per_frame), static_cast<int>(min_of<int64_t>(p.batch, 1 << 20)));
  run_parallel(max_of(threads, 1), greedy_thread<R>, &context);
}

}  // namespace

void fill_ctc_greedy(KernelTable& table) noexcept {
  table.f32.ctc_greedy = ctc_greedy<float>;
  table.f64.ctc_greedy = ctc_greedy<double>;
}

}  // namespace PYSEQ_TIER
}  // namespace pyseq
