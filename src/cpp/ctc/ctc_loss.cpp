// CTC loss and its gradient with respect to the logits   (Graves et al. 2006).
//
//   forward : gather emissions, alpha                                    blocks of kBlock frames upwards
//   backward: [alpha again], beta * alpha -> posteriors by class, softmax, one write a gradient row;  downwards
//
// Sequences are independent: threads take one after the other, and no result depends on which takes which.
#include "ctc/lattice.h"
#include "ctc/softmax.h"
#include "runtime/parallel.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// Gradients beyond this size would push everything else out of the caches; short rows gain nothing.
constexpr int64_t kStreamBytes = 8 << 20, kStreamClasses = 1024;

template <class R>
Sequence<R> sequence_of(const CtcLoss<R>& p, int64_t b) {
  return {p.lengths[b],
          p.classes,
          p.target_lengths[b],
          p.blank,
          p.logits + p.x_start[b] * p.logits_stride,
          p.logits_stride,
          p.grad ? p.grad + p.grad_start[b] * p.grad_stride : nullptr,
          p.grad_stride,
          p.targets + p.target_start[b]};
}

template <class R>
void fill_gradient(const Sequence<R>& s, R value) {
  if (!s.grad) return;
  for (int64_t t = 0; t < s.T; t++)
    for (int64_t c = 0; c < s.C; c++) s.grad[t * s.grad_stride + c] = value;
}

// Softmax and gradient rows of one block; `row` has room for one row in whole vectors.
template <class R, class L>
void finish_block(const L& lattice, int64_t t0, R* row, bool past_caches, LogProduct& denominator) {
  const Sequence<R>& s = lattice.s;
  const int64_t n = min_of<int64_t>(kBlock, s.T - t0), room = lattice.plan.slot_room;
  auto each_row = [&](auto&& finish_row) __attribute__((always_inline)) {
    for (int64_t f = 0; f < n; f++) {
      const R* x = s.row(t0 + f);
      R* grad = s.grad ? s.grad + (t0 + f) * s.grad_stride : nullptr;
      const RowSum<R> r = finish_row(x, grad, lattice.class_rows + (grad ? f * room : 0));
      const double reference = L::E::kUnitBlank ? static_cast<double>(x[s.blank]) : 0;
      denominator.add(static_cast<double>(r.top) - reference, static_cast<double>(r.sum));
    }
  };
  const bool is_short = s.C <= kSmallAlphabet && with_short_row<R>(s.C, [&](auto vectors) {
    each_row([&](const R* x, R* grad, const R* posterior) {
      return short_row<decltype(vectors)::value>(x, s.C, grad, posterior);
    });
  });
  if (!is_short)
    each_row([&](const R* x, R* grad, const R* posterior) {
      const RowSum<R> r = exp_row(x, s.C, grad ? row : nullptr);
      if (!grad) return r;
      // Corrected while the row is in L1 and not yet normalised, so the posterior is scaled up instead.
      const Plan<typename L::Real>& plan = lattice.plan;
      if (plan.dense)
        for (int64_t c = 0; c < s.C; c += kLanes<R>)
          store(row + c, fma(load(posterior + c), splat(-r.sum), load(row + c)));
      else
        for (int64_t j = 0; j < plan.slots; j++) row[plan.slot_class[j]] -= posterior[j] * r.sum;
      if (past_caches) stream_scaled(grad, row, s.C, 1 / r.sum);
      else store_scaled(grad, row, s.C, 1 / r.sum);
      return r;
    });
  denominator.settle();
}

// What one sequence needs: a lattice of either kind, and a row.
template <class R, template <class> class Emission>
struct Work {
  Lattice<R, Emission> lattice;
  R* row;
  Work(const Sequence<R>& s, Arena arena) : lattice(s, arena), row(arena.take<R>(round_up(s.C, 16))), bytes(arena.used()) {}
  int64_t bytes;
};

