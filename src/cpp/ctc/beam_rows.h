// Vectors of what the beam search keeps in narrower numbers than its own: int32 entries, float32 rows of other sources.
#pragma once

#include "simd/compress.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// Numbers of other sources, which are float32 always: those at some places of a row, and those that lie together.
PYSEQ_INLINE Vec<float> gather_row(const float* row, IntVec<float> at) { return gather(row, at); }
PYSEQ_INLINE Vec<double> gather_row(const float* row, IntVec<double> at) {
  Vec<double> v;
  PYSEQ_UNROLL for (int i = 0; i < kLanes<double>; i++) v[i] = row[at[i]];
  return v;
}
template <class R>
PYSEQ_INLINE Vec<R> load_row(const float* row) {
  if constexpr (sizeof(R) == 4) {
    return load(row);
  } else {
    Vec<R> v;
    PYSEQ_UNROLL for (int i = 0; i < kLanes<R>; i++) v[i] = row[i];
    return v;
  }
}

// A bit for each of a vector of entries: whether this is its row.
template <class R>
PYSEQ_INLINE uint32_t same_row(const float* const* rows, const float* row) {
  static_assert(sizeof row == sizeof(int64_t), "pointers are compared as numbers");
  constexpr int P = kLanes<double>;
  int64_t number, numbers[kLanes<R>];
  std::memcpy(&number, &row, sizeof row);
  std::memcpy(numbers, rows, sizeof numbers);
  uint32_t bits = 0;
  PYSEQ_UNROLL for (int k = 0; k < kLanes<R>; k += P)
    bits |= bits_equal(load_ints<double>(numbers + k), splat_int<double>(number)) << k;
  return bits;
}

template <class R>
PYSEQ_INLINE IntVec<R> load_entries(const int32_t* p) {
  if constexpr (sizeof(R) == 4) {
    return load_ints<R>(p);
  } else {
    IntVec<R> v;
    PYSEQ_UNROLL for (int i = 0; i < kLanes<R>; i++) v[i] = p[i];
    return v;
  }
}

template <class R>
PYSEQ_INLINE void store_entries(int32_t* p, IntVec<R> v) {
  if constexpr (sizeof(R) == 4) {
    store_ints<R>(p, v);
  } else {
    PYSEQ_UNROLL for (int i = 0; i < kLanes<R>; i++) p[i] = static_cast<int32_t>(v[i]);
  }
}

template <class R>
PYSEQ_INLINE void store_row(float* row, Vec<R> v) {
  if constexpr (sizeof(R) == 4) {
    store(row, v);
  } else {
    PYSEQ_UNROLL for (int i = 0; i < kLanes<R>; i++) row[i] = static_cast<float>(v[i]);
  }
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
