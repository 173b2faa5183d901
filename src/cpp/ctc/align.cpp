// Forced alignment of a batch. A thread takes a sequence whole; one that is much of the work is shared by all: each has
// a range of its states, and follows the range below by a block of frames.
#include "ctc/viterbi.h"
#include "runtime/parallel.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

constexpr int64_t kWaveFrames = 256;    // of a block, after which threads meet
constexpr int64_t kWaveGroups = 32;     // a range has at least so many
constexpr int64_t kRowFrames = 64;      // frames whose probabilities are one share of work
constexpr double kSharedPart = 0.25;    // of a thread's work, from which a sequence is shared

// One sequence with its memory and its results.
template <class R>
struct Aligning {
  Viterbi<R> viterbi;
  double* log_probs;  // [T] of the path's class in each frame
  double* crossing;   // [ranges][T + 1] label states at the upper end of each range, before each frame
  int32_t* path;
  int64_t *begin, *end;
  R* confidence;
  double* score;
  int64_t bytes;
  bool possible = false;

  Aligning(const CtcAlign<R>& p, int64_t b, Arena arena, int64_t ranges)
      : viterbi(p.lengths[b], p.target_lengths[b], arena) {
    log_probs = arena.take<double>(viterbi.T);
    crossing = arena.take<double>(ranges > 1 ? ranges * (viterbi.T + 1) : 0);
    bytes = arena.used();
    viterbi.C = p.classes;
    viterbi.blank = p.blank;
    viterbi.x = p.logits + p.x_start[b] * p.logits_stride;
    viterbi.x_stride = p.logits_stride;
    viterbi.labels = p.targets + p.target_start[b];
    path = p.path + p.path_start[b];
    begin = p.begin + p.span_start[b];
    end = p.end + p.span_start[b];
    confidence = p.confidence + p.span_start[b];
    score = p.scores + b;
  }

  void start() {
    viterbi.begin();
    for (int64_t i = 0; i < viterbi.L; i++) {
      begin[i] = end[i] = -1;
      confidence[i] = 0;
    }
  }

  void find_path() {
    possible = viterbi.descend(path, begin, end);
    if (possible) return;
    for (int64_t t = 0; t < viterbi.T; t++) path[t] = -1;
  }

  // Log-probabilities of the path's classes in frames t0 .. t1.
  void look_up(int64_t t0, int64_t t1) {
    const int64_t C = viterbi.C;
    for (int64_t t = t0; t < t1 && possible; t++) {
      const R* x = viterbi.x + t * viterbi.x_stride;
      RowSum<R> r;
      if (!with_short_row<R>(C, [&](auto vectors) {
            r = short_row<decltype(vectors)::value, R>(x, C, nullptr, nullptr);
          }))
        r = exp_row<R>(x, C, nullptr);
      log_probs[t] = static_cast<double>(x[path[t]]) - static_cast<double>(r.top) -
                     __builtin_log(static_cast<double>(r.sum));
    }
  }

  void sum_up() {
    *score = possible ? 0 : viterbi.is_nan() ? __builtin_nan("") : -__builtin_inf();
    for (int64_t t = 0; t < viterbi.T && possible; t++) *score += log_probs[t];
    for (int64_t i = 0; i < viterbi.L && possible; i++) {
      double sum = 0;
      for (int64_t t = begin[i]; t < end[i]; t++) sum += __builtin_exp(log_probs[t]);
      confidence[i] = static_cast<R>(sum / static_cast<double>(end[i] - begin[i]));
    }
  }

  void all() {
    start();
    viterbi.climb(0, viterbi.T, 0, viterbi.groups, nullptr, nullptr);
    find_path();
    look_up(0, viterbi.T);
    sum_up();
  }
};

template <class R>
struct AlignShares {
  int64_t threads, ranges = 1, per_thread = 0, shared_bytes = 0;
  double shared_from;

  static double cost(const CtcAlign<R>& p, int64_t b) {
    constexpr double kOperationsPerLabel = 30, kOperationsPerClass = 20;
    return static_cast<double>(p.lengths[b]) * (static_cast<double>(p.target_lengths[b] + kLanes<R>) * kOperationsPerLabel +
                                                static_cast<double>(p.classes) * kOperationsPerClass);
  }
  bool is_shared(const CtcAlign<R>& p, int64_t b) const { return threads > 1 && cost(p, b) > shared_from; }

