// From a cell's code to its kernels, by the list in cells.def.
#pragma once

#include "rnn/elman.h"
#include "rnn/elman_leaky.h"
#include "rnn/gru.h"
#include "rnn/gru_reset_before.h"
#include "rnn/lstm.h"
#include "rnn/lstm_coupled.h"
#include "rnn/lstm_layer_norm.h"
#include "rnn/lstm_peephole.h"
#include "rnn/lstm_projected.h"
#include "rnn/mingru.h"
#include "rnn/phases.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// f(CellType<C, Q>) with the widest block that adds no padding.
template <class C, int Q>
struct CellType {
  using type = C;
  static constexpr int width = Q;
};
template <class R, template <class> class As, template <class, int> class C, class F>
void with_width(int64_t hidden, const F& f) {
  const int64_t vectors = ceil_div(hidden, kLanes<R>);
  if constexpr (As<C<R, 1>>::most_unit_vectors >= 4) {
    if (vectors % 4 == 0) return f(CellType<As<C<R, 4>>, 4>{});
  }
  if constexpr (As<C<R, 1>>::most_unit_vectors >= 2) {
    if (vectors % 2 == 0) return f(CellType<As<C<R, 2>>, 2>{});
  }
  f(CellType<As<C<R, 1>>, 1>{});
}
template <class C>
constexpr bool fits_the_list(int gates, bool has_cell, int64_t extra_rows) {
  return C::gates == gates && C::has_cell == has_cell && (extra_rows == kOutputRows || C::extras == extra_rows);
}
template <class C>
using AsItIs = C;
// Products of pairs are written for cells of one pass. Of the others, f is not called.
template <class C>
constexpr bool has_kernels = !converts<C> || C::scheme == Scheme::kOnePass;
template <class R, template <class> class As, class F>
void with_cell(const RnnProblem& p, const F& f) {
  switch (p.cell) {
#define PYSEQ_CELL(id, type, name, gate_count, recurrent_count, cell_state, extra_rows)       \
  case Cell::id:                                                                              \
    static_assert(fits_the_list<type<R, 1>>(gate_count, cell_state, extra_rows), "cells.def"); \
    if constexpr (has_kernels<As<type<R, 1>>>) with_width<R, As, type>(p.hidden, f);          \
    return;
#include "rnn/cells.def"
#undef PYSEQ_CELL
  }
}

template <class R, template <class> class As>
int64_t rnn_tape(const RnnProblem& p) noexcept {
  Arena count(nullptr);
  with_cell<R, As>(p, [&](auto c) {
    using T = decltype(c);
    Tape<typename T::type, R>(shape_of<typename T::type, R>(p, T::width), count);
  });
  return count.used();
}
template <class R, template <class> class As>
int64_t rnn_forward_workspace(const RnnProblem& p) noexcept {
  int64_t most = 0;
  for (int keeps_tape = 0; keeps_tape < 2; keeps_tape++)
    with_cell<R, As>(p, [&](auto c) {
      using T = decltype(c);
      Arena count(nullptr);
      ForwardWork<typename T::type, R, T::width>(p, keeps_tape != 0, count);
      most = max_of(most, count.used());
    });
  return most;
}
template <class R, template <class> class As>
int64_t rnn_backward_workspace(const RnnProblem& p) noexcept {
  Arena count(nullptr);
  with_cell<R, As>(p, [&](auto c) {
    using T = decltype(c);
    BackwardWork<typename T::type, R, T::width>(p, count);
  });
  return count.used();
}
template <class R, template <class> class As>
void rnn_forward(const RnnForward<R>& a) noexcept {
  with_cell<R, As>(a.problem, [&](auto c) {
    using T = decltype(c);
    run_forward<typename T::type, R, T::width>(a);
  });
}
template <class R, template <class> class As>
void rnn_backward(const RnnBackward<R>& a) noexcept {
  with_cell<R, As>(a.problem, [&](auto c) {
    using T = decltype(c);
    run_backward<typename T::type, R, T::width>(a);
  });
}

// As<C> is the cell that is run in place of C.
template <class R, template <class> class As>
RnnKernels<R> rnn_kernels(bool (*suits)(const RnnProblem&) noexcept) {
  return {suits,
          rnn_tape<R, As>,
          rnn_forward_workspace<R, As>,
          rnn_backward_workspace<R, As>,
          rnn_forward<R, As>,
          rnn_backward<R, As>};
}

template <class R>
void fill(Kernels<R>& k) {
  k.rnn = rnn_kernels<R, AsItIs>([](const RnnProblem&) noexcept { return true; });
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
