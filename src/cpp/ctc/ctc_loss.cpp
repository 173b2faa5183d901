// CTC loss and its gradient with respect to the logits   (Graves et al. 2006).
//
//   first half   gather emissions, alpha upwards and beta downwards to the middle
//   second half  on to the other ends: alpha * beta -> posteriors by class, softmax, one write a gradient row
//
// A thread takes a sequence whole, or where there are few of them or one is long, half of one. No result depends
// on who takes what.
#include "ctc/gradient_rows.h"
#include "ctc/lattice.h"
#include "runtime/parallel.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// Gradients beyond this size would push everything else out of the caches; short rows gain nothing.
constexpr int64_t kStreamBytes = 8 << 20, kStreamClasses = 1024;
// Logits of the next sequence are fetched ahead up to this size: half of an L2 cache.
constexpr int64_t kFetchedBytes = 512 << 10;
// A sequence with more than this share of the work of a thread is halved.
constexpr double kHalvedShare = 0.25;

template <class R>
void fill_gradient(const Sequence<R>& s, R value) {
  if (!s.grad) return;
  for (int64_t t = 0; t < s.T; t++)
    for (int64_t c = 0; c < s.C; c++) s.grad[t * s.grad_stride + c] = value;
}

// A sequence at work, with room for one thread or for two.
template <class R, template <class> class Emission>
struct Sitting {
  Lattice<R, Emission> lattice;
  HalfScratch<R, Emission> scratch[2];
  FrameSums* sums;  // [blocks]
  int64_t bytes;

  Sitting(const Sequence<R>& s, Arena arena, bool halved) : lattice(s, arena) {
    sums = arena.take<FrameSums>(lattice.blocks);
    scratch[0] = lattice.scratch(arena);
    scratch[1] = halved ? lattice.scratch(arena) : scratch[0];
    bytes = arena.used();
  }

  void first_half(int half, const RowSettings<R>& settings) {
    if (half == 0) lattice.alpha_half(scratch[0]);
    else lattice.beta_half(scratch[1]);
    if (lattice.s.grad || lattice.gathered[half] != Gathered::kFine) return;
    const int64_t end = half ? lattice.s.T : lattice.middle;
    for (int64_t t0 = half ? lattice.middle : 0; t0 < end; t0 += kBlock) finish(half, t0, t0 + kBlock, settings);
  }

  void second_half(int half, const RowSettings<R>& settings) {
    HalfScratch<R, Emission>& w = scratch[half];
    const ClassSums<R, typename Lattice<R, Emission>::Real> classes = {lattice.plan, w.by_class, 1 - settings.smoothing};
    auto block = [&](int64_t t0, int64_t after) {
      classes.add_up(w.posteriors, lattice.block_length(t0), w.class_rows);
      finish(half, t0, after, settings);
    };
    if (half) {
      for (int64_t t0 = lattice.middle; t0 < lattice.s.T; t0 += kBlock) {
        lattice.alpha_meets_block(w, t0);
        block(t0, t0 + kBlock);
      }
    } else {
      for (int64_t t0 = (ceil_div(lattice.middle, kBlock) - 1) * kBlock; t0 >= 0; t0 -= kBlock) {
        lattice.beta_meets_block(w, t0);
        block(t0, t0 - kBlock);
      }
    }
  }

  double loss(double smoothing) const {
    const Sequence<R>& s = lattice.s;
    FrameSums all = {{}, 0};
    for (int64_t i = 0; i < lattice.blocks; i++) {
      all.denominators.add(sums[i].denominators);
      all.above_mean += sums[i].above_mean;
    }
    const double log_denominators = all.denominators.value();
    double nll = log_denominators - lattice.emission[0].reference - lattice.emission[1].reference -
                 lattice.log2_total * 0.693147180559945309;
    if (Emission<R>::kUnitBlank && s.bias) nll -= static_cast<double>(s.T) * static_cast<double>(s.bias[s.blank]);
    if (nll < 0 && !s.bias) nll = 0;  // rounding: a probability is at most 1
    return smoothing > 0 ? (1 - smoothing) * nll + smoothing * (log_denominators + all.above_mean) : nll;
  }

 private:
  void finish(int half, int64_t t0, int64_t after, const RowSettings<R>& settings) {
    const HalfScratch<R, Emission>& w = scratch[half];
    sums[t0 / kBlock] = finish_rows(lattice.s, lattice.plan, Emission<R>::kUnitBlank, t0, lattice.block_length(t0),
                                    w.class_rows, w.logit_rows, after < lattice.s.T ? after : -1, settings);
  }
};