  explicit AlignShares(const CtcAlign<R>& p) {
    double operations = 0;
    for (int64_t b = 0; b < p.batch; b++) operations += cost(p, b);
    threads = max_of(1, threads_for(p.crew, operations));
    shared_from = operations / static_cast<double>(threads) * kSharedPart;
    for (int64_t b = 0; b < p.batch; b++) {
      if (is_shared(p, b)) shared_bytes = max_of(shared_bytes, Aligning<R>(p, b, Arena(nullptr), threads).bytes);
      else per_thread = max_of(per_thread, Aligning<R>(p, b, Arena(nullptr), 1).bytes);
    }
  }
};

template <class R>
struct AlignContext {
  const CtcAlign<R>& p;
  AlignShares<R> shares;
  char *shared_memory, *thread_memory;
  int64_t bytes;
  Barrier barrier;
  int64_t next;   // sequence to take whole
  int64_t frame;  // of the sequence that is shared: where the next share of rows begins

  AlignContext(const CtcAlign<R>& problem, Arena arena) : p(problem), shares(problem), barrier(new_barrier(0)), next(0), frame(0) {
    shared_memory = arena.take<char>(shares.shared_bytes);
    thread_memory = arena.take<char>(shares.per_thread * shares.threads);
    bytes = arena.used();
  }
};

template <class R>
int64_t ctc_align_workspace(const CtcAlign<R>& p) noexcept {
  return AlignContext<R>(p, Arena(nullptr)).bytes;
}

// Called by all threads; each has an `own` of the same memory.
template <class R>
void align_together(AlignContext<R>& c, int64_t b, int thread, int threads) {
  Aligning<R> own(c.p, b, Arena(c.shared_memory), c.shares.threads);
  Viterbi<R>& viterbi = own.viterbi;
  const int64_t T = viterbi.T, ranges = max_of<int64_t>(1, min_of<int64_t>(threads, viterbi.groups / kWaveGroups));
  auto crossing = [&](int64_t range) { return own.crossing + range * (T + 1); };
  if (thread == 0) {
    own.start();
    for (int64_t r = 0; r < ranges && threads > 1; r++) crossing(r)[0] = -__builtin_inf();
    c.frame = 0;
  }
  c.barrier.wait(threads);
  const int64_t first = viterbi.groups * thread / ranges, last = viterbi.groups * (thread + 1) / ranges;
  const int64_t blocks = ceil_div(T, kWaveFrames);
  for (int64_t wave = 0; wave < blocks + ranges - 1; wave++) {
    const int64_t block = wave - thread, t0 = block * kWaveFrames;
    if (thread < ranges && block >= 0 && block < blocks)
      viterbi.climb(t0, min_of(t0 + kWaveFrames, T), first, last, thread ? crossing(thread - 1) : nullptr,
                    thread + 1 < ranges ? crossing(thread) : nullptr);
    c.barrier.wait(threads);
  }
  if (thread == 0) own.find_path();
  c.barrier.wait(threads);
  own.possible = T == 0 || own.path[0] >= 0;
  for (int64_t t; (t = __atomic_fetch_add(&c.frame, kRowFrames, __ATOMIC_RELAXED)) < T;)
    own.look_up(t, min_of(t + kRowFrames, T));
  c.barrier.wait(threads);
  if (thread == 0) own.sum_up();
}

template <class R>
void align_thread(void* context, int thread, int threads) {
  auto& c = *static_cast<AlignContext<R>*>(context);
  const FlushToZero flush;
  for (int64_t b = 0; b < c.p.batch; b++)
    if (c.shares.is_shared(c.p, b)) align_together(c, b, thread, threads);
  char* memory = c.thread_memory + c.shares.per_thread * thread;
  for (int64_t b; (b = __atomic_fetch_add(&c.next, 1, __ATOMIC_RELAXED)) < c.p.batch;)
    if (!c.shares.is_shared(c.p, b)) Aligning<R>(c.p, b, Arena(memory), 1).all();
}

template <class R>
void ctc_align(const CtcAlign<R>& p) noexcept {
  AlignContext<R> context(p, Arena(p.workspace));
  run_parallel(static_cast<int>(context.shares.threads), align_thread<R>, &context);
}

}  // namespace

void fill_ctc_align(KernelTable& table) noexcept {
  table.f32.ctc_align_workspace = ctc_align_workspace<float>;
  table.f64.ctc_align_workspace = ctc_align_workspace<double>;
  table.f32.ctc_align = ctc_align<float>;
  table.f64.ctc_align = ctc_align<double>;
}

}  // namespace PYSEQ_TIER
}  // namespace pyseq