// The loss, and the gradient if it is finite. False if the emissions do not suit these logits.
template <class R, template <class> class Emission>
bool run_lattice(const Sequence<R>& s, bool past_caches, int32_t* seen, void* memory, double* loss) {
  Work<R, Emission> work(s, Arena(memory));
  auto& lattice = work.lattice;
  *loss = __builtin_inf();
  if (!lattice.plan.build(s, seen)) return true;
  const Gathered gathered = lattice.forward();
  if (gathered == Gathered::kOutOfRange) return false;
  if (gathered == Gathered::kNotANumber) *loss = __builtin_nan("");
  if (gathered != Gathered::kFine || lattice.log2_total == -__builtin_inf()) return true;
  if (s.grad) lattice.start_backward();
  LogProduct denominator;
  for (int64_t t0 = (lattice.blocks - 1) * kBlock; t0 >= 0; t0 -= kBlock) {
    if (s.grad) lattice.backward_block(t0);
    finish_block<R>(lattice, t0, work.row, past_caches, denominator);
  }
  *loss = denominator.value() - lattice.emission.reference - lattice.log2_total * 0.693147180559945309;
  if (*loss < 0) *loss = 0;  // rounding: a probability is at most 1
  return true;
}

template <class R>
double sequence_loss(const Sequence<R>& s, bool past_caches, int32_t* seen, void* memory) {
  if (s.T == 0 && s.L == 0) return 0;
  double loss = __builtin_inf();
  if (s.T >= s.L && !run_lattice<R, RelativeEmission>(s, past_caches, seen, memory, &loss))
    run_lattice<R, ExactEmission>(s, past_caches, seen, memory, &loss);
  if (loss != loss) fill_gradient(s, static_cast<R>(loss));
  else if (loss == __builtin_inf()) fill_gradient(s, R(0));
  return loss;
}

// ------------------------------------------------------------------------------------------------- threads

template <class R>
struct LossContext {
  const CtcLoss<R>& p;
  int64_t per_thread;  // bytes of workspace
  bool past_caches;
  int64_t next;        // sequence to take
};

template <class R>
int64_t bytes_per_thread(const CtcLoss<R>& p) {
  int64_t most = 0;
  for (int64_t b = 0; b < p.batch; b++) {
    Sequence<R> s = {p.lengths[b], p.classes, p.target_lengths[b], p.blank, nullptr, 0, p.grad, 0, nullptr};
    if (s.T < s.L) continue;  // infeasible before anything is laid out
    most = max_of(most, Work<R, RelativeEmission>(s, Arena(nullptr)).bytes);
    most = max_of(most, Work<R, ExactEmission>(s, Arena(nullptr)).bytes);
  }
  return most + round_up(p.classes * static_cast<int64_t>(sizeof(int32_t)), kAlignment);
}

// Threads that may run: the workspace is cut for these.
template <class R>
int64_t workspace_threads(const CtcLoss<R>& p) {
  return max_of<int64_t>(1, min_of<int64_t>(max_threads(), p.batch));
}

template <class R>
int64_t ctc_loss_workspace(const CtcLoss<R>& p) noexcept {
  return bytes_per_thread(p) * workspace_threads(p);
}

template <class R>
void loss_thread(void* context, int thread, int) {
  auto& c = *static_cast<LossContext<R>*>(context);
  const FlushToZero flush;
  Arena arena(static_cast<char*>(c.p.workspace) + c.per_thread * thread);
  int32_t* seen = arena.take<int32_t>(c.p.classes);
  memset(seen, 0xff, static_cast<size_t>(c.p.classes) * sizeof(int32_t));
  char* memory = arena.take<char>(0);
  for (;;) {
    const int64_t b = __atomic_fetch_add(&c.next, 1, __ATOMIC_RELAXED);
    if (b >= c.p.batch) break;
    c.p.losses[b] = static_cast<R>(sequence_loss(sequence_of(c.p, b), c.past_caches, seen, memory));
  }
  if (c.past_caches) stream_fence();
}

template <class R>
void ctc_loss(const CtcLoss<R>& p) noexcept {
  constexpr double kOperationsPerCell = 80, kOperationsPerClass = 20;
  double operations = 0;
  int64_t frames = 0;
  for (int64_t b = 0; b < p.batch; b++) {
    const auto T = static_cast<double>(p.lengths[b]), L = static_cast<double>(p.target_lengths[b]);
    operations += T * ((L + kLanes<R>) * kOperationsPerCell + static_cast<double>(p.classes) * kOperationsPerClass);
    frames += p.lengths[b];
  }
  const int64_t grad_bytes = frames * p.classes * static_cast<int64_t>(sizeof(R));
  LossContext<R> context = {p, bytes_per_thread(p), p.grad && p.classes >= kStreamClasses && grad_bytes > kStreamBytes, 0};
  const int64_t threads = min_of<int64_t>(threads_for(operations), workspace_threads(p));
  run_parallel(static_cast<int>(threads), loss_thread<R>, &context);
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