// ---------------------------------------------------------------------------------------------- one sequence

// What the threads know of a batch.
template <class R>
struct LossBatch {
  const CtcLoss<R>& p;
  bool past_caches;

  explicit LossBatch(const CtcLoss<R>& problem) : p(problem) {
    int64_t frames = 0;
    for (int64_t b = 0; b < p.batch; b++) frames += p.lengths[b];
    past_caches = p.grad && p.grad != p.logits && p.classes >= kStreamClasses && p.smoothing == 0 &&
                  frames * p.classes * static_cast<int64_t>(sizeof(R)) > kStreamBytes;
  }
  Sequence<R> sequence(int64_t b) const {
    return {p.lengths[b],
            p.classes,
            p.target_lengths[b],
            p.blank,
            p.logits + p.x_start[b] * p.logits_stride,
            p.logits_stride,
            p.grad ? p.grad + p.grad_start[b] * p.grad_stride : nullptr,
            p.grad_stride,
            p.targets + p.target_start[b],
            p.class_bias};
  }
  RowSettings<R> settings(int64_t b) const {
    return {p.grad_scale ? p.grad_scale[b] : R(1), p.smoothing, past_caches, nullptr, 0};
  }
  // The same, fetching the logits of another sequence meanwhile if they are few.
  RowSettings<R> settings_before(int64_t b, int64_t upcoming) const {
    RowSettings<R> s = settings(b);
    if (upcoming >= p.batch || p.lengths[upcoming] * p.classes * static_cast<int64_t>(sizeof(R)) > kFetchedBytes) return s;
    s.upcoming = p.logits + p.x_start[upcoming] * p.logits_stride;
    s.upcoming_frames = p.lengths[upcoming];
    return s;
  }
  void settle(int64_t b, double loss) const {
    if (loss != loss) fill_gradient(sequence(b), static_cast<R>(loss));
    else if (loss == __builtin_inf()) fill_gradient(sequence(b), R(0));
    p.losses[b] = static_cast<R>(loss);
  }
};

// Bytes a sequence needs, whichever emissions suit it.
template <class R>
int64_t sitting_bytes(const CtcLoss<R>& p, int64_t b, bool halved) {
  if (p.lengths[b] < p.target_lengths[b] || p.lengths[b] == 0) return 0;  // nothing is laid out
  const Sequence<R> s = {p.lengths[b], p.classes, p.target_lengths[b], p.blank,     nullptr,
                         0,            p.grad,    0,                   nullptr, p.class_bias};
  return max_of(Sitting<R, RelativeEmission>(s, Arena(nullptr), halved).bytes,
                Sitting<R, ExactEmission>(s, Arena(nullptr), halved).bytes);
}

// False if the emissions do not suit these logits.
template <class R, template <class> class Emission>
bool whole_sequence(const LossBatch<R>& batch, int64_t b, int64_t upcoming, int32_t* seen, void* memory, double* loss) {
  Sitting<R, Emission> sitting(batch.sequence(b), Arena(memory), false);
  auto& lattice = sitting.lattice;
  const RowSettings<R> settings = batch.settings_before(b, upcoming);
  *loss = __builtin_inf();
  if (!lattice.plan.build(lattice.s, seen)) return true;
  for (int half = 0; half < 2; half++) {
    sitting.first_half(half, settings);
    if (lattice.gathered[half] == Gathered::kOutOfRange) return false;
  }
  const Gathered gathered = lattice.meet();
  if (gathered == Gathered::kNotANumber) *loss = __builtin_nan("");
  if (gathered != Gathered::kFine || lattice.log2_total == -__builtin_inf()) return true;
  if (lattice.s.grad)
    for (int half = 1; half >= 0; half--) sitting.second_half(half, settings);
  *loss = sitting.loss(settings.smoothing);
  return true;
}

template <class R>
void whole_sequence(const LossBatch<R>& batch, int64_t b, int64_t upcoming, int32_t* seen, void* memory) {
  const int64_t T = batch.p.lengths[b], L = batch.p.target_lengths[b];
  double loss = T == 0 && L == 0 ? 0 : __builtin_inf();
  if (T > 0 && T >= L && !whole_sequence<R, RelativeEmission>(batch, b, upcoming, seen, memory, &loss))
    whole_sequence<R, ExactEmission>(batch, b, upcoming, seen, memory, &loss);
  batch.settle(b, loss);
}

