// LSTM whose output is a projection (Sak et al. 2014):  m = o * tanh(c) as in rnn/lstm.h,  h = W_hr m.
//
// The recurrent product reads h, of `output` numbers. Extra rows: W_hr [output][hidden].
#pragma once

#include "rnn/lstm.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class R, int Q>
struct LstmProjected : Lstm<R, Q> {
  static constexpr Scheme scheme = Scheme::kProjected;
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
