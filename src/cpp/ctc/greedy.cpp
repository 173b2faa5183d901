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

// Vector i of the N of a row, the last of which is filled up with numbers that the one before holds as well, where there
// is one, or with -inf.
template <int N, class R>
PYSEQ_INLINE int64_t vector_start(int i, int64_t C) { return i < N - 1 || N == 1 ? i * kLanes<R> : C - kLanes<R>; }
template <int N, class R>
PYSEQ_INLINE Vec<R> row_vector(const R* x, int i, int64_t C) {
  if constexpr (N > 1) return load(x + vector_start<N, R>(i, C));
  const auto n = static_cast<int>(C);
  return first_n<R>(load_n(x, n), n, lowest<R>());
}

// Numbers of a row up to which its vectors are counted when compiled (of float64, which fewer people decode, half as
// many), frames are unrolled, and classes are found without a branch: beyond these that gains nothing.
template <class R>
constexpr int kCountedNumbers = sizeof(R) == 4 ? 64 : 32;
constexpr int kUnrolledNumbers = 32, kSearchedNumbers = 128;
constexpr int kSome = -1, kMany = 0;

// Up to a vector of frames: what is the largest of each. N: vectors of a row; kSome, kMany: more.
template <class R, int N>
class Frames {
 public:
  static constexpr int W = kLanes<R>;

  Frames(const R* x, int64_t stride, int64_t n, int64_t C) : x_(x), stride_(stride), n_(n), C_(C) {}

  // True if every frame has a largest number, which is finite, and none holds a NaN. False says nothing.
  bool find_tops() {
    Vec<R> most[W], all = {};  // a sum over everything, for a NaN to show in
    each_row([&](int f, const R* row) __attribute__((always_inline)) { most[f] = row_top(row, all); });
    const Vec<R> top = reduce_each(most, [](Vec<R> a, Vec<R> b) { return vmax(a, b); });
    store(tops_, top);
    constexpr uint32_t every = (1u << W) - 1;
    return (bits_equal(all, all) & bits_above(top, lowest<R>()) & bits_above(-lowest<R>(), top)) == every;
  }
  // First class of each frame whose number is the largest; of a frame with a NaN some number.
  IntVec<R> best() const {
    if constexpr (N == kMany) {
      Int_t<R> found[W];
      for (int f = 0; f < W; f++) found[f] = find_number(row(f), tops_[f]);
      return load_ints<R>(found);
    } else {
      IntVec<R> at[W];
      each_row([&](int f, const R* row) __attribute__((always_inline)) { at[f] = row_best(row, splat(tops_[f])); });
      return reduce_each(at, [](IntVec<R> a, IntVec<R> b) { return a < b ? a : b; });
    }
  }
  // Of exp(x - top) of each frame; 1 beyond the last.
  Vec<R> sums() const {
    Vec<R> sum[W];
    for (int f = 0; f < W; f++) sum[f] = row_sum(row(f), splat(tops_[f]));
    return first_n<R>(reduce_each(sum, [](Vec<R> a, Vec<R> b) { return a + b; }), static_cast<int>(n_), splat(R(1)));
  }

 private:
  PYSEQ_INLINE const R* row(int64_t f) const { return x_ + (f < n_ ? f : 0) * stride_; }
  // each(f, row) for a vector of frames, the first instead of those beyond the last.
  template <class F>
  PYSEQ_INLINE void each_row(F&& each) const {
    if (N > 0 && N * W <= kUnrolledNumbers && n_ == W) {
      const R* row = x_;
      PYSEQ_UNROLL for (int f = 0; f < W; f++, row += stride_) each(f, row);
      return;
    }
    for (int f = 0; f < W; f++) each(f, row(f));
  }
  PYSEQ_INLINE Vec<R> row_end(const R* row, int64_t c) const {  // -inf beyond
    const auto n = static_cast<int>(C_ - c);
    return first_n<R>(load_n(row + c, n), n, lowest<R>());
  }