// -------------------------------------------------------------------------------------------- halved sequences

// One sequence that several threads work at, from round to round.
template <class R>
struct Halved {
  int64_t b;
  char* memory;
  Sitting<R, RelativeEmission>* relative;  // in memory, one of them in use
  Sitting<R, ExactEmission>* exact;
  enum class State { kRelative, kExact, kDone } state;
  double loss;

  template <class Sit>
  void begin(const LossBatch<R>& batch, Sit*& sitting, State use, int32_t* seen) {
    Arena arena(memory);
    sitting = arena.take<Sit>(1);
    const Sit made(batch.sequence(b), Arena(memory + arena.used()), true);
    memcpy(static_cast<void*>(sitting), &made, sizeof made);
    state = use;
    if (sitting->lattice.plan.build(sitting->lattice.s, seen)) return;
    loss = __builtin_inf();
    state = State::kDone;
  }
  static int64_t bytes(const CtcLoss<R>& p, int64_t b) {
    const auto sizes = static_cast<int64_t>(
        max_of(sizeof(Sitting<R, RelativeEmission>), sizeof(Sitting<R, ExactEmission>)));
    return round_up(sizes, kAlignment) + sitting_bytes(p, b, true);
  }
  template <class F>
  void with_sitting(F&& f) {
    if (state == State::kRelative) f(*relative);
    else if (state == State::kExact) f(*exact);
  }
  void meet() {
    with_sitting([&](auto& sitting) {
      const Gathered gathered = sitting.lattice.meet();
      if (gathered == Gathered::kFine && sitting.lattice.log2_total != -__builtin_inf()) return;
      loss = gathered == Gathered::kNotANumber ? __builtin_nan("") : __builtin_inf();
      state = State::kDone;
    });
  }
};

// Sequences to halve come first in `order`, then those that a thread takes whole.
template <class R>
struct Shares {
  int64_t threads, halved_count = 0, per_thread = 0, halved_bytes = 0;
  double halved_from = 0;  // cost of a sequence

  static double cost(const CtcLoss<R>& p, int64_t b) {
    constexpr double kOperationsPerCell = 80, kOperationsPerClass = 20;
    const auto T = static_cast<double>(p.lengths[b]), L = static_cast<double>(p.target_lengths[b]);
    return T * ((L + kLanes<R>) * kOperationsPerCell + static_cast<double>(p.classes) * kOperationsPerClass);
  }
  bool is_halved(const CtcLoss<R>& p, int64_t b) const {
    return threads > 1 && p.lengths[b] > kBlock && p.lengths[b] >= p.target_lengths[b] && cost(p, b) > halved_from;
  }

  explicit Shares(const CtcLoss<R>& p) {
    double operations = 0;
    for (int64_t b = 0; b < p.batch; b++) operations += cost(p, b);
    threads = max_of<int64_t>(1, min_of<int64_t>(threads_for(p.crew, operations), 2 * p.batch));
    halved_from = operations / static_cast<double>(threads) * kHalvedShare;
    for (int64_t b = 0; b < p.batch; b++) {
      if (is_halved(p, b)) {
        halved_count++;
        halved_bytes += Halved<R>::bytes(p, b);
      } else {
        per_thread = max_of(per_thread, sitting_bytes(p, b, false));
      }
    }
    per_thread += round_up(p.classes * static_cast<int64_t>(sizeof(int32_t)), kAlignment);
  }
};

constexpr int kRounds = 6;  // that halved sequences take, at most

template <class R>
struct LossContext {
  LossBatch<R> batch;
  Shares<R> shares;
  Halved<R>* halved;
  char *halved_memory, *thread_memory;
  Barrier barrier;
  int64_t taken[kRounds + 1];  // items of each round, and of the sequences taken whole

  LossContext(const CtcLoss<R>& p, Arena arena) : batch(p), shares(p), barrier(new_barrier(0)), taken{} {
    halved = arena.take<Halved<R>>(shares.halved_count);
    halved_memory = arena.take<char>(shares.halved_bytes);
    thread_memory = arena.take<char>(shares.per_thread * shares.threads);
    bytes = arena.used();
  }
  int64_t bytes;

  void lay_out() {
    char* memory = halved_memory;
    int64_t n = 0;
    for (int64_t b = 0; b < batch.p.batch; b++) {
      if (!shares.is_halved(batch.p, b)) continue;
      halved[n++] = {b, memory, nullptr, nullptr, Halved<R>::State::kDone, 0};
      memory += Halved<R>::bytes(batch.p, b);
    }
  }
};

template <class R>
int64_t ctc_loss_workspace(const CtcLoss<R>& p) noexcept {
  return LossContext<R>(p, Arena(nullptr)).bytes;
}

template <class R>
void halved_sequences(LossContext<R>& c, int32_t* seen, int threads) {
  using State = typename Halved<R>::State;
  const int64_t count = c.shares.halved_count;
  int round = 0;
  auto share = [&](int64_t items, auto&& work) {
    for (int64_t i; (i = __atomic_fetch_add(&c.taken[round], 1, __ATOMIC_RELAXED)) < items;) work(i);
    round++;
    c.barrier.wait(threads);
  };
  auto first_half = [&](int64_t i, State state) {
    Halved<R>& h = c.halved[i / 2];
    if (h.state == state)
      h.with_sitting([&](auto& sitting) { sitting.first_half(static_cast<int>(i % 2), c.batch.settings(h.b)); });
  };
  share(count, [&](int64_t i) { c.halved[i].begin(c.batch, c.halved[i].relative, State::kRelative, seen); });
  share(2 * count, [&](int64_t i) { first_half(i, State::kRelative); });
  share(count, [&](int64_t i) {
    Halved<R>& h = c.halved[i];
    if (h.state == State::kDone) return;
    const Gathered* gathered = h.relative->lattice.gathered;
    if (gathered[0] == Gathered::kOutOfRange || gathered[1] == Gathered::kOutOfRange)
      h.begin(c.batch, h.exact, State::kExact, seen);
    else h.meet();
  });
  share(2 * count, [&](int64_t i) { first_half(i, State::kExact); });
  share(count, [&](int64_t i) {
    if (c.halved[i].state == State::kExact) c.halved[i].meet();
  });
  if (c.batch.p.grad)
    share(2 * count, [&](int64_t i) {
      Halved<R>& h = c.halved[i / 2];
      h.with_sitting([&](auto& sitting) { sitting.second_half(static_cast<int>(i % 2), c.batch.settings(h.b)); });
    });
}

template <class R>
void loss_thread(void* context, int thread, int threads) {
  auto& c = *static_cast<LossContext<R>*>(context);
  const FlushToZero flush;
  Arena arena(c.thread_memory + c.shares.per_thread * thread);
  int32_t* seen = arena.take<int32_t>(c.batch.p.classes);
  memset(seen, 0xff, static_cast<size_t>(c.batch.p.classes) * sizeof(int32_t));
  char* memory = arena.take<char>(0);
  if (c.shares.halved_count) halved_sequences(c, seen, threads);
  // Two threads come from either end: what one fetches ahead is its own.
  const int64_t count = c.batch.p.batch;
  const bool back = threads == 2 && thread == 1;
  for (int64_t i, own = 0; (i = __atomic_fetch_add(&c.taken[kRounds], 1, __ATOMIC_RELAXED)) < count; own++) {
    const int64_t b = threads != 2 ? i : back ? count - 1 - own : own;
    const int64_t upcoming = threads != 2 ? i + threads : !back ? b + 1 : b > 0 ? b - 1 : count;
    if (!c.shares.is_halved(c.batch.p, b)) whole_sequence(c.batch, b, upcoming, seen, memory);
  }
  if (c.batch.past_caches) stream_fence();
}

template <class R>
void ctc_loss(const CtcLoss<R>& p) noexcept {
  LossContext<R> context(p, Arena(p.workspace));
  context.lay_out();
  run_parallel(static_cast<int>(context.shares.threads), loss_thread<R>, &context);
  for (int64_t i = 0; i < context.shares.halved_count; i++) {
    Halved<R>& h = context.halved[i];
    h.with_sitting([&](auto& sitting) { h.loss = sitting.loss(p.smoothing); });
    context.batch.settle(h.b, h.loss);
  }
}

}  // namespace

void fill_ctc_loss(KernelTable& table) noexcept {
  table.f32.ctc_loss_workspace = ctc_loss_workspace<float>;
  table.f64.ctc_loss_workspace = ctc_loss_workspace<double>;
  table.f32.ctc_loss = ctc_loss<float>;
  table.f64.ctc_loss = ctc_loss<double>;
}

}  // namespace PYSEQ_TIER
}  // namespace pyseq