  PYSEQ_INLINE Vec<R> row_top(const R* row, Vec<R>& all) const {
    Vec<R> most = N > 0 ? row_vector<N>(row, 0, C_) : lowest<R>(), sum = N > 0 ? most : Vec<R>{};
    auto add = [&](Vec<R> v) __attribute__((always_inline)) {
      most = vmax(most, v);
      sum += v;
    };
    if constexpr (N > 0) {
      PYSEQ_UNROLL for (int i = 1; i < N; i++) add(row_vector<N>(row, i, C_));
    } else {
      for (int64_t c = 0; c + W <= C_; c += W) add(load(row + c));
      add(load(row + C_ - W));
    }
    all += sum;
    return most;
  }
  // In each lane the first class of those it holds whose number is `top`.
  PYSEQ_INLINE IntVec<R> row_best(const R* row, Vec<R> top) const {
    IntVec<R> at = splat_int<R>(1 << 30);
    auto look = [&](Vec<R> v, int64_t first) __attribute__((always_inline)) {
      at = v == top ? splat_int<R>(static_cast<Int_t<R>>(first)) : at;
    };
    if constexpr (N > 0) {
      PYSEQ_UNROLL for (int i = N - 1; i >= 0; i--) look(row_vector<N>(row, i, C_), vector_start<N, R>(i, C_));
    } else {
      look(load(row + C_ - W), C_ - W);
      for (int64_t c = (C_ - 1) / W * W - W; c >= 0; c -= W) look(load(row + c), c);
    }
    return at + lane_numbers<R>();
  }
  Int_t<R> find_number(const R* row, R value) const {
    const Vec<R> wanted = splat(value);
    for (int64_t c = 0; c < C_; c += W)
      if (const uint32_t bits = bits_equal(c + W <= C_ ? load(row + c) : row_end(row, c), wanted))
        return static_cast<Int_t<R>>(c + __builtin_ctz(bits));
    return 0;
  }
  PYSEQ_INLINE Vec<R> row_sum(const R* row, Vec<R> top) const {
    Vec<R> sum = {};
    auto add = [&](Vec<R> v) __attribute__((always_inline)) { sum += row_exp<R>(v, top); };
    if constexpr (N > 0) {
      PYSEQ_UNROLL for (int i = 0; i < N - 1; i++) add(load(row + i * W));
      add(row_end(row, (N - 1) * W));
    } else {
      int64_t c = 0;
      for (; c + W <= C_; c += W) add(load(row + c));
      if (c < C_) add(row_end(row, c));
    }
    return sum;
  }

  const R* x_;
  int64_t stride_, n_, C_;
  R tops_[W];
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
  // A vector of frames, `best` the class of each: there must be as many to come, or room.
  PYSEQ_INLINE void add(IntVec<R> best) {
    constexpr uint32_t every = (1u << kLanes<R>) - 1;
    const IntVec<R> before = lanes_up(best, splat_int<R>(static_cast<Int_t<R>>(previous_)));
    const uint32_t left_out = bits_equal(best, before) | bits_equal(best, splat_int<R>(static_cast<Int_t<R>>(blank_)));
    const uint32_t kept = ~left_out & every;
    compress_to(labels_ + count_, best, kept);
    count_ += __builtin_popcount(kept);
    previous_ = best[kLanes<R> - 1];
  }
  // One frame with its number, and the probability 1 / denominator of its class.
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
    IntVec<R> best = frames.best();
    if (p.scores || !usual) {
      const Vec<R> sums = frames.sums();
      best = sums == sums ? best : splat_int<R>(static_cast<Int_t<R>>(p.blank));
      double product[4] = {1, 1, 1, 1};  // no number waits for more than a few before it
      PYSEQ_UNROLL for (int f = 0; f < W; f++) product[f % 4] *= static_cast<double>(sums[f]);
      denominator.add(0, (product[0] * product[1]) * (product[2] * product[3]));
      denominator.settle();
      if (runs.places()) {
        for (int f = 0; f < n; f++) runs.add(t + f, best[f], sums[f]);
        continue;
      }
    }
    if (n == W) runs.add(best);
    else for (int f = 0; f < n; f++) runs.add(best[f]);
  }
  p.out_lengths[b] = runs.count();
  if (p.scores) p.scores[b] = static_cast<R>(-denominator.value());
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
    const bool counted = c.p.classes <= kCountedNumbers<R> && with_short_row<R>(c.p.classes, [&](auto vectors) {
      constexpr int N = decltype(vectors)::value;
      if constexpr (N * kLanes<R> <= kCountedNumbers<R>) decode_sequence<N>(c.p, b);
    });
    if (counted) continue;
    if (c.p.classes <= kSearchedNumbers) decode_sequence<kSome>(c.p, b);
    else decode_sequence<kMany>(c.p, b);
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
